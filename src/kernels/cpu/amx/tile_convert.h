// Owns: floats to two parts of bf16, and the configuration of eight whole tiles.
// Included only by the files of this folder; everything has internal linkage.
// Thread rule: as tiles.h.
#pragma once

#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/bf16_pairs.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kTileElements = kOperandBytes / 2;  // bf16 of an operand tile

HADAL_AVX512_INLINE void ConfigureAllRows() {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = kTileBytes;
    config.rows[i] = kTileRows;
  }
  TileConfigure(config);
}

// A bf16 and that of what it leaves; nothing is left of an infinity, and inf - inf would be a NaN.
struct Parts {
  __m256i high, low;
};
HADAL_AVX512_INLINE Parts Split(__m512 v) {
  constexpr int kInfinities = 0x18;
  const __m256i high = ToBf16(v);
  const __m512 rounded = Bf16ToF32(high);
  const __mmask16 finite = _knot_mask16(_mm512_fpclass_ps_mask(rounded, kInfinities));
  return {high, ToBf16(_mm512_maskz_sub_ps(finite, v, rounded))};
}

}  // namespace
}  // namespace hadal::cpu
