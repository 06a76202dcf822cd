#include "engine/admission.h"

#include <cmath>
#include <limits>
#include <span>
#include <string_view>

namespace hadal {
namespace {

struct Bound {
  std::string_view field;
  double value, low, high;
};

Status CheckSampling(const api::Sampling& s) {
  const Bound bounds[] = {
      {"temperature", s.temperature, 0, 2},
      {"top_p", s.top_p, 0, 1},
      {"min_p", s.min_p, 0, 1},
      {"top_k", static_cast<double>(s.top_k), 0, std::numeric_limits<int32_t>::max()},
      {"repetition_penalty", s.repetition_penalty, 0, 10},
      {"presence_penalty", s.presence_penalty, -2, 2},
      {"frequency_penalty", s.frequency_penalty, -2, 2},
      {"top_logprobs", static_cast<double>(s.top_logprobs), 0, api::Limits::kMaxTopLogprobs},
  };
  for (const Bound& b : bounds) {
    if (b.value >= b.low && b.value <= b.high) continue;  // false for NaN
    return FailField(ErrorCode::kInvalidArgument, std::string(b.field),
                     "{} is {}; it must be from {} to {}", b.field, b.value, b.low, b.high);
  }
  if (s.top_p == 0 || s.repetition_penalty == 0) {
    const char* field = s.top_p == 0 ? "top_p" : "repetition_penalty";
    return FailField(ErrorCode::kInvalidArgument, field, "{} is 0; it must be above 0", field);
  }
  return {};
}

Status CheckIds(std::string_view field, std::span<const TokenId> ids, int64_t vocab) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab) continue;
    return FailField(ErrorCode::kInvalidArgument, std::string(field),
                     "token {} at index {} of {} is outside the vocabulary of {}", ids[i], i, field,
                     vocab);
  }
  return {};
}

Status CheckBias(const api::Sampling& s, int64_t vocab) {
  for (const auto& [id, bias] : s.logit_bias) {
    HADAL_OK(CheckIds("logit_bias", std::span(&id, 1), vocab));
    if (bias >= -100 && bias <= 100) continue;
    return FailField(ErrorCode::kInvalidArgument, "logit_bias",
                     "logit_bias of token {} is {}; it must be from -100 to 100", id, bias);
  }
  return {};
}

}  // namespace

Status CheckOptions(const EngineOptions& o, const RunnerInfo& r) {
  if (r.vocab < 1 || r.n_blocks < 1 || r.block_tokens < 1) {
    return Fail(ErrorCode::kBadConfig,
                "the runner has a vocabulary of {} and {} cache blocks of {} tokens; each must be "
                "at least 1",
                r.vocab, r.n_blocks, r.block_tokens);
  }
  if (int64_t{r.n_blocks} * r.block_tokens > std::numeric_limits<int32_t>::max()) {
    return Fail(ErrorCode::kBadConfig, "{} cache blocks of {} tokens are more than 2^31 - 1 slots",
                r.n_blocks, r.block_tokens);
  }
  const std::pair<std::string_view, int64_t> positive[] = {{"max_sequences", o.max_sequences},
                                                           {"max_queued", o.max_queued},
                                                           {"prefill_chunk", o.prefill_chunk},
                                                           {"context", o.context}};
  for (const auto& [field, value] : positive) {
    if (value >= 1) continue;
    return FailField(ErrorCode::kBadConfig, std::string(field), "{} is {}; it must be at least 1",
                     field, value);
  }
  if (o.context > std::numeric_limits<int32_t>::max()) {
    return FailField(ErrorCode::kBadConfig, "context", "context is {}; it must be below 2^31",
                     o.context);
  }
  if (r.context > 0 && o.context > r.context) {
    return FailField(ErrorCode::kBadConfig, "context",
                     "context is {}, but the model takes at most {} positions", o.context,
                     r.context);
  }
  if (o.speculation != Speculation::kOff &&
      (o.max_draft < 1 || o.max_draft > EngineOptions::kMostDraft)) {
    return FailField(ErrorCode::kBadConfig, "max_draft", "max_draft is {}; it must be 1 to {}",
                     o.max_draft, EngineOptions::kMostDraft);
  }
  if (o.speculation == Speculation::kMtp && !r.drafts) {
    return FailField(ErrorCode::kBadConfig, "speculation",
                     "speculation is mtp, but the model has no layer of multi-token prediction");
  }
  if (o.max_step_tokens < o.max_sequences) {
    return FailField(
        ErrorCode::kBadConfig, "max_step_tokens",
        "max_step_tokens is {}; every running sequence needs a row in each step, so it "
        "must be at least max_sequences, {}",
        o.max_step_tokens, o.max_sequences);
  }
  if (o.max_sequences > r.max_logit_rows) {
    return FailField(ErrorCode::kBadConfig, "max_sequences",
                     "max_sequences is {}, but the model was loaded for {} rows of logits a step",
                     o.max_sequences, r.max_logit_rows);
  }
  return {};
}

Status CheckRequest(const EngineRequest& request, const EngineOptions& options,
                    const RunnerInfo& runner) {
  const auto n_prompt = static_cast<int64_t>(request.prompt.size());
  if (n_prompt == 0) {
    return FailField(ErrorCode::kInvalidArgument, "prompt",
                     "the prompt has no tokens; it must have at least one");
  }
  if (request.max_tokens < 1) {
    return FailField(ErrorCode::kInvalidArgument, "max_tokens",
                     "max_tokens is {}; it must be at least 1", request.max_tokens);
  }
  if (request.n < 1 || request.n > api::Limits::kMaxN) {
    return FailField(ErrorCode::kInvalidArgument, "n", "n is {}; it must be from 1 to {}",
                     request.n, api::Limits::kMaxN);
  }
  if (n_prompt > options.context || request.max_tokens > options.context - n_prompt) {
    return FailField(
        ErrorCode::kContextLengthExceeded, "max_tokens",
        "prompt has {} tokens and max_tokens is {}: {} + {} = {} exceeds the context of {}",
        n_prompt, request.max_tokens, n_prompt, request.max_tokens,
        static_cast<uint64_t>(n_prompt) + static_cast<uint64_t>(request.max_tokens),
        options.context);
  }
  const int64_t blocks = (MostSlots(request) + runner.block_tokens - 1) / runner.block_tokens;
  if (blocks > runner.n_blocks) {
    return FailField(ErrorCode::kRequestTooLarge, "max_tokens",
                     "prompt of {} tokens and max_tokens {} need {} cache blocks of {} tokens; "
                     "there are {} blocks, for {} tokens",
                     n_prompt, request.max_tokens, blocks, runner.block_tokens, runner.n_blocks,
                     int64_t{runner.n_blocks} * runner.block_tokens);
  }
  if (!request.guides.empty() && request.guides.size() != static_cast<size_t>(request.n)) {
    return Fail(ErrorCode::kInternal, "{} guides for {} choices", request.guides.size(), request.n);
  }
  HADAL_OK(CheckSampling(request.sampling));
  HADAL_OK(CheckIds("prompt", request.prompt, runner.vocab));
  HADAL_OK(CheckIds("stop_token_ids", request.stop_tokens, runner.vocab));
  HADAL_OK(CheckIds("stop_token_ids", request.sampling.stop_token_ids, runner.vocab));
  return CheckBias(request.sampling, runner.vocab);
}

}  // namespace hadal
