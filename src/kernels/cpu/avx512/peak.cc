#include <immintrin.h>

#include "kernels/cpu/peak_kernels.h"

namespace hadal::cpu {

double PeakAvx512F32(int64_t repeats) {
  const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-6f);
  __m512 c[12];
  for (int i = 0; i < 12; ++i) c[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t r = 0; r < repeats; ++r) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 12; ++i) c[i] = _mm512_fmadd_ps(c[i], a, b);
  }
  volatile float sink;
  for (int i = 0; i < 12; ++i) sink = _mm512_cvtss_f32(c[i]);
  (void)sink;
  return static_cast<double>(repeats) * 12 * 16 * 2;
}

double PeakAvx512Int8(int64_t repeats) {
  const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);
  __m512i c[12];
  for (int i = 0; i < 12; ++i) c[i] = _mm512_set1_epi32(i);
  for (int64_t r = 0; r < repeats; ++r) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 12; ++i) c[i] = _mm512_dpbusd_epi32(c[i], a, b);
  }
  volatile int sink;
  for (int i = 0; i < 12; ++i) sink = _mm512_cvtsi512_si32(c[i]);
  (void)sink;
  return static_cast<double>(repeats) * 12 * 64 * 2;
}

}  // namespace hadal::cpu
