// Matrices in blocks with AVX2, 8 columns at a time. All sums are exact:
//   one byte of the activations   8-bit dot products of pairs, added as 16-bit integers for as many
//                                 quads as cannot saturate, then as 32-bit ones
//   two                           16-bit dot products: the codes of a quad's even and odd values of
//                                 k are widened in place, which pairs values 0, 2 and 1, 3 of each
//                                 column; quantise_groups16 orders the activations to match
// The loops are those of block_loops.h.
#include "kernels/cpu/avx2/avx2_kernels.h"
#include "kernels/cpu/avx2/block_groups.h"

namespace hadal::cpu {
namespace {

HADAL_AVX2_INLINE __m256i Broadcast32(const void* p) {
  return _mm256_castps_si256(
      _mm256_set1_ps(_mm_cvtss_f32(_mm_load_ss(static_cast<const float*>(p)))));
}

// Quads whose pairs of products can be added in 16 bits. A pair is at most 2 * 127 * code, and the
// codes of IQ4 are taken as signed values, at most 127: not even these saturate.
constexpr int QuadsPerSum(const BlockFormat& f) {
  const int most = f.table == ValueTable::kIq4 ? 127 : MaxCode(f);
  const int quads = 32767 / (2 * 127 * most);
  return quads >= 8 ? 8 : quads >= 4 ? 4 : 1;
}

// The products of a part, as floats times the scale of the activations: one byte of these.
template <int kFormat, int R, class W>
HADAL_AVX2_INLINE void Products(const W& w, int part, const ActivationGroup8* x, int64_t ldx,
                                __m256 (&product)[R]) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr bool kSigned = kF.table == ValueTable::kIq4;
  static_assert(kSigned || 2 * 127 * MaxCode(kF) <= 32767);
  constexpr int kPartQuads = kF.part / 4;
  constexpr int kStep = QuadsPerSum(kF) < kPartQuads ? QuadsPerSum(kF) : kPartQuads;
  const __m256i offset = _mm256_set1_epi32(kSumOffsetBits), ones = _mm256_set1_epi16(1);
  __m256i sum[R];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    sum[r] = offset;
    if constexpr (HasZeros(kF) && !kSigned) {
      const __m256i zeros = _mm256_madd_epi16(w.MinusZerosAt(part), Broadcast32(x[r * ldx].sum));
      sum[r] = _mm256_add_epi32(sum[r], zeros);
    }
  }
  HADAL_UNROLL
  for (int first = 0; first < kPartQuads; first += kStep) {
    __m256i pairs[R];
    HADAL_UNROLL
    for (int i = first; i < first + kStep; ++i) {
      const int j = part * kPartQuads + i;
      __m256i codes = w.CodesAt(j), signs = codes;
      if constexpr (kSigned) {
        signs = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
        codes = _mm256_abs_epi8(signs);
      }
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        __m256i quad = Broadcast32(x[r * ldx].x + 4 * j);
        if constexpr (kSigned) quad = _mm256_sign_epi8(quad, signs);
        const __m256i products = _mm256_maddubs_epi16(codes, quad);
        pairs[r] = i == first ? products : _mm256_add_epi16(pairs[r], products);
      }
    }
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(pairs[r], ones));
    }
  }
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    product[r] = _mm256_fmadd_ps(_mm256_castsi256_ps(sum[r]), _mm256_set1_ps(x[r * ldx].scale),
                                 _mm256_set1_ps(x[r * ldx].minus_offset));
  }
}

// As above with two bytes.
template <int kFormat, int R, class W>
HADAL_AVX2_INLINE void Products(const W& w, int part, const ActivationGroup16* x, int64_t ldx,
                                __m256 (&product)[R]) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  static_assert(kF.scales != Scales::kHalfZero);
  constexpr int kPartQuads = kF.part / 4;
  __m256i sum[R];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    sum[r] = _mm256_set1_epi32(-kF.zero * x[r * ldx].sum[SumOf(kF, part)]);
  }
  HADAL_UNROLL
  for (int i = 0; i < kPartQuads; ++i) {
    const int j = part * kPartQuads + i;
    const __m256i codes = w.CodesAt(j);
    const __m256i even = _mm256_and_si256(codes, _mm256_set1_epi16(0xff));
    const __m256i odd = _mm256_srli_epi16(codes, 8);
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      const __m256i a = Broadcast32(x[r * ldx].x + 4 * j);
      const __m256i b = Broadcast32(x[r * ldx].x + 4 * j + 2);
      sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(even, a));
      sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(odd, b));
    }
  }
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) {
    product[r] = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r]), _mm256_set1_ps(x[r * ldx].scale));
  }
}

