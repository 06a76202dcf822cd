// Owns: the one validator of OpenAI's chat completions and text completions, as DeepSeek extends
// them. JSON in, api::Request or an error that names the field out; no HTTP, no tokens.
// Everything that needs the tokenizer (context length, ids within the vocabulary, roles a chat
// format cannot express) is checked by the service with the same field names.
//
// A field is honoured, or refused as not supported yet (unless it has the value that asks for
// nothing), or on the short list of fields that change nothing here, or unknown: ignored or refused
// by `refuse_unknown_fields`. null means the same as leaving an optional field out; what is left
// out has the value of RequestRules::defaults, which are the model's own, else that of
// api::Sampling. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/types.h"
#include "base/error.h"
#include "server/http/dialect.h"
#include "server/json_body.h"

namespace hadal::server {

enum class OpenAiRoute { kChat, kText };

// What a model's generation_config.json recommends, for requests that leave the field out.
// `do_sample: false` is a temperature of 0. Unset: api::Sampling's value. Ranges as in requests.
struct SamplingDefaults {
  std::optional<double> temperature = {};
  std::optional<double> top_p = {};
  std::optional<int64_t> top_k = {};
  std::optional<double> repetition_penalty = {};
};
// kBadConfig: a value that no request could send; the field is the key.
Result<api::Sampling> SamplingOf(const SamplingDefaults& defaults);

using OpenAiRules = RequestRules;

// The fields that the client used where two mean the same.
struct OpenAiNames {
  std::string_view thinking = "thinking";
  std::string_view max_tokens = "max_tokens";
  std::string format = {};  // "" = response_format
};

struct OpenAiRequest {
  api::Request request;  // model is the served name; request_id and tenant are the caller's to fill
  OpenAiRoute route = OpenAiRoute::kChat;
  bool stream = false;
  bool include_usage = false;
  OpenAiNames names;
};
// `error` of the service with its field as the client wrote it.
Error InFieldsOf(const OpenAiNames& names, Error error);

// `body` is an object (ParseJsonObject); its strings are moved out. kInvalidArgument, or kNotFound
// with field "model".
Result<OpenAiRequest> ParseOpenAiRequest(OpenAiRoute route, Json body, const OpenAiRules& rules);

}  // namespace hadal::server
