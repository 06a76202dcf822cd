// Request bodies from hostile bytes: body -> JSON -> validator -> error text, both routes and both
// settings of unknown fields. Beside memory errors it looks for accepted requests outside the API's
// ranges, for errors without a 400 or a one-line JSON text, and for model text that escapes its
// payload. Input: one byte of settings, then the body.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "server/http/openai_request.h"
#include "server/http/openai_response.h"

namespace hadal::server {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

bool IsOneLine(std::string_view text) {
  return text.find_first_of("\r\n") == text.npos && text.find("\xe2\x80\xa8") == text.npos;
}

void CheckError(const Error& error) {
  const int status = InfoOf(error.code).http;
  Require(status == 400 || status == 404);
  const std::string text = ErrorJson(error);
  Require(IsOneLine(text) && Json::accept(text) && text.size() < 4096);
}

void CheckAccepted(const OpenAiRequest& r) {
  const api::Sampling& s = r.request.sampling;
  Require(r.request.model == "demo");
  Require(r.request.n >= 1 && r.request.n <= api::Limits::kMaxN);
  Require(!r.request.max_tokens || *r.request.max_tokens >= 1);
  Require(s.temperature >= 0 && s.temperature <= 2);
  Require(s.top_p > 0 && s.top_p <= 1 && s.min_p >= 0 && s.min_p <= 1 && s.top_k >= 0);
  Require(s.repetition_penalty > 0 && s.repetition_penalty <= 10);
  Require(s.presence_penalty >= -2 && s.presence_penalty <= 2);
  Require(s.frequency_penalty >= -2 && s.frequency_penalty <= 2);
  Require(s.top_logprobs >= 0 && s.top_logprobs <= api::Limits::kMaxTopLogprobs);
  Require(s.stop.size() <= api::Limits::kMaxStops);
  for (const auto& stop : s.stop) Require(!stop.empty());
  for (const auto& [id, bias] : s.logit_bias) Require(id >= 0 && bias >= -100 && bias <= 100);
  Require(r.stream || !r.include_usage);
  if (const auto* ids = std::get_if<api::TokenPrompt>(&r.request.prompt)) {
    Require(!ids->ids.empty());
    for (const int32_t id : ids->ids) Require(id >= 0);
  }
}

// The bytes as a model's text: one payload on one line, whatever they are.
void CheckModelText(std::string_view bytes) {
  StreamWriter writer({.id = "x", .model = "demo", .fingerprint = "f"}, false);
  api::Delta delta;
  delta.content = bytes;
  for (const std::string& payload : writer.On(delta)) {
    Require(IsOneLine(payload) && Json::accept(payload));
  }
}

}  // namespace
}  // namespace hadal::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hadal::server;
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const OpenAiRoute route = data[0] & 1 ? OpenAiRoute::kChat : OpenAiRoute::kText;
  const OpenAiRules rules{.models = {{"demo", "demo"}, {"d", "demo"}},
                          .refuse_unknown_fields = (data[0] & 2) != 0};
  CheckModelText(body);
  auto json = ParseJsonObject(body, {.max_depth = 16, .max_values = 10'000, .max_members = 1'000});
  if (!json) {
    CheckError(json.error());
    return 0;
  }
  auto request = ParseOpenAiRequest(route, std::move(*json), rules);
  if (request) {
    CheckAccepted(*request);
  } else {
    CheckError(request.error());
  }
  return 0;
}
