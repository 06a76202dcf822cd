// Attention of single rows for every shape and cache that has no kernel of its own. A block takes
// one row, up to 16 heads that share a key (fewer where their shared memory would not fit), and one
// part of the keys; a second kernel joins the parts in their order.
#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/attention_parts.h"
#include "kernels/cuda/cache_values.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
constexpr int kHeads = 16;    // of a block, at most
constexpr int kKeys = kWarp;  // staged at a time
__device__ __host__ constexpr SplitRule Rule() { return {64, 64, 64}; }

struct Space {  // in shared memory, floats
  int64_t q, keys, values, scores, out, state, all;
};
__device__ __host__ Space SpaceOf(const AttentionShape& a, bool shared_values, int most_heads) {
  Space s = {};
  s.keys = most_heads * a.k_dim;
  s.values = shared_values ? s.keys : s.keys + kKeys * (a.k_dim + 1);
  s.scores = shared_values ? s.keys + kKeys * (a.k_dim + 1) : s.values + kKeys * (a.v_dim + 1);
  s.out = s.scores + most_heads * kKeys;
  s.state = s.out + most_heads * a.v_dim;
  s.all = s.state + 3 * most_heads;
  return s;
}

// Rows first .. first + n - 1 of a sequence, columns from `column`, as floats with a stride of
// cols + 1; zeros for rows beyond n.
__device__ void Stage(const Cache& c, const RowIndex& index, const int32_t* table, int64_t first,
                      int64_t n, int64_t column, int64_t cols, float* to) {
  for (int64_t i = threadIdx.x; i < kKeys * cols; i += kThreads) {
    const int64_t key = i / cols, d = i % cols, position = first + key;
    float v = 0;
    if (key < n) {
      const int64_t slot = int64_t{table[position / index.block_tokens]} * index.block_tokens +
                           position % index.block_tokens;
      v = ReadCache(c, slot, static_cast<int>(column + d));
    }
    to[key * (cols + 1) + d] = v;
  }
}

// out [v_dim], then the largest score and the sum, when the row has several parts.
__global__ void AttendKernel(AttentionShape a, Queries q, Cache k, Cache v, RowIndex index,
                             int64_t parts, int most_heads, float* space, float* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t row = blockIdx.z, split = blockIdx.x;
  const int64_t head_blocks = CeilDiv<int64_t>(a.group, most_heads);
  const int64_t kv = blockIdx.y / head_blocks, head0 = blockIdx.y % head_blocks * most_heads;
  const int64_t heads = min(int64_t{most_heads}, a.group - head0);
  const int64_t visible = index.rows[row].visible;
  const int64_t per_split = SplitKeys(Rule(), static_cast<int>(visible));
  const int64_t begin = split * per_split, end = min(begin + per_split, visible);
  if (begin >= end) return;
  const int32_t* table = index.tables + index.rows[row].table_at;
  const bool shared_values = k.data == v.data;
  const Space s = SpaceOf(a, shared_values, most_heads);
  float* memory = reinterpret_cast<float*>(SharedMemory());
  float *qs = memory + s.q, *keys = memory + s.keys, *values = memory + s.values;
  float *scores = memory + s.scores, *sums = memory + s.out, *state = memory + s.state;
  const int64_t value_stride = shared_values ? a.k_dim + 1 : a.v_dim + 1;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;

  const int64_t first_head = (row * a.n_kv + kv) * a.group + head0;
  for (int64_t i = threadIdx.x; i < heads * a.k_dim; i += kThreads) {
    const int64_t head = first_head + i / a.k_dim, d = i % a.k_dim;
    qs[i] = a.scale *
            (d < q.columns ? q.data[head * q.ld + d] : q.rest[head * q.rest_ld + d - q.columns]);
  }
  for (int64_t i = threadIdx.x; i < heads * a.v_dim; i += kThreads) sums[i] = 0;
  for (int64_t h = threadIdx.x; h < heads; h += kThreads) {
    state[h] = -INFINITY;
    state[most_heads + h] = 0;
  }
  for (int64_t first = begin; first < end; first += kKeys) {
    const int64_t n = min(int64_t{kKeys}, end - first);
    __syncthreads();
    Stage(k, index, table, first, n, kv * a.k_dim, a.k_dim, keys);
    if (!shared_values) Stage(v, index, table, first, n, kv * a.v_dim, a.v_dim, values);
    __syncthreads();
    for (int64_t h = warp; h < heads; h += kWarps) {
      float score = 0;
      for (int64_t d = 0; d < a.k_dim; ++d) {
        score = fmaf(qs[h * a.k_dim + d], keys[lane * (a.k_dim + 1) + d], score);
      }
      if (lane >= n) score = -INFINITY;
      const float m = fmaxf(state[h], WarpMax(score));
      const float p = lane < n ? expf(score - m) : 0.0f;
      scores[h * kKeys + lane] = p;
      const float sum = WarpSum(p), shrink = expf(state[h] - m);
      __syncwarp();
      if (lane == 0) {
        state[2 * most_heads + h] = shrink;
        state[most_heads + h] = state[most_heads + h] * shrink + sum;
        state[h] = m;
      }
    }
    __syncthreads();
    for (int64_t i = threadIdx.x; i < heads * a.v_dim; i += kThreads) {
      const int64_t h = i / a.v_dim, d = i % a.v_dim;
      float sum = sums[i] * state[2 * most_heads + h];
      for (int64_t j = 0; j < n; ++j) {
        sum = fmaf(scores[h * kKeys + j], values[j * value_stride + d], sum);
      }
      sums[i] = sum;
    }
  }
  __syncthreads();
  if (per_split >= visible) {
    for (int64_t i = threadIdx.x; i < heads * a.v_dim; i += kThreads) {
      out[first_head * a.v_dim + i] = sums[i] / state[most_heads + i / a.v_dim];
    }
    return;
  }
  for (int64_t h = 0; h < heads; ++h) {
    float* part = space + ((first_head + h) * parts + split) * (a.v_dim + 2);
    for (int64_t d = threadIdx.x; d < a.v_dim; d += kThreads) part[d] = sums[h * a.v_dim + d];
    if (threadIdx.x == 0) {
      part[a.v_dim] = state[h];
      part[a.v_dim + 1] = state[most_heads + h];
    }
  }
}

