// Matrices in blocks with 16-bit dot products: the codes of a quad's even and odd values of k are
// widened in place, which pairs values 0, 2 and 1, 3 of each column; quantise_blocks orders the
// activations to match. All sums are exact. A block of R rows by H halves of a panel (8 columns)
// unpacks the codes once for all rows.
#include "kernels/cpu/avx2/avx2_kernels.h"
#include "kernels/cpu/avx2/vector.h"

namespace hadal::cpu {
namespace {

// How far ahead of a group few rows ask for the weights; the hardware stops at the end of a page.
constexpr int64_t kPrefetchBytes = 4096;

HADAL_AVX2_INLINE __m256i Load256(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
HADAL_AVX2_INLINE __m256 LoadHalf(const uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
HADAL_AVX2_INLINE __m256i LoadU8(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
HADAL_AVX2_INLINE __m256i LoadI8(const uint8_t* p) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}

// The 32 codes of quad j of 8 columns; the planes begin at these columns.
template <int kFormat>
HADAL_AVX2_INLINE __m256i Codes(const uint8_t* low, const uint8_t* high, int j) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  const int low_at = j * kF.low_bits;
  __m256i codes = Load256(low + low_at / 8 * kQuadBytes);
  if constexpr (kF.low_bits == 8) return codes;
  if (low_at % 8 != 0) codes = _mm256_srli_epi16(codes, low_at % 8);
  codes = _mm256_and_si256(codes, _mm256_set1_epi8(static_cast<char>((1 << kF.low_bits) - 1)));
  if constexpr (kF.table != ValueTable::kNone) {
    const uint8_t* table = kF.table == ValueTable::kIq4 ? kIq4Table : kMxfp4Table;
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    codes = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), codes);
  }
  if constexpr (kF.high_bits != 0) {
    const int high_at = j * kF.high_bits, shift = high_at % 8 - kF.low_bits;
    __m256i bits = Load256(high + high_at / 8 * kQuadBytes);
    if (shift > 0) bits = _mm256_srli_epi16(bits, shift);
    if (shift < 0) bits = _mm256_slli_epi16(bits, -shift);
    constexpr int kMask = ((1 << kF.high_bits) - 1) << kF.low_bits;
    bits = _mm256_and_si256(bits, _mm256_set1_epi8(static_cast<char>(kMask)));
    codes = _mm256_or_si256(codes, bits);
  }
  return codes;
}

struct Factors {
  __m256 scale, min;  // min is subtracted
};

// Of 8 columns and a part of a packed block.
template <int kFormat>
HADAL_AVX2_INLINE Factors LoadFactors(const uint8_t* block, int column, int part) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  if constexpr (kF.scales == Scales::kBf16) {
    const auto* at = reinterpret_cast<const __m128i*>(block + 2 * column);
    return {Bf16ToF32(_mm_loadu_si128(at)), _mm256_setzero_ps()};
  }
  const __m256 d = LoadHalf(block + 2 * column);
  if constexpr (kF.scales == Scales::kHalf || kF.scales == Scales::kHalfZero) {
    return {d, _mm256_setzero_ps()};
  } else if constexpr (kF.scales == Scales::kSuper) {
    const __m256i scale = LoadI8(block + 32 + part * kPanel + column);
    return {_mm256_mul_ps(d, _mm256_cvtepi32_ps(scale)), _mm256_setzero_ps()};
  } else {
    const __m256 d_min = LoadHalf(block + 32 + 2 * column);
    if constexpr (kF.scales == Scales::kHalfMin) return {d, d_min};
    const uint8_t* at = block + 64 + part * kPanel + column;
    __m256i scale = LoadU8(at), min = scale;
    if constexpr (kF.scales == Scales::kSuperMin) {
      min = LoadU8(at + BlockGroups(kF) * kPanel);
    } else {
      scale = _mm256_and_si256(scale, _mm256_set1_epi32(15));
      min = _mm256_srli_epi32(min, 4);
    }
    return {_mm256_mul_ps(d, _mm256_cvtepi32_ps(scale)),
            _mm256_mul_ps(d_min, _mm256_cvtepi32_ps(min))};
  }
}

