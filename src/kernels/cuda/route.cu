// The gate of a mixture of experts, a warp per token; the rules of cpu/cpu_router.cc: the bias only
// chooses, masked groups are -inf, ties go to the lowest id, NaN never beats a number.
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

struct Best {
  float value;
  int id;
};

// Whether b goes before a.
__device__ bool Better(const Best& a, const Best& b) {
  if (b.id < 0) return false;
  if (a.id < 0) return true;
  const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
  if (a_nan != b_nan) return a_nan;
  if (!a_nan && a.value != b.value) return b.value > a.value;
  return b.id < a.id;
}

// The best of `values` that is not taken; it is taken then. All lanes get it.
__device__ int TakeBest(const float* values, int n, uint8_t* taken) {
  const int lane = static_cast<int>(threadIdx.x);
  Best best = {0, -1};
  for (int i = lane; i < n; i += kWarp) {
    const Best other = {values[i], taken[i] ? -1 : i};
    if (Better(best, other)) best = other;
  }
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const Best other = {__shfl_xor_sync(~0u, best.value, step),
                        __shfl_xor_sync(~0u, best.id, step)};
    if (Better(best, other)) best = other;
  }
  __syncwarp();
  if (lane == 0) taken[best.id] = 1;
  __syncwarp();
  return best.id;
}

__global__ void RouteKernel(RouterShape a, const float* logits, const float* bias, int32_t* experts,
                            float* weights) {
  LetNextBegin();
  WaitForInputs();
  const int lane = static_cast<int>(threadIdx.x), n = static_cast<int>(a.experts);
  const int64_t row = blockIdx.x;
  logits += row * n;
  auto* scores = reinterpret_cast<float*>(SharedMemory());
  float *choice = scores + n, *group = choice + n;
  auto* taken = reinterpret_cast<uint8_t*>(group + a.n_groups);
  uint8_t* kept = taken + n;

  if (a.sigmoid) {
    for (int i = lane; i < n; i += kWarp) scores[i] = 1.0f / (1.0f + expf(-logits[i]));
  } else {
    float m = -INFINITY, sum = 0;
    for (int i = lane; i < n; i += kWarp) m = fmaxf(m, logits[i]);
    m = WarpMax(m);
    for (int i = lane; i < n; i += kWarp) sum += scores[i] = expf(logits[i] - m);
    sum = WarpSum(sum);
    for (int i = lane; i < n; i += kWarp) scores[i] = scores[i] / sum;
  }
  for (int i = lane; i < n; i += kWarp) {
    choice[i] = bias == nullptr ? scores[i] : scores[i] + bias[i];
    taken[i] = 0;
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
      group[g] = a.group_score == 1 || size == 1 ? first : first + second;
      kept[g] = 0;
    }
    __syncwarp();
    for (int i = 0; i < a.top_groups; ++i) TakeBest(group, a.n_groups, kept);
    for (int i = lane; i < n; i += kWarp) {
      if (!kept[i / size]) choice[i] = -INFINITY;
    }
    __syncwarp();
  }
  float sum = 0;
  for (int k = 0; k < a.top_k; ++k) {
    const int e = TakeBest(choice, n, taken);
    sum += scores[e];
    if (lane == 0) {
      experts[row * a.top_k + k] = e;
      weights[row * a.top_k + k] = scores[e];
    }
  }
  __syncwarp();
  for (int k = lane; k < a.top_k; k += kWarp) {
    float w = scores[experts[row * a.top_k + k]];
    if (a.normalise) w /= sum + 1e-20f;
    weights[row * a.top_k + k] = w * a.scale;
  }
}

}  // namespace

void Route(Stream& s, const RouterShape& shape, const float* logits, const float* bias,
           int32_t* experts, float* weights) {
  const auto n = static_cast<size_t>(shape.experts), groups = static_cast<size_t>(shape.n_groups);
  const size_t shared = (2 * n + groups) * sizeof(float) + n + groups;
  Launch(s, dim3(static_cast<unsigned>(shape.rows)), kWarp, shared, RouteKernel, shape, logits,
         bias, experts, weights);
}

}  // namespace hadal::CUDA_NAMESPACE
