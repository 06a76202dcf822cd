// The input of a Responses request: a text, or items that become messages. Items of one answer
// (reasoning, message, calls) become one assistant message again.
#include <algorithm>
#include <array>
#include <utility>

#include "server/http/dialect_fields.h"
#include "server/http/responses_draft.h"

namespace hadal::server {
namespace {

using api::Limits;

// [{"type": one of the types, "text": ...}, ...] joined; a refusal has its text under its own name.
Result<std::string> JoinParts(Json& parts, const std::string& field,
                              std::span<const std::string_view> types) {
  if (!parts.is_array()) return Invalid(field, parts, "an array of text parts");
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", field, i);
    HADAL_OK(ExpectObject(parts[i], at));
    const std::string must_be =
        fmt::format("\"{}\"; this model reads text", fmt::join(types, "\" or \""));
    const auto type = parts[i].find("type");
    if (type == parts[i].end()) return Missing(at + ".type", must_be);
    const bool known = std::any_of(types.begin(), types.end(),
                                   [&](std::string_view name) { return *type == name; });
    if (!known) return Invalid(at + ".type", *type, must_be);
    const std::string member = *type == "refusal" ? "refusal" : "text";
    Json* part = FindSet(parts[i], member);
    if (part == nullptr) return Missing(PathOf(at, member), "a string");
    HADAL_TRY(const std::string piece, TakeString(*part, PathOf(at, member)));
    text += piece;
  }
  return text;
}

constexpr std::array<std::string_view, 3> kTextParts = {"input_text", "output_text", "refusal"};

// A string or text parts.
Result<std::string> ReadText(Json& item, const std::string& at, std::string_view member) {
  const std::string field = PathOf(at, member);
  Json* value = FindSet(item, member);
  if (value == nullptr) return Missing(field, "a string or an array of text parts");
  if (value->is_string()) return TakeString(*value, field);
  if (!value->is_array()) return Invalid(field, *value, "a string or an array of text parts");
  return JoinParts(*value, field, kTextParts);
}

Result<std::string> ReadString(Json& item, const std::string& at, std::string_view member) {
  Json* value = FindSet(item, member);
  if (value == nullptr) return Missing(PathOf(at, member), "a string");
  return TakeString(*value, PathOf(at, member));
}

class ItemsReader {
 public:
  explicit ItemsReader(ResponsesDraft& draft) : draft_(draft) {}

  Status Read(Json& item, size_t index, const std::string& at) {
    HADAL_OK(ExpectObject(item, at));
    struct Kind {
      std::string_view type;
      Status (ItemsReader::*read)(Json& item, size_t index, const std::string& at);
    };
    static constexpr std::array kKinds = {
        Kind{"message", &ItemsReader::ReadMessage},
        Kind{"function_call", &ItemsReader::ReadCall},
        Kind{"function_call_output", &ItemsReader::ReadOutput},
        Kind{"reasoning", &ItemsReader::ReadReasoning},
    };
    const Json* type = FindSet(item, "type");
    if (type == nullptr && !item.contains("role")) {
      return Missing(at + ".type", "the type of an item, or the item a message with a role");
    }
    for (const Kind& kind : kKinds) {
      if (type != nullptr ? *type != kind.type : kind.type != "message") continue;
      HADAL_OK(CheckOthers(item, at));
      return (this->*kind.read)(item, index, at);
    }
    if (*type == "item_reference") {
      return Invalid(at + ".type", *type, "the item itself: nothing is stored here to refer to");
    }
    return Invalid(
        at + ".type", *type,
        "one of \"message\", \"function_call\", \"function_call_output\", \"reasoning\"");
  }

  // The assistant message that was being collected; reasoning that nothing followed is dropped.
  void Flush() {
    if (has_content_ || !pending_.tool_calls.empty()) {
      if (pending_origin_.at.empty()) {
        pending_origin_.at = fmt::format("input[{}]", pending_origin_.calls.front());
      }
      Push(std::move(pending_), std::move(pending_origin_));
    }
    pending_ = MessageOf(api::Role::kAssistant, {});
    pending_origin_ = {.at = {}, .is_item = true};
    has_content_ = false;
  }

 private:
  using Origin = ResponsesShape::Origin;

