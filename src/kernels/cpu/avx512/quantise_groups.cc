// Activations as integers, for matrices in blocks.
#include "kernels/cpu/avx512/avx512_kernels.h"
#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

struct Group32 {
  __m512 v[2];
};
HADAL_AVX512_INLINE Group32 LoadGroup(const float* x) {
  return {{_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16)}};
}

// NaN when a value is not finite or above `most`.
HADAL_AVX512_INLINE float LargestMagnitude(const Group32& x, float most) {
  const __m512 a = _mm512_abs_ps(x.v[0]), b = _mm512_abs_ps(x.v[1]), limit = _mm512_set1_ps(most);
  const bool all =
      (_mm512_cmp_ps_mask(a, limit, _CMP_NLE_UQ) | _mm512_cmp_ps_mask(b, limit, _CMP_NLE_UQ)) == 0;
  return all ? _mm512_reduce_max_ps(_mm512_max_ps(a, b)) : __builtin_nanf("");
}

// Half i in steps of amax / steps; zero where that is too small to invert or not a number.
HADAL_AVX512_INLINE __m512i Round(const Group32& x, int i, float amax, float steps) {
  const __mmask16 kept = amax >= 1e-30f ? 0xffff : 0;
  return _mm512_maskz_cvtps_epi32(kept, _mm512_mul_ps(x.v[i], _mm512_set1_ps(steps / amax)));
}

void QuantiseGroup(const float* x, ActivationGroup8* g) {
  const Group32 values = LoadGroup(x);
  const float amax = LargestMagnitude(values, kLargestActivation);
  const int32_t bits = _mm_cvtsi128_si32(_mm_castps_si128(_mm_set_ss(amax / kActivationSteps8)));
  g->scale = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((bits + 2) & ~3)));
  g->minus_offset = -kSumOffset * g->scale;
  int32_t sum[2];
  for (int i = 0; i < 2; ++i) {
    const __m512i n = Round(values, i, amax, kActivationSteps8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(g->x + 16 * i), _mm512_cvtepi32_epi8(n));
    sum[i] = _mm512_reduce_add_epi32(n);
    g->sum[i] = static_cast<int16_t>(sum[i]);
    g->scaled_sum[i] = static_cast<float>(sum[i]) * g->scale;
  }
  g->scaled_sum[2] = static_cast<float>(sum[0] + sum[1]) * g->scale;
}

void QuantiseGroup(const float* x, ActivationGroup16* g) {
  const Group32 values = LoadGroup(x);
  const float amax = LargestMagnitude(values, 3.40282347e38f);
  g->scale = amax / kActivationSteps16;
  for (int i = 0; i < 2; ++i) {
    const __m512i n = Round(values, i, amax, kActivationSteps16);
    const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(128)), 8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(g->parts[0] + 16 * i), _mm512_cvtepi32_epi8(high));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(g->parts[1] + 16 * i), _mm512_cvtepi32_epi8(n));
    g->sum[i] = _mm512_reduce_add_epi32(n);
  }
  g->sum[2] = g->sum[0] + g->sum[1];
  for (int i = 0; i < 3; ++i) g->scaled_sum[i] = static_cast<float>(g->sum[i]) * g->scale;
}

}  // namespace

namespace avx512 {

void QuantiseGroups8(const float* x, int64_t k, ActivationGroup8* out) {
  for (int64_t i = 0; i < k / kGroup; ++i) QuantiseGroup(x + i * kGroup, out + i);
}
void QuantiseGroups16(const float* x, int64_t k, ActivationGroup16* out) {
  for (int64_t i = 0; i < k / kGroup; ++i) QuantiseGroup(x + i * kGroup, out + i);
}

}  // namespace avx512
}  // namespace hadal::cpu
