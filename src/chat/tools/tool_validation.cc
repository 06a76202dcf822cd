#include "chat/tools/tool_validation.h"

#include <algorithm>
#include <set>
#include <string>

#include "chat/tools/json_text.h"

namespace hadal {
namespace {

using api::Limits;

constexpr JsonTextLimits kJson{.max_bytes = static_cast<size_t>(Limits::kMaxToolTextBytes),
                               .max_depth = Limits::kMaxToolJsonDepth};

// As it may stand in a message.
std::string Shown(std::string_view text) {
  std::string quoted = QuoteJson(text.substr(0, 80));
  return text.size() > 80 ? quoted + "..." : quoted;
}

Status CheckName(std::string_view name, const std::string& field) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  const bool fits = !name.empty() && name.size() <= size_t{Limits::kMaxToolNameBytes};
  if (fits && std::all_of(name.begin(), name.end(), allowed)) return {};
  return FailField(ErrorCode::kInvalidArgument, field,
                   "{} is {}; a name has 1 to {} of the characters A-Z, a-z, 0-9, _ and -", field,
                   Shown(name), Limits::kMaxToolNameBytes);
}

Status CheckSchema(std::string_view schema, const std::string& field) {
  if (schema.empty()) return {};
  const auto members = JsonMembers(schema, kJson);
  if (!members) {
    return FailField(ErrorCode::kInvalidArgument, field, "{} is not a JSON Schema object: {}",
                     field, members.error().message);
  }
  for (const JsonMember& member : *members) {
    if (member.key == "type" && !(member.is_string && member.text == "object")) {
      return FailField(ErrorCode::kInvalidArgument, field + ".type",
                       "{}.type is {}; the parameters of a function are an object", field,
                       Shown(member.text));
    }
    if (member.key == "properties" && !member.text.starts_with('{')) {
      return FailField(ErrorCode::kInvalidArgument, field + ".properties",
                       "{}.properties is {}; it must be an object", field, Shown(member.text));
    }
  }
  return {};
}

Status CheckCount(size_t count, int most, const std::string& field) {
  if (count <= static_cast<size_t>(most)) return {};
  return FailField(ErrorCode::kInvalidArgument, field, "{} has {} entries; at most {} are accepted",
                   field, count, most);
}

Status CheckCall(const api::ToolCall& call, const std::string& at) {
  if (call.id.empty() || call.id.size() > size_t{Limits::kMaxToolCallIdBytes}) {
    return FailField(ErrorCode::kInvalidArgument, at + ".id",
                     "{}.id has {} bytes; an id has 1 to {}", at, call.id.size(),
                     Limits::kMaxToolCallIdBytes);
  }
  HADAL_OK(CheckName(call.name, at + ".function.name"));
  const auto members = JsonMembers(call.arguments, kJson);
  if (members) return {};
  const std::string field = at + ".function.arguments";
  return FailField(ErrorCode::kInvalidArgument, field, "{} is {}, not a JSON object: {}", field,
                   Shown(call.arguments), members.error().message);
}

// The calls that have no result yet.
class OpenCalls {
 public:
  Status Add(const api::Message& message, const std::string& at) {
    HADAL_OK(CheckCount(message.tool_calls.size(), Limits::kMaxToolCalls, at + ".tool_calls"));
    known_.clear();
    open_.clear();
    for (size_t j = 0; j < message.tool_calls.size(); ++j) {
      const std::string call_at = fmt::format("{}.tool_calls[{}]", at, j);
      const api::ToolCall& call = message.tool_calls[j];
      HADAL_OK(CheckCall(call, call_at));
      if (!known_.insert(call.id).second) {
        return FailField(ErrorCode::kInvalidArgument, call_at + ".id",
                         "{}.id is {}, which an earlier call of the message has", call_at,
                         Shown(call.id));
      }
      open_.insert(call.id);
    }
    return {};
  }

