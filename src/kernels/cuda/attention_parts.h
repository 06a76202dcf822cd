// Owns: how a row's keys are split into parts, where a part's result waits, and the join of the
// parts in their order. A split follows from the keys that the row sees and from the model's shape,
// so a row's result depends on nothing else. Only .cu files of attention include this.
// Scores are in units of log2: queries are multiplied by scale * log2(e).
#pragma once

#include "kernels/cuda/swizzled_rows.h"

namespace hadal::CUDA_NAMESPACE {

constexpr float kLog2E = 1.4426950408889634f;

// Parts of a whole number of `step` keys, at least `least` keys, at most `most` parts. Rows that
// see more than `wide` keys take parts of at least twice as many. Only parts of `large` keys may be
// more than `few`.
struct SplitRule {
  int step = 1, least = 1, most = 1, wide = 1 << 30;
  int few = most, large = 1;
};
__device__ __host__ constexpr int SplitKeys(const SplitRule& rule, int visible) {
  const int least = visible > rule.wide ? 2 * rule.least : rule.least;
  const int of_few = CeilDiv(visible, rule.few), of_most = CeilDiv(visible, rule.most);
  const int wanted = of_few < rule.large ? of_few : rule.large > of_most ? rule.large : of_most;
  const int keys = CeilDiv(wanted, rule.step) * rule.step;
  return keys > least ? keys : least;
}
__device__ __host__ constexpr int SplitsOf(const SplitRule& rule, int visible) {
  return CeilDiv(visible, SplitKeys(rule, visible));
}
// Of every row that sees up to this many keys.
constexpr int64_t MostSplits(const SplitRule& rule, int64_t visible) {
  const int64_t narrow = CeilDiv<int64_t>(visible < rule.wide ? visible : rule.wide, rule.least);
  const int64_t wide = visible > rule.wide ? CeilDiv<int64_t>(visible, 2 * rule.least) : 0;
  const int64_t parts = narrow > wide ? narrow : wide;
  int64_t most = rule.few;
  if (visible > int64_t{rule.few} * rule.large) {
    most = CeilDiv<int64_t>(visible, rule.large);
    if (most > rule.most) most = rule.most;
  }
  return parts < most ? parts : most;
}

// Parts of `heads` heads that share a block: sums [split][head][v_dim], then the largest score and
// the sum of the weights [split][head][2].
__device__ __host__ inline int64_t PartFloats(int64_t parts, int64_t heads, int64_t v_dim) {
  return CeilDiv<int64_t>(parts * heads * (v_dim + 2), 4) * 4;
}
struct Parts {
  float* sums;
  float* states;
  int heads, v_dim;

  // space: null where every row is one part.
  __device__ Parts(float* space, int64_t group, int64_t parts, int heads_in, int v_dim_in)
      : sums(space == nullptr ? nullptr : space + group * PartFloats(parts, heads_in, v_dim_in)),
        states(space == nullptr ? nullptr : sums + parts * heads_in * v_dim_in),
        heads(heads_in),
        v_dim(v_dim_in) {}
  __device__ float* Sums(int split, int head) const {
    return sums + (int64_t{split} * heads + head) * v_dim;
  }
  __device__ float* State(int split, int head) const {
    return states + (int64_t{split} * heads + head) * 2;
  }
  __device__ float4 LoadSums(int split, int head, int d) const {
    return __ldcg(reinterpret_cast<const float4*>(Sums(split, head) + d));
  }
  __device__ float2 LoadState(int split, int head) const {
    return __ldcg(reinterpret_cast<const float2*>(State(split, head)));
  }
};

// The base of powers where the largest score is m: no key at all, or only scores of minus infinity,
// weigh nothing.
__device__ inline float BaseOf(float m) { return m == -INFINITY ? 0.0f : m; }

// A warp joins the n parts of a head: out [v_dim], of which a lane has four values from column d
// on; lanes beyond the columns have none. The parts are other blocks', so they are read from the
// L2. All loads of up to kTogether parts are under way before the first of them is needed.
constexpr int kMostParts = 2 * kWarp;
__device__ inline void JoinParts(const Parts& parts, int n, int head, int d, float* out) {
  constexpr int kTogether = 8;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool mine = d < parts.v_dim;
  float4 values[kTogether];
  const auto load = [&](int first) {
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      values[i] = {0, 0, 0, 0};
      if (mine && first + i < n) values[i] = parts.LoadSums(first + i, head, d);
    }
  };
  load(0);
  const auto state_of = [&](int part) {
    return part < n ? parts.LoadState(part, head) : float2{-INFINITY, 0};
  };
  const float2 low = state_of(lane), high = state_of(lane + kWarp);
  const float base = BaseOf(WarpMax(fmaxf(low.x, high.x)));
  const float weights[2] = {Exp2(low.x - base), Exp2(high.x - base)};
  const float l = WarpSum(fmaf(weights[1], high.y, weights[0] * low.y));
  float4 sum = {0, 0, 0, 0};
  for (int first = 0; first < n; first += kTogether) {
    if (first > 0) load(first);
    const float weight = first < kWarp ? weights[0] : weights[1];
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      const float w = __shfl_sync(~0u, weight, first % kWarp + i);
      sum.x = fmaf(w, values[i].x, sum.x);
      sum.y = fmaf(w, values[i].y, sum.y);
      sum.z = fmaf(w, values[i].z, sum.z);
      sum.w = fmaf(w, values[i].w, sum.w);
    }
  }
  if (!mine) return;
  const float one = 1.0f / l;
  *reinterpret_cast<float4*>(out + d) = {sum.x * one, sum.y * one, sum.z * one, sum.w * one};
}

// ---- rows of the cache

// The slot of a position of a sequence, for block tables read once per tile.
__device__ inline int SlotOf(const RowIndex& index, const int32_t* table, int position) {
  const int block = position / index.block_tokens;
  return __ldg(table + block) * index.block_tokens + position - block * index.block_tokens;
}

// What is done with a row of a tile that is no slot of the cache.
constexpr int kZeros = -1, kAsItIs = -2;
// The keys `from` .. to - 1 of a part that ends at `end`: of positions beyond it zeros are made,
// others are left as they are.
struct KeyRange {
  int from, to, end;
};
__device__ inline int SlotIn(const RowIndex& index, const int32_t* table, const KeyRange& keys,
                             int position) {
  if (position >= keys.end) return keys.to == keys.end ? kZeros : kAsItIs;  // once
  if (position < keys.from || position >= keys.to) return kAsItIs;
  return SlotOf(index, table, position);
}

// Two floats as bf16 pairs: what rounding leaves of `high` is in `low`.
struct TwoParts {
  uint32_t high, low;
};
__device__ inline TwoParts SplitBf16(float a, float b) {
  const uint32_t high = PackBf16(a, b);
  return {high, PackBf16(a - Bf16Low(high), b - Bf16High(high))};
}
// The sum of a product's two parts: an infinite one is the whole product (0 times infinity is not).
__device__ inline float JoinScore(float high, float low) {
  return fabsf(high) < INFINITY ? high + low : high;
}

__device__ inline float QuadMax(float v) {
  v = fmaxf(v, __shfl_xor_sync(~0u, v, 1));
  return fmaxf(v, __shfl_xor_sync(~0u, v, 2));
}
__device__ inline float QuadSum(float v) {
  v += __shfl_xor_sync(~0u, v, 1);
  return v + __shfl_xor_sync(~0u, v, 2);
}

}  // namespace hadal::CUDA_NAMESPACE
