#include "server/http/anthropic_request.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "server/http/anthropic_draft.h"
#include "server/http/field_reader.h"

namespace hadal::server::anthropic {
namespace {

using api::Limits;

std::string Quoted(Words words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += fmt::format("\"{}\"", words.begin()[i]);
  }
  return out;
}

Status RefuseUnknown(const std::string& field, const RequestRules& rules) {
  if (!rules.refuse_unknown_fields) return {};
  return FailField(
      ErrorCode::kInvalidArgument, field,
      "the field {} is not known here; leave it out, or set unknown_fields = \"ignore\"", field);
}

Status ReadModel(Json& value, const std::string& field, Draft& draft) {
  HADAL_TRY(const std::string name, TakeString(value, field));
  if (name.empty() || name.size() > Limits::kMaxModelNameBytes) {
    return Invalid(field, Json(name),
                   fmt::format("a name of 1 to {} bytes", Limits::kMaxModelNameBytes));
  }
  HADAL_TRY(draft.out.request.model, ServedModel(name, draft.rules));
  return {};
}

Status ReadMaxTokens(Json& value, const std::string& field, Draft& draft) {
  HADAL_TRY(draft.out.request.max_tokens, ReadInteger(value, field, 1));
  return {};
}

Status ReadStream(Json& value, const std::string& field, Draft& draft) {
  HADAL_TRY(draft.out.stream, ReadBool(value, field));
  return {};
}

Status ReadTemperature(Json& value, const std::string& field, Draft& draft) {
  HADAL_TRY(draft.out.request.sampling.temperature, ReadNumber(value, field, {0, 1}));
  return {};
}

Status ReadTopP(Json& value, const std::string& field, Draft& draft) {
  HADAL_TRY(draft.out.request.sampling.top_p, ReadNumber(value, field, {0, 1, /*min_open=*/true}));
  return {};
}

Status ReadTopK(Json& value, const std::string& field, Draft& draft) {
  HADAL_TRY(const int64_t top_k, ReadInteger(value, field, 0, std::numeric_limits<int32_t>::max()));
  draft.out.request.sampling.top_k = static_cast<int32_t>(top_k);
  return {};
}

Status ReadStops(Json& value, const std::string& field, Draft& draft) {
  if (!value.is_array() || value.size() > Limits::kMaxStops) {
    return Invalid(field, value, fmt::format("an array of at most {} strings", Limits::kMaxStops));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", field, i);
    HADAL_TRY(std::string stop, TakeString(value[i], at));
    if (stop.empty() || stop.size() > Limits::kMaxStopBytes) {
      return Invalid(at, Json(stop),
                     fmt::format("a string of 1 to {} bytes", Limits::kMaxStopBytes));
    }
    draft.out.request.sampling.stop.push_back(std::move(stop));
  }
  return {};
}

Status ReadThinking(Json& value, const std::string& field, Draft& draft) {
  HADAL_OK(ExpectObject(value, field));
  HADAL_OK(RefuseOthers(value, field, draft.rules, {"type", "budget_tokens", "display"}));
  HADAL_TRY(const size_t mode,
            RequiredWord(value, field, "type", {"enabled", "adaptive", "disabled"}));
  draft.thinking = mode != 2;
  if (const Json* display = Optional(value, "display")) {
    HADAL_TRY(const size_t shown,
              ReadWord(*display, field + ".display", {"summarized", "omitted"}));
    draft.out.hides_thinking = shown == 1;
  }
  const Json* budget = Optional(value, "budget_tokens");
  if (budget == nullptr || !*draft.thinking) return {};
  HADAL_TRY(draft.chat().max_thinking_tokens, ReadInteger(*budget, field + ".budget_tokens", 1));
  return {};
}

Status ReadFormat(Json& value, const std::string& field, Draft& draft) {
  HADAL_OK(ExpectObject(value, field));
  HADAL_OK(RefuseOthers(value, field, draft.rules, {"type", "schema"}));
  std::string& known_as = draft.out.names.format;
  if (!known_as.empty()) {
    return FailField(ErrorCode::kInvalidArgument, field, "{} and {} are both set; send one of them",
                     field, known_as);
  }
  HADAL_TRY([[maybe_unused]] const size_t only,
            RequiredWord(value, field, "type", {"json_schema"}));
  HADAL_TRY(const Json* schema, Required(value, field, "schema", "a JSON Schema object"));
  HADAL_OK(ExpectObject(*schema, field + ".schema"));
  std::string text = schema->dump();
  if (text.size() > Limits::kMaxFormatBytes) {
    return Invalid(field + ".schema", *schema,
                   fmt::format("at most {} bytes of JSON", Limits::kMaxFormatBytes));
  }
  known_as = field;
  draft.out.request.format = {api::AnswerFormat::Kind::kJsonSchema, std::move(text)};
  return {};
}

// In DeepSeek's words, which have three steps.
Status ReadEffort(const Json& value, const std::string& field, Draft& draft) {
  using enum api::Effort;
  static constexpr std::array kEfforts = {kLow, kLow, kHigh, kHigh, kHigh, kMax, kMax};
  HADAL_TRY(const size_t step,
            ReadWord(value, field, {"minimal", "low", "medium", "high", "xhigh", "max", "ultra"}));
  draft.effort = kEfforts[step];
  return {};
}

Status ReadOutputConfig(Json& value, const std::string& field, Draft& draft) {
  HADAL_OK(ExpectObject(value, field));
  HADAL_OK(RefuseOthers(value, field, draft.rules, {"effort", "format"}));
  if (const Json* effort = Optional(value, "effort")) {
    HADAL_OK(ReadEffort(*effort, field + ".effort", draft));
  }
  Json* format = Optional(value, "format");
  return format == nullptr ? Status{} : ReadFormat(*format, field + ".format", draft);
}

Status ReadTruncation(Json& value, const std::string& field, Draft& draft) {
  HADAL_TRY(draft.chat().truncation, TruncationOf(value, field));
  return {};
}

// Would change the answer and cannot be honoured: refused unless the value asks for nothing.
Status RefuseUnlessEmpty(Json& value, const std::string& field, Draft&) {
  if (value.is_array() && value.empty()) return {};
  return NotSupportedYet(field);
}

Status Ignore(Json&, const std::string&, Draft&) { return {}; }

struct Row {
  std::string_view name;
  Status (*read)(Json& value, const std::string& field, Draft& draft);  // never of null
};
constexpr std::array kRows = {
    Row{"cache_control", Ignore},     Row{"container", RefuseUnlessEmpty},
    Row{"max_tokens", ReadMaxTokens}, Row{"mcp_servers", RefuseUnlessEmpty},
    Row{"messages", ReadMessages},    Row{"metadata", Ignore},
    Row{"model", ReadModel},          Row{"output_config", ReadOutputConfig},
    Row{"output_format", ReadFormat}, Row{"service_tier", Ignore},
    Row{"stop_sequences", ReadStops}, Row{"stream", ReadStream},
    Row{"system", ReadSystem},        Row{"temperature", ReadTemperature},
    Row{"thinking", ReadThinking},    Row{"tool_choice", ReadToolChoice},
    Row{"tools", ReadTools},          Row{"top_k", ReadTopK},
    Row{"top_p", ReadTopP},           Row{"truncation", ReadTruncation},
};

Status ReadField(const std::string& name, Json& value, Draft& draft) {
  if (value.is_null()) return {};
  for (const Row& row : kRows) {
    if (row.name == name) return row.read(value, name, draft);
  }
  return RefuseUnknown(name.substr(0, 64), draft.rules);
}

// What only shows once every field is known.
Status CheckTogether(AnthropicRoute route, Draft& draft) {
  auto& request = draft.out.request;
  if (request.model.empty()) return Missing("model", "the name of a served model");
  if (!draft.has_messages) return Missing("messages", "a non-empty array of messages");
  if (route == AnthropicRoute::kMessages && !request.max_tokens) {
    return Missing("max_tokens", "an integer, 1 or more");
  }
  api::ChatPrompt& chat = draft.chat();
  if (request.max_tokens && chat.max_thinking_tokens &&
      *chat.max_thinking_tokens >= *request.max_tokens) {
    return FailField(ErrorCode::kInvalidArgument, "thinking.budget_tokens",
                     "thinking.budget_tokens is {} and max_tokens is {}; the budget must be less",
                     *chat.max_thinking_tokens, *request.max_tokens);
  }
  draft.out.names.thinking_left_out = !draft.thinking;
  chat.thinking = draft.thinking.value_or(false);
  chat.thinking_is_default = !draft.thinking;
  if (*chat.thinking) chat.effort = draft.effort;  // there is nothing else that it could bound
  if (draft.system) {
    api::Message system;
    system.role = api::Role::kSystem;
    system.content = std::move(*draft.system);
    chat.messages.insert(chat.messages.begin(), std::move(system));
    draft.out.names.messages.insert(draft.out.names.messages.begin(), AnthropicPlace{});
  }
  return {};
}

}  // namespace

