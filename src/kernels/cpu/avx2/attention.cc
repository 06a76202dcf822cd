#include "kernels/cpu/avx2/avx2_kernels.h"
#include "kernels/cpu/avx2/vector.h"

namespace hadal::cpu {
namespace {

// In place transpose of 8 rows of 8.
HADAL_AVX2_INLINE void Transpose(__m256 (&r)[8]) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}

HADAL_AVX2_INLINE __m256 LoadRow(const void* row, bool bf16, int64_t d) {
  if (!bf16) return _mm256_loadu_ps(static_cast<const float*>(row) + d);
  return Bf16ToF32(
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(static_cast<const uint16_t*>(row) + d)));
}
HADAL_AVX2_INLINE float LoadOne(const void* row, bool bf16, int64_t d) {
  if (!bf16) return static_cast<const float*>(row)[d];
  const int bits = static_cast<const uint16_t*>(row)[d] << 16;
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
}

// c[R][8 C] (+)= a[R][k] b[k][8 C], each element one chain in the order of k.
template <int R, int C, bool kAdd>
HADAL_AVX2_INLINE void Product(const float* a, int64_t lda, const float* b, int64_t ldb, int64_t n,
                               float* c, int64_t ldc) {
  __m256 acc[R][C];
  for (int r = 0; r < R; ++r) {
    for (int j = 0; j < C; ++j) {
      acc[r][j] = kAdd ? _mm256_loadu_ps(c + r * ldc + j * 8) : _mm256_setzero_ps();
    }
  }
  for (int64_t k = 0; k < n; ++k) {
    __m256 x[R];
    for (int r = 0; r < R; ++r) x[r] = _mm256_broadcast_ss(a + r * lda + k);
    for (int j = 0; j < C; ++j) {
      const __m256 v = _mm256_loadu_ps(b + k * ldb + j * 8);
      for (int r = 0; r < R; ++r) acc[r][j] = _mm256_fmadd_ps(x[r], v, acc[r][j]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int j = 0; j < C; ++j) _mm256_storeu_ps(c + r * ldc + j * 8, acc[r][j]);
  }
}

template <int R>
void Scores(const AttentionTile& t, int64_t i) {
  for (int64_t j = 0; j < kKeyTile; j += 32) {
    Product<R, 4, false>(t.q + i * t.k_dim, t.k_dim, t.keys + j, kKeyTile, t.k_dim,
                         t.scores + i * kKeyTile + j, kKeyTile);
  }
}

// Turns the scores of vector i into exp(s - m) and scales its running sums to the new maximum.
void Softmax(const AttentionTile& t, int64_t i) {
  float* s = t.scores + i * kKeyTile;
  const int seen = t.seen[i];
  const __m256 none = _mm256_set1_ps(-__builtin_inff());
  __m256 v[8], largest = _mm256_set1_ps(t.m[i]);
  for (int j = 0; j < 8; ++j) {
    const __m256i mask = TailMask(seen - j * 8);
    v[j] = _mm256_blendv_ps(none, _mm256_loadu_ps(s + j * 8), _mm256_castsi256_ps(mask));
    largest = _mm256_max_ps(largest, v[j]);
  }
  const float m = Max(largest);
  __m256 sum = _mm256_setzero_ps();
  for (int j = 0; j < 8; ++j) {
    v[j] = Exp(_mm256_sub_ps(v[j], _mm256_set1_ps(m)));
    sum = _mm256_add_ps(sum, v[j]);
    _mm256_storeu_ps(s + j * 8, v[j]);
  }
  const __m256 alpha = Exp(_mm256_set1_ps(t.m[i] - m));
  t.m[i] = m;
  t.l[i] = t.l[i] * _mm256_cvtss_f32(alpha) + Sum(sum);
  float* o = t.o + i * t.v_stride;
  for (int64_t d = 0; d < t.v_stride; d += 8) {
    _mm256_storeu_ps(o + d, _mm256_mul_ps(_mm256_loadu_ps(o + d), alpha));
  }
}

template <int R>
void Values(const AttentionTile& t, int64_t i) {
  const float* p = t.scores + i * kKeyTile;
  int64_t d = 0;
  for (; d + 32 <= t.v_stride; d += 32) {
    Product<R, 4, true>(p, kKeyTile, t.values + d, t.v_stride, t.seen[i], t.o + i * t.v_stride + d,
                        t.v_stride);
  }
  if (d < t.v_stride) {
    Product<R, 2, true>(p, kKeyTile, t.values + d, t.v_stride, t.seen[i], t.o + i * t.v_stride + d,
                        t.v_stride);
  }
}

}  // namespace

namespace avx2 {

void PackKeys(const void* const* rows, bool bf16, int n_keys, int64_t dim, float* keys) {
  for (int j0 = 0; j0 < kKeyTile; j0 += 8) {
    const int n = n_keys - j0;
    int64_t d = 0;
    for (; d + 8 <= dim; d += 8) {
      __m256 r[8];
      for (int j = 0; j < 8; ++j) {
        r[j] = j < n ? LoadRow(rows[j0 + j], bf16, d) : _mm256_setzero_ps();
      }
      Transpose(r);
      for (int i = 0; i < 8; ++i) _mm256_storeu_ps(keys + (d + i) * kKeyTile + j0, r[i]);
    }
    for (; d < dim; ++d) {
      for (int j = 0; j < 8; ++j) {
        keys[d * kKeyTile + j0 + j] = j < n ? LoadOne(rows[j0 + j], bf16, d) : 0.0f;
      }
    }
  }
}

void PackValues(const void* const* rows, bool bf16, int n_keys, int64_t dim, int64_t stride,
                float* values) {
  for (int j = 0; j < n_keys; ++j) {
    float* out = values + j * stride;
    int64_t d = 0;
    for (; d + 8 <= dim; d += 8) _mm256_storeu_ps(out + d, LoadRow(rows[j], bf16, d));
    for (; d < stride; ++d) out[d] = d < dim ? LoadOne(rows[j], bf16, d) : 0.0f;
  }
}

void Attend(const AttentionTile& t) {
  for (int64_t i = 0; i < t.n_q;) {
    // Vectors that see the same number of keys (heads of one row, or rows past the tile).
    int64_t n = 1;
    while (n < 3 && i + n < t.n_q && t.seen[i + n] == t.seen[i]) ++n;
    if (t.seen[i] > 0) {
      n == 3 ? Scores<3>(t, i) : n == 2 ? Scores<2>(t, i) : Scores<1>(t, i);
      for (int64_t r = 0; r < n; ++r) Softmax(t, i + r);
      n == 3 ? Values<3>(t, i) : n == 2 ? Values<2>(t, i) : Values<1>(t, i);
    }
    i += n;
  }
}

}  // namespace avx2
}  // namespace hadal::cpu
