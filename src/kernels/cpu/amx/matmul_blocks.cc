// Matrices in blocks by many exact rows on int8 tiles, with the bits of the AVX-512 kernels: what
// is exact, the integer sums, comes from tiles; the chain of float operations is theirs.
//
// A piece of some panels is unpacked to the L1 cache, as tile operands with the zeros subtracted,
// and multiplied by 16 rows at a time. The sums of a group go through memory from the tile to the
// registers that hold the rows' totals; the products of the next groups run meanwhile. A scale
// that covers half a group is a product with the other half's codes zero.
#include "kernels/cpu/amx/prompt.h"
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/avx512_kernels.h"
#include "kernels/cpu/avx512/block_groups.h"

namespace hadal::cpu {
namespace {

// Fewer rows are multiplied in registers: unpacking to memory and filling tiles costs more.
constexpr int64_t kLeastRows = 8;
constexpr int64_t kMostRows = 128;  // whose totals are kept at a time
constexpr int kPanels = 4;          // unpacked at a time; 16 rows stay in the cache meanwhile
constexpr int kAhead = 2;           // groups between a product and the use of its sums
constexpr int kSumBuffers = 4;
static_assert(kAhead < kSumBuffers);

// What a product depends on when its codes are unpacked.
struct Kind {
  int x_parts, parts;
  bool min, zeros;  // zeros: of columns, beyond what a signed byte can subtract
};
constexpr Kind KindOf(const BlockFormat& f) {
  return {f.x_parts, PartsOf(f), HasMin(f), f.scales == Scales::kHalfZero};
}

constexpr int kHalf = kQuads / 2;

// A group of a panel. With two parts, four rows of zeros lie between the halves: part 0 is rows
// 0..7, part 1 rows 4..11.
template <Kind kKind>
struct alignas(64) TileGroup {
  int8_t codes[kKind.parts == 1 ? kQuads : kQuads + kHalf][kQuadBytes];
  float scale[kKind.parts][kPanel];
  float min[kKind.min ? kKind.parts : 0][kPanel];  // to be added
  int32_t minus_zeros[kKind.zeros ? kPanel : 0];   // pairs
};
template <Kind kKind>
using TilePiece = TileGroup<kKind>[kPieceGroups];
template <Kind kKind>
using Rows = ActivationGroupType<kKind.x_parts>::Type;

// ---- weights

template <int kFormat, class To>
HADAL_AVX512_INLINE void Unpack(const uint8_t* block, int g, To* out) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int kGap = PartsOf(kF) == 1 ? 0 : kHalf;
  const PackedGroup<kFormat> from = {block, g};
  const __m512i zero = _mm512_set1_epi8(static_cast<char>(kF.zero));
  HADAL_UNROLL
  for (int j = 0; j < kQuads; ++j) {
    const __m512i codes = from.CodesAt(j);
    _mm512_store_si512(out->codes[j < kHalf ? j : j + kGap],
                       kF.zero == 0 ? codes : _mm512_sub_epi8(codes, zero));
  }
  HADAL_UNROLL
  for (int i = 0; i < PartsOf(kF); ++i) {
    const Factors f = from.FactorsAt(i);
    _mm512_store_ps(out->scale[i], f.scale);
    if constexpr (HasMin(kF)) {
      const __m512 sign = _mm512_set1_ps(kF.scales == Scales::kHalfMin ? 0.0f : -0.0f);
      _mm512_store_ps(out->min[i], _mm512_xor_ps(f.min, sign));
    }
  }
  if constexpr (kF.scales == Scales::kHalfZero) {
    _mm512_store_si512(out->minus_zeros, from.MinusZerosAt(0));
  }
}

// Groups [group, group + n) of a panel.
template <int kFormat, class Piece>
void UnpackGroups(const uint8_t* panel, int64_t group, int n, Piece& out) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  const uint8_t* block = panel + group / BlockGroups(kF) * BlockBytes(kF);
  for (int i = 0; i < n; i += BlockGroups(kF), block += BlockBytes(kF)) {
    for (int g = 0; g < BlockGroups(kF); ++g) {
      Prefetch<kFormat>(block, g);
      Unpack<kFormat>(block, g, out + i + g);
    }
  }
}

template <Kind kKind>
void ZeroGaps(TilePiece<kKind>* pieces) {
  if constexpr (kKind.parts == 1) return;
  for (int p = 0; p < kPanels; ++p) {
    for (TileGroup<kKind>& group : pieces[p]) {
      for (int j = kHalf; j < kQuads; ++j) {
        _mm512_store_si512(group.codes[j], _mm512_setzero_si512());
      }
    }
  }
}

// ---- products

// Tiles 0..2 are sums of both bytes and activations of 16 rows, 3..5 those of the rows that are
// left, 6 and 7 the weights of the parts.
template <bool kWhole>
struct TilesOf {
  static constexpr int kSums = kWhole ? 0 : 3, kX = kSums + 2;
};
constexpr int kWeights = 6;

