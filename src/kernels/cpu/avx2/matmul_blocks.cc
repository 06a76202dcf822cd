// Matrices in blocks with AVX2, 8 columns at a time. All sums are exact:
//   one byte of the activations   8-bit dot products of pairs, added as 16-bit integers for as many
//                                 quads as cannot saturate, then as 32-bit ones
//   two                           16-bit dot products: the codes of a quad's even and odd values of
//                                 k are widened in place, which pairs values 0, 2 and 1, 3 of each
//                                 column; quantise_groups16 orders the activations to match
// Many rows go by both halves of a panel at once where the registers allow it.
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

// The products of a part and H times 8 columns, as floats times the scale of the activations: one
// byte of these.
template <int kFormat, int R, int H, class W>
HADAL_AVX2_INLINE void Products(const W (&w)[H], int part, const ActivationGroup8* x, int64_t ldx,
                                __m256 (&product)[H][R]) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr bool kSigned = kF.table == ValueTable::kIq4;
  static_assert(kSigned || 2 * 127 * MaxCode(kF) <= 32767);
  constexpr int kPartQuads = kF.part / 4;
  constexpr int kStep = QuadsPerSum(kF) < kPartQuads ? QuadsPerSum(kF) : kPartQuads;
  const __m256i offset = _mm256_set1_epi32(kSumOffsetBits), ones = _mm256_set1_epi16(1);
  __m256i sum[H][R];
  HADAL_UNROLL
  for (int first = 0; first < kPartQuads; first += kStep) {
    __m256i pairs[H][R];
    HADAL_UNROLL
    for (int i = first; i < first + kStep; ++i) {
      const int j = part * kPartQuads + i;
      __m256i codes[H], signs[H];
      HADAL_UNROLL
      for (int h = 0; h < H; ++h) {
        codes[h] = signs[h] = w[h].CodesAt(j);
        if constexpr (kSigned) {
          signs[h] = _mm256_xor_si256(codes[h], _mm256_set1_epi8(-128));
          codes[h] = _mm256_abs_epi8(signs[h]);
        }
      }
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        const __m256i quad = Broadcast32(x[r * ldx].x + 4 * j);
        HADAL_UNROLL
        for (int h = 0; h < H; ++h) {
          const __m256i by = kSigned ? _mm256_sign_epi8(quad, signs[h]) : quad;
          const __m256i products = _mm256_maddubs_epi16(codes[h], by);
          pairs[h][r] = i == first ? products : _mm256_add_epi16(pairs[h][r], products);
        }
      }
    }
    HADAL_UNROLL
    for (int h = 0; h < H; ++h) {
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        const __m256i more = _mm256_madd_epi16(pairs[h][r], ones);
        sum[h][r] = _mm256_add_epi32(first == 0 ? offset : sum[h][r], more);
      }
    }
  }
  HADAL_UNROLL
  for (int h = 0; h < H; ++h) {
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      if constexpr (HasZeros(kF) && !kSigned) {
        const __m256i zeros =
            _mm256_madd_epi16(w[h].MinusZerosAt(part), Broadcast32(x[r * ldx].sum));
        sum[h][r] = _mm256_add_epi32(sum[h][r], zeros);
      }
      product[h][r] =
          _mm256_fmadd_ps(_mm256_castsi256_ps(sum[h][r]), _mm256_set1_ps(x[r * ldx].scale),
                          _mm256_set1_ps(x[r * ldx].minus_offset));
    }
  }
}

// As above with two bytes.
template <int kFormat, int R, int H, class W>
HADAL_AVX2_INLINE void Products(const W (&w)[H], int part, const ActivationGroup16* x, int64_t ldx,
                                __m256 (&product)[H][R]) {
  static_assert(H == 1);
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
    const __m256i codes = w[0].CodesAt(j);
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
    product[0][r] = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r]), _mm256_set1_ps(x[r * ldx].scale));
  }
}

// total - min * sum of the activations of a part.
template <int kFormat>
HADAL_AVX2_INLINE __m256 WithMin(__m256 total, const Factors& factors, const Group<kFormat>& x,
                                 int part) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  if constexpr (!HasMin(kF)) return total;
  const __m256 sum = _mm256_set1_ps(x.scaled_sum[SumOf(kF, part)]);
  return kF.scales == Scales::kHalfMin ? _mm256_fmadd_ps(factors.min, sum, total)
                                       : _mm256_fnmadd_ps(factors.min, sum, total);
}

// total += scale * products (- min * sum of the activations), of a group.
template <int kFormat, int R, int H, class W>
HADAL_AVX2_INLINE void AddGroup(const W (&w)[H], const Group<kFormat>* x, int64_t ldx,
                                __m256 (&total)[H][R]) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  HADAL_UNROLL
  for (int part = 0; part < PartsOf(kF); ++part) {
    __m256 product[H][R];
    Products<kFormat, R, H>(w, part, x, ldx, product);
    HADAL_UNROLL
    for (int h = 0; h < H; ++h) {
      const Factors factors = w[h].FactorsAt(part);
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        total[h][r] = _mm256_fmadd_ps(product[h][r], factors.scale, total[h][r]);
        total[h][r] = WithMin<kFormat>(total[h][r], factors, x[r * ldx], part);
      }
    }
  }
}

