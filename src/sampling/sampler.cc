#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "sampling/random.h"
#include "sampling/vector_math.h"

namespace hadal {
namespace {

// Below this the distribution is a single point in float32 anyway.
constexpr double kGreedyBelow = 1e-5;

// A changed logit stays comparable: what was out stays out, what was in stays finite.
float Changed(float old, double value) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  if (old == -std::numeric_limits<float>::infinity()) return old;
  return static_cast<float>(std::clamp(value, -kLargest, kLargest));
}

bool ByLikelihood(const Candidate& a, const Candidate& b) { return a.Before(b); }
bool ById(const Candidate& a, const Candidate& b) { return a.id < b.id; }

}  // namespace

void SelectTop(std::span<const float> values, size_t n, std::vector<Candidate>& top) {
  top.clear();
  n = std::min(n, values.size());
  if (n == 0) return;
  const auto keep = [&] {
    std::nth_element(top.begin(), top.begin() + static_cast<ptrdiff_t>(n - 1), top.end(),
                     ByLikelihood);
    top.resize(n);
  };
  // Ids ascend, so a later token that only equals the worst of n kept ones loses to all of them.
  float threshold = -std::numeric_limits<float>::infinity();
  const size_t limit = std::max<size_t>(2 * n, 64);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] > threshold)) continue;
    top.push_back({values[i], static_cast<TokenId>(i)});
    if (top.size() < limit) continue;
    keep();
    threshold = top[n - 1].value;
  }
  if (top.size() > n) keep();
}

Sampler::Sampler(int64_t vocab) {
  CHECK(vocab > 0);
  weights_.resize(static_cast<size_t>(vocab));
  counts_.resize(static_cast<size_t>(vocab));
  candidates_.reserve(1024);
  selection_.reserve(1024);
}

Status Sampler::Sample(std::span<float> logits, const SampleParams& params, SampledToken& out) {
  CHECK(logits.size() == weights_.size());
  if (!(SanitizeAndMax(logits) > -std::numeric_limits<float>::infinity())) {
    return Fail(ErrorCode::kInternal,
                "no logit of {} at position {} is finite; the weights or the kernels are damaged",
                logits.size(), params.tokens.size());
  }
  const api::Sampling& sampling = *params.sampling;
  out.top.clear();
  out.logprob = 0;
  if (sampling.logprobs) RecordDistribution(logits, sampling, out);
  if (!params.mask.empty()) {
    ApplyMask(logits, params.mask);
    if (!(MaxOf(logits) > -std::numeric_limits<float>::infinity())) {
      return Fail(ErrorCode::kInternal,
                  "no token that is allowed at position {} has a finite logit",
                  params.tokens.size());
    }
  }
  Adjust(logits, params);
  out.id = Draw(logits, params);
  if (sampling.logprobs) {
    out.logprob = static_cast<float>(double{raw_[static_cast<size_t>(out.id)]} - log_sum_exp_);
  }
  return {};
}

void Sampler::RecordDistribution(std::span<const float> logits, const api::Sampling& sampling,
                                 SampledToken& out) {
  raw_.assign(logits.begin(), logits.end());
  const float max = MaxOf(raw_);
  log_sum_exp_ = double{max} + std::log(ExpAndSum(raw_, max, 1.0f, weights_.data()));
  SelectTop(raw_, static_cast<size_t>(std::max(sampling.top_logprobs, 0)), selection_);
  std::sort(selection_.begin(), selection_.end(), ByLikelihood);
  for (const Candidate& c : selection_) {
    out.top.emplace_back(c.id, static_cast<float>(double{c.value} - log_sum_exp_));
  }
}

void Sampler::ApplyMask(std::span<float> logits, std::span<const uint64_t> mask) {
  CHECK(mask.size() * 64 >= logits.size());
  for (size_t i = 0; i < logits.size(); i += 64) {
    const uint64_t allowed = mask[i / 64];
    if (allowed == ~uint64_t{0}) continue;
    const size_t n = std::min<size_t>(64, logits.size() - i);
    for (size_t j = 0; j < n; ++j) {
      if ((allowed >> j & 1) == 0) logits[i + j] = -std::numeric_limits<float>::infinity();
    }
  }
}