void Configure(int64_t rows_left) {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    const bool x = i == TilesOf<true>::kX || i == TilesOf<false>::kX;
    const int64_t rows = i >= kWeights ? kQuads : i < TilesOf<false>::kSums ? kTileRows : rows_left;
    config.row_bytes[i] = x ? kGroup : kTileBytes;
    config.rows[i] = static_cast<uint8_t>(rows);
  }
  TileConfigure(config);
}

// Of a group: [byte][part][row][column].
template <Kind kKind>
struct alignas(64) Sums {
  int32_t sums[kKind.x_parts][kKind.parts][kTileRows][kPanel];
};

template <Kind kKind, int R>
HADAL_AVX512_INLINE void Multiply(const TileGroup<kKind>& w, const Rows<kKind>* x, int64_t ldx,
                                  Sums<kKind>* out) {
  using T = TilesOf<R == kTileRows>;
  const int64_t stride = ldx * static_cast<int64_t>(sizeof *x);
  TileLoad<kWeights>(w.codes, kQuadBytes);
  if constexpr (kKind.parts == 2) TileLoad<kWeights + 1>(w.codes[kHalf], kQuadBytes);
  // The high bytes, or all there is, then the low ones.
  TileLoad<T::kX>(x, stride);
  TileZero<T::kSums>();
  TileDotS8S8<T::kSums, T::kX, kWeights>();
  TileStore<T::kSums>(out->sums[0][0], kTileBytes);
  if constexpr (kKind.parts == 2) {
    TileZero<T::kSums + 1>();
    TileDotS8S8<T::kSums + 1, T::kX, kWeights + 1>();
    TileStore<T::kSums + 1>(out->sums[0][1], kTileBytes);
  }
  if constexpr (kKind.x_parts == 2) {
    TileLoad<T::kX>(x->parts[1], stride);
    TileZero<T::kSums>();
    TileDotS8S8<T::kSums, T::kX, kWeights>();
    TileStore<T::kSums>(out->sums[1][0], kTileBytes);
    if constexpr (kKind.parts == 2) {
      TileZero<T::kSums + 1>();
      TileDotS8S8<T::kSums + 1, T::kX, kWeights + 1>();
      TileStore<T::kSums + 1>(out->sums[1][1], kTileBytes);
    }
  }
}

// The integer sums of a row and part.
template <Kind kKind>
HADAL_AVX512_INLINE __m512i SumOfBytes(const Sums<kKind>& s, int part, int row) {
  const __m512i first = _mm512_load_si512(s.sums[0][part][row]);
  if constexpr (kKind.x_parts == 1) return first;
  return _mm512_add_epi32(_mm512_slli_epi32(first, 8),
                          _mm512_load_si512(s.sums[kKind.x_parts - 1][part][row]));
}

// Scales and mins of a group, by part.
template <Kind kKind>
struct GroupFactors {
  __m512 scale[kKind.parts], min[kKind.parts];
};

// total += scale * product (+ min * sum of the activations), of a row and a part of a group.
template <Kind kKind>
HADAL_AVX512_INLINE __m512 AddSum(__m512i sum, const GroupFactors<kKind>& w, const Rows<kKind>& x,
                                  int part, __m512 total) {
  const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(x.scale));
  total = _mm512_fmadd_ps(product, w.scale[part], total);
  if constexpr (!kKind.min) return total;
  const __m512 x_sum = _mm512_set1_ps(x.scaled_sum[kKind.parts == 1 ? 2 : part]);
  return _mm512_fmadd_ps(w.min[part], x_sum, total);
}

// Four rows at a time, in this order: left to itself the compiler keeps the addresses of all the
// rows and the sums of all of them, more than there are registers.
template <Kind kKind, int R>
HADAL_AVX512_INLINE void AddSums(const Sums<kKind>& s, const TileGroup<kKind>& w,
                                 const Rows<kKind>* x, int64_t ldx, __m512 (&total)[R]) {
  GroupFactors<kKind> factors;
  HADAL_UNROLL
  for (int i = 0; i < kKind.parts; ++i) {
    factors.scale[i] = _mm512_load_ps(w.scale[i]);
    if constexpr (kKind.min) factors.min[i] = _mm512_load_ps(w.min[i]);
  }
  HADAL_UNROLL
  for (int r0 = 0; r0 < R; r0 += 4, x += 4 * ldx) {
    asm volatile("" : "+r"(x) : : "memory");
    HADAL_UNROLL
    for (int r = r0; r < R && r < r0 + 4; ++r) {
      const Rows<kKind>& row = x[(r - r0) * ldx];
      HADAL_UNROLL
      for (int i = 0; i < kKind.parts; ++i) {
        __m512i sum = SumOfBytes<kKind>(s, i, r);
        if constexpr (kKind.zeros) {
          int32_t pair;
          __builtin_memcpy(&pair, row.sum, sizeof pair);
          sum = _mm512_dpwssd_epi32(sum, _mm512_load_si512(w.minus_zeros), _mm512_set1_epi32(pair));
        }
        total[r] = AddSum<kKind>(sum, factors, row, i, total[r]);
      }
    }
  }
}

