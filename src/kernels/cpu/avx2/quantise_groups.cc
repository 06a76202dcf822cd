// Activations as integers, for matrices in blocks.
#include "kernels/cpu/avx2/avx2_kernels.h"
#include "kernels/cpu/avx2/vector.h"

namespace hadal::cpu {
namespace {

HADAL_AVX2_INLINE int32_t Sum(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

// NaN when a value is not finite or above `most`.
HADAL_AVX2_INLINE float LargestMagnitude(const float* x, float most) {
  const __m256 no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  const __m256 limit = _mm256_set1_ps(most);
  __m256 largest = _mm256_setzero_ps(), outside = largest;
  for (int i = 0; i < 4; ++i) {
    const __m256 magnitude = _mm256_and_ps(_mm256_loadu_ps(x + 8 * i), no_sign);
    largest = _mm256_max_ps(largest, magnitude);
    outside = _mm256_or_ps(outside, _mm256_cmp_ps(magnitude, limit, _CMP_NLE_UQ));
  }
  return _mm256_movemask_ps(outside) == 0 ? Max(largest) : __builtin_nanf("");
}

// In steps of amax / steps; zero where that is too small to invert or not a number.
HADAL_AVX2_INLINE void Round(const float* x, float amax, float steps, __m256i (&n)[4]) {
  const __m256 inverse = _mm256_set1_ps(steps / amax);
  const __m256i kept = _mm256_set1_epi32(amax >= 1e-30f ? -1 : 0);
  for (int i = 0; i < 4; ++i) {
    const __m256i rounded = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inverse));
    n[i] = _mm256_and_si256(rounded, kept);
  }
}

// 16 numbers as 16-bit ones, in order.
HADAL_AVX2_INLINE __m256i Narrow(__m256i a, __m256i b) {
  return _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
}

void QuantiseGroup(const float* x, ActivationGroup8* g) {
  const float amax = LargestMagnitude(x, kLargestActivation);
  __m256i n[4];
  Round(x, amax, kActivationSteps8, n);
  const int32_t bits = _mm_cvtsi128_si32(_mm_castps_si128(_mm_set_ss(amax / kActivationSteps8)));
  g->scale = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((bits + 2) & ~3)));
  g->minus_offset = -kSumOffset * g->scale;
  int32_t sum[2];
  for (int i = 0; i < 2; ++i) {
    const __m256i words = Narrow(n[2 * i], n[2 * i + 1]);
    const __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(g->x + 16 * i), bytes);
    sum[i] = Sum(_mm256_add_epi32(n[2 * i], n[2 * i + 1]));
    g->sum[i] = static_cast<int16_t>(sum[i]);
    g->scaled_sum[i] = static_cast<float>(sum[i]) * g->scale;
  }
  g->scaled_sum[2] = static_cast<float>(sum[0] + sum[1]) * g->scale;
}

void QuantiseGroup(const float* x, ActivationGroup16* g) {
  const float amax = LargestMagnitude(x, 3.40282347e38f);
  __m256i n[4];
  Round(x, amax, kActivationSteps16, n);
  g->scale = amax / kActivationSteps16;
  for (int i = 0; i < 2; ++i) {
    g->sum[i] = Sum(_mm256_add_epi32(n[2 * i], n[2 * i + 1]));
    // 0 1 2 3 of every quad become 0 2 1 3.
    const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15, 0,
                                           1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    const __m256i words = Narrow(n[2 * i], n[2 * i + 1]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(g->x + 16 * i),
                        _mm256_shuffle_epi8(words, order));
  }
  g->sum[2] = g->sum[0] + g->sum[1];
  for (int i = 0; i < 3; ++i) g->scaled_sum[i] = static_cast<float>(g->sum[i]) * g->scale;
}

}  // namespace

namespace avx2 {

void QuantiseGroups8(const float* x, int64_t k, ActivationGroup8* out) {
  for (int64_t i = 0; i < k / kGroup; ++i) QuantiseGroup(x + i * kGroup, out + i);
}
void QuantiseGroups16(const float* x, int64_t k, ActivationGroup16* out) {
  for (int64_t i = 0; i < k / kGroup; ++i) QuantiseGroup(x + i * kGroup, out + i);
}

}  // namespace avx2
}  // namespace hadal::cpu
