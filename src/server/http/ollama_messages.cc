// The messages of an Ollama chat.
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "server/http/dialect_fields.h"
#include "server/http/ollama_draft.h"
#include "server/http/openai_response.h"

namespace hadal::server {
namespace {

using api::Limits;

// The calls of the last assistant message whose results have not come. Ollama's clients name a
// result by its call's id, by the tool's name, or by its place.
using OpenCalls = std::vector<api::ToolCall>;

Result<api::Role> ReadRole(Json& message, const std::string& at) {
  static constexpr std::string_view kRoles = "one of \"system\", \"user\", \"assistant\", \"tool\"";
  const std::string field = at + ".role";
  const Json* role = FindSet(message, "role");
  if (role == nullptr) return Missing(field, kRoles);
  if (!role->is_string()) return Invalid(field, *role, kRoles);
  std::string name = role->get<std::string>();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (name == "system") return api::Role::kSystem;
  if (name == "user") return api::Role::kUser;
  if (name == "assistant") return api::Role::kAssistant;
  if (name == "tool") return api::Role::kTool;
  return Invalid(field, *role, kRoles);
}

Result<api::ToolCall> ReadCall(Json& json, const std::string& at, std::string default_id) {
  HADAL_OK(ExpectObject(json, at));
  api::ToolCall call{.id = std::move(default_id), .name = {}, .arguments = "{}"};
  if (Json* id = FindSet(json, "id")) {
    HADAL_TRY(std::string sent, TakeString(*id, at + ".id"));
    if (!sent.empty()) call.id = std::move(sent);
  }
  const std::string at_function = at + ".function";
  Json* function = FindSet(json, "function");
  if (function == nullptr) return Missing(at_function, "an object with name and arguments");
  HADAL_OK(ExpectObject(*function, at_function));
  Json* name = FindSet(*function, "name");
  if (name == nullptr) return Missing(at_function + ".name", "the name of a function");
  HADAL_TRY(call.name, TakeString(*name, at_function + ".name"));
  if (const Json* arguments = FindSet(*function, "arguments")) {
    const std::string field = at_function + ".arguments";
    HADAL_OK(ExpectObject(*arguments, field));
    call.arguments = ToLine(*arguments);
  }
  return call;
}

Status ReadCalls(Json& calls, const std::string& at, size_t index, api::Message& message) {
  const std::string field = at + ".tool_calls";
  if (!calls.is_array() || calls.size() > Limits::kMaxToolCalls) {
    return Invalid(field, calls,
                   fmt::format("an array of at most {} calls", Limits::kMaxToolCalls));
  }
  if (!calls.empty() && message.role != api::Role::kAssistant) {
    return FailField(ErrorCode::kInvalidArgument, field,
                     "{} belongs to messages of role \"assistant\" only", field);
  }
  for (size_t j = 0; j < calls.size(); ++j) {
    HADAL_TRY(api::ToolCall call, ReadCall(calls[j], fmt::format("{}[{}]", field, j),
                                           fmt::format("call_{}_{}", index, j)));
    message.tool_calls.push_back(std::move(call));
  }
  return {};
}

// Gives a result the id of its call.
Status FindCall(Json& json, const std::string& at, OpenCalls& open, api::Message& message) {
  auto call = open.begin();
  if (Json* id = FindSet(json, "tool_call_id"); id != nullptr && *id != "") {
    HADAL_TRY(message.tool_call_id, TakeString(*id, at + ".tool_call_id"));
    call = std::find_if(call, open.end(), [&](auto& c) { return c.id == message.tool_call_id; });
    if (call != open.end()) open.erase(call);
    return {};  // an id that no call has: the service says so
  }
  std::string field = at;
  if (Json* name = FindSet(json, "tool_name"); name != nullptr && *name != "") {
    field = at + ".tool_name";
    HADAL_TRY(const std::string tool, TakeString(*name, field));
    call = std::find_if(call, open.end(), [&](auto& c) { return c.name == tool; });
  }
  if (call == open.end()) {
    return FailField(ErrorCode::kInvalidArgument, field,
                     "{}: the assistant message before this result has no call without one that it "
                     "could belong to",
                     field);
  }
  message.tool_call_id = call->id;
  open.erase(call);
  return {};
}

Status ReadThinkingText(Json& value, const std::string& at, api::Message& message) {
  const std::string field = at + ".thinking";
  HADAL_TRY(std::string thinking, TakeString(value, field));
  if (thinking.empty()) return {};
  if (message.role != api::Role::kAssistant) {
    return FailField(ErrorCode::kInvalidArgument, field,
                     "{} belongs to messages of role \"assistant\" only", field);
  }
  message.reasoning_content = std::move(thinking);
  return {};
}

Status CheckOthers(const Json& json, const std::string& at, const OllamaDraft& draft) {
  static constexpr std::array kKnown = {"role",       "content",   "thinking",    "images",
                                        "tool_calls", "tool_name", "tool_call_id"};
  for (const auto& [name, value] : json.items()) {
    const std::string& member = name;
    const bool known = std::any_of(kKnown.begin(), kKnown.end(),
                                   [&](const char* other) { return member == other; });
    if (!known && !value.is_null()) HADAL_OK(RefuseUnknownField(PathOf(at, name), draft.rules));
  }
  return {};
}

Result<api::Message> ReadMessage(Json& json, size_t index, const std::string& at,
                                 OllamaDraft& draft, OpenCalls& open) {
  HADAL_OK(ExpectObject(json, at));
  HADAL_OK(CheckOthers(json, at, draft));
  api::Message message;
  HADAL_TRY(message.role, ReadRole(json, at));
  if (const Json* images = FindSet(json, "images"); images != nullptr && *images != Json::array()) {
    return Invalid(at + ".images", *images, "left out; this model reads text");
  }
  if (Json* thinking = FindSet(json, "thinking")) {
    HADAL_OK(ReadThinkingText(*thinking, at, message));
  }
  if (Json* calls = FindSet(json, "tool_calls")) HADAL_OK(ReadCalls(*calls, at, index, message));
  if (Json* content = FindSet(json, "content")) {
    HADAL_TRY(message.content, TakeString(*content, at + ".content"));
  } else if (message.tool_calls.empty() && !message.reasoning_content) {
    return Missing(at + ".content", "a string");
  }
  if (message.role == api::Role::kTool) {
    HADAL_OK(FindCall(json, at, open, message));
  } else {
    open = message.tool_calls;
  }
  return message;
}

}  // namespace

Status ReadOllamaMessages(Json& value, const std::string& field, OllamaDraft& draft) {
  draft.has_messages = true;
  if (value == Json::array()) {
    return Invalid(
        field, value,
        "a non-empty array of messages; the model is loaded, nothing else is to be done");
  }
  if (!value.is_array() || value.size() > Limits::kMaxMessages) {
    return Invalid(field, value, fmt::format("an array of 1 to {} messages", Limits::kMaxMessages));
  }
  auto& messages = draft.chat().messages;
  OpenCalls open;
  for (size_t i = 0; i < value.size(); ++i) {
    HADAL_TRY(api::Message message,
              ReadMessage(value[i], i, fmt::format("{}[{}]", field, i), draft, open));
    messages.push_back(std::move(message));
  }
  api::Message& last = messages.back();
  last.prefix = last.role == api::Role::kAssistant && last.tool_calls.empty();
  return {};
}

}  // namespace hadal::server
