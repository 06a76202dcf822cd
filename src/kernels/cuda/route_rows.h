// Owns: the gate of a mixture of experts, a warp per token; the rules of cpu/cpu_router.cc: the
// bias only chooses, masked groups are -inf, ties go to the lowest id, NaN never beats a number.
// Only .cu files include this.
#pragma once

#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {

// Keys in the order of values: NaN below all numbers, what is taken below NaN.
constexpr uint32_t kTaken = 0, kNan = 1;
__device__ inline uint32_t KeyOf(float value) {
  if (value != value) return kNan;
  const uint32_t bits = __float_as_uint(value + 0.0f);  // one zero
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

// The lowest of the largest of `keys`; it is taken then. All lanes get it.
__device__ inline int TakeBest(uint32_t* keys, int n) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  uint32_t key = kTaken, id = ~0u;
  for (int i = lane; i < n; i += kWarp) {
    if (keys[i] > key) {
      key = keys[i];
      id = static_cast<uint32_t>(i);
    }
  }
  const bool has = key == WarpMaxOf(key);
  const auto best = static_cast<int>(WarpMinOf(has ? id : ~0u));
  __syncwarp();
  if (lane == 0) keys[best] = kTaken;
  __syncwarp();
  return best;
}

// Of shared memory, what a row takes.
__device__ __host__ inline size_t RouteBytes(const RouterShape& a) {
  return static_cast<size_t>(3 * a.experts + a.n_groups + a.top_k) * sizeof(float);
}

// Logits may have been written by other blocks of the kernel.
__device__ inline void RouteRow(const RouterShape& a, const float* logits, int64_t row,
                                const Routes& to, char* shared) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, n = static_cast<int>(a.experts);
  const float* bias = to.bias;
  auto* scores = reinterpret_cast<float*>(shared);
  float* choice = scores + n;
  auto* keys = reinterpret_cast<uint32_t*>(choice + n);
  uint32_t* groups = keys + n;
  auto* chosen = reinterpret_cast<int32_t*>(groups + a.n_groups);

  for (int i = lane; i < n; i += kWarp) scores[i] = __ldcg(logits + row * n + i);
  if (a.sigmoid) {
    for (int i = lane; i < n; i += kWarp) scores[i] = 1.0f / (1.0f + expf(-scores[i]));
  } else {
    float m = -INFINITY, sum = 0;
    for (int i = lane; i < n; i += kWarp) m = fmaxf(m, scores[i]);
    m = WarpMax(m);
    for (int i = lane; i < n; i += kWarp) sum += scores[i] = expf(scores[i] - m);
    sum = WarpSum(sum);
    for (int i = lane; i < n; i += kWarp) scores[i] = scores[i] / sum;
  }
  for (int i = lane; i < n; i += kWarp) {
    choice[i] = bias == nullptr ? scores[i] : scores[i] + bias[i];
    keys[i] = KeyOf(choice[i]);
  }
  __syncwarp();
  if (a.group_score != 0 && a.n_groups > 1) {
    const int size = n / a.n_groups;
    for (int g = lane; g < a.n_groups; g += kWarp) {
      float first = -INFINITY, second = -INFINITY;
      for (int i = g * size; i < (g + 1) * size; ++i) {
        if (choice[i] > first) {
          second = first;
          first = choice[i];
        } else if (choice[i] > second) {
          second = choice[i];
        }
      }
      groups[g] = KeyOf(a.group_score == 1 || size == 1 ? first : first + second);
    }
    __syncwarp();
    for (int i = 0; i < a.top_groups; ++i) TakeBest(groups, a.n_groups);
    for (int i = lane; i < n; i += kWarp) {
      if (groups[i / size] != kTaken) keys[i] = KeyOf(-INFINITY);
    }
    __syncwarp();
  }
  float sum = 0;
  for (int k = 0; k < a.top_k; ++k) {
    const int e = TakeBest(keys, n);
    sum += scores[e];
    if (lane == 0) chosen[k] = e;
  }
  __syncwarp();
  for (int k = lane; k < a.top_k; k += kWarp) {
    float w = scores[chosen[k]];
    if (a.normalise) w /= sum + 1e-20f;
    to.experts[row * a.top_k + k] = chosen[k];
    to.weights[row * a.top_k + k] = w * a.scale;
  }
}

}  // namespace hadal::CUDA_NAMESPACE
