#include "server/http/responses_request.h"

#include <array>
#include <utility>

#include "server/http/dialect_fields.h"
#include "server/http/responses_draft.h"

namespace hadal::server {
namespace {

using api::Limits;

Status ReadModelName(Json& value, const std::string& field, ResponsesDraft& draft) {
  HADAL_TRY(const std::string name, TakeString(value, field));
  if (name.empty() || name.size() > Limits::kMaxModelNameBytes) {
    return Invalid(field, Json(name),
                   fmt::format("a name of 1 to {} bytes", Limits::kMaxModelNameBytes));
  }
  HADAL_TRY(draft.request().model, ServedModel(name, draft.rules));
  return {};
}

Status ReadInstructions(Json& value, const std::string& field, ResponsesDraft& draft) {
  HADAL_TRY(draft.instructions, TakeString(value, field));
  return {};
}

Status ReadMaxOutputTokens(Json& value, const std::string& field, ResponsesDraft& draft) {
  HADAL_TRY(draft.request().max_tokens, ReadInteger(value, field, 1));
  draft.out.echo[field] = *draft.request().max_tokens;
  return {};
}

Status ReadParallel(Json& value, const std::string& field, ResponsesDraft& draft) {
  HADAL_TRY(draft.chat().parallel_tool_calls, ReadBool(value, field));
  return {};
}

Status ReadStream(Json& value, const std::string& field, ResponsesDraft& draft) {
  HADAL_TRY(draft.out.stream, ReadBool(value, field));
  return {};
}

Status ReadStore(Json& value, const std::string& field, ResponsesDraft&) {
  HADAL_TRY([[maybe_unused]] const bool stored, ReadBool(value, field));
  return {};
}

Status ReadStreamOptions(Json& value, const std::string& field, ResponsesDraft& draft) {
  HADAL_OK(ExpectObject(value, field));
  draft.has_stream_options = true;
  for (const auto& [name, option] : value.items()) {
    if (option.is_null()) continue;
    const std::string path = PathOf(field, name);
    if (name == "include_obfuscation") {  // padding against traffic analysis: none here
      HADAL_TRY([[maybe_unused]] const bool ignored, ReadBool(option, path));
    } else {
      HADAL_OK(RefuseUnknownField(path, draft.rules));
    }
  }
  return {};
}

// Only the log probabilities are ours to include; reasoning is there as text.
Status ReadInclude(Json& value, const std::string& field, ResponsesDraft& draft) {
  if (!value.is_array()) return Invalid(field, value, "an array of strings");
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", field, i);
    if (!value[i].is_string()) return Invalid(at, value[i], "a string");
    draft.wants_logprobs |= value[i] == "message.output_text.logprobs";
  }
  return {};
}

Status ReadMetadata(Json& value, const std::string& field, ResponsesDraft& draft) {
  constexpr size_t kMaxPairs = 16, kMaxKeyBytes = 256, kMaxValueBytes = 2048;
  HADAL_OK(ExpectObject(value, field));
  if (value.size() > kMaxPairs) {
    return Invalid(field, value, fmt::format("an object with at most {} members", kMaxPairs));
  }
  for (const auto& [name, text] : value.items()) {
    if (name.size() > kMaxKeyBytes || !text.is_string() ||
        text.get_ref<const std::string&>().size() > kMaxValueBytes) {
      return Invalid(PathOf(field, name), text,
                     fmt::format("a string of at most {} bytes under a name of at most {}",
                                 kMaxValueBytes, kMaxKeyBytes));
    }
  }
  draft.out.echo[field] = std::move(value);
  return {};
}

Status ReadTruncation(Json& value, const std::string& field, ResponsesDraft& draft) {
  if (value != "auto" && value != "disabled") {
    return Invalid(field, value, "\"auto\" or \"disabled\"");
  }
  if (value == "auto") draft.chat().truncation.mode = api::Truncation::Mode::kMiddle;
  draft.out.echo[field] = value;
  return {};
}

// OpenAI's rows, which have the same names and meaning.
Status ReadSampling(Json& value, const std::string& field, ResponsesDraft& draft) {
  return SamplingReader(field)(value, field, draft.openai);
}

struct Row {
  std::string_view name;
  ResponsesReader read;
};
constexpr std::array kRows = {
    Row{"include", ReadInclude},
    Row{"input", ReadResponsesInput},
    Row{"instructions", ReadInstructions},
    Row{"max_output_tokens", ReadMaxOutputTokens},
    Row{"metadata", ReadMetadata},
    Row{"model", ReadModelName},
    Row{"parallel_tool_calls", ReadParallel},
    Row{"reasoning", ReadResponsesReasoning},
    Row{"store", ReadStore},
    Row{"stream", ReadStream},
    Row{"stream_options", ReadStreamOptions},
    Row{"temperature", ReadSampling},
    Row{"text", ReadResponsesText},
    Row{"tool_choice", ReadResponsesToolChoice},
    Row{"tools", ReadResponsesTools},
    Row{"top_logprobs", ReadSampling},
    Row{"top_p", ReadSampling},
    Row{"truncation", ReadTruncation},
};

// Known to clients, without effect here; max_tool_calls counts tools that a server would run.
constexpr std::array<std::string_view, 7> kWithoutEffect = {"max_tool_calls",
                                                            "prompt_cache_key",
                                                            "prompt_cache_options",
                                                            "prompt_cache_retention",
                                                            "safety_identifier",
                                                            "service_tier",
                                                            "user"};

bool IsFalse(const Json& v) { return v == false; }
bool IsEmptyArray(const Json& v) { return v == Json::array(); }
bool Never(const Json&) { return false; }

struct Unsupported {
  std::string_view name;
  bool (*asks_for_nothing)(const Json&);
  std::string_view instead;
};
constexpr std::array kUnsupported = {
    Unsupported{"background", IsFalse, "nothing is stored here; wait for the answer or stream it"},
    Unsupported{"context_management", IsEmptyArray, "truncation \"auto\" leaves out whole turns"},
    Unsupported{"conversation", Never, "nothing is stored here; send the whole input"},
    Unsupported{"moderation", Never, "leave it out"},
    Unsupported{"previous_response_id", Never, "nothing is stored here; send the whole input"},
    Unsupported{"prompt", Never, "nothing is stored here; send instructions and input"},
};

Status ReadField(const std::string& name, Json& value, ResponsesDraft& draft) {
  if (value.is_null()) return {};
  const std::string field = PathOf("", name);
  for (const Row& row : kRows) {
    if (row.name == name) return row.read(value, field, draft);
  }
  for (const Unsupported& row : kUnsupported) {
    if (row.name != name) continue;
    if (row.asks_for_nothing(value)) return {};
    return FailField(ErrorCode::kInvalidArgument, field, "{} is {}, which is not supported; {}",
                     field, Shown(value), row.instead);
  }
  for (const std::string_view known : kWithoutEffect) {
    if (known == name) return {};
  }
  return RefuseUnknownField(field, draft.rules);
}

// What the client left out, so that a response always says what was used.
void CompleteEcho(ResponsesDraft& draft) {
  const api::Sampling& sampling = draft.request().sampling;
  Json echo = {{"background", false},
               {"instructions", draft.instructions ? Json(*draft.instructions) : Json(nullptr)},
               {"max_output_tokens", nullptr},
               {"metadata", Json::object()},
               {"parallel_tool_calls", draft.chat().parallel_tool_calls},
               {"previous_response_id", nullptr},
               {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
               {"store", false},
               {"temperature", sampling.temperature},
               {"text", {{"format", {{"type", "text"}}}}},
               {"tool_choice", "auto"},
               {"tools", Json::array()},
               {"top_logprobs", sampling.top_logprobs},
               {"top_p", sampling.top_p},
               {"truncation", "disabled"}};
  for (auto& [name, value] : draft.out.echo.items()) {
    if (name == "reasoning") {
      echo[name].update(value);
    } else {
      echo[name] = std::move(value);
    }
  }
  draft.out.echo = std::move(echo);
}

// What only shows once every field is known.
Status Assemble(ResponsesDraft& draft) {
  if (draft.request().model.empty()) return Missing("model", "the name of a served model");
  if (!draft.has_input) return Missing("input", "a string or a non-empty array of items");
  if (draft.has_stream_options && !draft.out.stream) {
    return FailField(ErrorCode::kInvalidArgument, "stream_options",
                     "stream_options is set but stream is not true; set stream to true");
  }
  draft.sampling().logprobs = draft.wants_logprobs || draft.openai.top_logprobs.value_or(0) > 0;
  HADAL_OK(CheckSampling(draft.openai));
  CompleteEcho(draft);
  auto& messages = draft.chat().messages;
  if (messages.empty()) return Missing("input", "items with at least one message or call");
  if (!draft.instructions) return {};
  messages.insert(messages.begin(), MessageOf(api::Role::kSystem, *std::move(draft.instructions)));
  auto& origins = draft.out.shape.messages;
  origins.insert(origins.begin(), {.at = "instructions"});
  return {};
}

}  // namespace

Result<ResponsesRequest> ParseResponsesRequest(Json body, const RequestRules& rules) {
  ResponsesDraft draft{.rules = rules, .out = {}, .openai = {.rules = rules, .out = {}}};
  draft.sampling() = rules.defaults;
  // The model first: an unknown model is the most useful thing to say.
  if (const auto model = body.find("model"); model != body.end()) {
    HADAL_OK(ReadField("model", *model, draft));
    body.erase(model);
  }
  for (auto& [name, value] : body.items()) HADAL_OK(ReadField(name, value, draft));
  HADAL_OK(Assemble(draft));
  draft.out.request = std::move(draft.request());
  return std::move(draft.out);
}

}  // namespace hadal::server