// As AddGroup of both halves of a panel, from codes that were widened for many rows: a broadcast
// serves two products, and the totals stay in memory.
template <int kFormat, int R>
HADAL_AVX2_INLINE void AddWideGroup(const UnpackedGroup<kFormat>& w, const ActivationGroup16* x,
                                    int64_t ldx, float (*totals)[1][kPanel]) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int kPairs = kF.part / 2;
  HADAL_UNROLL
  for (int part = 0; part < PartsOf(kF); ++part) {
    __m256i sum[R][2];
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    HADAL_UNROLL
    for (int i = part * kPairs; i < (part + 1) * kPairs; ++i) {
      const __m256i low = Load256(w.codes[i]), high = Load256(w.codes[i] + 32);
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        const __m256i pair = Broadcast32(x[r * ldx].x + 2 * i);
        sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(low, pair));
        sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(high, pair));
      }
    }
    HADAL_UNROLL
    for (int half = 0; half < 2; ++half) {
      const Factors factors = LoadedGroup<kFormat>{&w, 8 * half}.FactorsAt(part);
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        float* at = totals[r][0] + 8 * half;
        const __m256 product =
            _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r][half]), _mm256_set1_ps(x[r * ldx].scale));
        const __m256 total = _mm256_fmadd_ps(product, factors.scale, _mm256_load_ps(at));
        _mm256_store_ps(at, WithMin<kFormat>(total, factors, x[r * ldx], part));
      }
    }
  }
}

// Groups of bytes by R rows.
template <int kFormat, int R>
HADAL_AVX2_INLINE void AddGroups(const UnpackedGroup<kFormat>* piece, int n_groups,
                                 const Group<kFormat>* x, int64_t ldx, float (*totals)[1][kPanel]) {
  // With mins both halves at once need more registers than there are.
  constexpr int kHalves = HasMin(kBlockFormats[kFormat]) ? 1 : 2;
  for (int column = 0; column < kPanel; column += 8 * kHalves) {
    __m256 total[kHalves][R];
    LoadedGroup<kFormat> w[kHalves];
    HADAL_UNROLL
    for (int h = 0; h < kHalves; ++h) {
      w[h] = {nullptr, column + 8 * h};
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) total[h][r] = _mm256_load_ps(totals[r][0] + w[h].column);
    }
    for (int g = 0; g < n_groups; ++g) {
      HADAL_UNROLL
      for (int h = 0; h < kHalves; ++h) w[h].from = &piece[g];
      AddGroup<kFormat, R, kHalves>(w, x + g, ldx, total);
    }
    HADAL_UNROLL
    for (int h = 0; h < kHalves; ++h) {
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) _mm256_store_ps(totals[r][0] + w[h].column, total[h][r]);
    }
  }
}

struct Avx2 {
  static constexpr int kFewRows = 16, kPanelRows = 4, kRows = 4, kPanels = 1;

  template <int kFormat>
  HADAL_AVX2_INLINE void Unpack(const uint8_t* block, int g, UnpackedGroup<kFormat>* out) {
    constexpr BlockFormat kF = kBlockFormats[kFormat];
    for (int column = 0; column < kPanel; column += 8) {
      const PackedGroup<kFormat> from = {block, g, column};
      const auto store = [&](int row, __m256i codes) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(out->codes[row] + 4 * column), codes);
      };
      HADAL_UNROLL
      for (int j = 0; j < kQuads; ++j) {
        const __m256i codes = from.CodesAt(j);
        if constexpr (UnpackedGroup<kFormat>::kWide) {
          const __m256i zero = _mm256_set1_epi16(kF.zero);
          const __m256i even = _mm256_and_si256(codes, _mm256_set1_epi16(0xff));
          store(2 * j, _mm256_sub_epi16(even, zero));
          store(2 * j + 1, _mm256_sub_epi16(_mm256_srli_epi16(codes, 8), zero));
        } else {
          store(j, codes);
        }
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
    if constexpr (UnpackedGroup<kFormat>::kWide) {
      for (int g = 0; g < n_groups; ++g) {
        AddWideGroup<kFormat, R>(piece[0][g], x + g, ldx, totals);
      }
    } else {
      AddGroups<kFormat, R>(piece[0], n_groups, x, ldx, totals);
    }
  }

  // R rows by a panel, unpacked in registers.
  template <int kFormat, int R>
  static void MultiplyPanel(const MatMulTile& t, int64_t row, int64_t panel) {
    constexpr BlockFormat kF = kBlockFormats[kFormat];
    const int64_t blocks = t.k / BlockK(kF);
    const auto* w = static_cast<const uint8_t*>(t.w) + panel * blocks * BlockBytes(kF);
    const auto* x = static_cast<const Group<kFormat>*>(t.x) + row * t.ldx;
    __m256 total[2][1][R];
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) total[0][0][r] = total[1][0][r] = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; ++b, w += BlockBytes(kF)) {
      for (int g = 0; g < BlockGroups(kF); ++g, ++x) {
        Prefetch<kFormat>(w, g);
        HADAL_UNROLL
        for (int half = 0; half < 2; ++half) {
          const PackedGroup<kFormat> group[1] = {{w, g, 8 * half}};
          AddGroup<kFormat, R, 1>(group, x, t.ldx, total[half]);
        }
      }
    }
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      alignas(32) float sums[kPanel];
      _mm256_store_ps(sums, total[0][0][r]);
      _mm256_store_ps(sums + 8, total[1][0][r]);
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
