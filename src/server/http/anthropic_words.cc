// The service speaks of OpenAI's fields; here they become those that an Anthropic client wrote.
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "server/http/anthropic_request.h"

namespace hadal::server {
namespace {

struct Indexed {
  size_t index;
  std::string_view rest;
};

// "tools[3].x" with "tools" is 3 and ".x".
std::optional<Indexed> ReadIndex(std::string_view field, std::string_view name) {
  if (!field.starts_with(name) || !field.substr(name.size()).starts_with('[')) return std::nullopt;
  const char* begin = field.data() + name.size() + 1;
  const char* end = field.data() + field.size();
  size_t index = 0;
  const auto [at, error] = std::from_chars(begin, end, index);
  if (error != std::errc() || at == end || *at != ']') return std::nullopt;
  return Indexed{index, {at + 1, end}};
}

// The first row whose name begins `rest`, replaced.
using Renamed = std::pair<std::string_view, std::string_view>;
template <size_t n>
std::string Rename(std::string_view rest, const std::array<Renamed, n>& rows) {
  for (const auto& [from, to] : rows) {
    if (rest.starts_with(from)) return std::string(to) + std::string(rest.substr(from.size()));
  }
  return std::string(rest);
}

std::string MessageField(const AnthropicPlace& place, std::string_view rest) {
  if (place.message == AnthropicPlace::kNone) return "system";
  const std::string message = fmt::format("messages[{}]", place.message);
  if (place.block != AnthropicPlace::kNone) {
    static constexpr std::array<Renamed, 2> kOfResult = {
        {{".tool_call_id", ".tool_use_id"}, {".role", ".type"}}};
    return fmt::format("{}.content[{}]{}", message, place.block, Rename(rest, kOfResult));
  }
  if (const auto call = ReadIndex(rest, ".tool_calls");
      call && call->index < place.tool_blocks.size()) {
    static constexpr std::array<Renamed, 2> kOfCall = {
        {{".function.arguments", ".input"}, {".function.name", ".name"}}};
    return fmt::format("{}.content[{}]{}", message, place.tool_blocks[call->index],
                       Rename(call->rest, kOfCall));
  }
  static constexpr std::array<Renamed, 3> kOfMessage = {
      {{".tool_calls", ".content"}, {".reasoning_content", ".content"}, {".prefix", ".role"}}};
  return message + Rename(rest, kOfMessage);
}

std::string ClientField(const AnthropicNames& names, std::string_view field) {
  if (const auto message = ReadIndex(field, "messages");
      message && message->index < names.messages.size()) {
    return MessageField(names.messages[message->index], message->rest);
  }
  if (const auto tool = ReadIndex(field, "tools")) {
    static constexpr std::array<Renamed, 2> kOfTool = {
        {{".function.parameters", ".input_schema"}, {".function", ""}}};
    return fmt::format("tools[{}]{}", tool->index, Rename(tool->rest, kOfTool));
  }
  if (field.starts_with("response_format") && !names.format.empty()) {
    static constexpr std::array<Renamed, 2> kOfFormat = {
        {{".json_schema.schema", ".schema"}, {".json_schema", ""}}};
    const std::string_view rest = field.substr(std::string_view("response_format").size());
    return names.format + Rename(rest, kOfFormat);
  }
  if (field == "stop" || field.starts_with("stop[")) {
    return "stop_sequences" + std::string(field.substr(4));
  }
  static constexpr std::array<Renamed, 4> kOthers = {
      {{"tool_choice.function.name", "tool_choice.name"},
       {"parallel_tool_calls", "tool_choice.disable_parallel_tool_use"},
       {"reasoning_effort", "output_config.effort"},
       {"max_completion_tokens", "max_tokens"}}};
  return Rename(field, kOthers);
}

}  // namespace

Error InFieldsOf(const AnthropicNames& names, Error error) {
  const std::string field = ClientField(names, error.field);
  if (!error.field.empty() && error.message.starts_with(error.field)) {
    error.message.replace(0, error.field.size(), field);
  }
  if (error.field == "thinking" && names.thinking_left_out) {
    error.message += "; thinking is off when it is left out, send {\"type\": \"adaptive\"}";
  }
  error.field = field;
  return error;
}

}  // namespace hadal::server
