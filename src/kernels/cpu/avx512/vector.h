// AVX-512 building blocks: partial loads and stores, bf16, exp.
// Included only by the files of this folder and amx; everything has internal linkage.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/kernel_table.h"

#define HADAL_AVX512_INLINE static inline __attribute__((always_inline))
#define HADAL_AVX512_MEMBER inline __attribute__((always_inline))

namespace hadal::cpu {
namespace {

// Lanes below n, any n.
HADAL_AVX512_INLINE __mmask16 TailMask(int64_t n) {
  if (n >= 16) return 0xffff;
  return n <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << n) - 1);
}
HADAL_AVX512_INLINE __m512 Load(const float* p, int64_t left) {
  return _mm512_maskz_loadu_ps(TailMask(left), p);
}
HADAL_AVX512_INLINE void Store(float* p, int64_t left, __m512 v) {
  _mm512_mask_storeu_ps(p, TailMask(left), v);
}
HADAL_AVX512_INLINE __m512 Bf16ToF32(__m256i v) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}
// Round to nearest even; NaN becomes quiet.
HADAL_AVX512_INLINE __m256i F32ToBf16(__m512 v) {
  const __m512i u = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(_mm512_set1_epi32(0x7fff), odd));
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  const __m512i bits = _mm512_mask_or_epi32(rounded, nan, u, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
}

// exp with a relative error below 2e-7: x = n ln 2 + r, a polynomial in r, times 2^n. exp(0) is
// exactly 1; below -87.3 the result is 0; above 88 it stays at exp(88).
HADAL_AVX512_INLINE __m512 Exp(__m512 x) {
  const __mmask16 kept = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.3f), _CMP_NLT_UQ);
  // Operands ordered so that a NaN in x passes through.
  x = _mm512_min_ps(_mm512_set1_ps(88.0f), _mm512_max_ps(_mm512_set1_ps(-87.3f), x));
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.0f / 720);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_maskz_scalef_ps(kept, p, n);
}

}  // namespace
}  // namespace hadal::cpu
