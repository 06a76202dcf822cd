// Attention of exact rows over a cache of bf16 with dot products of pairs: keys and values from the
// rows of the cache as they lie, queries and probabilities in two bf16 parts, which keep them to a
// relative 2^-17. Scores have dimensions in the lanes, 16 sums at a time, so no lane idles whatever
// the number of vectors. A segment's scores all come before its softmax, so that sums of values
// stay in registers; its rows are read again from the L2 cache. Vectors do not mix, except that a
// value that is infinite or no number reaches the up to three beside one that sees it. As many
// instructions as floats take.
#include "kernels/cpu/avx512/avx512_kernels.h"
#include "kernels/cpu/avx512/bf16_pairs.h"
#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

constexpr int kVectors = 16;  // query vectors that pass over a segment together
constexpr int kRows = 4;      // of them, multiplied together
constexpr int kKeys = 16;     // keys that meet all vectors before the next
constexpr int kStep = kBf16KStep;
static_assert(kVectors * kSegmentKeys * 4 <= CachedSegmentSpace(kStep, kStep));

constexpr int kToL2 = 2;  // of a prefetch

HADAL_AVX512_INLINE __m512bh LoadPairs(const uint16_t* x) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(x));
}
HADAL_AVX512_INLINE __m512bh Pair(const uint16_t* x) {
  int32_t both;
  __builtin_memcpy(&both, x, sizeof both);
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(both));
}

void SplitRows(const float* const* x, int64_t rows, int64_t k_dim, uint16_t* out) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t d = 0; d < k_dim; d += 16) {
      const Parts parts = Split(_mm512_loadu_ps(x[r] + d));
      uint16_t* to = out + r * 2 * k_dim + d / kStep * 2 * kStep + d % kStep;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), parts.high);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + kStep), parts.low);
    }
  }
}

// ---- scores, [vector][kSegmentKeys]

// Lane i: the sum of all lanes of v[i], each in the same order.
HADAL_AVX512_INLINE __m512 SumLanes(const __m512 (&v)[16]) {
  __m512 a[8], b[4], c[2];
  HADAL_UNROLL
  for (int i = 0; i < 8; ++i) {
    a[i] = _mm512_add_ps(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]),
                         _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
  }
  HADAL_UNROLL
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_add_ps(_mm512_shuffle_ps(a[2 * i], a[2 * i + 1], 0x44),
                         _mm512_shuffle_ps(a[2 * i], a[2 * i + 1], 0xee));
  }
  HADAL_UNROLL
  for (int i = 0; i < 2; ++i) {
    c[i] = _mm512_add_ps(_mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x88),
                         _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xdd));
  }
  return _mm512_add_ps(_mm512_shuffle_f32x4(c[0], c[1], 0x88),
                       _mm512_shuffle_f32x4(c[0], c[1], 0xdd));
}

// R vectors by kKeys keys; asks for those in `next`.
template <int R>
void Scores(const uint16_t* q, const uint16_t* const* keys, const uint16_t* const* next,
            int64_t k_dim, float* scores) {
  constexpr int kTogether = R == 1 ? 16 : R == 2 ? 8 : 4;
  for (int first = 0; first < kKeys; first += kTogether) {
    __m512 sums[16];
    HADAL_UNROLL
    for (int i = 0; i < 16; ++i) sums[i] = _mm512_setzero_ps();
    for (int64_t d = 0; d < k_dim; d += kStep) {
      __m512bh high[R], low[R];
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        high[r] = LoadPairs(q + 2 * (r * k_dim + d));
        low[r] = LoadPairs(q + 2 * (r * k_dim + d) + kStep);
      }
      HADAL_UNROLL
      for (int j = 0; j < kTogether; ++j) {
        const __m512bh key = LoadPairs(keys[first + j] + d);
        if (next != nullptr) __builtin_prefetch(next[first + j] + d, 0, kToL2);
        HADAL_UNROLL
        for (int r = 0; r < R; ++r) {
          __m512& sum = sums[r * kTogether + j];
          sum = _mm512_dpbf16_ps(_mm512_dpbf16_ps(sum, low[r], key), high[r], key);
        }
      }
    }
    alignas(64) float all[16];
    _mm512_store_ps(all, SumLanes(sums));
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      __builtin_memcpy(scores + r * kSegmentKeys + first, all + r * kTogether, kTogether * 4);
    }
  }
}

