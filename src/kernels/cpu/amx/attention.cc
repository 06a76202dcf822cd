// Attention of prompt rows on tiles: scores of 32 queries by 128 keys, softmax in registers, then
// their product with the values added to the running sums. Rows do not mix.
#include "kernels/cpu/amx/prompt.h"
#include "kernels/cpu/amx/tile_convert.h"
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/transpose.h"

namespace hadal::cpu {
namespace {

constexpr int kKeyVectors = kPromptKeys / 16;

// exp with a relative error below 5e-5, well under the rounding of its result to bf16.
HADAL_AVX512_INLINE __m512 ShortExp(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-87.3f), x);  // a NaN passes
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693147181f), x);
  __m512 p = _mm512_set1_ps(1.0f / 24);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

// c [32][ldc] (two row groups) by two panels: += or = a * b over `steps`, with kParts = 2 the
// products of high and high, low and high, high and low parts.
struct Product {
  const uint16_t* a;     // [steps][kParts][2][16][32]
  const uint16_t* b[2];  // [steps][kParts][16][16][2] each; b[1] may be null
  int64_t steps;
  float* c;
  int64_t ldc;
};

template <bool kTwoPanels>
HADAL_AVX512_INLINE void LoadB(const Product& p, int64_t tile) {
  TileLoad<6>(p.b[0] + tile * kTileElements, kTileBytes);
  if constexpr (kTwoPanels) TileLoad<7>(p.b[1] + tile * kTileElements, kTileBytes);
}
template <bool kTwoPanels>
HADAL_AVX512_INLINE void AddA(const Product& p, int64_t tile) {
  TileLoad<4>(p.a + 2 * tile * kTileElements, kTileBytes);
  TileDotBf16<0, 4, 6>();
  if constexpr (kTwoPanels) TileDotBf16<1, 4, 7>();
  TileLoad<5>(p.a + (2 * tile + 1) * kTileElements, kTileBytes);
  TileDotBf16<2, 5, 6>();
  if constexpr (kTwoPanels) TileDotBf16<3, 5, 7>();
}

template <int kParts, bool kAdd, bool kTwoPanels>
void Multiply(const Product& p) {
  const int64_t stride = p.ldc * 4;
  float* lower = p.c + kTileRows * p.ldc;
  if constexpr (kAdd) {
    TileLoad<0>(p.c, stride);
    TileLoad<2>(lower, stride);
    if constexpr (kTwoPanels) {
      TileLoad<1>(p.c + 16, stride);
      TileLoad<3>(lower + 16, stride);
    }
  } else {
    TileZero<0>();
    TileZero<1>();
    TileZero<2>();
    TileZero<3>();
  }
  for (int64_t s = 0; s < p.steps; ++s) {
    LoadB<kTwoPanels>(p, s * kParts);
    if constexpr (kParts == 2) AddA<kTwoPanels>(p, 2 * s + 1);
    AddA<kTwoPanels>(p, s * kParts);
    if constexpr (kParts == 2) {
      LoadB<kTwoPanels>(p, 2 * s + 1);
      AddA<kTwoPanels>(p, 2 * s);
    }
  }
  TileStore<0>(p.c, stride);
  TileStore<2>(lower, stride);
  if constexpr (kTwoPanels) {
    TileStore<1>(p.c + 16, stride);
    TileStore<3>(lower + 16, stride);
  }
}

template <int kParts, bool kAdd>
void Multiply(const Product& p) {
  if (p.b[1] != nullptr) {
    Multiply<kParts, kAdd, true>(p);
  } else {
    Multiply<kParts, kAdd, false>(p);
  }
}

// Row i: scores to probabilities as operands, and the running sums to the new maximum.
void Softmax(const PromptAttentionTile& t, int64_t i, const float* scores, uint16_t* weights) {
  const __m512 none = _mm512_set1_ps(-__builtin_inff());
  const int seen = t.seen[i];
  __m512 v[kKeyVectors], largest = none;
  HADAL_UNROLL
  for (int j = 0; j < kKeyVectors; ++j) {
    v[j] = _mm512_mask_loadu_ps(none, TailMask(seen - j * 16), scores + j * 16);
    largest = _mm512_max_ps(largest, v[j]);
  }
  const float before = t.m[i], now = _mm512_reduce_max_ps(largest);
  const float m = now > before || now != now ? now : before;
  const __m512 base = _mm512_set1_ps(m);
  __m512 sum = _mm512_setzero_ps();
  HADAL_UNROLL
  for (int j = 0; j < kKeyVectors; ++j) {
    const __m512 e =
        _mm512_maskz_mov_ps(TailMask(seen - j * 16), ShortExp(_mm512_sub_ps(v[j], base)));
    sum = _mm512_add_ps(sum, e);
    uint16_t* to = weights + j / 2 * 2 * kTileElements + j % 2 * 16;
    _mm256_store_si256(reinterpret_cast<__m256i*>(to), ToBf16(e));
  }
  if (seen == 0) return;
  const float total = _mm512_reduce_add_ps(sum);
  if (m == before) {
    t.l[i] += total;
    return;
  }
  const __m512 alpha = Exp(_mm512_set1_ps(before - m));
  t.m[i] = m;
  t.l[i] = t.l[i] * _mm512_cvtss_f32(alpha) + total;
  float* o = t.o + i * t.v_stride;
  for (int64_t d = 0; d < t.v_stride; d += 16) {
    _mm512_storeu_ps(o + d, _mm512_mul_ps(_mm512_loadu_ps(o + d), alpha));
  }
}

