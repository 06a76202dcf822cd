// Attention of exact rows over a cache of bf16: scores of 64 keys by 16 query vectors from the rows
// of the cache as they lie, softmax with a vector in each lane, and the product with the values.
// Keys and values are bf16 as they are; queries and probabilities come in two bf16 parts, which
// keep them to a relative 2^-17. Vectors do not mix. Bound by reading the cache: two vector
// operations on a pair of values and 68 products of tiles per 16 keys of 576 and 512 dimensions.
#include "kernels/cpu/amx/prompt.h"
#include "kernels/cpu/amx/tile_convert.h"
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/transpose.h"

namespace hadal::cpu {
namespace {

constexpr int kVectors = 16;                      // query vectors together
constexpr int kKeyPanels = kKeyTile / kTileRows;  // operands of 16 keys
constexpr int kKeySteps = kKeyTile / kBf16KStep;  // of 32 keys
constexpr int64_t kTileFloats = kTileRows * kPanel;
constexpr int64_t kSlice = 4;  // 32 dimensions of values each, interleaved at a time

struct Space {
  float* o;           // [v_dim / 32][even, odd dimensions][16 vectors][16]
  float* scores;      // [64 keys][16 vectors]
  uint16_t* weights;  // [kKeySteps][2 parts][16 vectors][32 keys]
  uint16_t* values;   // [kSlice][even, odd][kKeySteps][16 pairs of keys][16][2]
  uint16_t* keys;     // [64][k_dim], of panels that are not 16 rows at one distance

  Space(void* base, int64_t v_dim) {
    auto* at = static_cast<uint8_t*>(base);
    const auto take = [&at](int64_t bytes) {
      uint8_t* p = at;
      at += bytes;
      return p;
    };
    o = reinterpret_cast<float*>(take(v_dim * kVectors * 4));
    scores = reinterpret_cast<float*>(take(kKeyTile * kVectors * 4));
    weights = reinterpret_cast<uint16_t*>(take(kKeySteps * 2 * kOperandBytes));
    values = reinterpret_cast<uint16_t*>(take(kSlice * 2 * kKeySteps * kOperandBytes));
    keys = reinterpret_cast<uint16_t*>(at);
  }
};

// Keys [first, first + n) of a segment, n at most 64.
struct Keys {
  const CachedSegment& t;
  int64_t first;
  int n;
  const void* const* keys() const { return t.keys + first; }
  const void* const* values() const { return t.values + first; }
};

// ---- scores

// 16 keys as an operand: where they are, or in `copy`, zeros for those that are not there.
struct KeyPanel {
  const uint16_t* rows;
  int64_t stride;  // bytes
};
KeyPanel PanelOf(const Keys& k, int panel, uint16_t* copy) {
  const void* const* rows = k.keys() + panel * kTileRows;
  const int n = k.n - panel * kTileRows < kTileRows ? k.n - panel * kTileRows : kTileRows;
  const auto at = [&](int i) { return static_cast<const char*>(rows[i]); };
  bool even = n == kTileRows;
  for (int i = 2; even && i < n; ++i) even = at(i) - at(i - 1) == at(1) - at(0);
  if (even) return {static_cast<const uint16_t*>(rows[0]), at(1) - at(0)};
  const auto bytes = static_cast<size_t>(k.t.k_dim) * 2;
  uint16_t* to = copy + panel * kTileRows * k.t.k_dim;
  for (int i = 0; i < kTileRows; ++i) {
    if (i < n) {
      std::memcpy(to + i * k.t.k_dim, rows[i], bytes);
    } else {
      std::memset(to + i * k.t.k_dim, 0, bytes);
    }
  }
  return {to, static_cast<int64_t>(bytes)};
}

// sums += keys * queries, the low part of these first.
template <int kSums, int kKeys>
HADAL_AVX512_INLINE void AddScores(const KeyPanel& panel, int64_t step) {
  TileLoad<kKeys>(panel.rows + step * kBf16KStep, panel.stride);
  TileDotBf16<kSums, kKeys, 5>();
  TileDotBf16<kSums, kKeys, 4>();
}

void Scores(const Keys& k, const uint16_t* q, const Space& s) {
  const int panels = (k.n + kTileRows - 1) / kTileRows;
  KeyPanel panel[kKeyPanels];
  for (int i = 0; i < panels; ++i) panel[i] = PanelOf(k, i, s.keys);
  TileZero<0>();
  TileZero<1>();
  TileZero<2>();
  TileZero<3>();
  for (int64_t step = 0; step < k.t.k_dim / kBf16KStep; ++step) {
    TileLoad<4>(q + 2 * step * kTileElements, kTileBytes);
    TileLoad<5>(q + (2 * step + 1) * kTileElements, kTileBytes);
    AddScores<0, 6>(panel[0], step);
    if (panels > 1) AddScores<1, 7>(panel[1], step);
    if (panels > 2) AddScores<2, 6>(panel[2], step);
    if (panels > 3) AddScores<3, 7>(panel[3], step);
  }
  TileStore<0>(s.scores, kTileBytes);
  TileStore<1>(s.scores + kTileFloats, kTileBytes);
  TileStore<2>(s.scores + 2 * kTileFloats, kTileBytes);
  TileStore<3>(s.scores + 3 * kTileFloats, kTileBytes);
}

// ---- softmax: scores to probabilities, the running maximum and sum of 16 vectors

struct Lanes {
  __m512 m, l;
};

// Returns what the sums so far are multiplied with.
__m512 Softmax(const Keys& k, __m512i seen, float* scores, Lanes* state) {
  const __m512 none = _mm512_set1_ps(-__builtin_inff());
  __m512 m = state->m;
  for (int j = 0; j < k.n; ++j) {
    const __mmask16 sees = _mm512_cmpgt_epi32_mask(seen, _mm512_set1_epi32(j));
    m = _mm512_max_ps(m, _mm512_mask_loadu_ps(none, sees, scores + j * kVectors));
  }
  const __mmask16 empty = _mm512_cmp_ps_mask(m, none, _CMP_EQ_OQ);
  const __m512 base = _mm512_mask_mov_ps(m, empty, _mm512_setzero_ps());
  __m512 sum = _mm512_setzero_ps();
  for (int j = 0; j < kKeyTile; ++j) {
    const __mmask16 sees = _mm512_cmpgt_epi32_mask(seen, _mm512_set1_epi32(j));
    const __m512 p =
        _mm512_maskz_mov_ps(sees, Exp(_mm512_sub_ps(_mm512_loadu_ps(scores + j * kVectors), base)));
    sum = _mm512_add_ps(sum, p);
    _mm512_storeu_ps(scores + j * kVectors, p);
  }
  const __mmask16 moved = _mm512_cmp_ps_mask(m, state->m, _CMP_NEQ_UQ);
  const __m512 alpha =
      _mm512_mask_mov_ps(_mm512_set1_ps(1.0f), moved, Exp(_mm512_sub_ps(state->m, base)));
  state->m = m;
  state->l = _mm512_fmadd_ps(state->l, alpha, sum);
  return alpha;
}

// Probabilities [key][vector] to the operands of the second product.
void PackWeights(const float* scores, uint16_t* weights) {
  for (int panel = 0; panel < kKeyPanels; ++panel) {
    __m512 r[16];
    HADAL_UNROLL
    for (int j = 0; j < 16; ++j) r[j] = _mm512_loadu_ps(scores + (panel * 16 + j) * kVectors);
    Transpose(r);
    uint16_t* to = weights + panel / 2 * 2 * kTileElements + panel % 2 * 16;
    HADAL_UNROLL
    for (int i = 0; i < 16; ++i) {
      const Parts parts = Split(r[i]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i * kBf16KStep), parts.high);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + kTileElements + i * kBf16KStep),
                          parts.low);
    }
  }
}

