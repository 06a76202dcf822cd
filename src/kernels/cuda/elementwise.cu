// Operations on the rows of a step. A block per row where a row is reduced; sums in the order that
// the row's length and the block's fixed size give.
#include "kernels/cuda/activation_groups.h"
#include "kernels/cuda/cache_values.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 256;

// v + weights[row][k] * parts[row][k] for all k, of columns `at` .. of a row of n.
template <class V>
__device__ V AddExperts(V v, const ExpertSum& experts, int64_t row, int64_t n, int64_t at) {
  if (experts.parts == nullptr) return v;
  const float* weights = experts.weights + row * experts.top_k;
  const float* parts = experts.parts + row * experts.top_k * n + at;
#pragma unroll 4
  for (int k = 0; k < experts.top_k; ++k) {
    const V part = *reinterpret_cast<const V*>(parts + k * n);
    const float by = weights[k];
    if constexpr (sizeof(V) == sizeof(float)) {
      v += by * part;
    } else {
      v = {v.x + by * part.x, v.y + by * part.y, v.z + by * part.z, v.w + by * part.w};
    }
  }
  return v;
}

// A warp's tile of a row, which begins at value `at` of all rows, as the integers that are wanted.
__device__ void CopyIntegers(const float4& v, const RowCopies& copies, int64_t at) {
  const int64_t info = at / block_planes::kTileK * 16;
  if (copies.one.high != nullptr) {
    WriteTile<1, GroupSums::kHalves>(v, {copies.one.high + at, nullptr, copies.one.groups + info});
  }
  if (copies.two.high != nullptr) {
    WriteTile<2, GroupSums::kHalves>(
        v, {copies.two.high + at, copies.two.low + at, copies.two.groups + info});
  }
}

// Four values at a time, kFours of them in a thread's registers; n is a multiple of four, and the
// block has room for all of them.
constexpr int kMostNormThreads = 512, kMostNormed = 16 * kMostNormThreads;
template <int kFours, bool kAdds>
__global__ void __launch_bounds__(kMostNormThreads)
    RmsNormKernel(float* x, const float* delta, ExpertSum experts, const float* weight, float eps,
                  int n, float* out, const __grid_constant__ RowCopies copies) {
  LetNextBegin();
  const int threads = static_cast<int>(blockDim.x), fours = n / 4;
  const auto* w = reinterpret_cast<const float4*>(weight);
  float4 v[kFours], factor[kFours];
  for (int i = 0; i < kFours; ++i) {
    const int at = i * threads + static_cast<int>(threadIdx.x);
    v[i] = {0, 0, 0, 0};
    if (at < fours) factor[i] = w[at];
  }
  WaitForInputs();
  auto* row = reinterpret_cast<float4*>(x + int64_t{blockIdx.x} * n);
  const auto* add = kAdds ? reinterpret_cast<const float4*>(delta + int64_t{blockIdx.x} * n) : row;
  float4 more[kFours];
  for (int i = 0; i < kFours; ++i) {
    const int at = i * threads + static_cast<int>(threadIdx.x);
    if (at >= fours) continue;
    v[i] = row[at];
    if constexpr (kAdds) more[i] = AddExperts(add[at], experts, blockIdx.x, n, 4 * at);
  }
  float sum = 0;
  for (int i = 0; i < kFours; ++i) {
    const int at = i * threads + static_cast<int>(threadIdx.x);
    if (kAdds && at < fours) {
      v[i] = {v[i].x + more[i].x, v[i].y + more[i].y, v[i].z + more[i].z, v[i].w + more[i].w};
      row[at] = v[i];
    }
    sum = fmaf(v[i].x, v[i].x, sum);
    sum = fmaf(v[i].y, v[i].y, sum);
    sum = fmaf(v[i].z, v[i].z, sum);
    sum = fmaf(v[i].w, v[i].w, sum);
  }
  float* shared = reinterpret_cast<float*>(SharedMemory());
  const float scale = 1.0f / sqrtf(BlockSum(sum, shared) / static_cast<float>(n) + eps);
  auto* to = reinterpret_cast<float4*>(out + int64_t{blockIdx.x} * n);
  for (int i = 0; i < kFours; ++i) {
    const int at = i * threads + static_cast<int>(threadIdx.x);
    if (at >= fours) continue;
    v[i] = {v[i].x * scale * factor[i].x, v[i].y * scale * factor[i].y,
            v[i].z * scale * factor[i].z, v[i].w * scale * factor[i].w};
    to[at] = v[i];
    const int64_t first = int64_t{blockIdx.x} * n;
    if (copies.rounded != nullptr) {
      reinterpret_cast<uint2*>(copies.rounded + first)[at] = {PackBf16(v[i].x, v[i].y),
                                                              PackBf16(v[i].z, v[i].w)};
    }
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    CopyIntegers(v[i], copies, first + 4 * (at - lane));  // whole tiles: the warp is here
  }
}

