// Owns: the one validator of Anthropic's Messages API, as DeepSeek's endpoint for it extends it.
// JSON in, api::Request or an error that names the field out; no HTTP, no tokens.
//
// A field is honoured, or refused as not supported, or on the short list of fields that change
// nothing here (cache_control, metadata, service_tier), or unknown: ignored or refused by
// `refuse_unknown_fields`. null means the same as leaving an optional field out.
//
// Decisions. `thinking` left out means no thinking, as at Anthropic; output_config.effort bounds
// the thinking and changes nothing without it. cache_control is accepted wherever Anthropic has it
// and has no effect: every prompt is cached by its prefix. A last message of the assistant is the
// beginning of the answer, unless it calls tools. Text blocks of system, user and tool_result are
// joined by an empty line, those of the assistant by nothing: there they are pieces of one text. A
// tool_result with is_error begins with "Error: ", the only way to tell the model.
// redacted_thinking is dropped, signatures are not looked at. `truncation` is
// Hadal's own, as in every dialect: what may be left out of a conversation that is too long.
// Thread rule: pure functions.
#pragma once

#include <string>
#include <vector>

#include "api/types.h"
#include "base/error.h"
#include "server/http/dialect.h"
#include "server/json_body.h"

namespace hadal::server {

// count_tokens takes the same body and needs no max_tokens.
enum class AnthropicRoute { kMessages, kCountTokens };

// Where a message of the request stands in the client's JSON.
struct AnthropicPlace {
  static constexpr int kNone = -1;
  int message = kNone;                // none: it is the system prompt
  int block = kNone;                  // of a tool's result
  std::vector<int> tool_blocks = {};  // the block of each call
};

// The client's words for what the service calls otherwise.
struct AnthropicNames {
  std::vector<AnthropicPlace> messages;  // of each message of the prompt
  std::string format;                    // the field that has the answer's format
  bool thinking_left_out = true;
};

struct AnthropicRequest {
  api::Request request;  // model is the served name; request_id and tenant are the caller's to fill
  bool stream = false;
  bool hides_thinking = false;  // thinking.display is "omitted"
  AnthropicNames names;
};
// `error` of the service with its field, and the field at the head of its message, as the client
// wrote it.
Error InFieldsOf(const AnthropicNames& names, Error error);

// `body` is an object (ParseJsonObject); its strings are moved out. kInvalidArgument, or kNotFound
// with field "model".
Result<AnthropicRequest> ParseAnthropicRequest(AnthropicRoute route, Json body,
                                               const RequestRules& rules);

}  // namespace hadal::server
