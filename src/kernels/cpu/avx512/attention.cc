#include "kernels/cpu/avx512/avx512_kernels.h"
#include "kernels/cpu/avx512/transpose.h"
#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

constexpr int kRows = 6;  // query vectors computed together

// Values [d, d + 16) of a row, zero from dim on.
HADAL_AVX512_INLINE __m512 LoadRow(const void* row, bool bf16, int64_t d, int64_t dim) {
  if (!bf16) return Load(static_cast<const float*>(row) + d, dim - d);
  const auto* p = static_cast<const uint16_t*>(row) + d;
  return Bf16ToF32(_mm256_maskz_loadu_epi16(TailMask(dim - d), p));
}

// c[R][16 C] (+)= a[R][k] b[k][16 C], each element one chain in the order of k.
template <int R, int C, bool kAdd>
HADAL_AVX512_INLINE void Product(const float* a, int64_t lda, const float* b, int64_t ldb,
                                 int64_t n, float* c, int64_t ldc) {
  __m512 acc[R][C];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    HADAL_UNROLL
    for (int j = 0; j < C; ++j) {
      acc[r][j] = kAdd ? _mm512_loadu_ps(c + r * ldc + j * 16) : _mm512_setzero_ps();
    }
  }
  for (int64_t k = 0; k < n; ++k) {
    __m512 x[R];
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) x[r] = _mm512_set1_ps(a[r * lda + k]);
    HADAL_UNROLL
    for (int j = 0; j < C; ++j) {
      const __m512 v = _mm512_loadu_ps(b + k * ldb + j * 16);
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) acc[r][j] = _mm512_fmadd_ps(x[r], v, acc[r][j]);
    }
  }
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    HADAL_UNROLL
    for (int j = 0; j < C; ++j) _mm512_storeu_ps(c + r * ldc + j * 16, acc[r][j]);
  }
}

// Turns the scores of vector i into exp(s - m) and scales its running sums to the new maximum.
void Softmax(const AttentionTile& t, int64_t i) {
  float* s = t.scores + i * kKeyTile;
  const int seen = t.seen[i];
  const __m512 none = _mm512_set1_ps(-__builtin_inff());
  __m512 v[4], largest = _mm512_set1_ps(t.m[i]);
  HADAL_UNROLL
  for (int j = 0; j < 4; ++j) {
    v[j] = _mm512_mask_loadu_ps(none, TailMask(seen - j * 16), s + j * 16);
    largest = _mm512_max_ps(largest, v[j]);
  }
  const float m = _mm512_reduce_max_ps(largest);
  __m512 sum = _mm512_setzero_ps();
  HADAL_UNROLL
  for (int j = 0; j < 4; ++j) {
    v[j] = Exp(_mm512_sub_ps(v[j], _mm512_set1_ps(m)));
    sum = _mm512_add_ps(sum, v[j]);
    _mm512_storeu_ps(s + j * 16, v[j]);
  }
  const __m512 alpha = Exp(_mm512_set1_ps(t.m[i] - m));
  t.m[i] = m;
  t.l[i] = t.l[i] * _mm512_cvtss_f32(alpha) + _mm512_reduce_add_ps(sum);
  float* o = t.o + i * t.v_stride;
  for (int64_t d = 0; d < t.v_stride; d += 16) {
    _mm512_storeu_ps(o + d, _mm512_mul_ps(_mm512_loadu_ps(o + d), alpha));
  }
}

// R vectors that see the same number of keys.
template <int R>
void Vectors(const AttentionTile& t, int64_t i) {
  float* p = t.scores + i * kKeyTile;
  Product<R, 4, false>(t.q + i * t.k_dim, t.k_dim, t.keys, kKeyTile, t.k_dim, p, kKeyTile);
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) Softmax(t, i + r);
  float* o = t.o + i * t.v_stride;
  int64_t d = 0;
  for (; d + 64 <= t.v_stride; d += 64) {
    Product<R, 4, true>(p, kKeyTile, t.values + d, t.v_stride, t.seen[i], o + d, t.v_stride);
  }
  for (; d < t.v_stride; d += 16) {
    Product<R, 1, true>(p, kKeyTile, t.values + d, t.v_stride, t.seen[i], o + d, t.v_stride);
  }
}

}  // namespace

namespace avx512 {

void PackKeys(const void* const* rows, bool bf16, int n_keys, int64_t dim, float* keys) {
  for (int j0 = 0; j0 < kKeyTile; j0 += 16) {
    for (int64_t d = 0; d < dim; d += 16) {
      __m512 r[16];
      HADAL_UNROLL
      for (int j = 0; j < 16; ++j) {
        r[j] = j0 + j < n_keys ? LoadRow(rows[j0 + j], bf16, d, dim) : _mm512_setzero_ps();
      }
      Transpose(r);
      const int64_t n = dim - d < 16 ? dim - d : 16;
      for (int64_t i = 0; i < n; ++i) _mm512_storeu_ps(keys + (d + i) * kKeyTile + j0, r[i]);
    }
  }
}

void PackValues(const void* const* rows, bool bf16, int n_keys, int64_t dim, int64_t stride,
                float* values) {
  for (int j = 0; j < n_keys; ++j) {
    for (int64_t d = 0; d < stride; d += 16) {
      _mm512_storeu_ps(values + j * stride + d, LoadRow(rows[j], bf16, d, dim));
    }
  }
}

void Attend(const AttentionTile& t) {
  for (int64_t i = 0; i < t.n_q;) {
    int64_t n = 1;
    while (n < kRows && i + n < t.n_q && t.seen[i + n] == t.seen[i]) ++n;
    if (t.seen[i] > 0) {
      if (n == 6) Vectors<6>(t, i);
      if (n == 5) Vectors<5>(t, i);
      if (n == 4) Vectors<4>(t, i);
      if (n == 3) Vectors<3>(t, i);
      if (n == 2) Vectors<2>(t, i);
      if (n == 1) Vectors<1>(t, i);
    }
    i += n;
  }
}

}  // namespace avx512
}  // namespace hadal::cpu
