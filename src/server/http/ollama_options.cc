// The members of `options`: one row per option, then the checks between them.
#include <array>
#include <limits>
#include <utility>

#include "server/http/dialect_fields.h"
#include "server/http/ollama_draft.h"

namespace hadal::server {
namespace {

// Options that are OpenAI's fields, by another name or by the same.
struct SamplingOption {
  std::string_view name, field;
};
constexpr std::array kSampling = {
    SamplingOption{"frequency_penalty", "frequency_penalty"},
    SamplingOption{"min_p", "min_p"},
    SamplingOption{"presence_penalty", "presence_penalty"},
    SamplingOption{"repeat_penalty", "repetition_penalty"},
    SamplingOption{"seed", "seed"},
    SamplingOption{"stop", "stop"},
    SamplingOption{"temperature", "temperature"},
    SamplingOption{"top_k", "top_k"},
    SamplingOption{"top_p", "top_p"},
};

// Where the model runs and how it is loaded: nothing that a request decides here. mirostat_* tune
// what is refused below.
constexpr std::array<std::string_view, 16> kWithoutEffect = {
    "draft_num_predict", "embedding_only", "f16_kv",    "logits_all", "low_vram",   "main_gpu",
    "mirostat_eta",      "mirostat_tau",   "num_batch", "num_gpu",    "num_thread", "numa",
    "num_gqa",           "use_mlock",      "use_mmap",  "vocab_only"};

bool IsZero(const Json& v) { return v == 0; }
bool IsOne(const Json& v) { return v == 1; }
bool IsTrue(const Json& v) { return v == true; }

// Would change the answer and is not there: refused unless the value asks for nothing.
struct Unsupported {
  std::string_view name;
  bool (*asks_for_nothing)(const Json&);
  std::string_view nothing;
};
constexpr std::array kUnsupported = {
    Unsupported{"mirostat", IsZero, "0"},
    Unsupported{"penalize_newline", IsTrue, "true"},
    Unsupported{"tfs_z", IsOne, "1"},
    Unsupported{"typical_p", IsOne, "1"},
};

// -1: up to the end of the context; -2: fill the context, which is the same where nothing is ever
// shifted out of it.
Status ReadNumPredict(const Json& value, const std::string& field, OllamaDraft& draft) {
  if (value == -1 || value == -2) {
    draft.request().max_tokens.reset();
    return {};
  }
  auto tokens = ReadInteger(value, field, 1);
  if (!tokens) return Invalid(field, value, "an integer, 1 or more, or -1 or -2 (no limit)");
  draft.request().max_tokens = *tokens;
  return {};
}

Status ReadNumCtx(const Json& value, const std::string& field, OllamaDraft& draft) {
  HADAL_TRY(const int64_t context, ReadInteger(value, field, 1));
  const int64_t most = draft.rules.context;
  if (most > 0 && context > most) {
    return FailField(ErrorCode::kInvalidArgument, field,
                     "{} is {}; it must be at most {}, the context of this server", field, context,
                     most);
  }
  draft.request().context = context;
  return {};
}

Status ReadSampling(std::string_view openai_field, Json& value, const std::string& field,
                    OllamaDraft& draft) {
  if (openai_field == "seed" && value == -1) {  // Ollama: a random one
    draft.sampling().seed.reset();
    return {};
  }
  return SamplingReader(openai_field)(value, field, draft.openai);
}

Status ReadOption(const std::string& name, Json& value, const std::string& field,
                  OllamaDraft& draft) {
  for (const SamplingOption& option : kSampling) {
    if (option.name == name) return ReadSampling(option.field, value, field, draft);
  }
  if (name == "num_predict") return ReadNumPredict(value, field, draft);
  if (name == "num_ctx") return ReadNumCtx(value, field, draft);
  if (name == "repeat_last_n" || name == "num_keep") {
    auto& number = name == "num_keep" ? draft.num_keep : draft.repeat_last_n;
    HADAL_TRY(number, ReadInteger(value, field, -1));
    return {};
  }
  for (const Unsupported& option : kUnsupported) {
    if (option.name != name) continue;
    if (option.asks_for_nothing(value)) return {};
    return FailField(ErrorCode::kInvalidArgument, field,
                     "{} is {}, which is not supported; send {} or leave it out", field,
                     Shown(value), option.nothing);
  }
  for (const std::string_view known : kWithoutEffect) {
    if (known == name) return {};
  }
  return RefuseUnknownField(field, draft.rules);
}

}  // namespace

Status ReadOllamaOptions(Json& value, const std::string& field, OllamaDraft& draft) {
  HADAL_OK(ExpectObject(value, field));
  for (auto& [name, option] : value.items()) {
    if (option.is_null()) continue;
    HADAL_OK(ReadOption(name, option, PathOf(field, name), draft));
  }
  return {};
}

Status CheckOllamaOptions(OllamaDraft& draft) {
  const api::Sampling& s = draft.sampling();
  const bool penalises =
      s.repetition_penalty != 1 || s.presence_penalty != 0 || s.frequency_penalty != 0;
  const int64_t window = draft.repeat_last_n.value_or(-1);
  const bool whole = window == -1 || (draft.rules.context > 0 && window >= draft.rules.context);
  if (penalises && !whole) {
    return FailField(ErrorCode::kInvalidArgument, "options.repeat_last_n",
                     "options.repeat_last_n is {}, but penalties look at every token here; send -1 "
                     "or leave it out",
                     window);
  }
  // Without truncate nothing is ever left out, so whatever is to be kept is kept.
  if (draft.truncate && draft.num_keep.value_or(0) > 0) {
    return FailField(ErrorCode::kInvalidArgument, "options.num_keep",
                     "options.num_keep is {}, but truncate leaves out whole turns and keeps every "
                     "system message; leave num_keep out",
                     *draft.num_keep);
  }
  return {};
}

}  // namespace hadal::server
