#include "chat/conversation.h"

namespace hadal {
namespace {

std::string FieldOf(size_t index, std::string_view name) {
  return fmt::format("messages[{}].{}", index, name);
}

}  // namespace

Result<Conversation> ReadConversation(std::span<const api::Message> messages,
                                      const RenderOptions& options) {
  if (!options.tools.empty()) {
    return FailField(ErrorCode::kInvalidArgument, "tools",
                     "{} tools were sent; this model's chat format has no tools",
                     options.tools.size());
  }
  if (messages.empty()) {
    return FailField(ErrorCode::kInvalidArgument, "messages",
                     "messages is empty; send at least one message");
  }
  Conversation conversation;
  bool has_system = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    const api::Message& message = messages[i];
    const bool last = i + 1 == messages.size();
    if (message.prefix && (message.role != api::Role::kAssistant || !last)) {
      const std::string field = FieldOf(i, "prefix");
      return FailField(ErrorCode::kInvalidArgument, field,
                       "{} is true; only the last message may have it, with role assistant", field);
    }
    if (!message.tool_calls.empty()) {
      const std::string field = FieldOf(i, "tool_calls");
      return FailField(ErrorCode::kInvalidArgument, field,
                       "{} is set; this model's chat format has no tools", field);
    }
    switch (message.role) {
      case api::Role::kSystem:
      case api::Role::kDeveloper:  // of another rank in some formats only
        if (has_system) conversation.system += "\n\n";
        conversation.system += message.content;
        has_system = true;
        break;
      case api::Role::kUser:
        conversation.turns.push_back({true, message.content});
        break;
      case api::Role::kAssistant:
        if (message.prefix) {
          conversation.continuation.emplace();
          conversation.continuation->content = message.content;
          if (message.reasoning_content) {
            conversation.continuation->reasoning = *message.reasoning_content;
          }
        } else {
          conversation.turns.push_back({false, message.content});
        }
        break;
      case api::Role::kTool: {
        const std::string field = FieldOf(i, "role");
        return FailField(ErrorCode::kInvalidArgument, field,
                         "{} is tool; this model's chat format has no tools", field);
      }
    }
  }
  return conversation;
}

Status RefuseThinking(const RenderOptions& options) {
  if (!options.thinking.value_or(false)) return {};
  return FailField(ErrorCode::kInvalidArgument, "thinking",
                   "thinking is enabled, but this model has no reasoning mode");
}

}  // namespace hadal
