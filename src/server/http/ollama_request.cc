#include "server/http/ollama_request.h"

#include <array>
#include <utility>

#include "server/http/dialect_fields.h"
#include "server/http/ollama_draft.h"

namespace hadal::server {
namespace {

using api::Limits;

Status ReadModelName(Json& value, const std::string& field, OllamaDraft& draft) {
  HADAL_TRY(const std::string name, TakeString(value, field));
  if (name.empty() || name.size() > Limits::kMaxModelNameBytes) {
    return Invalid(field, Json(name),
                   fmt::format("a name of 1 to {} bytes", Limits::kMaxModelNameBytes));
  }
  HADAL_TRY(draft.request().model, OllamaModel(name, draft.rules));
  return {};
}

template <auto member>
Status ReadText(Json& value, const std::string& field, OllamaDraft& draft) {
  HADAL_TRY(draft.*member, TakeString(value, field));
  return {};
}
template <auto member>
Status ReadFlag(Json& value, const std::string& field, OllamaDraft& draft) {
  HADAL_TRY(draft.*member, ReadBool(value, field));
  return {};
}

Status ReadStream(Json& value, const std::string& field, OllamaDraft& draft) {
  HADAL_TRY(draft.out.stream, ReadBool(value, field));
  return {};
}

Status ReadThink(Json& value, const std::string& field, OllamaDraft& draft) {
  struct Level {
    std::string_view name;
    api::Effort effort;
  };
  static constexpr std::array kLevels = {
      Level{"low", api::Effort::kLow}, Level{"medium", api::Effort::kHigh},
      Level{"high", api::Effort::kHigh}, Level{"max", api::Effort::kMax}};
  if (value.is_boolean()) {
    draft.thinking = value.get<bool>();
    return {};
  }
  for (const Level& level : kLevels) {
    if (value != level.name) continue;
    draft.thinking = true;
    draft.effort = level.effort;
    return {};
  }
  return Invalid(field, value, "true, false, \"low\", \"medium\", \"high\" or \"max\"");
}

Status ReadFormat(Json& value, const std::string& field, OllamaDraft& draft) {
  if (value == "") return {};
  if (value == "json") {
    draft.request().format.kind = api::AnswerFormat::Kind::kJsonObject;
    return {};
  }
  if (!value.is_object()) return Invalid(field, value, "\"json\" or a JSON Schema object");
  return ReadGuidedJson(value, field, draft.openai);
}

// Fields that are OpenAI's, with the same names and meaning.
Status ReadLogprobs(Json& value, const std::string& field, OllamaDraft& draft) {
  return SamplingReader(field)(value, field, draft.openai);
}
Status ReadOllamaTools(Json& value, const std::string& field, OllamaDraft& draft) {
  return ReadTools(value, field, draft.openai);
}

struct Row {
  std::string_view name;
  bool chat, generate;
  OllamaReader read;
};
constexpr std::array kRows = {
    Row{"format", true, true, ReadFormat},
    Row{"logprobs", true, true, ReadLogprobs},
    Row{"messages", true, false, ReadOllamaMessages},
    Row{"model", true, true, ReadModelName},
    Row{"options", true, true, ReadOllamaOptions},
    Row{"prompt", false, true, ReadText<&OllamaDraft::prompt>},
    Row{"raw", false, true, ReadFlag<&OllamaDraft::raw>},
    Row{"stream", true, true, ReadStream},
    Row{"suffix", false, true, ReadText<&OllamaDraft::suffix>},
    Row{"system", false, true, ReadText<&OllamaDraft::system>},
    Row{"think", true, true, ReadThink},
    Row{"tools", true, false, ReadOllamaTools},
    Row{"top_logprobs", true, true, ReadLogprobs},
    Row{"truncate", true, true, ReadFlag<&OllamaDraft::truncate>},
};

bool IsFalse(const Json& v) { return v == false; }
bool IsEmpty(const Json& v) { return v == "" || v == Json::array(); }
bool Never(const Json&) { return false; }

// Would change the answer and is not there: refused unless the value asks for nothing.
struct Unsupported {
  std::string_view name;
  bool (*asks_for_nothing)(const Json&);
  std::string_view instead;
};
constexpr std::array kUnsupported = {
    Unsupported{"_debug_render_only", IsFalse, "POST /v1/chat/completions/render shows a prompt"},
    Unsupported{"context", IsEmpty, "send the conversation as messages to /api/chat"},
    Unsupported{"height", Never, "this model writes text"},
    Unsupported{"images", IsEmpty, "this model reads text"},
    Unsupported{"shift", IsFalse, "an answer ends with \"length\" at the end of the context"},
    Unsupported{"steps", Never, "this model writes text"},
    Unsupported{"template", IsEmpty, "the model's own template is used, or none with raw"},
    Unsupported{"width", Never, "this model writes text"},
};

Status ReadField(const std::string& name, Json& value, OllamaDraft& draft) {
  if (value.is_null() || name == "keep_alive") return {};
  const std::string field = PathOf("", name);
  for (const Row& row : kRows) {
    if (row.name == name && (draft.is_chat() ? row.chat : row.generate)) {
      return row.read(value, field, draft);
    }
  }
  for (const Unsupported& row : kUnsupported) {
    if (row.name != name) continue;
    if (row.asks_for_nothing(value)) return {};
    return FailField(ErrorCode::kInvalidArgument, field, "{} is {}, which is not supported; {}",
                     field, Shown(value), row.instead);
  }
  return RefuseUnknownField(field, draft.rules);
}

tl::unexpected<Error> NotWith(const std::string& field, std::string_view other) {
  return FailField(ErrorCode::kInvalidArgument, field,
                   "{} cannot be combined with {}; leave it out", field, other);
}

// The prompt of /api/generate: a gap to fill, a text as it is, or a chat of one turn.
Status AssemblePrompt(OllamaDraft& draft) {
  auto& prompt = draft.request().prompt;
  if (draft.truncate) {
    return FailField(ErrorCode::kInvalidArgument, "truncate",
                     "truncate leaves out whole turns, and here is only one; send false");
  }
  if (draft.prompt.empty() && draft.suffix.empty()) {
    return Missing("prompt", "a non-empty string; the model is loaded, nothing else is to be done");
  }
  const bool fills = !draft.suffix.empty();
  if (!fills && !draft.raw) {
    auto& messages = draft.chat().messages;
    draft.out.shape.has_system = !draft.system.empty();
    if (draft.out.shape.has_system) {
      messages.push_back(MessageOf(api::Role::kSystem, std::move(draft.system)));
    }
    messages.push_back(MessageOf(api::Role::kUser, std::move(draft.prompt)));
    return {};
  }
  const std::string_view with = fills ? "suffix" : "raw";
  if (fills && draft.raw) return NotWith("raw", with);
  if (!draft.system.empty()) return NotWith("system", with);
  if (draft.thinking.value_or(false)) return NotWith("think", with);
  if (fills) {
    prompt = api::FimPrompt{std::move(draft.prompt), std::move(draft.suffix)};
  } else {
    prompt = api::TextPrompt{std::move(draft.prompt)};
  }
  return {};
}

// What only shows once every field is known.
Status Assemble(OllamaDraft& draft) {
  api::Request& request = draft.request();
  if (request.model.empty()) return Missing("model", "the name of a served model");
  if (draft.is_chat() && !draft.has_messages) {
    return Missing("messages", "a non-empty array of messages");
  }
  if (!draft.is_chat()) HADAL_OK(AssemblePrompt(draft));
  HADAL_OK(CheckSampling(draft.openai));
  HADAL_OK(CheckOllamaOptions(draft));
  if (auto* chat = std::get_if<api::ChatPrompt>(&request.prompt)) {
    chat->thinking = draft.thinking;
    chat->effort = draft.effort;
    if (draft.truncate) chat->truncation.mode = api::Truncation::Mode::kFront;
  }
  return {};
}

constexpr std::array kWords = {
    FieldWord{"frequency_penalty", "options.frequency_penalty"},
    FieldWord{"max_tokens", "options.num_predict"},
    FieldWord{"min_p", "options.min_p"},
    FieldWord{"presence_penalty", "options.presence_penalty"},
    FieldWord{"reasoning_effort", "think"},
    FieldWord{"repetition_penalty", "options.repeat_penalty"},
    FieldWord{"response_format.json_schema.schema", "format"},
    FieldWord{"response_format.json_schema", "format"},
    FieldWord{"response_format", "format"},
    FieldWord{"seed", "options.seed"},
    FieldWord{"stop", "options.stop"},
    FieldWord{"temperature", "options.temperature"},
    FieldWord{"thinking", "think"},
    FieldWord{"top_k", "options.top_k"},
    FieldWord{"top_p", "options.top_p"},
    FieldWord{"truncation", "truncate"},
};

std::string MessageField(const OllamaShape& shape, const IndexedPath& path) {
  if (shape.route == OllamaRoute::kGenerate) {
    return shape.has_system && path.index == 0 ? "system" : "prompt";
  }
  static constexpr std::array kMessageWords = {FieldWord{".prefix", ""},
                                               FieldWord{".reasoning_content", ".thinking"}};
  return fmt::format("messages[{}]{}", path.index, InWords(path.rest, kMessageWords));
}

}  // namespace

Error InOllamaWords(const OllamaShape& shape, Error error) {
  std::string field;
  if (const auto path = PathInList(error.field, "messages")) {
    field = MessageField(shape, *path);
  } else if (error.field == "messages" && shape.route == OllamaRoute::kGenerate) {
    field = "prompt";
  } else {
    field = InWords(error.field, kWords);
  }
  return Renamed(std::move(error), field);
}

Result<std::string> OllamaModel(std::string_view name, const RequestRules& rules) {
  static constexpr std::string_view kLatest = ":latest";
  if (auto served = ServedModel(name, rules)) return served;
  if (name.ends_with(kLatest)) {
    if (auto served = ServedModel(name.substr(0, name.size() - kLatest.size()), rules)) {
      return served;
    }
  }
  return FailField(ErrorCode::kNotFound, "model", "model '{}' not found",
                   name.substr(0, Limits::kMaxModelNameBytes));
}

Result<OllamaRequest> ParseOllamaRequest(OllamaRoute route, Json body, const RequestRules& rules) {
  OllamaDraft draft{.rules = rules, .out = {}, .openai = {.rules = rules, .out = {}}};
  draft.out.shape.route = route;
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
