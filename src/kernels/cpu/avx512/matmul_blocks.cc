// Matrices in blocks with VNNI: the codes are the unsigned side as they are, the bytes of the
// activations the signed one. The loops are those of block_loops.h.
#include "kernels/cpu/avx512/avx512_kernels.h"
#include "kernels/cpu/avx512/block_groups.h"

namespace hadal::cpu {
namespace {

HADAL_AVX512_INLINE __m512i Broadcast32(const void* p) {
  return _mm512_castps_si512(
      _mm512_set1_ps(_mm_cvtss_f32(_mm_load_ss(static_cast<const float*>(p)))));
}

// The products of a part, as floats times the scale of the activations: one byte of these.
template <int kFormat, int R, int P, class W>
HADAL_AVX512_INLINE void Products(const W (&w)[P], int part, const ActivationGroup8* x, int64_t ldx,
                                  __m512 (&product)[P][R]) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int kPartQuads = kF.part / 4;
  const __m512i offset = _mm512_set1_epi32(kSumOffsetBits);
  __m512i sum[P][R];
  HADAL_UNROLL
  for (int p = 0; p < P; ++p) {
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      sum[p][r] = offset;
      if constexpr (HasZeros(kF)) {
        sum[p][r] =
            _mm512_dpwssd_epi32(offset, w[p].MinusZerosAt(part), Broadcast32(x[r * ldx].sum));
      }
    }
  }
  HADAL_UNROLL
  for (int i = 0; i < kPartQuads; ++i) {
    const int j = part * kPartQuads + i;
    __m512i codes[P];
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) codes[p] = w[p].CodesAt(j);
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      const __m512i quad = Broadcast32(x[r * ldx].x + 4 * j);
      HADAL_UNROLL
      for (int p = 0; p < P; ++p) sum[p][r] = _mm512_dpbusd_epi32(sum[p][r], codes[p], quad);
    }
  }
  HADAL_UNROLL
  for (int p = 0; p < P; ++p) {
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      product[p][r] =
          _mm512_fmadd_ps(_mm512_castsi512_ps(sum[p][r]), _mm512_set1_ps(x[r * ldx].scale),
                          _mm512_set1_ps(x[r * ldx].minus_offset));
    }
  }
}

// As above with two bytes, the high ones first.
template <int kFormat, int R, int P, class W>
HADAL_AVX512_INLINE void Products(const W (&w)[P], int part, const ActivationGroup16* x,
                                  int64_t ldx, __m512 (&product)[P][R]) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int kPartQuads = kF.part / 4;
  static_assert(kF.scales != Scales::kHalfZero && (kF.zero & (kF.zero - 1)) == 0);
  constexpr auto kZeroShift =
      kF.zero == 0 ? 0u : static_cast<unsigned>(__builtin_ctz(static_cast<unsigned>(kF.zero)));
  __m512i sum[P][R];
  HADAL_UNROLL
  for (int p = 0; p < P; ++p) {
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) sum[p][r] = _mm512_setzero_si512();
  }
  __m512i kept[kPartQuads];
  if constexpr (P == 1) {
    HADAL_UNROLL
    for (int i = 0; i < kPartQuads; ++i) kept[i] = w[0].CodesAt(part * kPartQuads + i);
  }
  HADAL_UNROLL
  for (int byte = 0; byte < 2; ++byte) {
    HADAL_UNROLL
    for (int i = 0; i < kPartQuads; ++i) {
      const int j = part * kPartQuads + i;
      __m512i codes[P];
      HADAL_UNROLL
      for (int p = 0; p < P; ++p) codes[p] = P == 1 ? kept[i] : w[p].CodesAt(j);
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        const __m512i quad = Broadcast32(x[r * ldx].parts[byte] + 4 * j);
        HADAL_UNROLL
        for (int p = 0; p < P; ++p) sum[p][r] = _mm512_dpbusd_epi32(sum[p][r], codes[p], quad);
      }
    }
    HADAL_UNROLL
    for (int r = 0; byte == 0 && r < R; ++r) {
      __m512i zeros = _mm512_setzero_si512();
      if constexpr (kF.zero != 0) {
        zeros = _mm512_slli_epi32(Broadcast32(x[r * ldx].sum + SumOf(kF, part)), kZeroShift);
      }
      HADAL_UNROLL
      for (int p = 0; p < P; ++p) {
        sum[p][r] = _mm512_sub_epi32(_mm512_slli_epi32(sum[p][r], 8), zeros);
      }
    }
  }
  HADAL_UNROLL
  for (int p = 0; p < P; ++p) {
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      product[p][r] =
          _mm512_mul_ps(_mm512_cvtepi32_ps(sum[p][r]), _mm512_set1_ps(x[r * ldx].scale));
    }
  }
}

