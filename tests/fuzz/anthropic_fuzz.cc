// Bodies of Anthropic's Messages API from hostile bytes: body -> JSON -> validator -> error body,
// and the same bytes as a model's text and arguments, streamed and whole. Beside memory errors it
// looks for accepted requests outside the API's ranges, messages without a place in the client's
// JSON, errors that do not name their field, and text that escapes its event. Input: one byte of
// settings, then the body.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "net/sse.h"
#include "server/http/anthropic_request.h"
#include "server/http/anthropic_response.h"

namespace hadal::server {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckError(const Error& error) {
  const int status = InfoOf(error.code).http;
  Require(status == 400 || status == 404);
  const std::string text = AnthropicErrorBody(error);
  Require(text.find_first_of("\r\n") == text.npos && text.size() < 4096);
  const Json body = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  Require(body.is_object() && body["type"] == "error" && body["error"].size() == 2);
  Require(body["error"]["message"].is_string());
}

void CheckMessages(const AnthropicRequest& r, const api::ChatPrompt& chat) {
  Require(!chat.messages.empty() && chat.messages.size() == r.names.messages.size());
  Require(chat.messages.size() <= size_t{api::Limits::kMaxMessages} + 1);  // and the system prompt
  for (size_t i = 0; i < chat.messages.size(); ++i) {
    const api::Message& message = chat.messages[i];
    const AnthropicPlace& place = r.names.messages[i];
    Require((place.message == AnthropicPlace::kNone) <= (i == 0));
    Require((place.block != AnthropicPlace::kNone) == (message.role == api::Role::kTool));
    Require(place.tool_blocks.size() == message.tool_calls.size());
    Require(!message.prefix || i + 1 == chat.messages.size());
    for (const api::ToolCall& call : message.tool_calls) Require(Json::accept(call.arguments));
  }
}

void CheckAccepted(const AnthropicRequest& r, AnthropicRoute route) {
  const api::Sampling& s = r.request.sampling;
  const auto& chat = std::get<api::ChatPrompt>(r.request.prompt);
  Require(r.request.model == "demo");
  Require(r.request.max_tokens ? *r.request.max_tokens >= 1
                               : route == AnthropicRoute::kCountTokens);
  Require(s.temperature >= 0 && s.temperature <= 1);
  Require(s.top_p > 0 && s.top_p <= 1 && s.top_k >= 0);
  Require(s.stop.size() <= api::Limits::kMaxStops);
  for (const auto& stop : s.stop) Require(!stop.empty());
  Require(chat.thinking.has_value());
  if (chat.max_thinking_tokens) {
    Require(*chat.max_thinking_tokens >= 1 && *chat.thinking);
    Require(!r.request.max_tokens || *chat.max_thinking_tokens < *r.request.max_tokens);
  }
  Require(chat.tools.size() <= api::Limits::kMaxTools);
  for (const api::Tool& tool : chat.tools) Require(Json::accept(tool.parameters));
  CheckMessages(r, chat);
}

// Any text as a field of the service: some field comes out, and the rest of the message stays.
void CheckWords(std::string_view bytes) {
  static const AnthropicNames kNames{.messages = {{},
                                                  {.message = 0},
                                                  {.message = 1, .tool_blocks = {1}},
                                                  {.message = 2, .block = 0}},
                                     .format = "output_format"};
  const std::string field(bytes.substr(0, 64));
  const Error error = InFieldsOf(kNames, {ErrorCode::kInvalidArgument, field + "!", field});
  Require(error.message.starts_with(error.field));
}

// The bytes as text, reasoning and arguments of a model: whole events and a whole message.
void CheckModelText(std::string_view bytes) {
  api::Delta delta;
  delta.content = delta.reasoning = bytes;
  api::ToolCallDelta call;
  call.first = call.last = true;
  call.arguments = bytes;
  const auto stream = NewAnthropicStream({"msg_1", "demo"});
  const auto whole = NewAnthropicWhole({"msg_1", "demo"});
  std::string out = stream->Begin(1);
  for (const api::Event& event :
       std::vector<api::Event>{delta, call, api::Finished{}, api::Done{}}) {
    out += stream->On(event);
    whole->On(event);
  }
  SseParser parser(8u << 20);
  std::vector<SseMessage> events;
  Require(parser.Feed(out, &events).has_value());
  Require(events.front().event == "message_start" && events.back().event == "message_stop");
  for (const SseMessage& event : events) {
    Require(Json::parse(event.data, nullptr, false)["type"] == event.event);
  }
  const Json message = Json::parse(whole->Body(), nullptr, false);
  Require(message["content"].size() == (bytes.empty() ? 1u : 3u));
}

}  // namespace
}  // namespace hadal::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hadal::server;
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto route = data[0] & 1 ? AnthropicRoute::kMessages : AnthropicRoute::kCountTokens;
  const RequestRules rules{.models = {{"demo", "demo"}, {"d", "demo"}},
                           .refuse_unknown_fields = (data[0] & 2) != 0};
  CheckModelText(body);
  CheckWords(body);
  auto json = ParseJsonObject(body, {.max_depth = 16, .max_values = 10'000, .max_members = 1'000});
  if (!json) {
    CheckError(json.error());
    return 0;
  }
  auto request = ParseAnthropicRequest(route, std::move(*json), rules);
  if (request) {
    CheckAccepted(*request, route);
  } else {
    CheckError(request.error());
  }
  return 0;
}