void RowBlock(const PromptAttentionTile& t, int64_t first) {
  const int64_t rows = t.n_q - first < kPromptRows ? t.n_q - first : kPromptRows;
  int most = 0;
  for (int64_t i = first; i < first + rows; ++i) most = t.seen[i] > most ? t.seen[i] : most;
  if (most == 0) return;
  auto* scores = static_cast<float*>(t.space);
  auto* weights = reinterpret_cast<uint16_t*>(scores + kPromptRows * kPromptKeys);
  const int64_t k32 = RoundUp(t.k_dim, kBf16KStep), panel = 2 * k32 * kPanel;
  for (int64_t j = 0; j < most; j += 32) {
    const uint16_t* keys = t.keys + j / 16 * panel;
    Multiply<2, false>(
        {t.q + 2 * first * k32, {keys, keys + panel}, k32 / kBf16KStep, scores + j, kPromptKeys});
  }
  for (int64_t r = 0; r < kPromptRows; ++r) {
    uint16_t* to = weights + r / kTileRows * kTileElements + r % kTileRows * kBf16KStep;
    if (r < rows) {
      Softmax(t, first + r, scores + r * kPromptKeys, to);
      continue;
    }
    for (int64_t s = 0; s < kPromptKeys / kBf16KStep; ++s) {
      _mm512_store_si512(to + s * 2 * kTileElements, _mm512_setzero_si512());
    }
  }
  constexpr int64_t kValuePanel = kPromptKeys * kPanel;
  for (int64_t d = 0; d < t.v_stride; d += 32) {
    const uint16_t* values = t.values + d / 16 * kValuePanel;
    Multiply<1, true>({weights,
                       {values, d + 16 < t.v_stride ? values + kValuePanel : nullptr},
                       (most + kBf16KStep - 1) / kBf16KStep,
                       t.o + first * t.v_stride + d,
                       t.v_stride});
  }
}

void Attend(const PromptAttentionTile& t) {
  ConfigureAllRows();
  for (int64_t first = 0; first < t.n_q; first += kPromptRows) RowBlock(t, first);
  TileRelease();
}

// ---- packing

HADAL_AVX512_INLINE __m512 LoadRow(const void* row, bool bf16, int64_t d, int64_t dim) {
  if (!bf16) return Load(static_cast<const float*>(row) + d, dim - d);
  const auto* p = static_cast<const uint16_t*>(row) + d;
  return Bf16ToF32(_mm256_maskz_loadu_epi16(TailMask(dim - d), p));
}

void PackQueries(const float* const* x, int64_t rows, int64_t k_dim, float scale, uint16_t* out) {
  for (int64_t r = 0; r < kPromptRows; ++r) {
    uint16_t* to = out + r / kTileRows * kTileElements + r % kTileRows * kBf16KStep;
    for (int64_t d = 0; d < RoundUp(k_dim, kBf16KStep); d += 16) {
      const __m512 v = r < rows ? Load(x[r] + d, k_dim - d) : _mm512_setzero_ps();
      const Parts parts = Split(_mm512_mul_ps(v, _mm512_set1_ps(scale)));
      uint16_t* at = to + d / kBf16KStep * 4 * kTileElements + d % kBf16KStep;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), parts.high);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(at + 2 * kTileElements), parts.low);
    }
  }
}

HADAL_AVX512_INLINE __m512 Join(__m256i low, __m256i high) {
  return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
}
HADAL_AVX512_INLINE void StoreTransposed(__m512 (&r)[16], uint16_t* to) {
  Transpose(r);
  HADAL_UNROLL
  for (int j = 0; j < 16; ++j) _mm512_storeu_ps(to + j * 32, r[j]);
}

void PackKeys(const void* const* rows, bool bf16, int n_keys, int64_t at, int64_t dim,
              int64_t k_dim, uint16_t* keys) {
  const int64_t panel = 2 * RoundUp(k_dim, kBf16KStep) * kPanel;
  for (int64_t j0 = 0; j0 < RoundUp(n_keys, kBf16KStep); j0 += 16) {
    uint16_t* to = keys + j0 / 16 * panel + 2 * at * kPanel;
    for (int64_t d = 0; d < dim; d += kBf16KStep, to += 2 * kTileElements) {
      __m512 high[16], low[16];
      for (int j = 0; j < 16; ++j) {
        high[j] = low[j] = _mm512_setzero_ps();
        if (j0 + j >= n_keys) continue;
        const Parts a = Split(LoadRow(rows[j0 + j], bf16, d, dim));
        const Parts b = Split(LoadRow(rows[j0 + j], bf16, d + 16, dim));
        high[j] = Join(a.high, b.high);
        low[j] = Join(a.low, b.low);
      }
      StoreTransposed(high, to);
      StoreTransposed(low, to + kTileElements);
    }
  }
}

void PackValues(const void* const* rows, bool bf16, int n_keys, int64_t dim, int64_t stride,
                uint16_t* values) {
  for (int64_t j = 0; j < RoundUp(n_keys, kBf16KStep); j += 2) {
    for (int64_t d = 0; d < stride; d += 16) {
      const __m512 even = j < n_keys ? LoadRow(rows[j], bf16, d, dim) : _mm512_setzero_ps();
      const __m512 odd = j + 1 < n_keys ? LoadRow(rows[j + 1], bf16, d, dim) : _mm512_setzero_ps();
      _mm512_storeu_si512(values + d * kPromptKeys + j * kPanel, Pairs(even, odd));
    }
  }
}

}  // namespace

namespace amx {

void HADAL_FILL_PROMPT_ATTENTION(KernelTable* table) {
  table->pack_prompt_queries = PackQueries;
  table->pack_prompt_keys = PackKeys;
  table->pack_prompt_values = PackValues;
  table->prompt_attention = Attend;
}

}  // namespace amx
}  // namespace hadal::cpu