// total += scale * products (- min * sum of the activations), of a group.
template <int kFormat, int R, int P, class W>
HADAL_AVX512_INLINE void AddGroup(const W (&w)[P], const Group<kFormat>* x, int64_t ldx,
                                  __m512 (&total)[P][R]) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  HADAL_UNROLL
  for (int part = 0; part < PartsOf(kF); ++part) {
    __m512 product[P][R];
    Products<kFormat, R, P>(w, part, x, ldx, product);
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) {
      const Factors factors = w[p].FactorsAt(part);
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) {
        total[p][r] = _mm512_fmadd_ps(product[p][r], factors.scale, total[p][r]);
        if constexpr (!HasMin(kF)) continue;
        const __m512 sum = _mm512_set1_ps(x[r * ldx].scaled_sum[SumOf(kF, part)]);
        total[p][r] = kF.scales == Scales::kHalfMin
                          ? _mm512_fmadd_ps(factors.min, sum, total[p][r])
                          : _mm512_fnmadd_ps(factors.min, sum, total[p][r]);
      }
    }
  }
}

struct Avx512 {
  static constexpr int kFewRows = 32, kPanelRows = 8, kRows = 6, kPanels = 2;

  template <int kFormat>
  HADAL_AVX512_INLINE void Unpack(const uint8_t* block, int g, UnpackedGroup<kFormat>* out) {
    constexpr BlockFormat kF = kBlockFormats[kFormat];
    const PackedGroup<kFormat> from = {block, g};
    HADAL_UNROLL
    for (int j = 0; j < kQuads; ++j) _mm512_store_si512(out->codes[j], from.CodesAt(j));
    HADAL_UNROLL
    for (int i = 0; i < PartsOf(kF); ++i) {
      const Factors f = from.FactorsAt(i);
      _mm512_store_ps(out->scale[i], f.scale);
      if constexpr (HasMin(kF)) _mm512_store_ps(out->min[i], f.min);
    }
    if constexpr (kF.scales == Scales::kHalfZero) {
      _mm512_store_si512(out->minus_zeros, from.MinusZerosAt(0));
    }
  }

  template <int kFormat, int R, int P>
  static void AddRows(const Piece<kFormat, P>& piece, int n_groups, const Group<kFormat>* x,
                      int64_t ldx, float (*totals)[P][kPanel]) {
    __m512 total[P][R];
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) {
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) total[p][r] = _mm512_load_ps(totals[r][p]);
    }
    for (int g = 0; g < n_groups; ++g, ++x) {
      LoadedGroup<kFormat> w[P];
      HADAL_UNROLL
      for (int p = 0; p < P; ++p) w[p].from = &piece[p][g];
      AddGroup<kFormat, R, P>(w, x, ldx, total);
    }
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) {
      HADAL_UNROLL
      for (int r = 0; r < R; ++r) _mm512_store_ps(totals[r][p], total[p][r]);
    }
  }

  // R rows by a panel, unpacked in registers.
  template <int kFormat, int R>
  static void MultiplyPanel(const MatMulTile& t, int64_t row, int64_t panel) {
    constexpr BlockFormat kF = kBlockFormats[kFormat];
    const int64_t blocks = t.k / BlockK(kF);
    const auto* w = static_cast<const uint8_t*>(t.w) + panel * blocks * BlockBytes(kF);
    const auto* x = static_cast<const Group<kFormat>*>(t.x) + row * t.ldx;
    __m512 total[1][R];
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) total[0][r] = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; ++b, w += BlockBytes(kF)) {
      for (int g = 0; g < BlockGroups(kF); ++g, ++x) {
        Prefetch<kFormat>(w, g);
        const PackedGroup<kFormat> group[1] = {{w, g}};
        AddGroup<kFormat, R, 1>(group, x, t.ldx, total);
      }
    }
    HADAL_UNROLL
    for (int r = 0; r < R; ++r) {
      alignas(64) float sums[kPanel];
      _mm512_store_ps(sums, total[0][r]);
      Finish(t, row + r, panel, sums);
    }
  }

  static void Finish(const MatMulTile& t, int64_t row, int64_t panel, const float* totals) {
    const int64_t column = panel * kPanel, left = t.n - column;
    __m512 v = _mm512_load_ps(totals);
    if (t.bias) v = _mm512_add_ps(v, Load(t.bias + column, left));
    Store(t.out + row * t.ldo + column, left, v);
  }
};

template <int kFormat>
void FillFrom(KernelTable* table) {
  if constexpr (kFormat < kBlockFormatCount) {
    table->matmul_blocks[kFormat] = MultiplyBlocks<Avx512, kFormat>;
    FillFrom<kFormat + 1>(table);
  }
}

}  // namespace

namespace avx512 {

void FillBlocks(KernelTable* table) { FillFrom<0>(table); }

}  // namespace avx512
}  // namespace hadal::cpu
