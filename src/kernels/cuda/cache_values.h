// Owns: values of the cache: where they lie and how they are stored.
// A scale is a power of two, so that a code times its scale is a bf16 value, exactly. A group with
// a value that is not finite has the scale NaN. Only .cu files include this.
#pragma once

#include "kernels/cuda/fp8_codes.h"

namespace hadal::CUDA_NAMESPACE {

// Powers of two that scales may be; kCodeBias more must be one of bf16.
constexpr int kLeastScale = -100, kMostScale = 127 - kCodeBias;
// The scale of a group whose largest magnitude is `most`.
__device__ inline float ScaleOf(float most) {
  const int e = static_cast<int>(__float_as_uint(most) >> 23) - 127;
  // 2^e * 1.75 fills the codes of the scale 2^(e - 8).
  const int k = e - 8 + (most > __uint_as_float(static_cast<uint32_t>(e + 127) << 23) * 1.75f);
  const int within = min(max(k, kLeastScale), kMostScale);
  return __uint_as_float(static_cast<uint32_t>(within + 127) << 23);
}

// ---- rows

__device__ inline uint8_t* RowOf(const Cache& c, int64_t slot) {
  return static_cast<uint8_t*>(c.data) + slot * c.row_bytes;
}
__device__ inline float ScaleAt(const Cache& c, const uint8_t* row, int column) {
  return reinterpret_cast<const float*>(row + c.scales_at)[column / c.group];
}

__device__ inline float ReadCache(const Cache& c, int64_t slot, int column) {
  const uint8_t* row = RowOf(c, slot);
  if (c.form == CacheForm::kF32) return reinterpret_cast<const float*>(row)[column];
  if (c.form == CacheForm::kBf16) {
    return Bf16ToFloat(reinterpret_cast<const uint16_t*>(row)[column]);
  }
  if (column >= c.codes) {
    return Bf16ToFloat(reinterpret_cast<const uint16_t*>(row + c.kept_at)[column - c.codes]);
  }
  return Bf16Low(SmallBf16(uint32_t{row[column]} << 8)) * 0x1p120f * ScaleAt(c, row, column);
}

// Eight values as bf16, from a column that is a multiple of 8, as groups are.
__device__ inline uint4 ReadRounded(const Cache& c, int64_t slot, int column) {
  const uint8_t* row = RowOf(c, slot);
  if (c.form == CacheForm::kF32) {
    const auto* from = reinterpret_cast<const float4*>(row + int64_t{column} * 4);
    const float4 a = from[0], b = from[1];
    return {PackBf16(a.x, a.y), PackBf16(a.z, a.w), PackBf16(b.x, b.y), PackBf16(b.z, b.w)};
  }
  if (c.form == CacheForm::kBf16) {
    return *reinterpret_cast<const uint4*>(row + int64_t{column} * 2);
  }
  if (column >= c.codes) {
    return *reinterpret_cast<const uint4*>(row + c.kept_at + (column - c.codes) * 2);
  }
  const float scale = ScaleAt(c, row, column);
  return CodesToBf16(*reinterpret_cast<const uint2*>(row + column), CodeFactors(scale, scale));
}

// A warp's group: n values.
__device__ inline void StoreGroup(const float* values, int n, uint8_t* codes, float* scale) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float most = 0;
  bool good = true;
  for (int i = lane; i < n; i += kWarp) {
    good = good && fabsf(values[i]) < INFINITY;  // NaN is not
    most = fmaxf(most, fabsf(values[i]));
  }
  const float by = ScaleOf(WarpMax(most));
  const bool all = __ballot_sync(~0u, good) == ~0u;
  for (int i = lane; i < n; i += kWarp) codes[i] = all ? FloatToCode(values[i] / by) : 0;
  if (lane == 0) *scale = all ? by : __uint_as_float(0x7fc00000);
}
// n values of a row, from column `at` on: whole groups, kept values, or both. By whole warps, of
// whose `threads` this is one.
__device__ inline void StoreColumns(const Cache& c, int64_t slot, int at, int n,
                                    const float* values, int thread, int threads) {
  uint8_t* row = RowOf(c, slot);
  if (c.form == CacheForm::kFp8) {
    const int end = min(at + n, c.codes);
    for (int from = at + thread / kWarp * c.group; from < end; from += threads / kWarp * c.group) {
      StoreGroup(values + from - at, min(c.group, c.codes - from), row + from,
                 reinterpret_cast<float*>(row + c.scales_at) + from / c.group);
    }
    const int coded = max(end - at, 0);
    auto* kept = reinterpret_cast<uint16_t*>(row + c.kept_at);
    for (int i = coded + thread; i < n; i += threads) {
      kept[at + i - c.codes] = FloatToBf16(values[i]);
    }
    return;
  }
  for (int i = thread; i < n; i += threads) {
    if (c.form == CacheForm::kBf16) {
      reinterpret_cast<uint16_t*>(row)[at + i] = FloatToBf16(values[i]);
    } else {
      reinterpret_cast<float*>(row)[at + i] = values[i];
    }
  }
}

}  // namespace hadal::CUDA_NAMESPACE
