// Matrices in blocks with VNNI: the codes are the unsigned side as they are, the two bytes of the
// activations the signed one. A block of R rows by P panels unpacks the codes once for all rows.
#include "kernels/cpu/avx512/avx512_kernels.h"
#include "kernels/cpu/avx512/block_codes.h"
#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

// How far ahead of a group few rows ask for the weights; the hardware stops at the end of a page.
constexpr int64_t kPrefetchBytes = 4096;

// total += scale * (products of a part) (-+ min * sum of its activations). quads [j0, j0 + n).
template <int kFormat, int R>
HADAL_AVX512_INLINE void AddPart(const uint8_t* block, const Common& common, int group, int part,
                                 const ActivationGroup* x, int64_t ldx, __m512 (&total)[R]) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int kPartQuads = kF.part / 4;
  const int half = kF.part == kGroup ? 0 : part % 2, sums = kF.part == kGroup ? 2 : half;
  const uint8_t* low = block + LowAt(kF, group);
  const uint8_t* high = block + HighAt(kF, group);
  __m512i high_sum[R], low_sum[R];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    high_sum[r] = _mm512_setzero_si512();
    low_sum[r] = _mm512_set1_epi32(-kF.zero * x[r * ldx].sum[sums]);
  }
  if constexpr (kF.scales == Scales::kHalfZero) {
    const __m512i zeros = LoadU8(block + 32);
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      low_sum[r] = _mm512_mullo_epi32(zeros, _mm512_set1_epi32(-x[r * ldx].sum[sums]));
    }
  }
  HADAL_UNROLL
  for (int i = 0; i < kPartQuads; ++i) {
    const int j = half * kPartQuads + i;
    const __m512i codes = Codes<kFormat>(low, high, j);
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      const auto* quads = reinterpret_cast<const float*>(x[r * ldx].parts);
      const __m512i a = _mm512_castps_si512(_mm512_set1_ps(quads[j]));
      const __m512i b = _mm512_castps_si512(_mm512_set1_ps(quads[kQuads + j]));
      high_sum[r] = _mm512_dpbusd_epi32(high_sum[r], codes, a);
      low_sum[r] = _mm512_dpbusd_epi32(low_sum[r], codes, b);
    }
  }
  const Factors factors = LoadFactors<kFormat>(block, common, part);
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(high_sum[r], 8), low_sum[r]);
    const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(x[r * ldx].scale));
    total[r] = _mm512_fmadd_ps(scaled, factors.scale, total[r]);
    const __m512 scaled_sum = _mm512_set1_ps(x[r * ldx].scaled_sum[sums]);
    if constexpr (kF.scales == Scales::kHalfMin) {
      total[r] = _mm512_fmadd_ps(factors.min, scaled_sum, total[r]);
    } else if constexpr (kF.scales >= Scales::kSuperMin) {
      total[r] = _mm512_fnmadd_ps(factors.min, scaled_sum, total[r]);
    }
  }
}

// Asks for the bytes that lie kPrefetchBytes after those of a group.
template <int kFormat>
HADAL_AVX512_INLINE void Prefetch(const uint8_t* block, int group) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int64_t kGroupBytes = BlockBytes(kF) / BlockGroups(kF), kLine = 64;
  const auto* at = reinterpret_cast<const char*>(block) + group * kGroupBytes + kPrefetchBytes;
  HADAL_UNROLL
  for (int64_t i = 0; i < kGroupBytes; i += kLine) _mm_prefetch(at + i, _MM_HINT_T0);
}

