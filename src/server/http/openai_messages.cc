// The prompt of a request: chat messages, or text or token ids.
#include <array>
#include <limits>
#include <string>
#include <utility>

#include "server/http/field_reader.h"
#include "server/http/openai_draft.h"

namespace hadal::server {
namespace {

constexpr std::string_view kRoles =
    "one of \"system\", \"developer\", \"user\", \"assistant\", \"tool\"";

Result<api::Role> ReadRole(Json& message, const std::string& at) {
  const std::string field = at + ".role";
  const auto role = message.find("role");
  if (role == message.end()) return Missing(field, kRoles);
  if (!role->is_string()) return Invalid(field, *role, kRoles);
  const auto& name = role->get_ref<const std::string&>();
  if (name == "user") return api::Role::kUser;
  if (name == "assistant") return api::Role::kAssistant;
  if (name == "system") return api::Role::kSystem;
  if (name == "developer") return api::Role::kDeveloper;
  if (name == "tool") return api::Role::kTool;
  return Invalid(field, *role, kRoles);
}

// [{"type":"text","text":"..."}, ...] joined.
Result<std::string> ReadParts(Json& parts, const std::string& at) {
  if (parts.empty()) return Invalid(at, parts, "a string or a non-empty array of text parts");
  std::string text;
  for (size_t j = 0; j < parts.size(); ++j) {
    const std::string field = fmt::format("{}[{}]", at, j);
    Json& part = parts[j];
    HADAL_OK(ExpectObject(part, field));
    const auto type = part.find("type");
    if (type == part.end()) return Missing(field + ".type", "\"text\"");
    if (*type != "text") return Invalid(field + ".type", *type, "\"text\"; this model reads text");
    const auto part_text = part.find("text");
    if (part_text == part.end()) return Missing(field + ".text", "a string");
    HADAL_TRY(const std::string piece, TakeString(*part_text, field + ".text"));
    text += piece;
  }
  return text;
}

Result<std::string> ReadContent(Json& message, const std::string& at) {
  const std::string field = at + ".content";
  const auto content = message.find("content");
  static constexpr std::string_view kMustBe = "a string or an array of text parts";
  const bool is_empty = content == message.end() || content->is_null();
  if (is_empty && message.contains("tool_calls")) return std::string();
  if (content == message.end()) return Missing(field, kMustBe);
  if (content->is_string()) return TakeString(*content, field);
  if (content->is_array()) return ReadParts(*content, field);
  return Invalid(field, *content, kMustBe);
}

// Fields beside role and content.
Status ReadOtherField(const std::string& name, Json& value, const std::string& at,
                      const OpenAiDraft& draft, api::Message& message) {
  static constexpr std::array kIgnored = {"role",    "content",     "name",
                                          "refusal", "annotations", "audio"};
  for (const std::string_view ignored : kIgnored) {
    if (name == ignored) return {};
  }
  if (value.is_null()) return {};
  const std::string field = at + "." + name.substr(0, 64);
  if (name == "reasoning_content" || name == "prefix") {
    if (message.role != api::Role::kAssistant) {
      return FailField(ErrorCode::kInvalidArgument, field,
                       "{} belongs to messages of role \"assistant\" only", field);
    }
    if (name == "prefix") {
      HADAL_TRY(message.prefix, ReadBool(value, field));
    } else {
      HADAL_TRY(message.reasoning_content, TakeString(value, field));
    }
    return {};
  }
  if (name == "tool_calls") return ReadToolCalls(value, field, message);
  if (name == "tool_call_id") {
    HADAL_TRY(message.tool_call_id, TakeString(value, field));
    return {};
  }
  if (name == "function_call") return NotSupportedYet(field, "use tools and tool_calls");
  return RefuseUnknown(field, draft);
}

Result<api::Message> ReadMessage(Json& json, const std::string& at, const OpenAiDraft& draft) {
  HADAL_OK(ExpectObject(json, at));
  api::Message message;
  HADAL_TRY(message.role, ReadRole(json, at));
  for (auto& [name, value] : json.items()) {
    HADAL_OK(ReadOtherField(name, value, at, draft, message));
  }
  HADAL_TRY(message.content, ReadContent(json, at));
  return message;
}

Result<std::vector<int32_t>> ReadTokenIds(const Json& ids, const std::string& field) {
  std::vector<int32_t> out;
  out.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    // The path is written only for an error: a prompt may have 100 000 ids.
    if (!ids[i].is_number_integer() || ids[i] < 0 || ids[i] > std::numeric_limits<int32_t>::max()) {
      return FailField(ErrorCode::kInvalidArgument, field,
                       "{}[{}] is {}; it must be a token id, 0 or more, below the vocabulary size",
                       field, i, Shown(ids[i]));
    }
    out.push_back(ids[i].get<int32_t>());
  }
  return out;
}

}  // namespace

Status RefuseUnknown(const std::string& field, const OpenAiDraft& draft) {
  if (!draft.rules.refuse_unknown_fields) return {};
  return FailField(
      ErrorCode::kInvalidArgument, field,
      "the field {} is not known here; leave it out, or set unknown_fields = \"ignore\"", field);
}

Status ReadMessages(Json& value, const std::string& field, OpenAiDraft& draft) {
  draft.has_prompt = true;
  if (!value.is_array() || value.empty()) {
    return Invalid(field, value, "a non-empty array of messages");
  }
  if (value.size() > api::Limits::kMaxMessages) {
    return Invalid(field, value, fmt::format("at most {} messages", api::Limits::kMaxMessages));
  }
  auto& messages = std::get<api::ChatPrompt>(draft.out.request.prompt).messages;
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", field, i);
    HADAL_TRY(api::Message message, ReadMessage(value[i], at, draft));
    if (message.prefix && i + 1 != value.size()) {
      return FailField(ErrorCode::kInvalidArgument, at + ".prefix",
                       "{}.prefix is true; only the last message can be a prefix", at);
    }
    messages.push_back(std::move(message));
  }
  return {};
}

Status ReadPrompt(Json& value, const std::string& field, OpenAiDraft& draft) {
  draft.has_prompt = true;
  static constexpr std::string_view kMustBe =
      "a string, an array of token ids, or an array with one of these";
  auto& prompt = draft.out.request.prompt;
  Json* one = &value;
  if (value.is_array() && !value.empty() && !value[0].is_number()) {
    if (value.size() > 1) {
      return NotSupportedYet(
          field, fmt::format("{} prompts were sent, send one request each", value.size()));
    }
    one = &value[0];
  }
  if (one->is_string()) {
    prompt = api::TextPrompt{std::move(one->get_ref<std::string&>())};
    return {};
  }
  if (!one->is_array() || one->empty()) return Invalid(field, *one, kMustBe);
  HADAL_TRY(auto ids, ReadTokenIds(*one, field));
  prompt = api::TokenPrompt{std::move(ids)};
  return {};
}

}  // namespace hadal::server