  Status Answer(const std::string& id, const std::string& at) {
    if (open_.erase(id) == 1) return {};
    const std::string field = at + ".tool_call_id";
    if (known_.contains(id)) {
      return FailField(ErrorCode::kInvalidArgument, field,
                       "{} is {}, whose result has been given already", field, Shown(id));
    }
    return FailField(ErrorCode::kInvalidArgument, field,
                     "{} is {}; the assistant message before it has no such call", field,
                     Shown(id));
  }

  Status RequireNone(const std::string& at) {
    if (open_.empty()) {
      known_.clear();
      return {};
    }
    return FailField(ErrorCode::kInvalidArgument, at,
                     "{}: the call {} has no result; a message with role tool must follow for each "
                     "call",
                     at, Shown(*open_.begin()));
  }

 private:
  std::set<std::string> known_, open_;
};

}  // namespace

Status ValidateTools(std::span<const api::Tool> tools) {
  HADAL_OK(CheckCount(tools.size(), Limits::kMaxTools, "tools"));
  std::set<std::string_view> names;
  size_t bytes = 0;
  for (size_t i = 0; i < tools.size(); ++i) {
    const api::Tool& tool = tools[i];
    const std::string at = fmt::format("tools[{}].function", i);
    HADAL_OK(CheckName(tool.name, at + ".name"));
    if (!names.insert(tool.name).second) {
      return FailField(ErrorCode::kInvalidArgument, at + ".name",
                       "{}.name is {}, which an earlier tool has", at, Shown(tool.name));
    }
    bytes += tool.name.size() + tool.parameters.size() + tool.source_json.size() +
             (tool.description ? tool.description->size() : 0);
    if (bytes > size_t{Limits::kMaxToolTextBytes}) {
      return FailField(ErrorCode::kInvalidArgument, "tools",
                       "tools have more than {} bytes of text up to tools[{}]",
                       Limits::kMaxToolTextBytes, i);
    }
    HADAL_OK(CheckSchema(tool.parameters, at + ".parameters"));
    if (tool.source_json.empty()) continue;
    if (const auto whole = JsonMembers(tool.source_json, kJson); !whole) {
      return FailField(ErrorCode::kInvalidArgument, at, "{}: {}", at, whole.error().message);
    }
  }
  return {};
}

Status ValidateToolChoice(const api::ToolChoice& choice, std::span<const api::Tool> tools) {
  using Mode = api::ToolChoice::Mode;
  if (choice.mode == Mode::kNone || choice.mode == Mode::kAuto) return {};
  if (tools.empty()) {
    return FailField(ErrorCode::kInvalidArgument, "tool_choice",
                     "tool_choice asks for a call, but there are no tools");
  }
  if (choice.mode == Mode::kRequired) return {};
  const auto named = [&](const api::Tool& tool) { return tool.name == choice.name; };
  if (std::any_of(tools.begin(), tools.end(), named)) return {};
  return FailField(ErrorCode::kInvalidArgument, "tool_choice.function.name",
                   "tool_choice.function.name is {}, which none of the {} tools has",
                   Shown(choice.name), tools.size());
}

Status ValidateToolMessages(std::span<const api::Message> messages) {
  OpenCalls calls;
  std::string last_calls = "messages";
  for (size_t i = 0; i < messages.size(); ++i) {
    const api::Message& message = messages[i];
    const std::string at = fmt::format("messages[{}]", i);
    if (message.role == api::Role::kTool) {
      HADAL_OK(calls.Answer(message.tool_call_id, at));
      continue;
    }
    HADAL_OK(calls.RequireNone(last_calls));
    if (!message.tool_call_id.empty()) {
      return FailField(ErrorCode::kInvalidArgument, at + ".tool_call_id",
                       "{}.tool_call_id is for messages with role tool", at);
    }
    if (message.tool_calls.empty()) continue;
    if (message.role != api::Role::kAssistant || message.prefix) {
      return FailField(ErrorCode::kInvalidArgument, at + ".tool_calls",
                       "{}.tool_calls is for finished messages with role assistant", at);
    }
    HADAL_OK(calls.Add(message, at));
    last_calls = at + ".tool_calls";
  }
  return calls.RequireNone(last_calls);
}

}  // namespace hadal