void Rescale(__m512 alpha, int64_t v_dim, float* o) {
  if (_mm512_cmp_ps_mask(alpha, _mm512_set1_ps(1.0f), _CMP_NEQ_UQ) == 0) return;
  alignas(64) float factor[kVectors];
  _mm512_store_ps(factor, alpha);
  for (int64_t i = 0; i < v_dim * kVectors; i += kPanel) {
    const __m512 f = _mm512_set1_ps(factor[i / kPanel % kVectors]);
    _mm512_storeu_ps(o + i, _mm512_mul_ps(_mm512_loadu_ps(o + i), f));
  }
}

// ---- probabilities by values

// Dimensions [32 block, 32 block + 32) of the values, neighbours in key side by side.
void PackValues(const Keys& k, int64_t block, uint16_t* out) {
  const __m512i low = _mm512_set1_epi32(0xffff);
  constexpr int kSelect = 0xca;  // mask ? a : b
  for (int j = 0; j < kKeyTile; j += 2) {
    const auto load = [&](int i) {
      if (i >= k.n) return _mm512_setzero_si512();
      return _mm512_loadu_si512(static_cast<const uint16_t*>(k.values()[i]) + block * kBf16KStep);
    };
    const __m512i a = load(j), b = load(j + 1);
    uint16_t* even = out + j / kBf16KStep * kTileElements + j % kBf16KStep * kPanel;
    _mm512_storeu_si512(even, _mm512_ternarylogic_epi32(low, a, _mm512_slli_epi32(b, 16), kSelect));
    _mm512_storeu_si512(even + kKeySteps * kTileElements,
                        _mm512_ternarylogic_epi32(low, _mm512_srli_epi32(a, 16), b, kSelect));
  }
}