  Status CheckOthers(const Json& item, const std::string& at) const {
    static constexpr std::array kKnown = {"type",      "id",     "status",    "role",
                                          "content",   "phase",  "call_id",   "name",
                                          "arguments", "output", "summary",   "encrypted_content",
                                          "namespace", "caller", "created_by"};
    for (const auto& [name, value] : item.items()) {
      const std::string& member = name;
      const bool known = std::any_of(kKnown.begin(), kKnown.end(),
                                     [&](const char* other) { return member == other; });
      if (!known && !value.is_null()) HADAL_OK(RefuseUnknownField(PathOf(at, name), draft_.rules));
    }
    return {};
  }

  void Push(api::Message message, Origin origin) {
    draft_.chat().messages.push_back(std::move(message));
    draft_.out.shape.messages.push_back(std::move(origin));
  }

  Status ReadMessage(Json& item, size_t, const std::string& at) {
    static constexpr std::string_view kRoles =
        "one of \"user\", \"assistant\", \"system\", \"developer\"";
    const Json* role = FindSet(item, "role");
    if (role == nullptr) return Missing(at + ".role", kRoles);
    api::Message message;
    if (*role == "assistant") {
      message.role = api::Role::kAssistant;
    } else if (*role == "system") {
      message.role = api::Role::kSystem;
    } else if (*role == "developer") {
      message.role = api::Role::kDeveloper;
    } else if (*role != "user") {
      return Invalid(at + ".role", *role, kRoles);
    }
    HADAL_TRY(message.content, ReadText(item, at, "content"));
    if (message.role != api::Role::kAssistant) {
      Flush();
      Push(std::move(message), {.at = at, .is_item = true});
      return {};
    }
    if (has_content_ || !pending_.tool_calls.empty()) Flush();
    pending_.content = std::move(message.content);
    pending_origin_.at = at;
    has_content_ = true;
    return {};
  }

  Status ReadCall(Json& item, size_t index, const std::string& at) {
    api::ToolCall call;
    HADAL_TRY(call.id, ReadString(item, at, "call_id"));
    HADAL_TRY(call.name, ReadString(item, at, "name"));
    HADAL_TRY(call.arguments, ReadString(item, at, "arguments"));
    if (call.arguments.empty()) call.arguments = "{}";  // of a call without parameters
    pending_.tool_calls.push_back(std::move(call));
    pending_origin_.calls.push_back(index);
    return {};
  }

  Status ReadOutput(Json& item, size_t, const std::string& at) {
    Flush();
    api::Message message;
    message.role = api::Role::kTool;
    HADAL_TRY(message.tool_call_id, ReadString(item, at, "call_id"));
    HADAL_TRY(message.content, ReadText(item, at, "output"));
    Push(std::move(message), {.at = at, .is_item = true, .text = "output"});
    return {};
  }

  Status ReadReasoning(Json& item, size_t index, const std::string& at) {
    static constexpr std::array<std::string_view, 1> kContent = {"reasoning_text"},
                                                     kSummary = {"summary_text"};
    if (has_content_ || !pending_.tool_calls.empty()) Flush();
    std::string text, summary;
    if (Json* parts = FindSet(item, "content")) {
      HADAL_TRY(text, JoinParts(*parts, at + ".content", kContent));
    }
    if (Json* parts = FindSet(item, "summary")) {
      HADAL_TRY(summary, JoinParts(*parts, at + ".summary", kSummary));
    }
    if (text.empty()) text = std::move(summary);
    if (text.empty()) return {};
    pending_.reasoning_content = pending_.reasoning_content.value_or("") + text;
    pending_origin_.reasoning = index;
    return {};
  }

  ResponsesDraft& draft_;
  api::Message pending_ = MessageOf(api::Role::kAssistant, {});
  Origin pending_origin_ = {.at = {}, .is_item = true};
  bool has_content_ = false;  // a message item, which may be empty
};

}  // namespace

Status ReadResponsesInput(Json& value, const std::string& field, ResponsesDraft& draft) {
  draft.has_input = true;
  if (value.is_string()) {
    draft.chat().messages.push_back(
        MessageOf(api::Role::kUser, std::move(value.get_ref<std::string&>())));
    draft.out.shape.messages.push_back({.at = field});
    return {};
  }
  if (!value.is_array() || value.empty() || value.size() > Limits::kMaxMessages) {
    return Invalid(field, value,
                   fmt::format("a string or an array of 1 to {} items", Limits::kMaxMessages));
  }
  ItemsReader reader(draft);
  for (size_t i = 0; i < value.size(); ++i) {
    HADAL_OK(reader.Read(value[i], i, fmt::format("{}[{}]", field, i)));
  }
  reader.Flush();
  return {};
}

}  // namespace hadal::server
