// The gate of a mixture of experts, a warp per token; the rules of cpu/cpu_router.cc: the bias only
// chooses, masked groups are -inf, ties go to the lowest id, NaN never beats a number.
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

// Keys in the order of values: NaN below all numbers, what is taken below NaN.
constexpr uint32_t kTaken = 0, kNan = 1;
__device__ uint32_t KeyOf(float value) {
  if (value != value) return kNan;
  const uint32_t bits = __float_as_uint(value + 0.0f);  // one zero
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

// The lowest of the largest of `keys`; it is taken then. All lanes get it.
__device__ int TakeBest(uint32_t* keys, int n) {
  const int lane = static_cast<int>(threadIdx.x);
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

__global__ void RouteKernel(RouterShape a, const float* logits, const float* bias, int32_t* experts,
                            float* weights) {
  LetNextBegin();
  WaitForInputs();
  const int lane = static_cast<int>(threadIdx.x), n = static_cast<int>(a.experts);
  const int64_t row = blockIdx.x;
  auto* scores = reinterpret_cast<float*>(SharedMemory());
  float* choice = scores + n;
  auto* keys = reinterpret_cast<uint32_t*>(choice + n);
  uint32_t* groups = keys + n;
  auto* chosen = reinterpret_cast<int32_t*>(groups + a.n_groups);

  for (int i = lane; i < n; i += kWarp) scores[i] = logits[row * n + i];
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
    experts[row * a.top_k + k] = chosen[k];
    weights[row * a.top_k + k] = w * a.scale;
  }
}

}  // namespace

void Route(Stream& s, const RouterShape& shape, const float* logits, const float* bias,
           int32_t* experts, float* weights) {
  const auto n = static_cast<size_t>(shape.experts), groups = static_cast<size_t>(shape.n_groups);
  const size_t shared = (3 * n + groups + static_cast<size_t>(shape.top_k)) * sizeof(float);
  Launch(s, dim3(static_cast<unsigned>(shape.rows)), kWarp, shared, RouteKernel, shape, logits,
         bias, experts, weights);
}

}  // namespace hadal::CUDA_NAMESPACE
