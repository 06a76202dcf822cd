// Owns: the weights of block_format.h in registers: codes, scales and mins of a group and 8
// columns, read from the packed block or from one that was unpacked for many rows. Included only by
// matmul_blocks.cc of this folder; everything has internal linkage. Thread rule: pure functions.
#pragma once

#include "kernels/cpu/avx2/vector.h"
#include "kernels/cpu/block_loops.h"

namespace hadal::cpu {
namespace {

HADAL_AVX2_INLINE __m256i Load256(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
HADAL_AVX2_INLINE __m256 LoadHalf(const uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
HADAL_AVX2_INLINE __m256i LoadU8(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
HADAL_AVX2_INLINE __m256i LoadI8(const uint8_t* p) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}

// The 32 codes of quad j of 8 columns; the planes begin at these columns.
template <int kFormat>
HADAL_AVX2_INLINE __m256i Codes(const uint8_t* low, const uint8_t* high, int j) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  const int low_at = j * kF.low_bits;
  __m256i codes = Load256(low + low_at / 8 * kQuadBytes);
  if constexpr (kF.low_bits == 8) return codes;
  if (low_at % 8 != 0) codes = _mm256_srli_epi16(codes, low_at % 8);
  codes = _mm256_and_si256(codes, _mm256_set1_epi8(static_cast<char>((1 << kF.low_bits) - 1)));
  if constexpr (kF.table != ValueTable::kNone) {
    const uint8_t* table = kF.table == ValueTable::kIq4 ? kIq4Table : kMxfp4Table;
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    codes = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), codes);
  }
  if constexpr (kF.high_bits != 0) {
    const int high_at = j * kF.high_bits, shift = high_at % 8 - kF.low_bits;
    __m256i bits = Load256(high + high_at / 8 * kQuadBytes);
    if (shift > 0) bits = _mm256_srli_epi16(bits, shift);
    if (shift < 0) bits = _mm256_slli_epi16(bits, -shift);
    constexpr int kMask = ((1 << kF.high_bits) - 1) << kF.low_bits;
    bits = _mm256_and_si256(bits, _mm256_set1_epi8(static_cast<char>(kMask)));
    codes = _mm256_or_si256(codes, bits);
  }
  return codes;
}

struct Factors {
  __m256 scale, min;  // min is subtracted
};

// Of 8 columns and a part of a packed block.
template <int kFormat>
HADAL_AVX2_INLINE Factors LoadFactors(const uint8_t* block, int column, int part) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  if constexpr (kF.scales == Scales::kBf16) {
    const auto* at = reinterpret_cast<const __m128i*>(block + 2 * column);
    return {Bf16ToF32(_mm_loadu_si128(at)), _mm256_setzero_ps()};
  }
  const __m256 d = LoadHalf(block + 2 * column);
  if constexpr (kF.scales == Scales::kHalf || kF.scales == Scales::kHalfZero) {
    return {d, _mm256_setzero_ps()};
  } else if constexpr (kF.scales == Scales::kSuper) {
    const __m256i scale = LoadI8(block + 32 + part * kPanel + column);
    return {_mm256_mul_ps(d, _mm256_cvtepi32_ps(scale)), _mm256_setzero_ps()};
  } else {
    const __m256 d_min = LoadHalf(block + 32 + 2 * column);
    if constexpr (kF.scales == Scales::kHalfMin) return {d, d_min};
    const uint8_t* at = block + 64 + part * kPanel + column;
    __m256i scale = LoadU8(at), min = scale;
    if constexpr (kF.scales == Scales::kSuperMin) {
      min = LoadU8(at + BlockGroups(kF) * kPanel);
    } else {
      scale = _mm256_and_si256(scale, _mm256_set1_epi32(15));
      min = _mm256_srli_epi32(min, 4);
    }
    return {_mm256_mul_ps(d, _mm256_cvtepi32_ps(scale)),
            _mm256_mul_ps(d_min, _mm256_cvtepi32_ps(min))};
  }
}

// A group in its packed block, as the products want it.
template <int kFormat>
struct PackedGroup {
  static constexpr BlockFormat kF = kBlockFormats[kFormat];
  const uint8_t* block;
  int group, column;

  HADAL_AVX2_MEMBER __m256i CodesAt(int j) const {
    return Codes<kFormat>(block + LowAt(kF, group) + 4 * column,
                          block + HighAt(kF, group) + 4 * column, j);
  }
  HADAL_AVX2_MEMBER Factors FactorsAt(int part) const {
    return LoadFactors<kFormat>(block, column, group * PartsOf(kF) + part);
  }
  HADAL_AVX2_MEMBER __m256i MinusZerosAt(int part) const {
    if constexpr (kF.scales != Scales::kHalfZero) return _mm256_set1_epi32(MinusZeroPair(kF, part));
    const __m256i minus = _mm256_sub_epi32(_mm256_setzero_si256(), LoadU8(block + 32 + column));
    return _mm256_blend_epi16(minus, _mm256_slli_epi32(minus, 16), 0xaa);
  }
};

// The same when it was unpacked.
template <int kFormat>
struct LoadedGroup {
  static constexpr BlockFormat kF = kBlockFormats[kFormat];
  const UnpackedGroup<kFormat>* from;
  int column;

  HADAL_AVX2_MEMBER __m256i CodesAt(int j) const { return Load256(from->codes[j] + 4 * column); }
  HADAL_AVX2_MEMBER Factors FactorsAt(int part) const {
    return {_mm256_load_ps(from->scale[part] + column),
            HasMin(kF) ? _mm256_load_ps(from->min[part] + column) : _mm256_setzero_ps()};
  }
  HADAL_AVX2_MEMBER __m256i MinusZerosAt(int part) const {
    if constexpr (kF.scales != Scales::kHalfZero) return _mm256_set1_epi32(MinusZeroPair(kF, part));
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(from->minus_zeros + column));
  }
};

}  // namespace
}  // namespace hadal::cpu