// total += scale * (products of a part) (-+ min * sum of its activations).
template <int kFormat, int R>
HADAL_AVX2_INLINE void AddPart(const uint8_t* block, int column, int group, int part,
                               const ActivationGroup* x, int64_t ldx, __m256 (&total)[R]) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int kPartQuads = kF.part / 4;
  const int half = kF.part == kGroup ? 0 : part % 2, sums = kF.part == kGroup ? 2 : half;
  const uint8_t* low = block + LowAt(kF, group) + 4 * column;
  const uint8_t* high = block + HighAt(kF, group) + 4 * column;
  __m256i sum[R];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    if constexpr (kF.scales == Scales::kHalfZero) {
      sum[r] =
          _mm256_mullo_epi32(LoadU8(block + 32 + column), _mm256_set1_epi32(-x[r * ldx].sum[sums]));
    } else {
      sum[r] = _mm256_set1_epi32(-kF.zero * x[r * ldx].sum[sums]);
    }
  }
  HADAL_UNROLL
  for (int i = 0; i < kPartQuads; ++i) {
    const int j = half * kPartQuads + i;
    const __m256i codes = Codes<kFormat>(low, high, j);
    const __m256i even = _mm256_and_si256(codes, _mm256_set1_epi16(0xff));
    const __m256i odd = _mm256_srli_epi16(codes, 8);
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      const auto* pairs = reinterpret_cast<const float*>(x[r * ldx].x);
      const __m256i a = _mm256_castps_si256(_mm256_broadcast_ss(pairs + 2 * j));
      const __m256i b = _mm256_castps_si256(_mm256_broadcast_ss(pairs + 2 * j + 1));
      sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(even, a));
      sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(odd, b));
    }
  }
  const Factors factors = LoadFactors<kFormat>(block, column, part);
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    const __m256 scaled =
        _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r]), _mm256_set1_ps(x[r * ldx].scale));
    total[r] = _mm256_fmadd_ps(scaled, factors.scale, total[r]);
    const __m256 scaled_sum = _mm256_set1_ps(x[r * ldx].scaled_sum[sums]);
    if constexpr (kF.scales == Scales::kHalfMin) {
      total[r] = _mm256_fmadd_ps(factors.min, scaled_sum, total[r]);
    } else if constexpr (kF.scales >= Scales::kSuperMin) {
      total[r] = _mm256_fnmadd_ps(factors.min, scaled_sum, total[r]);
    }
  }
}

// Asks for the bytes that lie kPrefetchBytes after those of a group.
template <int kFormat>
HADAL_AVX2_INLINE void Prefetch(const uint8_t* block, int group) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int64_t kGroupBytes = BlockBytes(kF) / BlockGroups(kF), kLine = 64;
  const auto* at = reinterpret_cast<const char*>(block) + group * kGroupBytes + kPrefetchBytes;
  HADAL_UNROLL
  for (int64_t i = 0; i < kGroupBytes; i += kLine) _mm_prefetch(at + i, _MM_HINT_T0);
}

