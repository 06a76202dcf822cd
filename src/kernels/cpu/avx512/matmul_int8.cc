// int8 panels with VNNI: exact 32-bit sums of 128 products, then one chain of scaled sums over the
// blocks. Activations are stored plus 128, as the instruction wants one side unsigned; the packed
// weights carry the correction.
#include "kernels/cpu/avx512/avx512_kernels.h"
#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kRows = 6;

template <int R, int P>
void Block(const MatMulTile& t, int64_t row, int64_t panel) {
  const int64_t blocks = RoundUp(t.k, kInt8KStep) / kInt8KStep;
  const auto* w = static_cast<const Int8Block*>(t.w) + panel * blocks;
  const auto* x = static_cast<const uint8_t*>(t.x) + row * t.ldx;
  __m512 total[R][P];
  for (int r = 0; r < R; ++r) {
    for (int p = 0; p < P; ++p) total[r][p] = _mm512_setzero_ps();
  }
  for (int64_t b = 0; b < blocks; ++b) {
    __m512i sum[R][P];
    for (int p = 0; p < P; ++p) {
      const __m512i start = _mm512_loadu_si512(w[p * blocks + b].minus_128_sum);
      for (int r = 0; r < R; ++r) sum[r][p] = start;
    }
    for (int k4 = 0; k4 < kInt8KStep / 4; ++k4) {
      __m512i a[R];
      for (int r = 0; r < R; ++r) {
        const uint8_t* quad = x + r * t.ldx + b * kInt8KStep + k4 * 4;
        a[r] = _mm512_castps_si512(
            _mm512_broadcastss_ps(_mm_load_ss(reinterpret_cast<const float*>(quad))));
      }
      for (int p = 0; p < P; ++p) {
        const __m512i quads = _mm512_loadu_si512(w[p * blocks + b].w[k4]);
        for (int r = 0; r < R; ++r) sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], a[r], quads);
      }
    }
    for (int p = 0; p < P; ++p) {
      const __m512 w_scale = _mm512_loadu_ps(w[p * blocks + b].scale);
      for (int r = 0; r < R; ++r) {
        const __m512 x_scale = _mm512_set1_ps(t.x_scale[(row + r) * t.ld_scale + b]);
        total[r][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][p]),
                                      _mm512_mul_ps(w_scale, x_scale), total[r][p]);
      }
    }
  }
  for (int p = 0; p < P; ++p) {
    const int64_t column = (panel + p) * kPanel, left = t.n - column;
    for (int r = 0; r < R; ++r) {
      __m512 v = total[r][p];
      if (t.bias) v = _mm512_add_ps(v, Load(t.bias + column, left));
      Store(t.out + (row + r) * t.ldo + column, left, v);
    }
  }
}

template <int P>
void Panels(const MatMulTile& t, int64_t panel) {
  int64_t r = 0;
  for (; r + kRows <= t.m; r += kRows) Block<kRows, P>(t, r, panel);
  const int64_t left = t.m - r;
  if (left == 5) Block<5, P>(t, r, panel);
  if (left == 4) Block<4, P>(t, r, panel);
  if (left == 3) Block<3, P>(t, r, panel);
  if (left == 2) Block<2, P>(t, r, panel);
  if (left == 1) Block<1, P>(t, r, panel);
}

}  // namespace

namespace avx512 {

void MatMulInt8(const MatMulTile& t) {
  int64_t p = t.panel0;
  if (t.m == 1) {
    for (; p + 4 <= t.panel1; p += 4) Block<1, 4>(t, 0, p);
  }
  for (; p + 2 <= t.panel1; p += 2) Panels<2>(t, p);
  for (; p < t.panel1; ++p) Panels<1>(t, p);
}

void Quantise(const float* x, int64_t k, int8_t* q, float* scales) {
  for (int64_t k0 = 0; k0 < k; k0 += kInt8KStep) {
    const int64_t end = k0 + kInt8KStep;
    __m512 largest = _mm512_setzero_ps();
    __mmask16 nan = 0;
    for (int64_t i = k0; i < end; i += 16) {
      const __m512 v = Load(x + i, k - i);
      largest = _mm512_max_ps(largest, _mm512_abs_ps(v));
      nan = static_cast<__mmask16>(nan | _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q));
    }
    const float amax = _mm512_reduce_max_ps(largest);
    // Blocks too small to invert are zero.
    const __m512 inverse = _mm512_set1_ps(amax < 1e-30f ? 0.0f : 127.0f / amax);
    for (int64_t i = k0; i < end; i += 16) {
      const __m512i n = _mm512_cvtps_epi32(_mm512_mul_ps(Load(x + i, k - i), inverse));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i),
                       _mm_xor_si128(_mm512_cvtsepi32_epi8(n), _mm_set1_epi8(-128)));
    }
    scales[k0 / kInt8KStep] = nan ? __builtin_nanf("") : amax / 127.0f;
  }
}

}  // namespace avx512
}  // namespace hadal::cpu
