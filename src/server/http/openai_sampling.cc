// Sampling fields: one row per field, then the checks between fields.
#include <array>
#include <charconv>
#include <limits>
#include <string>
#include <utility>

#include "server/http/field_reader.h"
#include "server/http/openai_draft.h"

namespace hadal::server {
namespace {

constexpr NumberRange kTemperature = {0, 2}, kTopP = {0, 1, /*min_open=*/true};
constexpr NumberRange kRepetitionPenalty = {0, 10, /*min_open=*/true};
constexpr int64_t kMinTopK = -1, kMaxTopK = std::numeric_limits<int32_t>::max();

int32_t TopKOf(int64_t top_k) {  // -1 and 0 both mean off
  return top_k == -1 ? 0 : static_cast<int32_t>(top_k);
}

using api::Limits;

template <double api::Sampling::* member>
Status Number(const Json& value, const std::string& field, OpenAiDraft& draft, NumberRange range) {
  HADAL_TRY(draft.sampling().*member, ReadNumber(value, field, range));
  return {};
}

Status ReadTemperature(Json& value, const std::string& field, OpenAiDraft& draft) {
  return Number<&api::Sampling::temperature>(value, field, draft, kTemperature);
}
Status ReadTopP(Json& value, const std::string& field, OpenAiDraft& draft) {
  return Number<&api::Sampling::top_p>(value, field, draft, kTopP);
}
Status ReadMinP(Json& value, const std::string& field, OpenAiDraft& draft) {
  return Number<&api::Sampling::min_p>(value, field, draft, {0, 1});
}
Status ReadRepetitionPenalty(Json& value, const std::string& field, OpenAiDraft& draft) {
  return Number<&api::Sampling::repetition_penalty>(value, field, draft, kRepetitionPenalty);
}
Status ReadPresencePenalty(Json& value, const std::string& field, OpenAiDraft& draft) {
  return Number<&api::Sampling::presence_penalty>(value, field, draft, {-2, 2});
}
Status ReadFrequencyPenalty(Json& value, const std::string& field, OpenAiDraft& draft) {
  return Number<&api::Sampling::frequency_penalty>(value, field, draft, {-2, 2});
}

Status ReadTopK(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(const int64_t top_k, ReadInteger(value, field, kMinTopK, kMaxTopK));
  draft.sampling().top_k = TopKOf(top_k);
  return {};
}

Status ReadSeed(Json& value, const std::string& field, OpenAiDraft& draft) {
  if (value.is_number_unsigned()) {
    draft.sampling().seed = value.get<uint64_t>();
    return {};
  }
  if (!value.is_number_integer()) {
    return Invalid(field, value, "an integer from -2^63 to 2^64 - 1");
  }
  draft.sampling().seed = static_cast<uint64_t>(value.get<int64_t>());
  return {};
}

Status ReadLogitBias(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_OK(ExpectObject(value, field));
  if (value.size() > Limits::kMaxLogitBias) {
    return Invalid(field, value, fmt::format("at most {} entries", Limits::kMaxLogitBias));
  }
  for (const auto& [key, bias] : value.items()) {
    int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0) {
      return Invalid(field, Json(key), "an object whose keys are token ids");
    }
    HADAL_TRY(const double amount, ReadNumber(bias, fmt::format("{}.{}", field, id), {-100, 100}));
    draft.sampling().logit_bias.emplace_back(id, amount);
  }
  return {};
}

Status AddStop(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(std::string stop, TakeString(value, field));
  if (stop.empty() || stop.size() > Limits::kMaxStopBytes) {
    return Invalid(field, Json(stop),
                   fmt::format("a string of 1 to {} bytes", Limits::kMaxStopBytes));
  }
  draft.sampling().stop.push_back(std::move(stop));
  return {};
}

Status ReadStop(Json& value, const std::string& field, OpenAiDraft& draft) {
  if (value.is_string()) return AddStop(value, field, draft);
  if (!value.is_array() || value.size() > Limits::kMaxStops) {
    return Invalid(field, value,
                   fmt::format("a string or an array of at most {} strings", Limits::kMaxStops));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    HADAL_OK(AddStop(value[i], fmt::format("{}[{}]", field, i), draft));
  }
  return {};
}

Status ReadStopTokenIds(Json& value, const std::string& field, OpenAiDraft& draft) {
  if (!value.is_array() || value.size() > Limits::kMaxStops) {
    return Invalid(field, value,
                   fmt::format("an array of at most {} token ids", Limits::kMaxStops));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    HADAL_TRY(const int64_t id, ReadInteger(value[i], fmt::format("{}[{}]", field, i), 0,
                                            std::numeric_limits<int32_t>::max()));
    draft.sampling().stop_token_ids.push_back(static_cast<int32_t>(id));
  }
  return {};
}

Status ReadIgnoreEos(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(draft.sampling().ignore_eos, ReadBool(value, field));
  return {};
}

// Chat: a bool beside top_logprobs. Text: the number of alternatives itself.
Status ReadLogprobs(Json& value, const std::string& field, OpenAiDraft& draft) {
  if (draft.is_chat()) {
    HADAL_TRY(draft.sampling().logprobs, ReadBool(value, field));
    return {};
  }
  HADAL_TRY(const int64_t n, ReadInteger(value, field, 0, Limits::kMaxTopLogprobs));
  draft.sampling().logprobs = true;
  draft.sampling().top_logprobs = static_cast<int>(n);
  return {};
}

Status ReadTopLogprobs(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(draft.top_logprobs, ReadInteger(value, field, 0, Limits::kMaxTopLogprobs));
  return {};
}

struct Row {
  std::string_view name;
  FieldReader read;
};
constexpr std::array kRows = {
    Row{"frequency_penalty", ReadFrequencyPenalty},
    Row{"ignore_eos", ReadIgnoreEos},
    Row{"logit_bias", ReadLogitBias},
    Row{"logprobs", ReadLogprobs},
    Row{"min_p", ReadMinP},
    Row{"presence_penalty", ReadPresencePenalty},
    Row{"repetition_penalty", ReadRepetitionPenalty},
    Row{"seed", ReadSeed},
    Row{"stop", ReadStop},
    Row{"stop_token_ids", ReadStopTokenIds},
    Row{"temperature", ReadTemperature},
    Row{"top_k", ReadTopK},
    Row{"top_logprobs", ReadTopLogprobs},
    Row{"top_p", ReadTopP},
};

Status SetDefault(std::optional<double> value, const std::string& field, NumberRange range,
                  double& out) {
  if (!value) return {};
  auto number = ReadNumber(Json(*value), field, range);
  if (!number) {
    return FailField(ErrorCode::kBadConfig, field, "generation_config.json: {}",
                     number.error().message);
  }
  out = *number;
  return {};
}

}  // namespace