using ScoresOf = void (*)(const uint16_t*, const uint16_t* const*, const uint16_t* const*, int64_t,
                          float*);
constexpr ScoresOf kScoresOf[kRows] = {Scores<1>, Scores<2>, Scores<3>, Scores<4>};

// Rows [first, first + kKeys); the last one stands for those that are not there.
void TakeRows(const void* const* rows, int64_t n, int64_t first, const uint16_t** out) {
  for (int64_t j = first; j < first + kKeys; ++j) {
    out[j - first] = static_cast<const uint16_t*>(rows[j < n ? j : n - 1]);
  }
}

// Asks for the rows, unless they are part of keys.
void AskForValues(const CachedSegment& t, const uint16_t* const* keys, int64_t first) {
  constexpr int64_t kLine = 32;
  if (first >= t.n_keys || t.values[first] == keys[0]) return;
  for (int64_t j = first; j < first + kKeys && j < t.n_keys; ++j) {
    const auto* row = static_cast<const uint16_t*>(t.values[j]);
    for (int64_t d = 0; d < t.v_dim; d += kLine) __builtin_prefetch(row + d, 0, kToL2);
  }
}

// ---- softmax: scores to probabilities in their place, [key / 32][part][32]

// Probabilities of keys up to n, where the vector sees those before `seen`.
void Softmax(int seen, int n, float* scores, float* m, float* l) {
  const __m512 none = _mm512_set1_ps(-__builtin_inff());
  __m512 largest = none;
  for (int j = 0; j < seen; j += 16) {
    largest = _mm512_max_ps(largest, _mm512_mask_loadu_ps(none, TailMask(seen - j), scores + j));
  }
  *m = _mm512_reduce_max_ps(largest);
  const __m512 base = _mm512_set1_ps(*m == -__builtin_inff() ? 0.0f : *m);
  __m512 sum = _mm512_setzero_ps();
  for (int j = 0; j < n; j += kStep) {
    Parts parts[2];
    HADAL_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int at = j + 16 * i;
      const __m512 p = _mm512_maskz_mov_ps(TailMask(seen - at),
                                           Exp(_mm512_sub_ps(_mm512_loadu_ps(scores + at), base)));
      sum = _mm512_add_ps(sum, p);
      parts[i] = Split(p);
    }
    auto* to = reinterpret_cast<__m256i*>(scores + j);
    _mm256_storeu_si256(to, parts[0].high);
    _mm256_storeu_si256(to + 1, parts[1].high);
    _mm256_storeu_si256(to + 2, parts[0].low);
    _mm256_storeu_si256(to + 3, parts[1].low);
  }
  *l = _mm512_reduce_add_ps(sum);
}

// ---- probabilities by values

