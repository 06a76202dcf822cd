// Every output is one chain of fused multiply-adds in the order of k (int8: exact sums of 128, then
// one chain over the blocks), whatever the tiling: a block of R rows by P panels only decides which
// chains run side by side.
#include "kernels/cpu/avx2/avx2_kernels.h"
#include "kernels/cpu/avx2/vector.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kKBlock = 2048;  // k per pass over many rows: keeps the weights in L2

HADAL_AVX2_INLINE __m256 Load8(const float* w) { return _mm256_loadu_ps(w); }
HADAL_AVX2_INLINE __m256 Load8(const uint16_t* f16) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(f16)));
}

// Panels of [k][16]: float, or uint16_t for F16.
template <class T>
struct ValueFormat {
  using Element = T;
  static int64_t PanelElements(int64_t k) { return k * kPanel; }

  template <int R, int P>
  HADAL_AVX2_INLINE void Accumulate(const float* x, int64_t ldx, const T* w, int64_t stride,
                                    int64_t k0, int64_t k1, __m256 (&acc)[R][P][2]) {
    for (int64_t k = k0; k < k1; ++k) {
      HADAL_UNROLL
      for (int p = 0; p < P; ++p) {
        const __m256 w0 = Load8(w + p * stride + k * kPanel);
        const __m256 w1 = Load8(w + p * stride + k * kPanel + 8);
        HADAL_UNROLL
        for (int r = 0; r < R; ++r) {
          const __m256 a = _mm256_broadcast_ss(x + r * ldx + k);
          acc[r][p][0] = _mm256_fmadd_ps(a, w0, acc[r][p][0]);
          acc[r][p][1] = _mm256_fmadd_ps(a, w1, acc[r][p][1]);
        }
      }
    }
  }
};

struct Bf16Format {
  using Element = uint16_t;
  static int64_t PanelElements(int64_t k) { return PanelBytesBf16(k) / 2; }

  template <int R, int P, bool kOdd>
  HADAL_AVX2_INLINE void Step(const float* x, int64_t ldx, const uint16_t* w, int64_t stride,
                              int64_t k, __m256 (&acc)[R][P][2]) {
    const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) {
      const auto* pairs = reinterpret_cast<const __m256i*>(w + p * stride + k * kPanel);
      const __m256i raw0 = _mm256_loadu_si256(pairs), raw1 = _mm256_loadu_si256(pairs + 1);
      const __m256 even0 = _mm256_castsi256_ps(_mm256_slli_epi32(raw0, 16));
      const __m256 even1 = _mm256_castsi256_ps(_mm256_slli_epi32(raw1, 16));
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        const __m256 a = _mm256_broadcast_ss(x + r * ldx + k);
        acc[r][p][0] = _mm256_fmadd_ps(a, even0, acc[r][p][0]);
        acc[r][p][1] = _mm256_fmadd_ps(a, even1, acc[r][p][1]);
      }
      if (!kOdd) continue;
      const __m256 odd0 = _mm256_castsi256_ps(_mm256_and_si256(raw0, high));
      const __m256 odd1 = _mm256_castsi256_ps(_mm256_and_si256(raw1, high));
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        const __m256 a = _mm256_broadcast_ss(x + r * ldx + k + 1);
        acc[r][p][0] = _mm256_fmadd_ps(a, odd0, acc[r][p][0]);
        acc[r][p][1] = _mm256_fmadd_ps(a, odd1, acc[r][p][1]);
      }
    }
  }

  template <int R, int P>
  HADAL_AVX2_INLINE void Accumulate(const float* x, int64_t ldx, const uint16_t* w, int64_t stride,
                                    int64_t k0, int64_t k1, __m256 (&acc)[R][P][2]) {
    int64_t k = k0;
    for (; k + 2 <= k1; k += 2) Step<R, P, true>(x, ldx, w, stride, k, acc);
    if (k < k1) Step<R, P, false>(x, ldx, w, stride, k, acc);
  }
};