// total += scale * products (- min * sum of the activations), of a group.
template <int kFormat, int R, class W>
HADAL_AVX2_INLINE void AddGroup(const W& w, const Group<kFormat>* x, int64_t ldx,
                                __m256 (&total)[R]) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  HADAL_UNROLL
  for (int part = 0; part < PartsOf(kF); ++part) {
    __m256 product[R];
    Products<kFormat, R>(w, part, x, ldx, product);
    const Factors factors = w.FactorsAt(part);
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      total[r] = _mm256_fmadd_ps(product[r], factors.scale, total[r]);
      if constexpr (!HasMin(kF)) continue;
      const __m256 sum = _mm256_set1_ps(x[r * ldx].scaled_sum[SumOf(kF, part)]);
      total[r] = kF.scales == Scales::kHalfMin ? _mm256_fmadd_ps(factors.min, sum, total[r])
                                               : _mm256_fnmadd_ps(factors.min, sum, total[r]);
    }
  }
}

struct Avx2 {
  static constexpr int kFewRows = 16, kPanelRows = 4, kRows = 4, kPanels = 1;

  template <int kFormat>
  HADAL_AVX2_INLINE void Unpack(const uint8_t* block, int g, UnpackedGroup<kFormat>* out) {
    constexpr BlockFormat kF = kBlockFormats[kFormat];
    HADAL_UNROLL
    for (int column = 0; column < kPanel; column += 8) {
      const PackedGroup<kFormat> from = {block, g, column};
      HADAL_UNROLL
      for (int j = 0; j < kQuads; ++j) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(out->codes[j] + 4 * column), from.CodesAt(j));
      }
      HADAL_UNROLL
      for (int i = 0; i < PartsOf(kF); ++i) {
        const Factors f = from.FactorsAt(i);
        _mm256_store_ps(out->scale[i] + column, f.scale);
        if constexpr (HasMin(kF)) _mm256_store_ps(out->min[i] + column, f.min);
      }
      if constexpr (kF.scales == Scales::kHalfZero) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(out->minus_zeros + column),
                           from.MinusZerosAt(0));
      }
    }
  }

  template <int kFormat, int R, int P>
  static void AddRows(const Piece<kFormat, P>& piece, int n_groups, const Group<kFormat>* x,
                      int64_t ldx, float (*totals)[P][kPanel]) {
    static_assert(P == 1);
    for (int column = 0; column < kPanel; column += 8) {
      __m256 total[R];
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) total[r] = _mm256_load_ps(totals[r][0] + column);
      for (int g = 0; g < n_groups; ++g) {
        AddGroup<kFormat, R>(LoadedGroup<kFormat>{&piece[0][g], column}, x + g, ldx, total);
      }
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) _mm256_store_ps(totals[r][0] + column, total[r]);
    }
  }

  // R rows by a panel, unpacked in registers.
  template <int kFormat, int R>
  static void MultiplyPanel(const MatMulTile& t, int64_t row, int64_t panel) {
    constexpr BlockFormat kF = kBlockFormats[kFormat];
    const int64_t blocks = t.k / BlockK(kF);
    const auto* w = static_cast<const uint8_t*>(t.w) + panel * blocks * BlockBytes(kF);
    const auto* x = static_cast<const Group<kFormat>*>(t.x) + row * t.ldx;
    __m256 total[2][R];
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) total[0][r] = total[1][r] = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; ++b, w += BlockBytes(kF)) {
      for (int g = 0; g < BlockGroups(kF); ++g, ++x) {
        Prefetch<kFormat>(w, g);
        HADAL_UNROLL
        for (int half = 0; half < 2; ++half) {
          AddGroup<kFormat, R>(PackedGroup<kFormat>{w, g, 8 * half}, x, t.ldx, total[half]);
        }
      }
    }
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      alignas(32) float sums[kPanel];
      _mm256_store_ps(sums, total[0][r]);
      _mm256_store_ps(sums + 8, total[1][r]);
      Finish(t, row + r, panel, sums);
    }
  }

  static void Finish(const MatMulTile& t, int64_t row, int64_t panel, const float* totals) {
    for (int half = 0; half < 2; ++half) {
      const int64_t column = panel * kPanel + 8 * half, left = t.n - column;
      if (left <= 0) return;
      __m256 v = _mm256_load_ps(totals + 8 * half);
      if (t.bias) v = _mm256_add_ps(v, Load(t.bias + column, left));
      Store(t.out + row * t.ldo + column, left, v);
    }
  }
};

template <int kFormat>
void FillFrom(KernelTable* table) {
  if constexpr (kFormat < kBlockFormatCount) {
    table->matmul_blocks[kFormat] = MultiplyBlocks<Avx2, kFormat>;
    FillFrom<kFormat + 1>(table);
  }
}

}  // namespace

namespace avx2 {

void FillBlocks(KernelTable* table) { FillFrom<0>(table); }

}  // namespace avx2
}  // namespace hadal::cpu