template <int kFormat, int R, int P>
void Block(const MatMulTile& t, int64_t row, int64_t panel) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int kParts = kGroup / kF.part;  // of a group
  const int64_t blocks = t.k / BlockK(kF), panel_bytes = PanelBytesBlocks(kF, t.k);
  const auto* w = static_cast<const uint8_t*>(t.w) + panel * panel_bytes;
  const auto* x = static_cast<const ActivationGroup*>(t.x) + row * t.ldx;
  __m512 total[P][R];
  HADAL_UNROLL
  for (int p = 0; p < P; ++p) {
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) total[p][r] = _mm512_setzero_ps();
  }
  for (int64_t b = 0; b < blocks; ++b, w += BlockBytes(kF)) {
    Common common[P];
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) common[p] = LoadCommon<kFormat>(w + p * panel_bytes);
    for (int g = 0; g < BlockGroups(kF); ++g, ++x) {
      HADAL_UNROLL
      for (int p = 0; p < P; ++p) {
        if constexpr (R <= 4) Prefetch<kFormat>(w + p * panel_bytes, g);
        HADAL_UNROLL
        for (int i = 0; i < kParts; ++i) {
          AddPart<kFormat, R>(w + p * panel_bytes, common[p], g, g * kParts + i, x, t.ldx,
                              total[p]);
        }
      }
    }
  }
  HADAL_UNROLL
  for (int p = 0; p < P; ++p) {
    const int64_t column = (panel + p) * kPanel, left = t.n - column;
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      __m512 v = total[p][r];
      if (t.bias) v = _mm512_add_ps(v, Load(t.bias + column, left));
      Store(t.out + (row + r) * t.ldo + column, left, v);
    }
  }
}

// A single row goes two panels at a time, for more independent sums.
template <int kFormat>
void Multiply(const MatMulTile& t) {
  int64_t p = t.panel0;
  if (t.m == 1) {
    for (; p + 2 <= t.panel1; p += 2) Block<kFormat, 1, 2>(t, 0, p);
  }
  for (; p < t.panel1; ++p) {
    int64_t r = 0;
    for (; r + 8 <= t.m; r += 8) Block<kFormat, 8, 1>(t, r, p);
    if (t.m - r >= 4) {
      Block<kFormat, 4, 1>(t, r, p);
      r += 4;
    }
    if (t.m - r == 3) Block<kFormat, 3, 1>(t, r, p);
    if (t.m - r == 2) Block<kFormat, 2, 1>(t, r, p);
    if (t.m - r == 1) Block<kFormat, 1, 1>(t, r, p);
  }
}

template <int kFormat>
void FillFrom(KernelTable* table) {
  if constexpr (kFormat < kBlockFormatCount) {
    table->matmul_blocks[kFormat] = Multiply<kFormat>;
    FillFrom<kFormat + 1>(table);
  }
}

void QuantiseGroup(const float* x, ActivationGroup* g) {
  const __m512 v0 = _mm512_loadu_ps(x), v1 = _mm512_loadu_ps(x + 16);
  const float amax = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(v0), _mm512_abs_ps(v1)));
  constexpr int kNanOrInfinity = 0x99;
  const bool finite = (_mm512_fpclass_ps_mask(v0, kNanOrInfinity) |
                       _mm512_fpclass_ps_mask(v1, kNanOrInfinity)) == 0;
  // Groups too small to invert are zero.
  const __m512 inverse = _mm512_set1_ps(!finite || amax < 1e-30f ? 0.0f : kActivationSteps / amax);
  const __m512i n[2] = {_mm512_cvtps_epi32(_mm512_mul_ps(v0, inverse)),
                        _mm512_cvtps_epi32(_mm512_mul_ps(v1, inverse))};
  g->scale = finite ? amax / kActivationSteps : __builtin_nanf("");
  for (int i = 0; i < 2; ++i) {
    const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(n[i], _mm512_set1_epi32(128)), 8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(g->parts[0] + 16 * i), _mm512_cvtepi32_epi8(high));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(g->parts[1] + 16 * i), _mm512_cvtepi32_epi8(n[i]));
    g->sum[i] = finite ? _mm512_reduce_add_epi32(n[i]) : 0;
  }
  g->sum[2] = g->sum[0] + g->sum[1];
  for (int i = 0; i < 3; ++i) g->scaled_sum[i] = static_cast<float>(g->sum[i]) * g->scale;
}

}  // namespace

namespace avx512 {

void FillBlocks(KernelTable* table) { FillFrom<0>(table); }

void QuantiseBlocks(const float* x, int64_t k, ActivationGroup* out) {
  for (int64_t i = 0; i < k / kGroup; ++i) QuantiseGroup(x + i * kGroup, out + i);
}

}  // namespace avx512
}  // namespace hadal::cpu
