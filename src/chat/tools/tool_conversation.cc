#include "chat/tools/tool_conversation.h"

#include <algorithm>

#include "chat/tools/json_text.h"
#include "chat/tools/tool_validation.h"

namespace hadal {
namespace {

constexpr JsonTextLimits kJson{.max_bytes = size_t{4} * api::Limits::kMaxToolTextBytes,
                               .max_depth = api::Limits::kMaxToolJsonDepth + 1};

// The place of a result's call among the calls of `asked`.
size_t PlaceOf(const api::Message& result, const api::Message& asked) {
  const auto& calls = asked.tool_calls;
  const auto found = std::find_if(calls.begin(), calls.end(), [&](const api::ToolCall& call) {
    return call.id == result.tool_call_id;
  });
  return static_cast<size_t>(found - calls.begin());
}

void SortResults(std::vector<ToolTurn>& turns) {
  for (size_t i = 0; i < turns.size(); ++i) {
    const api::Message& asked = *turns[i].message;
    if (asked.tool_calls.empty()) continue;
    size_t end = i + 1;
    while (end < turns.size() && turns[end].message->role == api::Role::kTool) ++end;
    std::sort(turns.begin() + static_cast<std::ptrdiff_t>(i + 1),
              turns.begin() + static_cast<std::ptrdiff_t>(end),
              [&](const ToolTurn& a, const ToolTurn& b) {
                return PlaceOf(*a.message, asked) < PlaceOf(*b.message, asked);
              });
  }
}

}  // namespace

Result<ToolConversation> ReadToolConversation(std::span<const api::Message> messages,
                                              std::span<const api::Tool> tools,
                                              bool developer_is_system) {
  if (messages.empty()) {
    return FailField(ErrorCode::kInvalidArgument, "messages",
                     "messages is empty; send at least one message");
  }
  HADAL_OK(ValidateTools(tools));
  HADAL_OK(ValidateToolMessages(messages));
  ToolConversation conversation;
  for (size_t i = 0; i < messages.size(); ++i) {
    const api::Message& message = messages[i];
    const bool last = i + 1 == messages.size();
    if (message.prefix && (message.role != api::Role::kAssistant || !last)) {
      const std::string field = fmt::format("messages[{}].prefix", i);
      return FailField(ErrorCode::kInvalidArgument, field,
                       "{} is true; only the last message may have it, with role assistant", field);
    }
    const bool is_system = message.role == api::Role::kSystem ||
                           (message.role == api::Role::kDeveloper && developer_is_system);
    if (is_system) {
      if (conversation.has_system) conversation.system += "\n\n";
      conversation.system += message.content;
      conversation.has_system = true;
    } else if (message.prefix) {
      conversation.continuation = &message;
    } else {
      conversation.turns.push_back({&message, i});
    }
  }
  SortResults(conversation.turns);
  return conversation;
}

Result<std::string> ToolJson(const api::Tool& tool, int indent) {
  if (!tool.source_json.empty()) return RewriteJson(tool.source_json, indent, kJson);
  std::string json = "{\"name\": " + QuoteJson(tool.name);
  if (tool.description) json += ", \"description\": " + QuoteJson(*tool.description);
  if (!tool.parameters.empty()) json += ", \"parameters\": " + tool.parameters;
  if (tool.strict) json += ", \"strict\": true";
  return RewriteJson(json + "}", indent, kJson);
}

Result<std::string> ParametersJson(const api::Tool& tool) {
  if (tool.parameters.empty()) return std::string("{}");
  return RewriteJson(tool.parameters, 0, kJson);
}

}  // namespace hadal
