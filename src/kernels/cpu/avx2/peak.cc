#include <immintrin.h>

#include "kernels/cpu/peak_kernels.h"

namespace hadal::cpu {

double PeakAvx2F32(int64_t repeats) {
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-6f);
  __m256 c[12];
  for (int i = 0; i < 12; ++i) c[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int64_t r = 0; r < repeats; ++r) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 12; ++i) c[i] = _mm256_fmadd_ps(c[i], a, b);
  }
  volatile float sink;
  for (int i = 0; i < 12; ++i) sink = _mm256_cvtss_f32(c[i]);
  (void)sink;
  return static_cast<double>(repeats) * 12 * 8 * 2;
}

}  // namespace hadal::cpu
