// Owns: a group of a panel in blocks as the products want it, read from the packed block or from
// one that was unpacked for many rows. Included only by matmul_blocks.cc of this folder; everything
// has internal linkage. Thread rule: pure functions.
#pragma once

#include "kernels/cpu/avx512/block_codes.h"
#include "kernels/cpu/block_loops.h"

namespace hadal::cpu {
namespace {

// A group in its packed block, as the products want it.
template <int kFormat>
struct PackedGroup {
  static constexpr BlockFormat kF = kBlockFormats[kFormat];
  const uint8_t* block;
  int group;

  HADAL_AVX512_MEMBER __m512i CodesAt(int j) const {
    return Codes<kFormat>(block + LowAt(kF, group), block + HighAt(kF, group), j);
  }
  HADAL_AVX512_MEMBER Factors FactorsAt(int part) const {
    return LoadFactors<kFormat>(block, LoadCommon<kFormat>(block), group * PartsOf(kF) + part);
  }
  HADAL_AVX512_MEMBER __m512i MinusZerosAt(int part) const {
    if constexpr (kF.scales != Scales::kHalfZero) return _mm512_set1_epi32(MinusZeroPair(kF, part));
    const __m512i minus = _mm512_sub_epi32(_mm512_setzero_si512(), LoadU8(block + 32));
    return _mm512_mask_blend_epi16(0xaaaaaaaa, minus, _mm512_slli_epi32(minus, 16));
  }
};

// The same when it was unpacked.
template <int kFormat>
struct LoadedGroup {
  static constexpr BlockFormat kF = kBlockFormats[kFormat];
  const UnpackedGroup<kFormat>* from;

  HADAL_AVX512_MEMBER __m512i CodesAt(int j) const { return _mm512_load_si512(from->codes[j]); }
  HADAL_AVX512_MEMBER Factors FactorsAt(int part) const {
    return {_mm512_load_ps(from->scale[part]),
            HasMin(kF) ? _mm512_load_ps(from->min[part]) : _mm512_setzero_ps()};
  }
  HADAL_AVX512_MEMBER __m512i MinusZerosAt(int part) const {
    if constexpr (kF.scales == Scales::kHalfZero) return _mm512_load_si512(from->minus_zeros);
    return _mm512_set1_epi32(MinusZeroPair(kF, part));
  }
};

}  // namespace
}  // namespace hadal::cpu