using Totals = float[kPanels][kPanel];  // of a row

// R rows by n groups of panel p.
template <Kind kKind, int R>
void AddRows(const TilePiece<kKind>& piece, int n, const Rows<kKind>* x, int64_t ldx,
             Totals* totals, int p) {
  Sums<kKind> sums[kSumBuffers];
  __m512 total[R];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) total[r] = _mm512_load_ps(totals[r][p]);
  const auto multiply = [&](int g) __attribute__((always_inline)) {
    if (g < n) Multiply<kKind, R>(piece[g], x + g, ldx, sums + g % kSumBuffers);
  };
  for (int g = 0; g < kAhead; ++g) multiply(g);
  for (int g = 0; g < n; ++g) {
    multiply(g + kAhead);
    AddSums<kKind, R>(sums[g % kSumBuffers], piece[g], x + g, ldx, total);
  }
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) _mm512_store_ps(totals[r][p], total[r]);
}

template <Kind kKind>
using AddRowsFn = void (*)(const TilePiece<kKind>&, int, const Rows<kKind>*, int64_t, Totals*, int);

// For at most R rows.
template <Kind kKind, int R = kTileRows>
AddRowsFn<kKind> AddRowsOf(int64_t rows) {
  if constexpr (R > 1) {
    if (rows < R) return AddRowsOf<kKind, R - 1>(rows);
  }
  return AddRows<kKind, R>;
}

// ---- loops

// Rows [row, row + rows), at most kMostRows, by panels [panel, panel + panels), at most kPanels.
template <int kFormat>
void RowsByPanels(const MatMulTile& t, int64_t row, int64_t rows, int64_t panel, int panels) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr Kind kKind = KindOf(kF);
  const int64_t panel_bytes = PanelBytesBlocks(kF, t.k), n_groups = t.k / kGroup;
  const auto* w = static_cast<const uint8_t*>(t.w) + panel * panel_bytes;
  const auto* x = static_cast<const Rows<kKind>*>(t.x) + row * t.ldx;
  TilePiece<kKind> pieces[kPanels];
  alignas(64) Totals totals[kMostRows];
  ZeroGaps<kKind>(pieces);
  for (int64_t r = 0; r < rows; ++r) {
    for (int p = 0; p < panels; ++p) _mm512_store_ps(totals[r][p], _mm512_setzero_ps());
  }
  for (int64_t g = 0; g < n_groups; g += kPieceGroups) {
    const int n = static_cast<int>(n_groups - g < kPieceGroups ? n_groups - g : kPieceGroups);
    for (int p = 0; p < panels; ++p) {
      UnpackGroups<kFormat>(w + p * panel_bytes, g, n, pieces[p]);
    }
    for (int64_t r = 0; r < rows; r += kTileRows) {
      const AddRowsFn<kKind> add_rows = AddRowsOf<kKind>(rows - r);
      for (int p = 0; p < panels; ++p) {
        add_rows(pieces[p], n, x + r * t.ldx + g, t.ldx, totals + r, p);
      }
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int p = 0; p < panels; ++p) {
      const int64_t column = (panel + p) * kPanel, left = t.n - column;
      __m512 v = _mm512_load_ps(totals[r][p]);
      if (t.bias) v = _mm512_add_ps(v, Load(t.bias + column, left));
      Store(t.out + (row + r) * t.ldo + column, left, v);
    }
  }
}

template <int kFormat>
void MultiplyBlocks(const MatMulTile& t) {
  static const KernelTable fewer = [] {
    KernelTable table = {};
    avx512::FillBlocks(&table);
    return table;
  }();
  if (t.m < kLeastRows) return fewer.matmul_blocks[kFormat](t);
  const int64_t left = t.m % kTileRows;
  Configure(left == 0 ? kTileRows : left);
  for (int64_t r = 0; r < t.m; r += kMostRows) {
    const int64_t rows = t.m - r < kMostRows ? t.m - r : kMostRows;
    for (int64_t p = t.panel0; p < t.panel1; p += kPanels) {
      const int64_t panels = t.panel1 - p < kPanels ? t.panel1 - p : kPanels;
      RowsByPanels<kFormat>(t, r, rows, p, static_cast<int>(panels));
    }
  }
  TileRelease();
}

template <int kFormat>
void FillFrom(KernelTable* table) {
  if constexpr (kFormat < kBlockFormatCount) {
    table->matmul_blocks[kFormat] = MultiplyBlocks<kFormat>;
    FillFrom<kFormat + 1>(table);
  }
}

}  // namespace

namespace amx {

void HADAL_FILL_BLOCKS(KernelTable* table) { FillFrom<0>(table); }

}  // namespace amx
}  // namespace hadal::cpu
