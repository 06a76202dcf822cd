// Heads on their way from their projection to attention: normed, rotated and stored in one kernel,
// a block per row and head.
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 128;

__device__ void StoreHead(const HeadPart& p, int64_t row, int64_t head, const float* values,
                          const int32_t* slots) {
  const bool stored = p.cache.data != nullptr;
  const int64_t to = stored ? slots[row] * p.cache.width + p.at + head * p.head_dim
                            : (row * p.heads + head) * p.head_dim;
  for (int64_t i = threadIdx.x; i < p.head_dim; i += kThreads) {
    if (!stored) {
      p.x[to + i] = values[i];
    } else if (p.cache.bf16) {
      static_cast<uint16_t*>(p.cache.data)[to + i] = FloatToBf16(values[i]);
    } else {
      static_cast<float*>(p.cache.data)[to + i] = values[i];
    }
  }
}

__global__ void HeadsKernel(HeadParts parts, const int32_t* positions, const int32_t* slots) {
  LetNextBegin();
  WaitForInputs();
  const int64_t row = blockIdx.x;
  int64_t head = blockIdx.y;
  int part = 0;
  while (head >= parts.part[part].heads) head -= parts.part[part++].heads;
  const HeadPart& p = parts.part[part];
  auto* scratch = reinterpret_cast<float*>(SharedMemory());
  float* values = scratch + kWarp;  // [head_dim]
  const float* from = p.x + (row * p.heads + head) * p.head_dim;
  float sum = 0;
  for (int64_t i = threadIdx.x; i < p.head_dim; i += kThreads) {
    values[i] = from[i];
    sum = fmaf(from[i], from[i], sum);
  }
  if (p.norm != nullptr) {
    const float mean = BlockSum(sum, scratch) / static_cast<float>(p.head_dim);
    const float scale = 1.0f / sqrtf(mean + p.eps);
    for (int64_t i = threadIdx.x; i < p.head_dim; i += kThreads) {
      values[i] = values[i] * scale * p.norm[i];
    }
  }
  __syncthreads();
  const int64_t half = p.rope.dims / 2;
  for (int64_t pair = threadIdx.x; pair < half; pair += kThreads) {
    const int64_t a = p.rope.offset + (p.rope.adjacent ? 2 * pair : pair);
    const int64_t b = p.rope.adjacent ? a + 1 : a + half, at = positions[row] * half + pair;
    const float c = p.cos[at], d = p.sin[at], first = values[a], second = values[b];
    values[a] = first * c - second * d;
    values[b] = second * c + first * d;
  }
  __syncthreads();
  StoreHead(p, row, head, values, slots);
}

}  // namespace

void PrepareHeads(Stream& s, const HeadParts& parts, int64_t rows, const int32_t* positions,
                  const int32_t* slots) {
  int64_t heads = 0, most = 0;
  for (int i = 0; i < parts.n; ++i) {
    heads += parts.part[i].heads;
    most = most > parts.part[i].head_dim ? most : parts.part[i].head_dim;
  }
  Launch(s, dim3(static_cast<unsigned>(rows), static_cast<unsigned>(heads)), kThreads,
         static_cast<size_t>(kWarp + most) * sizeof(float), HeadsKernel, parts, positions, slots);
}

}  // namespace hadal::CUDA_NAMESPACE