__global__ void JoinKernel(AttentionShape a, RowIndex index, int64_t parts, const float* space,
                           float* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t head = blockIdx.x, heads = a.n_kv * a.group, row = head / heads;
  const int64_t n = SplitsOf(Rule(), index.rows[row].visible), width = a.v_dim + 2;
  if (n == 1) return;
  const float* part = space + head * parts * width;
  float m = -INFINITY;
  for (int64_t i = 0; i < n; ++i) m = fmaxf(m, part[i * width + a.v_dim]);
  for (int64_t d = threadIdx.x; d < a.v_dim; d += kThreads) {
    float sum = 0, l = 0;
    for (int64_t i = 0; i < n; ++i) {
      const float w = expf(part[i * width + a.v_dim] - m);
      sum = fmaf(w, part[i * width + d], sum);
      l = fmaf(w, part[i * width + a.v_dim + 1], l);
    }
    out[head * a.v_dim + d] = sum / l;
  }
}

}  // namespace

AttentionMemory PlainSpace(const AttentionShape& a, int64_t most_visible) {
  const int64_t parts = MostSplits(Rule(), most_visible);
  return {parts == 1 ? 0 : a.rows * a.n_kv * a.group * parts * (a.v_dim + 2), 0};
}

void AttendPlain(Stream& s, const AttentionShape& shape, const Queries& q, const Cache& k,
                 const Cache& v, const RowIndex& index, const AttentionScratch& scratch,
                 float* out) {
  const int64_t parts = MostSplits(Rule(), index.most), heads = shape.n_kv * shape.group;
  const auto shared = [&](int most_heads) {
    return static_cast<size_t>(SpaceOf(shape, k.data == v.data, most_heads).all) * sizeof(float);
  };
  int most_heads = kHeads;
  while (most_heads > 1 && shared(most_heads) > s.most_shared) most_heads /= 2;
  const dim3 grid(static_cast<unsigned>(parts),
                  static_cast<unsigned>(shape.n_kv * CeilDiv<int64_t>(shape.group, most_heads)),
                  static_cast<unsigned>(shape.rows));
  Launch(s, grid, kThreads, shared(most_heads), AttendKernel, shape, q, k, v, index, parts,
         most_heads, scratch.parts, out);
  if (parts == 1) return;
  Launch(s, dim3(static_cast<unsigned>(shape.rows * heads)), kThreads, 0, JoinKernel, shape, index,
         parts, scratch.parts, out);
}

}  // namespace hadal::CUDA_NAMESPACE