template <int kFormat, int R, int H>
void Block(const MatMulTile& t, int64_t row, int64_t panel, int first_column) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int kParts = kGroup / kF.part;  // of a group
  const int64_t blocks = t.k / BlockK(kF);
  const auto* w = static_cast<const uint8_t*>(t.w) + panel * PanelBytesBlocks(kF, t.k);
  const auto* x = static_cast<const ActivationGroup*>(t.x) + row * t.ldx;
  __m256 total[H][R];
  HADAL_UNROLL
  for (int h = 0; h < H; ++h) {
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) total[h][r] = _mm256_setzero_ps();
  }
  for (int64_t b = 0; b < blocks; ++b, w += BlockBytes(kF)) {
    for (int g = 0; g < BlockGroups(kF); ++g, ++x) {
      if constexpr (R <= 2) Prefetch<kFormat>(w, g);
      HADAL_UNROLL
      for (int h = 0; h < H; ++h) {
        HADAL_UNROLL
        for (int i = 0; i < kParts; ++i) {
          AddPart<kFormat, R>(w, first_column + h * 8, g, g * kParts + i, x, t.ldx, total[h]);
        }
      }
    }
  }
  HADAL_UNROLL
  for (int h = 0; h < H; ++h) {
    const int64_t column = panel * kPanel + first_column + h * 8;
    if (column >= t.n) continue;
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      __m256 v = total[h][r];
      if (t.bias) v = _mm256_add_ps(v, Load(t.bias + column, t.n - column));
      Store(t.out + (row + r) * t.ldo + column, t.n - column, v);
    }
  }
}

template <int kFormat>
void Multiply(const MatMulTile& t) {
  for (int64_t p = t.panel0; p < t.panel1; ++p) {
    int64_t r = 0;
    for (; r + 4 <= t.m; r += 4) {
      Block<kFormat, 4, 1>(t, r, p, 0);
      Block<kFormat, 4, 1>(t, r, p, 8);
    }
    if (t.m - r >= 2) {
      Block<kFormat, 2, 2>(t, r, p, 0);
      r += 2;
    }
    if (r < t.m) Block<kFormat, 1, 2>(t, r, p, 0);
  }
}

template <int kFormat>
void FillFrom(KernelTable* table) {
  if constexpr (kFormat < kBlockFormatCount) {
    table->matmul_blocks[kFormat] = Multiply<kFormat>;
    FillFrom<kFormat + 1>(table);
  }
}

HADAL_AVX2_INLINE int32_t Sum(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

void QuantiseGroup(const float* x, ActivationGroup* g) {
  const __m256 no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  const __m256 most = _mm256_set1_ps(3.40282347e38f);
  __m256 v[4], largest = _mm256_setzero_ps(), outside = largest;
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_loadu_ps(x + 8 * i);
    const __m256 magnitude = _mm256_and_ps(v[i], no_sign);
    largest = _mm256_max_ps(largest, magnitude);
    outside = _mm256_or_ps(outside, _mm256_cmp_ps(magnitude, most, _CMP_NLE_UQ));
  }
  const bool finite = _mm256_movemask_ps(outside) == 0;
  const float amax = Max(largest);
  // Groups too small to invert are zero.
  const __m256 inverse = _mm256_set1_ps(!finite || amax < 1e-30f ? 0.0f : kActivationSteps / amax);
  __m256i n[4];
  for (int i = 0; i < 4; ++i) n[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
  g->scale = finite ? amax / kActivationSteps : __builtin_nanf("");
  for (int i = 0; i < 2; ++i) {
    g->sum[i] = finite ? Sum(_mm256_add_epi32(n[2 * i], n[2 * i + 1])) : 0;
    // 0 1 2 3 of every quad become 0 2 1 3.
    const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15, 0,
                                           1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    const __m256i packed =
        _mm256_permute4x64_epi64(_mm256_packs_epi32(n[2 * i], n[2 * i + 1]), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(g->x + 16 * i),
                        _mm256_shuffle_epi8(packed, order));
  }
  g->sum[2] = g->sum[0] + g->sum[1];
  for (int i = 0; i < 3; ++i) g->scaled_sum[i] = static_cast<float>(g->sum[i]) * g->scale;
}

}  // namespace

namespace avx2 {

void FillBlocks(KernelTable* table) { FillFrom<0>(table); }

void QuantiseBlocks(const float* x, int64_t k, ActivationGroup* out) {
  for (int64_t i = 0; i < k / kGroup; ++i) QuantiseGroup(x + i * kGroup, out + i);
}

}  // namespace avx2
}  // namespace hadal::cpu