// Any n.
__global__ void PlainRmsNormKernel(float* x, const float* delta, ExpertSum experts,
                                   const float* weight, float eps, int64_t n, float* out,
                                   uint16_t* rounded) {
  LetNextBegin();
  WaitForInputs();
  float* shared = reinterpret_cast<float*>(SharedMemory());
  float* row = x + int64_t{blockIdx.x} * n;
  const float* add = delta == nullptr ? nullptr : delta + int64_t{blockIdx.x} * n;
  float sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    float v = row[i];
    if (add != nullptr) row[i] = v += AddExperts(add[i], experts, blockIdx.x, n, i);
    sum = fmaf(v, v, sum);
  }
  const float mean = BlockSum(sum, shared) / static_cast<float>(n);
  const float scale = 1.0f / sqrtf(mean + eps);
  const int64_t first = int64_t{blockIdx.x} * n;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    const float v = row[i] * scale * weight[i];
    out[first + i] = v;
    if (rounded != nullptr) rounded[first + i] = FloatToBf16(v);
  }
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
  out[row * n + i] = Gate(gate, up);
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

__global__ void StoreKvKernel(const float* src, int64_t ld, int n, const int32_t* slots, int at,
                              Cache cache) {
  LetNextBegin();
  WaitForInputs();
  StoreColumns(cache, slots[blockIdx.x], at, n, src + blockIdx.x * ld,
               static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x));
}

__global__ void CombineExpertsKernel(ExpertSum experts, int64_t n, float* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = int64_t{blockIdx.y} * kThreads + threadIdx.x, row = blockIdx.x;
  if (i < n) out[row * n + i] = AddExperts(out[row * n + i], experts, row, n, i);
}

// Blocks of kThreads over n values of every row.
dim3 Grid(int64_t n, int64_t rows) {
  return dim3(static_cast<unsigned>(rows), static_cast<unsigned>(CeilDiv<int64_t>(n, kThreads)));
}
constexpr size_t kSumBytes = kWarp * sizeof(float);

}  // namespace

namespace {

template <bool kAdds>
void LaunchRmsNorm(Stream& s, float* x, const float* delta, const ExpertSum& experts,
                   const float* weight, float eps, int64_t rows, int64_t n, float* out,
                   const RowCopies& copies) {
  const auto grid = dim3(static_cast<unsigned>(rows));
  const auto launch = [&](int fours, auto kernel) {
    const int64_t threads = CeilDiv<int64_t>(CeilDiv<int64_t>(n, 4), fours);
    Launch(s, grid, static_cast<int>(CeilDiv<int64_t>(threads, kWarp) * kWarp), kSumBytes, kernel,
           x, delta, experts, weight, eps, static_cast<int>(n), out, copies);
  };
  if (n % 4 != 0 || n > kMostNormed) {
    Launch(s, grid, kThreads, kSumBytes, PlainRmsNormKernel, x, delta, experts, weight, eps, n, out,
           copies.rounded);
  } else if (n <= 4 * kMostNormThreads) {
    launch(1, RmsNormKernel<1, kAdds>);
  } else if (n <= 8 * kMostNormThreads) {
    launch(2, RmsNormKernel<2, kAdds>);
  } else {
    launch(4, RmsNormKernel<4, kAdds>);
  }
}

}  // namespace

void RmsNorm(Stream& s, const float* x, const float* weight, float eps, int64_t rows, int64_t n,
             float* out, const RowCopies& copies) {
  LaunchRmsNorm<false>(s, const_cast<float*>(x), nullptr, {}, weight, eps, rows, n, out, copies);
}
bool NormsCopyIntegers(int64_t n) { return n % block_planes::kTileK == 0 && n <= kMostNormed; }
void AddRmsNorm(Stream& s, float* x, const float* delta, const ExpertSum& experts,
                const float* weight, float eps, int64_t rows, int64_t n, float* out,
                const RowCopies& copies) {
  LaunchRmsNorm<true>(s, x, delta, experts, weight, eps, rows, n, out, copies);
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
  Launch(s, dim3(static_cast<unsigned>(rows)), kThreads, 0, StoreKvKernel, src + from, ld,
         static_cast<int>(n), slots, static_cast<int>(at), cache);
}
void CombineExperts(Stream& s, const ExpertSum& experts, int64_t rows, int64_t n, float* out) {
  Launch(s, Grid(n, rows), kThreads, 0, CombineExpertsKernel, experts, n, out);
}

}  // namespace hadal::CUDA_NAMESPACE