Result<api::Sampling> SamplingOf(const SamplingDefaults& defaults) {
  api::Sampling out;
  HADAL_OK(SetDefault(defaults.temperature, "temperature", kTemperature, out.temperature));
  HADAL_OK(SetDefault(defaults.top_p, "top_p", kTopP, out.top_p));
  HADAL_OK(SetDefault(defaults.repetition_penalty, "repetition_penalty", kRepetitionPenalty,
                      out.repetition_penalty));
  if (defaults.top_k) {
    auto top_k = ReadInteger(Json(*defaults.top_k), "top_k", kMinTopK, kMaxTopK);
    if (!top_k) {
      return FailField(ErrorCode::kBadConfig, "top_k", "generation_config.json: {}",
                       top_k.error().message);
    }
    out.top_k = TopKOf(*top_k);
  }
  return out;
}

FieldReader SamplingReader(std::string_view field) {
  for (const Row& row : kRows) {
    if (row.name == field) return row.read;
  }
  return nullptr;
}

Status CheckSampling(OpenAiDraft& draft) {
  if (!draft.top_logprobs) return {};
  if (!draft.is_chat()) {
    return FailField(ErrorCode::kInvalidArgument, "top_logprobs",
                     "top_logprobs belongs to chat completions; use logprobs here");
  }
  if (!draft.sampling().logprobs && *draft.top_logprobs > 0) {
    return FailField(ErrorCode::kInvalidArgument, "top_logprobs",
                     "top_logprobs is {} but logprobs is not true; set logprobs to true",
                     *draft.top_logprobs);
  }
  draft.sampling().top_logprobs = static_cast<int>(*draft.top_logprobs);
  return {};
}

}  // namespace hadal::server
