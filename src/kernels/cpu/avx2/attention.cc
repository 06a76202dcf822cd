#include "kernels/cpu/attention_loops.h"
#include "kernels/cpu/avx2/avx2_kernels.h"
#include "kernels/cpu/avx2/vector.h"

namespace hadal::cpu {
namespace {

constexpr int kRows = 3;  // query vectors whose values are summed together

// In place transpose of 8 rows of 8.
HADAL_AVX2_INLINE void Transpose(__m256 (&r)[8]) {
  __m256 a[8], b[8];
  HADAL_UNROLL
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  HADAL_UNROLL
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  HADAL_UNROLL
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}

// Scores of 8 keys with R vectors, keys in the lanes: 8 by 8 values are transposed in registers.
template <int R>
void FewScores(const float* q, const float* const* keys, int64_t k_dim, float* scores) {
  __m256 acc[R];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) acc[r] = _mm256_setzero_ps();
  int64_t d = 0;
  for (; d + 8 <= k_dim; d += 8) {
    __m256 k[8];
    HADAL_UNROLL
    for (int j = 0; j < 8; ++j) k[j] = _mm256_loadu_ps(keys[j] + d);
    Transpose(k);
    HADAL_UNROLL
    for (int i = 0; i < 8; ++i) {
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        acc[r] = _mm256_fmadd_ps(_mm256_broadcast_ss(q + (d + i) * kPanel + r), k[i], acc[r]);
      }
    }
  }
  for (; d < k_dim; ++d) {
    alignas(32) float k[8];
    HADAL_UNROLL
    for (int j = 0; j < 8; ++j) k[j] = keys[j][d];
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      acc[r] = _mm256_fmadd_ps(_mm256_broadcast_ss(q + d * kPanel + r), _mm256_load_ps(k), acc[r]);
    }
  }
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) _mm256_storeu_ps(scores + r * kKeyTile, acc[r]);
}

// The same of 8 vectors, these in the lanes: values of keys are broadcast as they lie.
HADAL_AVX2_INLINE void AddScores(const float* q, const float* const* keys, int64_t d, int n,
                                 __m256 (&acc)[8]) {
  HADAL_UNROLL
  for (int j = 0; j < 8; j += 4) {
    const float *k0 = keys[j] + d, *k1 = keys[j + 1] + d, *k2 = keys[j + 2] + d,
                *k3 = keys[j + 3] + d;
    HADAL_UNROLL
    for (int i = 0; i < n; ++i) {
      const __m256 v = _mm256_loadu_ps(q + (d + i) * kPanel);
      acc[j] = _mm256_fmadd_ps(v, _mm256_broadcast_ss(k0 + i), acc[j]);
      acc[j + 1] = _mm256_fmadd_ps(v, _mm256_broadcast_ss(k1 + i), acc[j + 1]);
      acc[j + 2] = _mm256_fmadd_ps(v, _mm256_broadcast_ss(k2 + i), acc[j + 2]);
      acc[j + 3] = _mm256_fmadd_ps(v, _mm256_broadcast_ss(k3 + i), acc[j + 3]);
    }
  }
}
void ManyScores(const float* q, const float* const* keys, int64_t k_dim, float* scores) {
  __m256 acc[8];
  HADAL_UNROLL
  for (int j = 0; j < 8; ++j) acc[j] = _mm256_setzero_ps();
  int64_t d = 0;
  for (; d + 4 <= k_dim; d += 4) AddScores(q, keys, d, 4, acc);
  for (; d < k_dim; ++d) AddScores(q, keys, d, 1, acc);
  Transpose(acc);
  HADAL_UNROLL
  for (int r = 0; r < 8; ++r) _mm256_storeu_ps(scores + r * kKeyTile, acc[r]);
}

using ScoresOf = void (*)(const float* q, const float* const* keys, int64_t k_dim, float* scores);
constexpr ScoresOf kScoresOf[] = {FewScores<1>, FewScores<2>, FewScores<3>, FewScores<4>,
                                  ManyScores};
constexpr int64_t kFew = 4;