void Sampler::Adjust(std::span<float> logits, const SampleParams& params) {
  const api::Sampling& s = *params.sampling;
  const auto known = [&](TokenId id) { return id >= 0 && static_cast<size_t>(id) < logits.size(); };
  for (const auto& [id, bias] : s.logit_bias) {
    if (!known(id)) continue;
    float& l = logits[static_cast<size_t>(id)];
    l = Changed(l, double{l} + bias);
  }
  if (s.repetition_penalty != 1.0) {
    for (const TokenId id : params.tokens) {
      if (!known(id) || counts_[static_cast<size_t>(id)]++ > 0) continue;
      float& l = logits[static_cast<size_t>(id)];
      l = Changed(l, l > 0 ? double{l} / s.repetition_penalty : double{l} * s.repetition_penalty);
    }
    for (const TokenId id : params.tokens) {
      if (known(id)) counts_[static_cast<size_t>(id)] = 0;
    }
  }
  if (s.presence_penalty == 0 && s.frequency_penalty == 0) return;
  const auto answer = params.tokens.subspan(std::min(params.n_prompt, params.tokens.size()));
  for (const TokenId id : answer) {
    if (known(id)) ++counts_[static_cast<size_t>(id)];
  }
  for (const TokenId id : answer) {
    if (!known(id) || counts_[static_cast<size_t>(id)] == 0) continue;
    float& l = logits[static_cast<size_t>(id)];
    l = Changed(
        l, double{l} - s.presence_penalty - s.frequency_penalty * counts_[static_cast<size_t>(id)]);
    counts_[static_cast<size_t>(id)] = 0;
  }
}

TokenId Sampler::Draw(std::span<const float> logits, const SampleParams& params) {
  const api::Sampling& s = *params.sampling;
  const float max = MaxOf(logits);
  const auto likeliest = std::find(logits.begin(), logits.end(), max) - logits.begin();
  if (s.temperature < kGreedyBelow) return static_cast<TokenId>(likeliest);

  double mass = ExpAndSum(logits, max, static_cast<float>(1.0 / s.temperature), weights_.data());
  const bool by_top_k = s.top_k > 0 && static_cast<size_t>(s.top_k) < logits.size();
  if (!by_top_k && s.top_p >= 1 && s.min_p <= 0) {
    const double u =
        UniformDraw(params.seed, params.choice, static_cast<int64_t>(params.tokens.size()));
    double left = u * mass;
    auto last = static_cast<TokenId>(likeliest);
    for (size_t i = 0; i < weights_.size(); ++i) {
      if (weights_[i] <= 0) continue;
      last = static_cast<TokenId>(i);
      left -= weights_[i];
      if (left < 0) break;
    }
    return last;
  }

  if (by_top_k) {
    CollectTopK(logits, static_cast<size_t>(s.top_k));
    mass = 0;
    for (const Candidate& c : candidates_) mass += weights_[static_cast<size_t>(c.id)];
  } else {
    CollectHeavy(logits, s, mass);
  }
  return DrawCandidates(params, mass, static_cast<TokenId>(likeliest));
}

// One of candidates_, which are by id and hold all that top_p of `mass` and min_p can keep.
TokenId Sampler::DrawCandidates(const SampleParams& params, double mass, TokenId likeliest) {
  const api::Sampling& s = *params.sampling;
  const auto weight = [&](const Candidate& c) { return weights_[static_cast<size_t>(c.id)]; };
  const double u =
      UniformDraw(params.seed, params.choice, static_cast<int64_t>(params.tokens.size()));
  if (s.top_p < 1) KeepTopP(s.top_p, mass);
  if (s.min_p > 0) {
    const auto least = static_cast<float>(s.min_p);
    std::erase_if(candidates_, [&](const Candidate& c) { return weight(c) < least; });
  }
  mass = 0;
  for (const Candidate& c : candidates_) mass += weight(c);
  double left = u * mass;
  for (const Candidate& c : candidates_) {
    left -= weight(c);
    if (left < 0) return c.id;
  }
  return likeliest;  // rounding left nothing of the mass
}

Result<bool> Sampler::SampleSummary(const RowSummary& row, const SampleParams& params,
                                    SampledToken& out) {
  const api::Sampling& s = *params.sampling;
  if (row.n == 0) {
    return Fail(ErrorCode::kInternal,
                "no logit of {} at position {} is finite; the weights or the kernels are damaged",
                weights_.size(), params.tokens.size());
  }
  if (s.logprobs || !s.logit_bias.empty() || s.repetition_penalty != 1.0 ||
      s.presence_penalty != 0 || s.frequency_penalty != 0) {
    return false;
  }
  out.top.clear();
  out.logprob = 0;
  if (s.temperature < kGreedyBelow) {
    for (int32_t i = 0; i < row.n; ++i) {
      const auto id = static_cast<size_t>(row.ids[i]);
      if (!params.mask.empty() && (params.mask[id / 64] >> id % 64 & 1) == 0) continue;
      out.id = row.ids[i];
      return true;
    }
    return false;
  }
  double mass = 0;
  if (!params.mask.empty() || !CollectSummary(row, s, &mass)) return false;
  out.id = DrawCandidates(params, mass, row.ids[0]);
  return true;
}