// A tile of sums += probabilities (tiles 4..7: high and low of the first 32 keys, then of the
// others) by values.
template <int kSums, int kValues>
HADAL_AVX512_INLINE void AddValues(const uint16_t* values, bool both, float* o) {
  TileLoad<kSums>(o, kTileBytes);
  TileLoad<kValues>(values, kTileBytes);
  TileDotBf16<kSums, 5, kValues>();
  TileDotBf16<kSums, 4, kValues>();
  if (both) {
    TileLoad<kValues>(values + kTileElements, kTileBytes);
    TileDotBf16<kSums, 7, kValues>();
    TileDotBf16<kSums, 6, kValues>();
  }
  TileStore<kSums>(o, kTileBytes);
}

void Values(const Keys& k, const Space& s) {
  TileLoad<4>(s.weights, kTileBytes);
  TileLoad<5>(s.weights + kTileElements, kTileBytes);
  TileLoad<6>(s.weights + 2 * kTileElements, kTileBytes);
  TileLoad<7>(s.weights + 3 * kTileElements, kTileBytes);
  const bool both = k.n > kBf16KStep;
  constexpr int64_t kBlock = 2 * kKeySteps * kTileElements;
  for (int64_t first = 0; first < k.t.v_dim / kBf16KStep; first += kSlice) {
    const int64_t left = k.t.v_dim / kBf16KStep - first, n = left < kSlice ? left : kSlice;
    for (int64_t b = 0; b < n; ++b) PackValues(k, first + b, s.values + b * kBlock);
    for (int64_t b = 0; b < n; ++b) {
      const uint16_t* values = s.values + b * kBlock;
      float* o = s.o + (first + b) * 2 * kTileFloats;
      AddValues<0, 2>(values, both, o);
      AddValues<1, 3>(values + kKeySteps * kTileElements, both, o + kTileFloats);
    }
  }
}

// ---- a segment

void WriteOut(const CachedSegment& t, const Space& s, int64_t first, int64_t n) {
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  for (int64_t i = 0; i < n; ++i) {
    float* to = t.o + (first + i) * t.v_stride;
    for (int64_t b = 0; b < t.v_dim / kBf16KStep; ++b, to += kBf16KStep) {
      const float* from = s.o + b * 2 * kTileFloats + i * kPanel;
      const __m512 even = _mm512_loadu_ps(from), odd = _mm512_loadu_ps(from + kTileFloats);
      _mm512_storeu_ps(to, _mm512_permutex2var_ps(even, low, odd));
      _mm512_storeu_ps(to + kPanel, _mm512_permutex2var_ps(even, high, odd));
    }
  }
}

// Vectors [first, first + 16) or what is left of them.
void AttendVectors(const CachedSegment& t, int64_t first, const Space& s) {
  const int64_t n = t.n_q - first < kVectors ? t.n_q - first : kVectors;
  const __mmask16 there = TailMask(n);
  const __m512i seen = _mm512_maskz_loadu_epi32(there, t.seen + first);
  const uint16_t* q = t.q + first / kVectors * 2 * t.k_dim * kVectors;
  Lanes state = {_mm512_set1_ps(-__builtin_inff()), _mm512_setzero_ps()};
  std::memset(s.o, 0, static_cast<size_t>(t.v_dim * kVectors) * sizeof(float));
  for (int64_t at = 0; at < t.n_keys; at += kKeyTile) {
    const int64_t left = t.n_keys - at;
    const Keys k = {t, at, static_cast<int>(left < kKeyTile ? left : kKeyTile)};
    const __m512i sees = _mm512_sub_epi32(seen, _mm512_set1_epi32(static_cast<int>(at)));
    Scores(k, q, s);
    Rescale(Softmax(k, sees, s.scores, &state), t.v_dim, s.o);
    PackWeights(s.scores, s.weights);
    Values(k, s);
  }
  _mm512_mask_storeu_ps(t.m + first, there, state.m);
  _mm512_mask_storeu_ps(t.l + first, there, state.l);
  WriteOut(t, s, first, n);
}

void Attend(const CachedSegment& t) {
  const Space space(t.space, t.v_dim);
  ConfigureAllRows();
  for (int64_t first = 0; first < t.n_q; first += kVectors) AttendVectors(t, first, space);
  TileRelease();
}

}  // namespace

namespace amx {

// From few vectors a key head's rows are bound by being read.
void HADAL_FILL_CACHED_ATTENTION(KernelTable* table) {
  table->cached_attention = Attend;
  table->split_queries = nullptr;
  table->cached_least = 4;
}

}  // namespace amx
}  // namespace hadal::cpu