// Rows [row, row + R) by panels [panel, panel + P), k in [k0, k1); later passes continue the chains
// from the sums stored in out.
template <class F, int R, int P>
void Block(const MatMulTile& t, int64_t row, int64_t panel, int64_t k0, int64_t k1) {
  const float* x = static_cast<const float*>(t.x) + row * t.ldx;
  const int64_t stride = F::PanelElements(t.k);
  const auto* w = static_cast<const typename F::Element*>(t.w) + panel * stride;
  __m256 acc[R][P][2];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) {
      HADAL_UNROLL
      for (int h = 0; h < 2; ++h) {
        const int64_t column = (panel + p) * kPanel + h * 8;
        acc[r][p][h] = k0 == 0 || column >= t.n
                           ? _mm256_setzero_ps()
                           : Load(t.out + (row + r) * t.ldo + column, t.n - column);
      }
    }
  }
  F::template Accumulate<R, P>(x, t.ldx, w, stride, k0, k1, acc);
  const bool add_bias = t.bias && k1 == t.k;
  HADAL_UNROLL
  for (int p = 0; p < P; ++p) {
    HADAL_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int64_t column = (panel + p) * kPanel + h * 8;
      if (column >= t.n) continue;
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        __m256 v = acc[r][p][h];
        if (add_bias) v = _mm256_add_ps(v, Load(t.bias + column, t.n - column));
        Store(t.out + (row + r) * t.ldo + column, t.n - column, v);
      }
    }
  }
}

template <class F, int P>
void Rows(const MatMulTile& t, int64_t rows, int64_t row, int64_t panel, int64_t k0, int64_t k1) {
  if constexpr (P == 1) {
    if (rows == 6) return Block<F, 6, 1>(t, row, panel, k0, k1);
    if (rows == 5) return Block<F, 5, 1>(t, row, panel, k0, k1);
    if (rows == 4) return Block<F, 4, 1>(t, row, panel, k0, k1);
  }
  if constexpr (P <= 2) {
    if (rows == 3) return Block<F, 3, P>(t, row, panel, k0, k1);
    if (rows == 2) return Block<F, 2, P>(t, row, panel, k0, k1);
  }
  Block<F, 1, P>(t, row, panel, k0, k1);
}

template <class F, int P>
void Panels(const MatMulTile& t, int64_t panel) {
  constexpr int64_t kRows = P == 1 ? 6 : P == 2 ? 3 : 1;
  const int64_t k_block = t.m <= kRows ? t.k : kKBlock;
  for (int64_t k0 = 0; k0 < t.k; k0 += k_block) {
    const int64_t k1 = k0 + k_block < t.k ? k0 + k_block : t.k;
    for (int64_t r = 0; r < t.m; r += kRows) {
      Rows<F, P>(t, t.m - r < kRows ? t.m - r : kRows, r, panel, k0, k1);
    }
  }
}

// Few rows: more panels side by side, to hide the latency of the chains.
template <class F>
void Multiply(const MatMulTile& t) {
  int64_t p = t.panel0;
  if (t.m == 1) {
    for (; p + 4 <= t.panel1; p += 4) Panels<F, 4>(t, p);
  }
  if (t.m <= 3) {
    for (; p + 2 <= t.panel1; p += 2) Panels<F, 2>(t, p);
  }
  for (; p < t.panel1; ++p) Panels<F, 1>(t, p);
}

