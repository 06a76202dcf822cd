#include "kernels/cpu/attention_loops.h"
#include "kernels/cpu/avx512/avx512_kernels.h"
#include "kernels/cpu/avx512/transpose.h"
#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

constexpr int kRows = 6;  // query vectors whose values are summed together

// Scores of 16 keys with R vectors, keys in the lanes: 16 by 16 values are transposed in registers.
template <int R>
void FewScores(const AttentionTile& t, int64_t i0, int64_t j0) {
  const float* q = t.q + i0 * t.k_dim;
  const float* const* keys = t.keys + j0;
  __m512 acc[R];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) acc[r] = _mm512_setzero_ps();
  int64_t d = 0;
  for (; d + 16 <= t.k_dim; d += 16) {
    __m512 k[16];
    HADAL_UNROLL
    for (int j = 0; j < 16; ++j) k[j] = _mm512_loadu_ps(keys[j] + d);
    Transpose(k);
    HADAL_UNROLL
    for (int i = 0; i < 16; ++i) {
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        acc[r] = _mm512_fmadd_ps(_mm512_set1_ps(q[(d + i) * kPanel + r]), k[i], acc[r]);
      }
    }
  }
  for (; d < t.k_dim; ++d) {
    alignas(64) float k[16];
    HADAL_UNROLL
    for (int j = 0; j < 16; ++j) k[j] = keys[j][d];
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      acc[r] = _mm512_fmadd_ps(_mm512_set1_ps(q[d * kPanel + r]), _mm512_load_ps(k), acc[r]);
    }
  }
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    _mm512_storeu_ps(t.scores + (i0 + r) * kKeyTile + j0, acc[r]);
  }
}

// The same of 16 vectors, these in the lanes: values of keys are broadcast as they lie.
HADAL_AVX512_INLINE void AddScores(const float* q, const float* const* keys, int64_t d, int n,
                                   __m512 (&acc)[16]) {
  HADAL_UNROLL
  for (int j = 0; j < 16; j += 4) {
    const float *k0 = keys[j] + d, *k1 = keys[j + 1] + d, *k2 = keys[j + 2] + d,
                *k3 = keys[j + 3] + d;
    HADAL_UNROLL
    for (int i = 0; i < n; ++i) {
      const __m512 v = _mm512_loadu_ps(q + (d + i) * kPanel);
      acc[j] = _mm512_fmadd_ps(v, _mm512_set1_ps(k0[i]), acc[j]);
      acc[j + 1] = _mm512_fmadd_ps(v, _mm512_set1_ps(k1[i]), acc[j + 1]);
      acc[j + 2] = _mm512_fmadd_ps(v, _mm512_set1_ps(k2[i]), acc[j + 2]);
      acc[j + 3] = _mm512_fmadd_ps(v, _mm512_set1_ps(k3[i]), acc[j + 3]);
    }
  }
}
void ManyScores(const AttentionTile& t, int64_t i0, int64_t j0) {
  const float* q = t.q + i0 * t.k_dim;
  const float* const* keys = t.keys + j0;
  __m512 acc[16];
  HADAL_UNROLL
  for (int j = 0; j < 16; ++j) acc[j] = _mm512_setzero_ps();
  int64_t d = 0;
  for (; d + 8 <= t.k_dim; d += 8) AddScores(q, keys, d, 8, acc);
  for (; d < t.k_dim; ++d) AddScores(q, keys, d, 1, acc);
  Transpose(acc);
  HADAL_UNROLL
  for (int r = 0; r < 16; ++r) {
    _mm512_storeu_ps(t.scores + (i0 + r) * kKeyTile + j0, acc[r]);
  }
}

using ScoresOf = void (*)(const AttentionTile& t, int64_t i0, int64_t j0);
constexpr ScoresOf kScoresOf[] = {FewScores<1>, FewScores<2>, FewScores<3>,
                                  FewScores<4>, FewScores<5>, FewScores<6>,
                                  FewScores<7>, FewScores<8>, ManyScores};
constexpr int64_t kFew = 8;  // transposing costs as much as about four more vectors

void Scores(const AttentionTile& t, int most) {
  for (int64_t i = 0; i < t.n_q; i += kPanel) {
    const int64_t n = t.n_q - i;
    const ScoresOf scores = kScoresOf[(n > kFew ? kFew + 1 : n) - 1];
    for (int64_t j = 0; j < most; j += 16) scores(t, i, j);
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
  const float before = t.m[i];
  if (m == before) {
    t.l[i] += _mm512_reduce_add_ps(sum);
    return;
  }
  const __m512 alpha = Exp(_mm512_set1_ps(before - m));
  t.m[i] = m;
  t.l[i] = t.l[i] * _mm512_cvtss_f32(alpha) + _mm512_reduce_add_ps(sum);
  float* o = t.o + i * t.v_stride;
  for (int64_t d = 0; d < t.v_stride; d += 16) {
    _mm512_storeu_ps(o + d, _mm512_mul_ps(_mm512_loadu_ps(o + d), alpha));
  }
}

// o[R][16 C] += p[R][n keys] by columns [d, d + 16 C) of the values, one chain in their order.
template <int R, int C>
void AddValues(const AttentionTile& t, int64_t i, int64_t d) {
  const float* p = t.scores + i * kKeyTile;
  float* o = t.o + i * t.v_stride + d;
  const __mmask16 mask = C == 1 ? TailMask(t.v_dim - d) : __mmask16{0xffff};
  __m512 acc[R][C];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    HADAL_UNROLL
    for (int c = 0; c < C; ++c) acc[r][c] = _mm512_loadu_ps(o + r * t.v_stride + c * 16);
  }
  for (int64_t j = 0; j < t.seen[i]; ++j) {
    const float* row = t.values[j] + d;
    __m512 v[C];
    HADAL_UNROLL
    for (int c = 0; c < C; ++c) v[c] = _mm512_maskz_loadu_ps(mask, row + c * 16);
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      const __m512 x = _mm512_set1_ps(p[r * kKeyTile + j]);
      HADAL_UNROLL
      for (int c = 0; c < C; ++c) acc[r][c] = _mm512_fmadd_ps(x, v[c], acc[r][c]);
    }
  }
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    HADAL_UNROLL
    for (int c = 0; c < C; ++c) _mm512_storeu_ps(o + r * t.v_stride + c * 16, acc[r][c]);
  }
}

struct Avx512Attention {
  static constexpr int64_t kLanes = 16, kRows = cpu::kRows;
  static constexpr auto Scores = cpu::Scores;
  static constexpr auto Softmax = cpu::Softmax;
  template <int C>
  static constexpr AddValuesOf kAddValues[kRows] = {AddValues<1, C>, AddValues<2, C>,
                                                    AddValues<3, C>, AddValues<4, C>,
                                                    AddValues<5, C>, AddValues<6, C>};
};

}  // namespace

namespace avx512 {

void Attend(const AttentionTile& t) { AttendTile<Avx512Attention>(t); }

}  // namespace avx512
}  // namespace hadal::cpu
