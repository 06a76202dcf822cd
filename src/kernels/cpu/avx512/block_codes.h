// Owns: reading the codes and scales of a packed block (block_format.h) into registers, a quad of
// 16 columns at a time. Included only by the files of this folder and amx; everything has internal
// linkage. Thread rule: pure functions.
#pragma once

#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

HADAL_AVX512_INLINE __m512 LoadHalf(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
HADAL_AVX512_INLINE __m512i LoadU8(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
HADAL_AVX512_INLINE __m512i LoadI8(const uint8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

// The 64 codes of quad j.
template <int kFormat>
HADAL_AVX512_INLINE __m512i Codes(const uint8_t* low, const uint8_t* high, int j) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  const int low_at = j * kF.low_bits;
  __m512i codes = _mm512_loadu_si512(low + low_at / 8 * kQuadBytes);
  if constexpr (kF.low_bits == 8) return codes;
  if (low_at % 8 != 0) codes = _mm512_srli_epi16(codes, static_cast<unsigned>(low_at % 8));
  codes = _mm512_and_si512(codes, _mm512_set1_epi8(static_cast<char>((1 << kF.low_bits) - 1)));
  if constexpr (kF.table != ValueTable::kNone) {
    const uint8_t* table = kF.table == ValueTable::kIq4 ? kIq4Table : kMxfp4Table;
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    codes = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), codes);
  }
  if constexpr (kF.high_bits != 0) {
    const int high_at = j * kF.high_bits, shift = high_at % 8 - kF.low_bits;
    __m512i bits = _mm512_loadu_si512(high + high_at / 8 * kQuadBytes);
    if (shift > 0) bits = _mm512_srli_epi16(bits, static_cast<unsigned>(shift));
    if (shift < 0) bits = _mm512_slli_epi16(bits, static_cast<unsigned>(-shift));
    constexpr int kMask = ((1 << kF.high_bits) - 1) << kF.low_bits;
    constexpr int kOrAnd = 0xf8;  // a | (b & c)
    codes =
        _mm512_ternarylogic_epi32(codes, bits, _mm512_set1_epi8(static_cast<char>(kMask)), kOrAnd);
  }
  return codes;
}

// What the scales of a packed block share: d, and dmin or the mins.
struct Common {
  __m512 d, d_min;
};
struct Factors {
  __m512 scale, min;  // min is subtracted
};

template <int kFormat>
HADAL_AVX512_INLINE Common LoadCommon(const uint8_t* block) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  Common c;
  if constexpr (kF.scales == Scales::kBf16) {
    c.d = Bf16ToF32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(block)));
  } else {
    c.d = LoadHalf(block);
  }
  constexpr bool kHasMin = kF.scales == Scales::kHalfMin || kF.scales >= Scales::kSuperMin;
  c.d_min = kHasMin ? LoadHalf(block + 32) : _mm512_setzero_ps();
  return c;
}

template <int kFormat>
HADAL_AVX512_INLINE Factors LoadFactors(const uint8_t* block, const Common& c, int part) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  if constexpr (kF.scales == Scales::kSuper) {
    const __m512i scale = LoadI8(block + 32 + part * kPanel);
    return {_mm512_mul_ps(c.d, _mm512_cvtepi32_ps(scale)), c.d_min};
  } else if constexpr (kF.scales == Scales::kSuperMin) {
    const uint8_t* at = block + 64 + part * kPanel;
    const __m512i scale = LoadU8(at), min = LoadU8(at + BlockGroups(kF) * kPanel);
    return {_mm512_mul_ps(c.d, _mm512_cvtepi32_ps(scale)),
            _mm512_mul_ps(c.d_min, _mm512_cvtepi32_ps(min))};
  } else if constexpr (kF.scales == Scales::kSuperMinNibbles) {
    const __m512i both = LoadU8(block + 64 + part * kPanel);
    const __m512i scale = _mm512_and_si512(both, _mm512_set1_epi32(15));
    const __m512i min = _mm512_srli_epi32(both, 4);
    return {_mm512_mul_ps(c.d, _mm512_cvtepi32_ps(scale)),
            _mm512_mul_ps(c.d_min, _mm512_cvtepi32_ps(min))};
  } else {
    return {c.d, c.d_min};
  }
}

}  // namespace
}  // namespace hadal::cpu
