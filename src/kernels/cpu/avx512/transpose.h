// Owns: the transpose of 16 registers of 16 values of 32 bits.
// Included only by the files of this folder and amx; everything has internal linkage.
// Thread rule: pure functions.
#pragma once

#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

// In place transpose of 16 rows of 16.
HADAL_AVX512_INLINE void Transpose(__m512 (&r)[16]) {
  __m512 a[16];
  HADAL_UNROLL
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  HADAL_UNROLL
  for (int i = 0; i < 16; i += 4) {  // r[i + j]: column j of each 4-lane group, rows i .. i + 3
    r[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
    r[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
    r[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    r[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  HADAL_UNROLL
  for (int j = 0; j < 4; ++j) {  // 128-bit lanes: 4 x 4 transpose of rows j, j + 4, j + 8, j + 12
    const __m512 low0 = _mm512_shuffle_f32x4(r[j], r[j + 4], 0x88);
    const __m512 low1 = _mm512_shuffle_f32x4(r[j + 8], r[j + 12], 0x88);
    const __m512 high0 = _mm512_shuffle_f32x4(r[j], r[j + 4], 0xdd);
    const __m512 high1 = _mm512_shuffle_f32x4(r[j + 8], r[j + 12], 0xdd);
    a[j] = _mm512_shuffle_f32x4(low0, low1, 0x88);
    a[j + 8] = _mm512_shuffle_f32x4(low0, low1, 0xdd);
    a[j + 4] = _mm512_shuffle_f32x4(high0, high1, 0x88);
    a[j + 12] = _mm512_shuffle_f32x4(high0, high1, 0xdd);
  }
  HADAL_UNROLL
  for (int i = 0; i < 16; ++i) r[i] = a[i];
}

}  // namespace
}  // namespace hadal::cpu
