// The gate of a mixture of experts: scores in float32, the bias for the choice alone, groups ranked
// and masked with -inf (a mask of 0 would beat an expert with a negative biased score), weights
// from the unbiased scores. Plain scalar code shared by every ISA: the choice never depends on it.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/cpu_backend.h"

namespace hadal::cpu {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();

void Softmax(const float* logits, int64_t n, float* out) {
  const float m = *std::max_element(logits, logits + n);
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += out[i] = std::exp(logits[i] - m);
  for (int64_t i = 0; i < n; ++i) out[i] /= sum;
}

// Index of the largest value not yet taken; the first of equals. NaN never wins over a number; when
// nothing but NaN or masked is left, the first not taken.
int64_t TakeBest(const float* values, int64_t n, bool* taken) {
  int64_t best = -1;
  for (int64_t i = 0; i < n; ++i) {
    if (!taken[i] && (best < 0 || values[i] > values[best] || std::isnan(values[best]))) best = i;
  }
  taken[best] = true;
  return best;
}

float GroupValue(const float* values, int64_t n, GroupScore score) {
  float first = kMasked, second = kMasked;
  for (int64_t i = 0; i < n; ++i) {
    if (values[i] > first) {
      second = first;
      first = values[i];
    } else if (values[i] > second) {
      second = values[i];
    }
  }
  if (score == GroupScore::kMax || n == 1) return first;
  return first + second;
}

// Masks the experts of all but the best groups.
void MaskGroups(const RouterArgs& a, int64_t n_experts, float* choice) {
  const int64_t size = n_experts / a.n_groups;
  constexpr int kMostGroups = 1024;
  float scores[kMostGroups];
  bool kept[kMostGroups] = {};
  CHECK(a.n_groups <= kMostGroups && n_experts % a.n_groups == 0 && a.top_groups <= a.n_groups);
  for (int g = 0; g < a.n_groups; ++g) {
    scores[g] = GroupValue(choice + g * size, size, a.group_score);
  }
  for (int i = 0; i < a.top_groups; ++i) TakeBest(scores, a.n_groups, kept);
  for (int g = 0; g < a.n_groups; ++g) {
    if (!kept[g]) std::fill(choice + g * size, choice + (g + 1) * size, kMasked);
  }
}

}  // namespace

void CpuBackend::Route(const RouterArgs& a, int32_t* experts, float* weights) {
  const int64_t n = a.logits.shape[a.logits.shape.rank() - 1];
  const int64_t rows = a.logits.shape.elements() / n;
  constexpr int64_t kMostExperts = 4096;
  CHECK(n <= kMostExperts && a.top_k >= 1 && a.top_k <= n);
  const float* logits = a.logits.f32();
  float* scratch = ReserveFloats(kRouterScores, rows * 2 * n);
  ForRows(rows, n * 8, [&](int64_t t) {
    float* scores = scratch + t * 2 * n;
    float* choice = scores + n;
    if (a.score == GateScore::kSoftmax) {
      Softmax(logits + t * n, n, scores);
    } else {
      for (int64_t i = 0; i < n; ++i) scores[i] = 1.0f / (1.0f + std::exp(-logits[t * n + i]));
    }
    for (int64_t i = 0; i < n; ++i) choice[i] = a.bias ? scores[i] + a.bias[i] : scores[i];
    if (a.group_score != GroupScore::kNone && a.n_groups > 1) MaskGroups(a, n, choice);
    bool taken[kMostExperts] = {};
    float sum = 0;
    for (int k = 0; k < a.top_k; ++k) {
      const int64_t e = TakeBest(choice, n, taken);
      experts[t * a.top_k + k] = static_cast<int32_t>(e);
      weights[t * a.top_k + k] = scores[e];
      sum += scores[e];
    }
    for (int k = 0; k < a.top_k; ++k) {
      float& w = weights[t * a.top_k + k];
      if (a.normalise) w /= sum + 1e-20f;
      w *= a.scale;
    }
  });
}

}  // namespace hadal::cpu
