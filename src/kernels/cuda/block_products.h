// Owns: what a warp does with a tile of weights in blocks (block_planes.h), whatever brings it: the
// exact integer products of a group on the matrix unit, and the one chain of float operations along
// k in which scales, zeros and mins are applied. All kernels take it, so a row has the same bits in
// each of them. Only .cu files include this.
#pragma once

#include "kernels/cuda/activation_groups.h"
#include "kernels/cuda/block_values.h"
#include "kernels/cuda/row_products.h"

namespace hadal::CUDA_NAMESPACE {

static_assert(kProductRows == planes::kTileRows);

// What the matrix instruction and the sums take of a group: rows lane / 4 and lane / 4 + 8.
struct GroupWeights {
  uint32_t a[4];
  GroupScales scales[2];
};

// What a lane has of a tile: the same rows.
template <int kType>
struct WeightTile {
  using Reader = BlockReader<kType>;
  typename Reader::Codes codes[2];
  typename Reader::RowScales scales[2];
  typename Reader::RowFactors factors[2];

  __device__ WeightTile(const Reader& tile, int lane) {
    for (int half = 0; half < 2; ++half) {
      codes[half] = tile.Load(half * kWarp + lane);
      scales[half] = tile.LoadScales(half * planes::kHalfRows + lane / 4);
      factors[half] = Reader::Factors(scales[half]);
    }
  }
  __device__ GroupWeights Group(int group) const {
    GroupWeights w;
    for (int i = 0; i < 4; ++i) {
      w.a[i] = static_cast<uint32_t>(Reader::Quad(codes[i % 2], group * 2 + i / 2));
    }
    for (int row = 0; row < 2; ++row) w.scales[row] = Reader::Scales(scales[row], group);
    return w;
  }
};

template <int kType>
constexpr int kXParts = planes::FormatOf(kType).x_parts;
template <int kType>
constexpr GroupSums kXSums =
    !(BlockReader<kType>::kHasZero || BlockReader<kType>::kHasMin) ? GroupSums::kNone
    : BlockReader<kType>::kHalves                                  ? GroupSums::kHalves
                                                                   : GroupSums::kWhole;

// Sums of scaled products and of mins, before the rows' factors. [half of the tile][row of x] as
// the fragments have them.
struct TileSums {
  float scaled[4] = {}, mins[4] = {};
};

// The integers of `dots` as floats, times x's scale, less the zero point's part: rounded where a
// product of one scale and the integer would be. X::kOffsetSums: they began at kSumOffsetBits.
template <int kType, class X>
__device__ float ScaledDot(const int32_t (&dots)[kXParts<kType>][4], int i,
                           const GroupScales& scales, const X& x, int h, int in_x) {
  using Reader = BlockReader<kType>;
  const int c = i % 2;
  const float scale = x.scale[c][in_x];
  if constexpr (X::kOffsetSums && !Reader::kHasZero) {
    // See cpu::ActivationGroup8: the product of offset and scale is exact.
    return fmaf(__uint_as_float(static_cast<uint32_t>(dots[0][i])), scale, x.minus_offset[c][in_x]);
  } else {
    float v;
    if constexpr (X::kOffsetSums) {
      v = __uint_as_float(static_cast<uint32_t>(dots[0][i])) - cpu::kSumOffset;
    } else {
      const int last = kXParts<kType> - 1;
      v = static_cast<float>(last == 1 ? dots[0][i] * 256 + dots[last][i] : dots[0][i]);
    }
    if constexpr (!Reader::kHasZero) return v * scale;
    return fmaf(v, scale, -static_cast<float>(scales.zero) * x.sums[c][h][in_x]);
  }
}

// sums += w x over a group, which is group `in_x` of x. kOne: x is one row.
template <int kType, class X, bool kOne>
__device__ void MultiplyGroup(const GroupWeights& w, const X& x, int in_x, TileSums& sums) {
  using Reader = BlockReader<kType>;
  constexpr int kParts = kXParts<kType>, kHalves = Reader::kHalves ? 2 : 1;
  constexpr int32_t kStart = X::kOffsetSums ? cpu::kSumOffsetBits : 0;
#pragma unroll
  for (int h = 0; h < kHalves; ++h) {
    int32_t dots[kParts][4];
    for (int part = 0; part < kParts; ++part) {
      const uint32_t* codes = x.codes[part] + in_x * 2;
      if constexpr (kHalves == 2) {
        MmaInt8Half(dots[part], w.a[2 * h], w.a[2 * h + 1], codes[h], kStart);
      } else {
        MmaInt8(dots[part], w.a, {codes[0], codes[1]}, kStart);
      }
    }
    for (int i = 0; i < 4; i += kOne ? 2 : 1) {
      const GroupScales& scales = w.scales[i / 2];
      const float v = ScaledDot<kType, X>(dots, i, scales, x, h, in_x);
      sums.scaled[i] = fmaf(scales.scale[h], v, sums.scaled[i]);
      if constexpr (Reader::kHasMin) {
        sums.mins[i] = fmaf(scales.min[h], x.sums[i % 2][h][in_x], sums.mins[i]);
      }
    }
  }
}

// sums += what a tile gave, with the factors of its rows.
template <int kType, bool kOne>
__device__ void AddTile(const typename BlockReader<kType>::RowFactors (&factors)[2],
                        const TileSums& of_tile, float (&sums)[4]) {
  for (int i = 0; i < 4; i += kOne ? 2 : 1) {
    sums[i] = fmaf(factors[i / 2].scale, of_tile.scaled[i], sums[i]);
    if constexpr (BlockReader<kType>::kHasMin) {
      sums[i] = fmaf(-factors[i / 2].min, of_tile.mins[i], sums[i]);
    }
  }
}

}  // namespace hadal::CUDA_NAMESPACE
