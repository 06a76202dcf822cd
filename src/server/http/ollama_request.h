// Owns: the validator of Ollama's /api/chat and /api/generate. JSON in, api::Request or an error
// that names the field out. What needs the tokenizer is checked by the service; InOllamaWords says
// its errors in Ollama's fields.
//
// As everywhere here a field is honoured, refused, on a list of those that change nothing, or
// unknown; nothing is ignored that would change the answer. Where Ollama differs:
// * num_ctx is a bound that prompt and answer keep, or a 400 with the counts; Ollama cuts the
// prompt.
// * truncate is off unless it is true, which leaves out the oldest whole turns and says so in the
//   answer; shift (forgetting while the answer is written) is refused: an answer ends with
//   "length".
// * Sampling that is left out is the model's own recommendation, not Ollama's 0.8, 40 and 0.9.
// * Hardware options and keep_alive are accepted without effect: the model is always loaded. So
//   Ollama's "load" requests (no messages, no prompt) have nothing to do and are refused.
// * A last message of the assistant is continued, as Ollama does.
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "api/types.h"
#include "base/error.h"
#include "server/http/dialect.h"
#include "server/json_body.h"

namespace hadal::server {

enum class OllamaRoute { kChat, kGenerate };

// What an error of the service needs to be said in this request's fields.
struct OllamaShape {
  OllamaRoute route = OllamaRoute::kChat;
  bool has_system = false;  // kGenerate: the first message is the field system
};
Error InOllamaWords(const OllamaShape& shape, Error error);

struct OllamaRequest {
  api::Request request;  // model is the served name; request_id and tenant are the caller's to fill
  OllamaShape shape;
  bool stream = true;
};
// `body` is an object (ParseJsonObject); its strings are moved out. kInvalidArgument, or kNotFound
// with field "model".
Result<OllamaRequest> ParseOllamaRequest(OllamaRoute route, Json body, const RequestRules& rules);

// The served name of "name" or "name:latest".
Result<std::string> OllamaModel(std::string_view name, const RequestRules& rules);

}  // namespace hadal::server