// candidates_, by id, their weights and the mass that shares are of; false when tokens that are not
// in the summary may be kept.
bool Sampler::CollectSummary(const RowSummary& row, const api::Sampling& s, double* mass) {
  const auto n = static_cast<size_t>(row.n);
  const bool all = row.n < RowSummary::kCandidates;
  const bool by_top_k = s.top_k > 0 && static_cast<size_t>(s.top_k) < weights_.size();
  float weights[RowSummary::kCandidates];
  const double listed = ExpAndSum(std::span(row.values, n), row.values[0],
                                  static_cast<float>(1.0 / s.temperature), weights);
  size_t kept = n;
  *mass = all ? listed : double{row.mass};
  if (by_top_k) {
    if (!all && static_cast<size_t>(s.top_k) > n) return false;
    kept = std::min(n, static_cast<size_t>(s.top_k));
    *mass = 0;
    for (size_t i = 0; i < kept; ++i) *mass += weights[i];
  } else if (!all) {
    const bool top_p_ends = s.top_p < 1 && listed >= s.top_p * *mass * (1 + 1e-6);
    const bool min_p_ends = s.min_p > 0 && weights[n - 1] < static_cast<float>(s.min_p);
    if (!top_p_ends && !min_p_ends) return false;
    if (s.top_p < 1 && !top_p_ends) return false;
  }
  candidates_.clear();
  for (size_t i = 0; i < kept; ++i) {
    candidates_.push_back({row.values[i], row.ids[i]});
    weights_[static_cast<size_t>(row.ids[i])] = weights[i];
  }
  std::sort(candidates_.begin(), candidates_.end(), ById);
  return true;
}

// candidates_ = the k most likely tokens, by id.
void Sampler::CollectTopK(std::span<const float> logits, size_t k) {
  SelectTop(logits, k, candidates_);
  constexpr size_t kSortBelow = 2048;  // above, another pass over the row costs less
  if (candidates_.size() < kSortBelow) {
    std::sort(candidates_.begin(), candidates_.end(), ById);
    return;
  }
  const Candidate cut = *std::max_element(candidates_.begin(), candidates_.end(), ByLikelihood);
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    const Candidate c{logits[i], static_cast<TokenId>(i)};
    if (!cut.Before(c)) candidates_.push_back(c);
  }
}

// candidates_ = all tokens, by id, that top_p and min_p can keep, and not many more.
void Sampler::CollectHeavy(std::span<const float> logits, const api::Sampling& s, double mass) {
  auto least = static_cast<float>(s.min_p);
  if (s.top_p < 1) {
    // Weights are relative to the largest, 1. All below (1 - top_p) * mass / vocab together cannot
    // bring the rest below top_p; mostly a far higher border does as well.
    const auto dust =
        static_cast<float>((1 - s.top_p) * mass / static_cast<double>(logits.size()) * 0.999);
    const double needed = s.top_p * mass * (1 + 1e-6);
    float border = 0x1p-4f;
    while (border > dust && SumFrom(weights_, border) < needed) border *= 0x1p-3f;
    least = std::max({least, border, dust});
  }
  candidates_.clear();
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] >= least) candidates_.push_back({logits[i], static_cast<TokenId>(i)});
  }
}

// Leaves the shortest run of candidates, by likelihood, whose weight reaches top_p * mass; in the
// order they had. Selection by mass instead of a sort: each round halves what is looked at.
void Sampler::KeepTopP(double top_p, double mass) {
  selection_.assign(candidates_.begin(), candidates_.end());
  auto low = selection_.begin(), high = selection_.end();
  double need = top_p * mass;
  constexpr ptrdiff_t kSortBelow = 32;
  while (high - low > kSortBelow) {
    const auto middle = low + (high - low) / 2;
    std::nth_element(low, middle, high, ByLikelihood);
    double upper = 0;
    for (auto it = low; it != middle; ++it) upper += weights_[static_cast<size_t>(it->id)];
    if (upper >= need) {
      high = middle;
    } else {
      need -= upper;
      low = middle;
    }
  }
  std::sort(low, high, ByLikelihood);
  for (auto it = low; it != high; ++it) {
    need -= weights_[static_cast<size_t>(it->id)];
    if (need > 0 && it + 1 != high) continue;
    const Candidate cut = *it;
    std::erase_if(candidates_, [&](const Candidate& c) { return cut.Before(c); });
    return;
  }
}

}  // namespace hadal
