// f32, bf16 and f16 panels. Every output is one chain of fused multiply-adds in the order of k; a
// block of R rows by P panels only decides which chains run side by side.
#include "kernels/cpu/avx512/avx512_kernels.h"
#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kKBlock = 2048;  // k per pass over many rows: keeps the weights in L2
// Many rows go 8 by 2 panels (16 accumulators, 8 activations and the raw weights fit the
// registers), the last few 4 by 4, a single one 1 by 4: enough chains to hide their latency.
constexpr int64_t kRows = 8;

HADAL_AVX512_INLINE __m512 Load16(const float* w) { return _mm512_loadu_ps(w); }
HADAL_AVX512_INLINE __m512 Load16(const uint16_t* f16) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(f16)));
}

// Panels of [k][16]: float, or uint16_t for F16.
template <class T>
struct ValueFormat {
  using Element = T;
  static int64_t PanelElements(int64_t k) { return k * kPanel; }

  template <int R, int P>
  HADAL_AVX512_INLINE void Accumulate(const float* x, int64_t ldx, const T* w, int64_t stride,
                                      int64_t k0, int64_t k1, __m512 (&acc)[R][P]) {
    for (int64_t k = k0; k < k1; ++k) {
      __m512 a[R];
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) a[r] = _mm512_set1_ps(x[r * ldx + k]);
      HADAL_UNROLL
      for (int p = 0; p < P; ++p) {
        const __m512 b = Load16(w + p * stride + k * kPanel);
        HADAL_UNROLL
        for (int r = 0; r < R; ++r) acc[r][p] = _mm512_fmadd_ps(a[r], b, acc[r][p]);
      }
    }
  }
};

struct Bf16Format {
  using Element = uint16_t;
  static int64_t PanelElements(int64_t k) { return PanelBytesBf16(k) / 2; }

  // One k of a pair: the even one is the low half of each 32-bit lane.
  template <int R, int P, bool kOdd>
  HADAL_AVX512_INLINE void Half(const float* x, int64_t ldx, const uint16_t* pairs, int64_t stride,
                                __m512 (&acc)[R][P]) {
    __m512 a[R];
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) a[r] = _mm512_set1_ps(x[r * ldx]);
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) {
      const __m512i raw = _mm512_loadu_si512(pairs + p * stride);
      const __m512i bits =
          kOdd ? _mm512_and_si512(raw, _mm512_set1_epi32(static_cast<int>(0xffff0000u)))
               : _mm512_slli_epi32(raw, 16);
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        acc[r][p] = _mm512_fmadd_ps(a[r], _mm512_castsi512_ps(bits), acc[r][p]);
      }
    }
  }

  template <int R, int P>
  HADAL_AVX512_INLINE void Accumulate(const float* x, int64_t ldx, const uint16_t* w,
                                      int64_t stride, int64_t k0, int64_t k1, __m512 (&acc)[R][P]) {
    int64_t k = k0;
    for (; k + 2 <= k1; k += 2) {
      Half<R, P, false>(x + k, ldx, w + k * kPanel, stride, acc);
      Half<R, P, true>(x + k + 1, ldx, w + k * kPanel, stride, acc);
    }
    if (k < k1) Half<R, P, false>(x + k, ldx, w + k * kPanel, stride, acc);
  }
};

// Rows [row, row + R) by panels [panel, panel + P), k in [k0, k1); later passes continue the chains
// from the sums stored in out.
template <class F, int R, int P>
void Block(const MatMulTile& t, int64_t row, int64_t panel, int64_t k0, int64_t k1) {
  const float* x = static_cast<const float*>(t.x) + row * t.ldx;
  const int64_t stride = F::PanelElements(t.k), column = panel * kPanel;
  const auto* w = static_cast<const typename F::Element*>(t.w) + panel * stride;
  float* out = t.out + row * t.ldo + column;
  __m512 acc[R][P];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) {
      acc[r][p] = k0 == 0 ? _mm512_setzero_ps()
                          : Load(out + r * t.ldo + p * kPanel, t.n - column - p * kPanel);
    }
  }
  F::template Accumulate<R, P>(x, t.ldx, w, stride, k0, k1, acc);
  const bool add_bias = t.bias && k1 == t.k;
  HADAL_UNROLL
  for (int p = 0; p < P; ++p) {
    const int64_t left = t.n - column - p * kPanel;
    const __m512 bias = add_bias ? Load(t.bias + column + p * kPanel, left) : _mm512_setzero_ps();
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      const __m512 v = add_bias ? _mm512_add_ps(acc[r][p], bias) : acc[r][p];
      Store(out + r * t.ldo + p * kPanel, left, v);
    }
  }
}

// The rows from `row` on that are fewer than kRows.
template <class F, int P>
void LastRows(const MatMulTile& t, int64_t row, int64_t panel, int64_t k0, int64_t k1) {
  if (t.m - row >= 4) {
    Block<F, 4, P>(t, row, panel, k0, k1);
    row += 4;
  }
  const int64_t left = t.m - row;
  if (left == 3) Block<F, 3, P>(t, row, panel, k0, k1);
  if (left == 2) Block<F, 2, P>(t, row, panel, k0, k1);
  if (left == 1) Block<F, 1, P>(t, row, panel, k0, k1);
}

template <class F, int P>
void Panels(const MatMulTile& t, int64_t panel) {
  const int64_t k_block = t.m <= kRows ? t.k : kKBlock;
  constexpr int kWide = P == 4 ? 2 : 1;
  for (int64_t k0 = 0; k0 < t.k; k0 += k_block) {
    const int64_t k1 = k0 + k_block < t.k ? k0 + k_block : t.k;
    int64_t r = 0;
    for (; r + kRows <= t.m; r += kRows) {
      for (int64_t p = 0; p < P; p += kWide) Block<F, kRows, kWide>(t, r, panel + p, k0, k1);
    }
    LastRows<F, P>(t, r, panel, k0, k1);
  }
}

template <class F>
void Multiply(const MatMulTile& t) {
  int64_t p = t.panel0;
  for (; p + 4 <= t.panel1; p += 4) Panels<F, 4>(t, p);
  for (; p < t.panel1; ++p) Panels<F, 1>(t, p);
}

}  // namespace

namespace avx512 {

void MatMulF32(const MatMulTile& t) { Multiply<ValueFormat<float>>(t); }
void MatMulBf16(const MatMulTile& t) { Multiply<Bf16Format>(t); }
void MatMulF16(const MatMulTile& t) { Multiply<ValueFormat<uint16_t>>(t); }

}  // namespace avx512
}  // namespace hadal::cpu