Result<size_t> ReadWord(const Json& value, const std::string& field, Words words) {
  if (!value.is_string()) return Invalid(field, value, Quoted(words));
  const auto found = std::find(words.begin(), words.end(), value.get_ref<const std::string&>());
  if (found == words.end()) return Invalid(field, value, Quoted(words));
  return static_cast<size_t>(found - words.begin());
}

Json* Optional(Json& object, std::string_view name) {
  const auto member = object.find(name);
  return member == object.end() || member->is_null() ? nullptr : &*member;
}

Result<Json*> Required(Json& object, const std::string& at, std::string_view name,
                       std::string_view must_be) {
  Json* member = Optional(object, name);
  if (member == nullptr) return Missing(fmt::format("{}.{}", at, name), must_be);
  return member;
}

Result<size_t> RequiredWord(Json& object, const std::string& at, std::string_view name,
                            Words words) {
  HADAL_TRY(const Json* member, Required(object, at, name, Quoted(words)));
  return ReadWord(*member, fmt::format("{}.{}", at, name), words);
}

Result<std::string> TakeText(Json& object, const std::string& at, std::string_view name) {
  HADAL_TRY(Json* const member, Required(object, at, name, "a string"));
  return TakeString(*member, fmt::format("{}.{}", at, name));
}

Status RefuseOthers(const Json& object, const std::string& at, const RequestRules& rules,
                    Words known) {
  if (!rules.refuse_unknown_fields) return {};
  for (const auto& [name, value] : object.items()) {
    if (value.is_null() || std::find(known.begin(), known.end(), name) != known.end()) continue;
    return RefuseUnknown(fmt::format("{}.{}", at, name.substr(0, 64)), rules);
  }
  return {};
}

}  // namespace hadal::server::anthropic

namespace hadal::server {

Result<AnthropicRequest> ParseAnthropicRequest(AnthropicRoute route, Json body,
                                               const RequestRules& rules) {
  anthropic::Draft draft{.rules = rules, .out = {}};
  draft.out.request.sampling = rules.defaults;
  // The model first: an unknown model is the most useful thing to say.
  if (const auto model = body.find("model"); model != body.end()) {
    HADAL_OK(anthropic::ReadField("model", *model, draft));
    body.erase(model);
  }
  for (auto& [name, value] : body.items()) HADAL_OK(anthropic::ReadField(name, value, draft));
  HADAL_OK(anthropic::CheckTogether(route, draft));
  return std::move(draft.out);
}

}  // namespace hadal::server