template <int R, int P>
void Int8Rows(const MatMulTile& t, int64_t row, int64_t panel) {
  const int64_t blocks = RoundUp(t.k, kInt8KStep) / kInt8KStep;
  const auto* w = static_cast<const Int8Block*>(t.w) + panel * blocks;
  const auto* x = static_cast<const int8_t*>(t.x) + row * t.ldx;
  const __m256i ones = _mm256_set1_epi16(1);
  __m256 total[R][P][2];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) total[r][p][0] = total[r][p][1] = _mm256_setzero_ps();
  }
  for (int64_t b = 0; b < blocks; ++b) {
    __m256i sum[R][P][2];
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      HADAL_UNROLL
      for (int p = 0; p < P; ++p) sum[r][p][0] = sum[r][p][1] = _mm256_setzero_si256();
    }
    for (int k4 = 0; k4 < kInt8KStep / 4; ++k4) {
      HADAL_UNROLL
      for (int p = 0; p < P; ++p) {
        const auto* quads = reinterpret_cast<const __m256i*>(w[p * blocks + b].w[k4]);
        const __m256i w0 = _mm256_loadu_si256(quads), w1 = _mm256_loadu_si256(quads + 1);
        HADAL_UNROLL
        for (int r = 0; r < R; ++r) {
          const __m256i a = _mm256_castps_si256(_mm256_broadcast_ss(
              reinterpret_cast<const float*>(x + r * t.ldx + b * kInt8KStep + k4 * 4)));
          // |a| * (sign(a) w): two products of at most 127^2 fit in 16 bits.
          const __m256i magnitude = _mm256_abs_epi8(a);
          const __m256i s0 = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(w0, a));
          const __m256i s1 = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(w1, a));
          sum[r][p][0] = _mm256_add_epi32(sum[r][p][0], _mm256_madd_epi16(s0, ones));
          sum[r][p][1] = _mm256_add_epi32(sum[r][p][1], _mm256_madd_epi16(s1, ones));
        }
      }
    }
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) {
      HADAL_UNROLL
      for (int h = 0; h < 2; ++h) {
        const __m256 w_scale = _mm256_loadu_ps(w[p * blocks + b].scale + h * 8);
        HADAL_UNROLL
        for (int r = 0; r < R; ++r) {
          const __m256 scale =
              _mm256_mul_ps(w_scale, _mm256_set1_ps(t.x_scale[(row + r) * t.ld_scale + b]));
          total[r][p][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][p][h]), scale, total[r][p][h]);
        }
      }
    }
  }
  HADAL_UNROLL
  for (int p = 0; p < P; ++p) {
    HADAL_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int64_t column = (panel + p) * kPanel + h * 8;
      if (column >= t.n) continue;
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        __m256 v = total[r][p][h];
        if (t.bias) v = _mm256_add_ps(v, Load(t.bias + column, t.n - column));
        Store(t.out + (row + r) * t.ldo + column, t.n - column, v);
      }
    }
  }
}

}  // namespace

namespace avx2 {

void MatMulF32(const MatMulTile& t) { Multiply<ValueFormat<float>>(t); }
void MatMulBf16(const MatMulTile& t) { Multiply<Bf16Format>(t); }
void MatMulF16(const MatMulTile& t) { Multiply<ValueFormat<uint16_t>>(t); }

void MatMulInt8(const MatMulTile& t) {
  int64_t p = t.panel0;
  if (t.m == 1) {
    for (; p + 2 <= t.panel1; p += 2) Int8Rows<1, 2>(t, 0, p);
  }
  for (; p < t.panel1; ++p) {
    int64_t r = 0;
    for (; r + 3 <= t.m; r += 3) Int8Rows<3, 1>(t, r, p);
    if (t.m - r == 2) Int8Rows<2, 1>(t, r, p);
    if (t.m - r == 1) Int8Rows<1, 1>(t, r, p);
  }
}

void Quantise(const float* x, int64_t k, int8_t* q, float* scales) {
  const __m256 no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  for (int64_t k0 = 0; k0 < k; k0 += kInt8KStep) {
    const int64_t end = k0 + kInt8KStep;
    __m256 largest = _mm256_setzero_ps(), nan = _mm256_setzero_ps();
    for (int64_t i = k0; i < end; i += 8) {
      const __m256 v = i < k ? Load(x + i, k - i) : _mm256_setzero_ps();
      largest = _mm256_max_ps(largest, _mm256_and_ps(v, no_sign));
      nan = _mm256_or_ps(nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    }
    const float amax = Max(largest);
    // Blocks too small to invert are zero.
    const __m256 inverse = _mm256_set1_ps(amax < 1e-30f ? 0.0f : 127.0f / amax);
    for (int64_t i = k0; i < end; i += 8) {
      const __m256 v = i < k ? Load(x + i, k - i) : _mm256_setzero_ps();
      const __m256i n = _mm256_cvtps_epi32(_mm256_mul_ps(v, inverse));
      const __m128i n16 =
          _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(q + i), _mm_packs_epi16(n16, n16));
    }
    scales[k0 / kInt8KStep] = _mm256_movemask_ps(nan) ? __builtin_nanf("") : amax / 127.0f;
  }
}

}  // namespace avx2
}  // namespace hadal::cpu
