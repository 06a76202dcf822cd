// Owns: floats to bf16, to nearest even: alone, in the pairs that are multiplied together, or in
// two parts. Included only by the files of this folder and amx; everything has internal linkage.
// Thread rule: pure functions.
#pragma once

#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

// Bf16 of two vectors, side by side per column.
HADAL_AVX512_INLINE __m512i Pairs(__m512 even, __m512 odd) {
#if defined(__AVX512BF16__)
  const __m512i both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even));
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, both);
#else
  const __m512i low = _mm512_cvtepu16_epi32(F32ToBf16(even));
  const __m512i high = _mm512_cvtepu16_epi32(F32ToBf16(odd));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
#endif
}

HADAL_AVX512_INLINE __m256i ToBf16(__m512 v) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v));
#else
  return F32ToBf16(v);
#endif
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
