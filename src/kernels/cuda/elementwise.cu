// Operations on the rows of a step. A block per row where a row is reduced; sums in the order that
// the row's length and the block's fixed size give.
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 256;

__global__ void RmsNormKernel(float* x, const float* delta, const float* weight, float eps,
                              int64_t n, float* out) {
  LetNextBegin();
  WaitForInputs();
  float* shared = reinterpret_cast<float*>(SharedMemory());
  float* row = x + int64_t{blockIdx.x} * n;
  const float* add = delta == nullptr ? nullptr : delta + int64_t{blockIdx.x} * n;
  float sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    float v = row[i];
    if (add != nullptr) row[i] = v += add[i];
    sum = fmaf(v, v, sum);
  }
  const float mean = BlockSum(sum, shared) / static_cast<float>(n);
  const float scale = 1.0f / sqrtf(mean + eps);
  float* to = out + int64_t{blockIdx.x} * n;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) to[i] = row[i] * scale * weight[i];
}

__global__ void AddKernel(float* x, const float* delta, int64_t n) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) x[i] += delta[i];
}

__global__ void SwiGluKernel(const float* both, int64_t n, float* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = int64_t{blockIdx.y} * kThreads + threadIdx.x, row = blockIdx.x;
  if (i >= n) return;
  const float gate = both[row * 2 * n + i], up = both[row * 2 * n + n + i];
  out[row * n + i] = gate / (1.0f + expf(-gate)) * up;
}

__global__ void RopeKernel(float* x, RopeShape shape, const float* cos, const float* sin,
                           const int32_t* positions) {
  LetNextBegin();
  WaitForInputs();
  const int64_t half = shape.dims / 2;
  const int64_t i = int64_t{blockIdx.y} * kThreads + threadIdx.x, row = blockIdx.x;
  if (i >= shape.heads * half) return;
  const int64_t head = i / half, pair = i % half;
  float* v = x + (row * shape.heads + head) * shape.head_dim + shape.offset;
  const int64_t a = shape.adjacent ? 2 * pair : pair, b = shape.adjacent ? a + 1 : a + half;
  const int64_t at = positions[row] * half + pair;
  const float c = cos[at], d = sin[at], first = v[a], second = v[b];
  v[a] = first * c - second * d;
  v[b] = second * c + first * d;
}

__global__ void GatherRowsKernel(const float* x, int64_t n, const int32_t* rows, float* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = int64_t{blockIdx.y} * kThreads + threadIdx.x, row = blockIdx.x;
  if (i < n) out[row * n + i] = x[rows[row] * n + i];
}

__global__ void StoreKvKernel(const float* src, int64_t ld, int64_t from, int64_t n,
                              const int32_t* slots, int64_t at, Cache cache) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = int64_t{blockIdx.y} * kThreads + threadIdx.x, row = blockIdx.x;
  if (i >= n) return;
  const float v = src[row * ld + from + i];
  const int64_t to = slots[row] * cache.width + at + i;
  if (cache.bf16) {
    static_cast<uint16_t*>(cache.data)[to] = FloatToBf16(v);
  } else {
    static_cast<float*>(cache.data)[to] = v;
  }
}

__global__ void CombineExpertsKernel(const float* parts, const float* weights, int top_k, int64_t n,
                                     float* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = int64_t{blockIdx.y} * kThreads + threadIdx.x, row = blockIdx.x;
  if (i >= n) return;
  float sum = out[row * n + i];
  for (int k = 0; k < top_k; ++k) {
    sum += weights[row * top_k + k] * parts[(row * top_k + k) * n + i];
  }
  out[row * n + i] = sum;
}

__global__ void RoundRowsKernel(const float* x, int64_t ld, int64_t cols, uint16_t* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * 2, row = blockIdx.x;
  if (i >= cols) return;
  const float* from = x + row * ld + i;
  if (i + 1 < cols) {
    const uint32_t two = PackBf16(from[0], from[1]);
    out[row * cols + i] = static_cast<uint16_t>(two & 0xffff);
    out[row * cols + i + 1] = static_cast<uint16_t>(two >> 16);
  } else {
    out[row * cols + i] = FloatToBf16(from[0]);
  }
}

// Blocks of kThreads over n values of every row.
dim3 Grid(int64_t n, int64_t rows) {
  return dim3(static_cast<unsigned>(rows), static_cast<unsigned>(CeilDiv<int64_t>(n, kThreads)));
}
constexpr size_t kSumBytes = kWarp * sizeof(float);

}  // namespace

void RmsNorm(Stream& s, const float* x, const float* weight, float eps, int64_t rows, int64_t n,
             float* out) {
  Launch(s, dim3(static_cast<unsigned>(rows)), kThreads, kSumBytes, RmsNormKernel,
         const_cast<float*>(x), static_cast<const float*>(nullptr), weight, eps, n, out);
}
void AddRmsNorm(Stream& s, float* x, const float* delta, const float* weight, float eps,
                int64_t rows, int64_t n, float* out) {
  Launch(s, dim3(static_cast<unsigned>(rows)), kThreads, kSumBytes, RmsNormKernel, x, delta, weight,
         eps, n, out);
}
void Add(Stream& s, float* x, const float* delta, int64_t n) {
  Launch(s, dim3(static_cast<unsigned>(CeilDiv<int64_t>(n, kThreads))), kThreads, 0, AddKernel, x,
         delta, n);
}
void SwiGlu(Stream& s, const float* both, int64_t rows, int64_t n, float* out) {
  Launch(s, Grid(n, rows), kThreads, 0, SwiGluKernel, both, n, out);
}
void Rope(Stream& s, float* x, const RopeShape& shape, const float* cos, const float* sin,
          const int32_t* positions) {
  Launch(s, Grid(shape.heads * shape.dims / 2, shape.rows), kThreads, 0, RopeKernel, x, shape, cos,
         sin, positions);
}
void GatherRows(Stream& s, const float* x, int64_t n, const int32_t* rows, int64_t count,
                float* out) {
  Launch(s, Grid(n, count), kThreads, 0, GatherRowsKernel, x, n, rows, out);
}
void StoreKv(Stream& s, const float* src, int64_t ld, int64_t from, int64_t n, int64_t rows,
             const int32_t* slots, int64_t at, const Cache& cache) {
  Launch(s, Grid(n, rows), kThreads, 0, StoreKvKernel, src, ld, from, n, slots, at, cache);
}
void CombineExperts(Stream& s, const float* parts, const float* weights, int64_t rows, int top_k,
                    int64_t n, float* out) {
  Launch(s, Grid(n, rows), kThreads, 0, CombineExpertsKernel, parts, weights, top_k, n, out);
}
void RoundRows(Stream& s, const float* x, int64_t ld, int64_t rows, int64_t cols, uint16_t* out) {
  Launch(s, Grid(CeilDiv<int64_t>(cols, 2), rows), kThreads, 0, RoundRowsKernel, x, ld, cols, out);
}

}  // namespace hadal::CUDA_NAMESPACE
