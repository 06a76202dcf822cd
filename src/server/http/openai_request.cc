#include "server/http/openai_request.h"

#include <array>
#include <utility>

#include "server/http/dialect_fields.h"
#include "server/http/field_reader.h"
#include "server/http/openai_draft.h"

namespace hadal::server {
namespace {

using api::Limits;

Status ReadModel(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(const std::string name, TakeString(value, field));
  if (name.empty() || name.size() > Limits::kMaxModelNameBytes) {
    return Invalid(field, Json(name),
                   fmt::format("a name of 1 to {} bytes", Limits::kMaxModelNameBytes));
  }
  HADAL_TRY(draft.out.request.model, ServedModel(name, draft.rules));
  return {};
}

Status ReadMaxTokens(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(draft.max_tokens, ReadInteger(value, field, 1));
  return {};
}
Status ReadMaxCompletionTokens(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(draft.max_completion_tokens, ReadInteger(value, field, 1));
  return {};
}

Status ReadN(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(const int64_t n, ReadInteger(value, field, 1, Limits::kMaxN));
  draft.out.request.n = static_cast<int>(n);
  return {};
}
Status ReadBestOf(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(draft.best_of, ReadInteger(value, field, 1, Limits::kMaxN));
  return {};
}

Status ReadStream(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(draft.out.stream, ReadBool(value, field));
  return {};
}

Status ReadStreamOptions(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_OK(ExpectObject(value, field));
  draft.has_stream_options = true;
  for (const auto& [name, option] : value.items()) {
    const std::string path = field + "." + name.substr(0, 64);
    if (option.is_null()) continue;
    if (name == "include_usage") {
      HADAL_TRY(draft.out.include_usage, ReadBool(option, path));
    } else if (name == "include_obfuscation") {  // padding against traffic analysis: none here
      HADAL_TRY([[maybe_unused]] const bool ignored, ReadBool(option, path));
    } else {
      HADAL_OK(RefuseUnknown(path, draft));
    }
  }
  return {};
}

Status ReadEcho(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(draft.out.request.echo, ReadBool(value, field));
  return {};
}

Status ReadThinking(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_OK(ExpectObject(value, field));
  static constexpr std::string_view kMustBe = "\"enabled\" or \"disabled\"";
  const auto type = value.find("type");
  if (type == value.end()) return Missing(field + ".type", kMustBe);
  if (*type != "enabled" && *type != "disabled") return Invalid(field + ".type", *type, kMustBe);
  draft.thinking = *type == "enabled";
  const auto budget = value.find("budget_tokens");
  if (budget == value.end() || budget->is_null()) return {};
  const std::string path = field + ".budget_tokens";
  HADAL_TRY(const int64_t tokens, ReadInteger(*budget, path, 0));
  if (!*draft.thinking) {
    return FailField(ErrorCode::kInvalidArgument, path,
                     "{} is {} but thinking is disabled; leave it out", path, tokens);
  }
  draft.chat().max_thinking_tokens = tokens;
  return {};
}

Status ReadThinkingBudget(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(draft.chat().max_thinking_tokens, ReadInteger(value, field, 0));
  return {};
}

Status ReadReasoningEffort(Json& value, const std::string& field, OpenAiDraft& draft) {
  using Effort = std::optional<api::Effort>;
  static constexpr std::array<std::pair<const char*, Effort>, 8> kEfforts = {
      {{"none", std::nullopt},
       {"minimal", api::Effort::kLow},
       {"low", api::Effort::kLow},
       {"medium", api::Effort::kHigh},
       {"high", api::Effort::kHigh},
       {"xhigh", api::Effort::kHigh},
       {"max", api::Effort::kMax},
       {"ultra", api::Effort::kMax}}};
  for (const auto& [name, effort] : kEfforts) {
    if (value != name) continue;
    draft.effort_thinking = effort.has_value();
    draft.chat().effort = effort;
    return {};
  }
  return Invalid(field, value,
                 "\"none\", \"minimal\", \"low\", \"medium\", \"high\", \"xhigh\", \"max\" or "
                 "\"ultra\"");
}

// The two switches that published templates have; anything else would change the prompt unseen.
Status ReadTemplateArguments(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_OK(ExpectObject(value, field));
  for (const auto& [name, member] : value.items()) {
    const std::string path = field + "." + name.substr(0, 64);
    if (name != "thinking" && name != "enable_thinking") {
      return FailField(ErrorCode::kInvalidArgument, path,
                       "{} is not accepted; thinking and enable_thinking are", path);
    }
    HADAL_TRY(draft.thinking, ReadBool(member, path));
  }
  return {};
}

Status ReadSuffix(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(draft.suffix, TakeString(value, field));
  return {};
}

Status ReadTruncation(Json& value, const std::string& field, OpenAiDraft& draft) {
  using Mode = api::Truncation::Mode;
  api::Truncation& truncation = draft.chat().truncation;
  static constexpr std::string_view kMustBe =
      "\"disabled\", \"auto\" or {\"type\":\"auto\",\"strategy\":\"middle\" or \"front\"}";
  Json type = value, strategy = "middle";
  if (value.is_object()) {
    type = value.value("type", Json());
    strategy = value.value("strategy", strategy);
  }
  if (type == "disabled") return {};
  if (type != "auto" || (strategy != "middle" && strategy != "front")) {
    return Invalid(field, value, kMustBe);
  }
  truncation.mode = strategy == "front" ? Mode::kFront : Mode::kMiddle;
  return {};
}

struct Row {
  std::string_view name;
  bool chat, text;
  FieldReader read;
};
constexpr std::array kRows = {
    Row{"best_of", false, true, ReadBestOf},
    Row{"chat_template_kwargs", true, false, ReadTemplateArguments},
    Row{"echo", false, true, ReadEcho},
    Row{"grammar", true, true, ReadGrammar},
    Row{"guided_choice", true, true, ReadGuidedChoice},
    Row{"guided_grammar", true, true, ReadGrammar},
    Row{"guided_json", true, true, ReadGuidedJson},
    Row{"guided_regex", true, true, ReadGuidedRegex},
    Row{"json_schema", true, true, ReadGuidedJson},
    Row{"max_completion_tokens", true, false, ReadMaxCompletionTokens},
    Row{"max_tokens", true, true, ReadMaxTokens},
    Row{"messages", true, false, ReadMessages},
    Row{"model", true, true, ReadModel},
    Row{"n", true, true, ReadN},
    Row{"parallel_tool_calls", true, false, ReadParallelToolCalls},
    Row{"prompt", false, true, ReadPrompt},
    Row{"reasoning_effort", true, false, ReadReasoningEffort},
    Row{"response_format", true, true, ReadResponseFormat},
    Row{"stream", true, true, ReadStream},
    Row{"stream_options", true, true, ReadStreamOptions},
    Row{"structured_outputs", true, true, ReadStructuredOutputs},
    Row{"suffix", false, true, ReadSuffix},
    Row{"thinking", true, false, ReadThinking},
    Row{"thinking_budget", true, false, ReadThinkingBudget},
    Row{"tool_choice", true, false, ReadToolChoice},
    Row{"tools", true, false, ReadTools},
    Row{"truncation", true, false, ReadTruncation},
};

// Known to clients, without effect here.
constexpr std::array<std::string_view, 10> kWithoutEffect = {"metadata",
                                                             "prompt_cache_key",
                                                             "prompt_cache_retention",
                                                             "safety_identifier",
                                                             "service_tier",
                                                             "store",
                                                             "user",
                                                             "user_id",
                                                             "verbosity",
                                                             "request_id"};

bool IsEmptyArray(const Json& v) { return v.is_array() && v.empty(); }

bool IsNoneOrAuto(const Json& v) { return v == "none" || v == "auto"; }
bool IsTextOnly(const Json& v) { return v.is_array() && v.size() == 1 && v[0] == "text"; }
bool Never(const Json&) { return false; }

// Would change the answer and cannot be honoured yet: refused unless the value asks for nothing.
struct Unsupported {
  std::string_view name;
  bool (*asks_for_nothing)(const Json&);
};
constexpr std::array kUnsupported = {
    Unsupported{"audio", Never},
    Unsupported{"chat_template", Never},
    Unsupported{"function_call", IsNoneOrAuto},
    Unsupported{"functions", IsEmptyArray},
    Unsupported{"modalities", IsTextOnly},
    Unsupported{"prediction", Never},
    Unsupported{"web_search_options", Never},
};

Status ReadField(const std::string& name, Json& value, OpenAiDraft& draft) {
  for (const Row& row : kRows) {
    if (row.name != name || !(draft.is_chat() ? row.chat : row.text)) continue;
    return value.is_null() ? Status{} : row.read(value, name, draft);
  }
  if (value.is_null()) return {};
  if (const FieldReader read = SamplingReader(name)) return read(value, name, draft);
  for (const Unsupported& field : kUnsupported) {
    if (field.name != name) continue;
    return field.asks_for_nothing(value) ? Status{} : NotSupportedYet(name);
  }
  for (const std::string_view known : kWithoutEffect) {
    if (known == name) return {};
  }
  return RefuseUnknown(name.substr(0, 64), draft);
}

Status CheckLengths(OpenAiDraft& draft) {
  auto& request = draft.out.request;
  if (draft.max_tokens && draft.max_completion_tokens &&
      *draft.max_tokens != *draft.max_completion_tokens) {
    return FailField(ErrorCode::kInvalidArgument, "max_tokens",
                     "max_tokens is {} and max_completion_tokens is {}; send one of them",
                     *draft.max_tokens, *draft.max_completion_tokens);
  }
  if (draft.max_completion_tokens) draft.out.names.max_tokens = "max_completion_tokens";
  request.max_tokens = draft.max_completion_tokens ? draft.max_completion_tokens : draft.max_tokens;
  if (draft.best_of && *draft.best_of != request.n) {
    return FailField(ErrorCode::kInvalidArgument, "best_of",
                     "best_of is {} and n is {}; best_of is supported only when it equals n",
                     *draft.best_of, request.n);
  }
  return {};
}

// "" asks for nothing: the text is continued.
Status SetSuffix(OpenAiDraft& draft) {
  if (!draft.suffix || draft.suffix->empty()) return {};
  auto* text = std::get_if<api::TextPrompt>(&draft.out.request.prompt);
  if (text == nullptr) {
    return FailField(ErrorCode::kInvalidArgument, "prompt",
                     "prompt is an array of token ids; with a suffix it must be a string");
  }
  draft.out.request.prompt = api::FimPrompt{std::move(text->text), std::move(*draft.suffix)};
  return {};
}

// What only shows once every field is known.
Status CheckTogether(OpenAiDraft& draft) {
  if (draft.out.request.model.empty()) return Missing("model", "the name of a served model");
  if (!draft.has_prompt && draft.is_chat()) {
    return Missing("messages", "a non-empty array of messages");
  }
  if (!draft.has_prompt) return Missing("prompt", "a string or an array of token ids");
  HADAL_OK(CheckLengths(draft));
  HADAL_OK(CheckSampling(draft));
  if (draft.has_stream_options && !draft.out.stream) {
    return FailField(ErrorCode::kInvalidArgument, "stream_options",
                     "stream_options is set but stream is not true; set stream to true");
  }
  HADAL_OK(SetSuffix(draft));
  draft.out.names.format = draft.format_field;
  if (draft.out.request.echo && draft.sampling().logprobs) {
    return NotSupportedYet("echo", "echo and logprobs cannot be combined");
  }
  if (draft.is_chat()) {
    // `thinking` is the model's own switch and wins over OpenAI's effort.
    std::get<api::ChatPrompt>(draft.out.request.prompt).thinking =
        draft.thinking ? draft.thinking : draft.effort_thinking;
    if (!draft.thinking && draft.effort_thinking) draft.out.names.thinking = "reasoning_effort";
  }
  return {};
}

}  // namespace

Error InFieldsOf(const OpenAiNames& names, Error error) {
  std::string field = error.field;
  if (field == "thinking") field = names.thinking;
  if (field == "max_tokens") field = names.max_tokens;
  if (field == "response_format" && !names.format.empty()) field = names.format;
  if (field != error.field) return Renamed(std::move(error), field);
  return error;
}

Result<OpenAiRequest> ParseOpenAiRequest(OpenAiRoute route, Json body, const OpenAiRules& rules) {
  OpenAiDraft draft{.rules = rules, .out = {}};
  draft.out.route = route;
  draft.sampling() = rules.defaults;
  if (route == OpenAiRoute::kText) draft.out.request.prompt = api::TextPrompt{};
  // The model first: an unknown model is the most useful thing to say.
  if (const auto model = body.find("model"); model != body.end()) {
    HADAL_OK(ReadField("model", *model, draft));
    body.erase(model);
  }
  for (auto& [name, value] : body.items()) HADAL_OK(ReadField(name, value, draft));
  HADAL_OK(CheckTogether(draft));
  return std::move(draft.out);
}

}  // namespace hadal::server
