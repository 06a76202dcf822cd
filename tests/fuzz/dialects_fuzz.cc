// Bodies of Ollama's API and of OpenAI's Responses from hostile bytes: body -> JSON -> validator ->
// error body, and the same bytes as a model's text and arguments, streamed and whole. Beside memory
// errors it looks for accepted requests outside the APIs' ranges, messages without a place in the
// client's JSON, errors that do not name their field, and text that escapes its line or event.
// Input: one byte of settings, then the body.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "net/sse.h"
#include "server/http/ollama_response.h"
#include "server/http/responses_request.h"
#include "server/http/responses_response.h"

namespace hadal::server {
namespace {

constexpr int64_t kContext = 4096;

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckError(const Error& error) {
  const int status = InfoOf(error.code).http;
  Require(status == 400 || status == 404);
  Require(error.field.empty() || error.message.find(error.field) != std::string::npos);
  const std::string text = OllamaErrorBody(error);
  Require(text.find_first_of("\r\n") == text.npos && text.size() < 4096);
  Require(Json::parse(text, nullptr, /*allow_exceptions=*/false)["error"].is_string());
}

void CheckSampling(const api::Sampling& s) {
  Require(s.temperature >= 0 && s.temperature <= 2);
  Require(s.top_p > 0 && s.top_p <= 1 && s.top_k >= 0 && s.min_p >= 0 && s.min_p <= 1);
  Require(s.repetition_penalty > 0 && s.repetition_penalty <= 10);
  Require(s.stop.size() <= api::Limits::kMaxStops);
  Require(s.top_logprobs >= 0 && s.top_logprobs <= api::Limits::kMaxTopLogprobs);
  Require(s.logprobs || s.top_logprobs == 0);
}

void CheckRequest(const api::Request& r) {
  CheckSampling(r.sampling);
  Require(r.model == "demo" && r.n == 1);
  Require(!r.max_tokens || *r.max_tokens >= 1);
  Require(!r.context || (*r.context >= 1 && *r.context <= kContext));
  if (r.format.kind == api::AnswerFormat::Kind::kJsonSchema) Require(Json::accept(r.format.text));
  const auto* chat = std::get_if<api::ChatPrompt>(&r.prompt);
  if (chat == nullptr) return;
  Require(!chat->messages.empty() && chat->tools.size() <= api::Limits::kMaxTools);
  for (const api::Tool& tool : chat->tools) {
    Require(tool.parameters.empty() || Json::accept(tool.parameters));
    Require(Json::accept(tool.source_json));
  }
  for (const api::Message& message : chat->messages) {
    Require((message.role == api::Role::kAssistant) ||
            (message.tool_calls.empty() && !message.reasoning_content && !message.prefix));
    Require(!message.prefix || &message == &chat->messages.back());
  }
}

// Any text as a field of the service: some field comes out, and the rest of the message stays.
void CheckWords(std::string_view bytes) {
  const std::string field(bytes.substr(0, 64));
  const Error error{ErrorCode::kInvalidArgument, field + "!", field};
  static const ResponsesShape kShape{
      {{.at = "instructions"},
       {.at = "input[0]", .is_item = true},
       {.at = "input[2]", .is_item = true, .reasoning = 1, .calls = {3}}}};
  for (const Error& said :
       {InOllamaWords({OllamaRoute::kChat, false}, error),
        InOllamaWords({OllamaRoute::kGenerate, true}, error), InResponsesWords(kShape, error)}) {
    Require(said.message.starts_with(said.field));
  }
}

std::string Play(AnswerWriter& writer, std::string_view bytes) {
  api::Delta thought, text;
  thought.reasoning = text.content = bytes;
  thought.in_reasoning = true;
  api::ToolCallDelta call;
  call.first = call.last = call.complete = true;
  call.arguments = bytes;
  std::string out = writer.Begin(1);
  for (const api::Event& event :
       std::vector<api::Event>{thought, text, call, api::Finished{}, api::Done{}}) {
    out += writer.On(event);
  }
  return out;
}

// The bytes as text, reasoning and arguments of a model.
void CheckModelText(std::string_view bytes) {
  OllamaWriter lines({.model = "demo"}), object({.model = "demo", .stream = false});
  const std::string out = Play(lines, bytes);
  Require(static_cast<size_t>(std::count(out.begin(), out.end(), '\n')) <= 4 && out.back() == '\n');
  for (size_t at = 0; at < out.size(); at = out.find('\n', at) + 1) {
    Require(Json::accept(out.substr(at, out.find('\n', at) - at)));
  }
  Play(object, bytes);
  const Json whole = Json::parse(object.Body(), nullptr, false);
  Require(whole["message"].contains("tool_calls") != whole.contains("cut_tool_calls"));

  ResponsesWriter events({.id = "resp_1", .model = "demo", .stream = true});
  ResponsesWriter response({.id = "resp_1", .model = "demo"});
  SseParser parser(8u << 20);
  std::vector<SseMessage> seen;
  Require(parser.Feed(Play(events, bytes), &seen).has_value());
  for (const SseMessage& event : seen) {
    Require(Json::parse(event.data, nullptr, false)["type"] == event.event);
  }
  Require(seen.front().event == "response.created" && seen.back().event == "response.completed");
  Play(response, bytes);
  Require(Json::parse(response.Body(), nullptr, false)["output"].size() == (bytes.empty() ? 1 : 3));
}

void CheckBody(Json body, uint8_t settings) {
  RequestRules rules;
  rules.models = {{"demo", "demo"}, {"d", "demo"}};
  rules.refuse_unknown_fields = (settings & 4) != 0;
  rules.context = kContext;
  if ((settings & 3) < 2) {
    const auto route = settings & 1 ? OllamaRoute::kChat : OllamaRoute::kGenerate;
    auto parsed = ParseOllamaRequest(route, std::move(body), rules);
    return parsed ? CheckRequest(parsed->request) : CheckError(parsed.error());
  }
  auto parsed = ParseResponsesRequest(std::move(body), rules);
  if (!parsed) return CheckError(parsed.error());
  CheckRequest(parsed->request);
  const auto& chat = std::get<api::ChatPrompt>(parsed->request.prompt);
  Require(chat.messages.size() == parsed->shape.messages.size());
  for (size_t i = 0; i < chat.messages.size(); ++i) {
    const auto& origin = parsed->shape.messages[i];
    Require(!origin.at.empty() && origin.calls.size() == chat.messages[i].tool_calls.size());
  }
}

}  // namespace
}  // namespace hadal::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hadal::server;
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  CheckModelText(body);
  CheckWords(body);
  auto json = ParseJsonObject(body, {.max_depth = 16, .max_values = 10'000, .max_members = 1'000});
  if (json) {
    CheckBody(std::move(*json), data[0]);
  } else {
    CheckError(json.error());
  }
  return 0;
}