// o[R][16 C] = p[R][n] by columns [d, d + 16 C) of the values.
template <int R, int C>
void SumValues(const uint16_t* p, const void* const* values, int n, int64_t d, float* o,
               int64_t stride) {
  __m512 sums[R][C];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    HADAL_UNROLL
    for (int c = 0; c < C; ++c) sums[r][c] = _mm512_setzero_ps();
  }
  for (int j = 0; j < n; j += 2) {
    const auto* a = static_cast<const uint16_t*>(values[j]) + d;
    const auto* b = static_cast<const uint16_t*>(values[j + 1 < n ? j + 1 : j]) + d;
    const uint16_t* pair = p + j / kStep * 2 * kStep + j % kStep;
    __m512bh v[C];
    HADAL_UNROLL
    for (int c = 0; c < C; c += 2) {
      const __m512i x = _mm512_loadu_si512(a + c * 16), y = _mm512_loadu_si512(b + c * 16);
      v[c] = reinterpret_cast<__m512bh>(_mm512_unpacklo_epi16(x, y));
      v[c + 1] = reinterpret_cast<__m512bh>(_mm512_unpackhi_epi16(x, y));
    }
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      const __m512bh high = Pair(pair + r * 2 * kSegmentKeys);
      const __m512bh low = Pair(pair + r * 2 * kSegmentKeys + kStep);
      HADAL_UNROLL
      for (int c = 0; c < C; ++c) sums[r][c] = _mm512_dpbf16_ps(sums[r][c], v[c], low);
      HADAL_UNROLL
      for (int c = 0; c < C; ++c) sums[r][c] = _mm512_dpbf16_ps(sums[r][c], v[c], high);
    }
  }
  // Unpacking leaves fours of columns in the order 0 2 4 6 and 1 3 5 7.
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    HADAL_UNROLL
    for (int c = 0; c < C; c += 2) {
      const __m512 x = sums[r][c], y = sums[r][c + 1];
      const __m512 low = _mm512_shuffle_f32x4(x, y, 0x44), high = _mm512_shuffle_f32x4(x, y, 0xee);
      float* to = o + r * stride + d + c * 16;
      _mm512_storeu_ps(to, _mm512_shuffle_f32x4(low, low, 0xd8));
      _mm512_storeu_ps(to + 16, _mm512_shuffle_f32x4(high, high, 0xd8));
    }
  }
}

template <int R>
void Values(const uint16_t* p, const void* const* values, int n, int64_t v_dim, float* o,
            int64_t stride) {
  constexpr int kColumns = R <= 2 ? 8 : 4;
  int64_t d = 0;
  for (; d + 16 * kColumns <= v_dim; d += 16 * kColumns) {
    SumValues<R, kColumns>(p, values, n, d, o, stride);
  }
  for (; d < v_dim; d += kStep) SumValues<R, 2>(p, values, n, d, o, stride);
}

using ValuesOf = void (*)(const uint16_t*, const void* const*, int, int64_t, float*, int64_t);
constexpr ValuesOf kValuesOf[kRows] = {Values<1>, Values<2>, Values<3>, Values<4>};

// ---- a segment

int Most(const int32_t* seen, int64_t n) {
  int most = 0;
  for (int64_t i = 0; i < n; ++i) most = seen[i] > most ? seen[i] : most;
  return most;
}

// Vectors [first, first + n), at most kVectors.
void AttendVectors(const CachedSegment& t, int64_t first, int64_t n) {
  auto* scores = static_cast<float*>(t.space);
  const int most = Most(t.seen + first, n);
  const auto rows = [&](int64_t i) { return n - i < kRows ? n - i : kRows; };
  const auto score = [&](int64_t i) { return scores + i * kSegmentKeys; };
  for (int64_t j = 0; j < most; j += kKeys) {
    const uint16_t *keys[kKeys], *next[kKeys];
    TakeRows(t.keys, t.n_keys, j, keys);
    TakeRows(t.keys, t.n_keys, j + kKeys, next);
    if (first == 0) AskForValues(t, keys, j);
    for (int64_t i = 0; i < n; i += kRows) {
      const uint16_t* q = t.q + (first + i) * 2 * t.k_dim;
      kScoresOf[rows(i) - 1](q, keys, first + i == 0 ? next : nullptr, t.k_dim, score(i) + j);
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    Softmax(t.seen[first + i], most, score(i), t.m + first + i, t.l + first + i);
  }
  for (int64_t i = 0; i < n; i += kRows) {
    const auto* p = reinterpret_cast<const uint16_t*>(score(i));
    kValuesOf[rows(i) - 1](p, t.values, Most(t.seen + first + i, rows(i)), t.v_dim,
                           t.o + (first + i) * t.v_stride, t.v_stride);
  }
}

void AttendSegment(const CachedSegment& t) {
  for (int64_t first = 0; first < t.n_q; first += kVectors) {
    AttendVectors(t, first, t.n_q - first < kVectors ? t.n_q - first : kVectors);
  }
}

}  // namespace

namespace avx512 {

void FillCachedAttention(KernelTable* table) {
  table->split_queries = SplitRows;
  table->cached_attention = AttendSegment;
  table->cached_least = 1;
}

}  // namespace avx512
}  // namespace hadal::cpu