void Scores(const AttentionTile& t, int most) {
  for (int64_t i = 0; i < t.n_q; i += 8) {
    const int64_t n = t.n_q - i;
    const ScoresOf scores = kScoresOf[(n > kFew ? kFew + 1 : n) - 1];
    const float* q = t.q + i / kPanel * t.k_dim * kPanel + i % kPanel;
    for (int64_t j = 0; j < most; j += 8) {
      scores(q, t.keys + j, t.k_dim, t.scores + i * kKeyTile + j);
    }
  }
}

// Turns the scores of vector i into exp(s - m) and scales its running sums to the new maximum.
void Softmax(const AttentionTile& t, int64_t i) {
  float* s = t.scores + i * kKeyTile;
  const int seen = t.seen[i];
  const __m256 none = _mm256_set1_ps(-__builtin_inff());
  __m256 v[8], largest = _mm256_set1_ps(t.m[i]);
  HADAL_UNROLL
  for (int j = 0; j < 8; ++j) {
    const __m256i mask = TailMask(seen - j * 8);
    v[j] = _mm256_blendv_ps(none, _mm256_loadu_ps(s + j * 8), _mm256_castsi256_ps(mask));
    largest = _mm256_max_ps(largest, v[j]);
  }
  const float m = Max(largest);
  __m256 sum = _mm256_setzero_ps();
  HADAL_UNROLL
  for (int j = 0; j < 8; ++j) {
    v[j] = Exp(_mm256_sub_ps(v[j], _mm256_set1_ps(m)));
    sum = _mm256_add_ps(sum, v[j]);
    _mm256_storeu_ps(s + j * 8, v[j]);
  }
  const float before = t.m[i];
  if (m == before) {
    t.l[i] += Sum(sum);
    return;
  }
  const __m256 alpha = Exp(_mm256_set1_ps(before - m));
  t.m[i] = m;
  t.l[i] = t.l[i] * _mm256_cvtss_f32(alpha) + Sum(sum);
  float* o = t.o + i * t.v_stride;
  for (int64_t d = 0; d < t.v_stride; d += 8) {
    _mm256_storeu_ps(o + d, _mm256_mul_ps(_mm256_loadu_ps(o + d), alpha));
  }
}

// o[R][8 C] += p[R][n keys] by columns [d, d + 8 C) of the values, one chain in their order.
template <int R, int C>
void AddValues(const AttentionTile& t, int64_t i, int64_t d) {
  const float* p = t.scores + i * kKeyTile;
  float* o = t.o + i * t.v_stride + d;
  const __m256i mask = TailMask(t.v_dim - d);
  __m256 acc[R][C];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    HADAL_UNROLL
    for (int c = 0; c < C; ++c) acc[r][c] = _mm256_loadu_ps(o + r * t.v_stride + c * 8);
  }
  for (int64_t j = 0; j < t.seen[i]; ++j) {
    const float* row = t.values[j] + d;
    __m256 x[R];
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) x[r] = _mm256_broadcast_ss(p + r * kKeyTile + j);
    HADAL_UNROLL
    for (int c = 0; c < C; ++c) {
      const __m256 v = C == 1 ? _mm256_maskload_ps(row, mask) : _mm256_loadu_ps(row + c * 8);
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) acc[r][c] = _mm256_fmadd_ps(x[r], v, acc[r][c]);
    }
  }
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    HADAL_UNROLL
    for (int c = 0; c < C; ++c) _mm256_storeu_ps(o + r * t.v_stride + c * 8, acc[r][c]);
  }
}

struct Avx2Attention {
  static constexpr int64_t kLanes = 8, kRows = cpu::kRows;
  static constexpr auto Scores = cpu::Scores;
  static constexpr auto Softmax = cpu::Softmax;
  template <int C>
  static constexpr AddValuesOf kAddValues[kRows] = {AddValues<1, C>, AddValues<2, C>,
                                                    AddValues<3, C>};
};

}  // namespace

namespace avx2 {

void Attend(const AttentionTile& t) { AttendTile<Avx2Attention>(t); }

}  // namespace avx2
}  // namespace hadal::cpu
