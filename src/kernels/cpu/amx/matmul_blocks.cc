// Matrices in blocks by many exact rows on int8 tiles, with the bits of the AVX-512 kernels: what
// is exact, the integer sums, comes from tiles; the chain of float operations is theirs.
//
// A piece of some panels is unpacked to the L1 cache, as tile operands with the zeros subtracted,
// and multiplied by 16 rows at a time. The sums of a group go through memory from the tile to the
// registers that hold the rows' totals; the products of the next groups run meanwhile. A scale
// that covers half a group is a product with the other half's codes zero.
#include "kernels/cpu/amx/block_tiles.h"
#include "kernels/cpu/amx/prompt.h"
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/avx512_kernels.h"

namespace hadal::cpu {
namespace {

constexpr int kPanels = 4;  // unpacked at a time; 16 rows stay in the cache meanwhile

// Where tiles measured faster than registers (docs/PERFORMANCE.md): fewer rows do not pay for the
// unpacking, more share their operands better in registers; two bytes of activations by two scales
// a group are four products of which half is zeros.
constexpr int64_t kLeastRows = 16, kMostRows = 48;
constexpr bool TilesPay(const Kind& kind) { return kind.x_parts * kind.parts < 4; }
// Groups between a product and the use of its sums: one of several products takes long enough.
constexpr int Ahead(const Kind& kind) { return kind.x_parts * kind.parts == 1 ? 2 : 1; }

// ---- products

// Tiles 0..2 are the sums of both parts and the activations of 16 rows, 3..5 those of the rows that
// are left, 6 and 7 the weights of the parts.
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

// A byte of the activations by the weights.
template <Kind kKind, class T>
HADAL_AVX512_INLINE void MultiplyByte(const int8_t* x, int64_t stride,
                                      int32_t (*sums)[kTileRows][kPanel]) {
  TileLoad<T::kX>(x, stride);
  TileZero<T::kSums>();
  TileDotS8S8<T::kSums, T::kX, kWeights>();
  TileStore<T::kSums>(sums[0], kTileBytes);
  if constexpr (kKind.parts == 1) return;
  TileZero<T::kSums + 1>();
  TileDotS8S8<T::kSums + 1, T::kX, kWeights + 1>();
  TileStore<T::kSums + 1>(sums[1], kTileBytes);
}

template <Kind kKind, int R>
HADAL_AVX512_INLINE void Multiply(const TileGroup<kKind>& w, const Rows<kKind>* x, int64_t ldx,
                                  Sums<kKind>* out) {
  using T = TilesOf<R == kTileRows>;
  const int64_t stride = ldx * static_cast<int64_t>(sizeof *x);
  TileLoad<kWeights>(w.codes, kQuadBytes);
  if constexpr (kKind.parts == 2) TileLoad<kWeights + 1>(w.codes[kHalf], kQuadBytes);
  if constexpr (kKind.x_parts == 1) {
    MultiplyByte<kKind, T>(x->x, stride, out->sums[0]);
  } else {
    MultiplyByte<kKind, T>(x->parts[0], stride, out->sums[0]);
    MultiplyByte<kKind, T>(x->parts[1], stride, out->sums[1]);
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

// What is unpacked next, asked for while products run: some bytes at every group.
struct NextBytes {
  const uint8_t *line, *until;
  int64_t step;

  HADAL_AVX512_MEMBER void Prefetch() {
    constexpr int64_t kLine = 64;
    for (until += step; line < until; line += kLine) __builtin_prefetch(line, 0, 2);
  }
};

constexpr int kTotalStride = kPanels * kPanel;  // from a row's totals to the next one's

// R rows by n groups of a panel.
template <Kind kKind, int R>
void AddRows(const TilePiece<kKind>& piece, int n, const Rows<kKind>* x, int64_t ldx, float* totals,
             NextBytes* next_bytes) {
  constexpr int kAhead = Ahead(kKind), kBuffers = 2 * kAhead;
  Sums<kKind> sums[kBuffers];
  NextBytes next = *next_bytes;
  __m512 total[R];
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) total[r] = _mm512_load_ps(totals + r * kTotalStride);
  const auto multiply = [&](int g) __attribute__((always_inline)) {
    if (g < n) Multiply<kKind, R>(piece[g], x + g, ldx, sums + g % kBuffers);
  };
  for (int g = 0; g < kAhead; ++g) multiply(g);
  for (int g = 0; g < n; ++g) {
    multiply(g + kAhead);
    next.Prefetch();
    AddSums<kKind, R>(sums[g % kBuffers], piece[g], x + g, ldx, total);
  }
  HADAL_UNROLL
  for (int r = 0; r < R; ++r) _mm512_store_ps(totals + r * kTotalStride, total[r]);
  *next_bytes = next;
}

template <Kind kKind>
using AddRowsFn = void (*)(const TilePiece<kKind>&, int, const Rows<kKind>*, int64_t, float*,
                           NextBytes*);

// For at most R rows.
template <Kind kKind, int R = kTileRows>
AddRowsFn<kKind> AddRowsOf(int64_t rows) {
  if constexpr (R > 1) {
    if (rows < R) return AddRowsOf<kKind, R - 1>(rows);
  }
  return AddRows<kKind, R>;
}

// ---- loops

// The bytes that follow those of groups [group, group + n) of a panel: of as many groups, or, at
// the end of the panel, where the first groups of the panel kPanels further are.
template <int kFormat>
NextBytes After(const uint8_t* panel, int64_t group, int n, int64_t n_groups, int64_t row_blocks) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int64_t kGroupBytes = BlockBytes(kF) / BlockGroups(kF);
  const int64_t at = group + n < n_groups ? group + n : kPanels * n_groups;
  const uint8_t* begin = panel + at * kGroupBytes;
  return {begin, begin, (kGroupBytes + row_blocks - 1) / row_blocks};
}

// All the rows by panels [panel, panel + panels), at most kPanels.
template <int kFormat>
void RowsByPanels(const MatMulTile& t, int64_t panel, int panels) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr Kind kKind = KindOf(kF);
  const int64_t panel_bytes = PanelBytesBlocks(kF, t.k), n_groups = t.k / kGroup;
  const int64_t rows = t.m, row_blocks = (rows + kTileRows - 1) / kTileRows;
  const auto* w = static_cast<const uint8_t*>(t.w) + panel * panel_bytes;
  const auto* x = static_cast<const Rows<kKind>*>(t.x);
  TilePiece<kKind> pieces[kPanels];
  alignas(64) float totals[kMostRows * kTotalStride];
  for (TilePiece<kKind>& piece : pieces) ZeroGaps<kKind>(piece);
  __builtin_memset(totals, 0, static_cast<size_t>(rows * kTotalStride) * sizeof *totals);
  for (int64_t g = 0; g < n_groups; g += kPieceGroups) {
    const int n = static_cast<int>(n_groups - g < kPieceGroups ? n_groups - g : kPieceGroups);
    NextBytes next[kPanels];
    for (int p = 0; p < panels; ++p) {
      UnpackGroups<kFormat>(w + p * panel_bytes, g, n, pieces[p]);
      next[p] = After<kFormat>(w + p * panel_bytes, g, n, n_groups, row_blocks);
    }
    for (int64_t r = 0; r < rows; r += kTileRows) {
      const AddRowsFn<kKind> add_rows = AddRowsOf<kKind>(rows - r);
      for (int p = 0; p < panels; ++p) {
        add_rows(pieces[p], n, x + r * t.ldx + g, t.ldx, totals + r * kTotalStride + p * kPanel,
                 &next[p]);
      }
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int p = 0; p < panels; ++p) {
      const int64_t column = (panel + p) * kPanel, left = t.n - column;
      __m512 v = _mm512_load_ps(totals + r * kTotalStride + p * kPanel);
      if (t.bias) v = _mm512_add_ps(v, Load(t.bias + column, left));
      Store(t.out + r * t.ldo + column, left, v);
    }
  }
}

template <int kFormat>
void MultiplyInRegisters(const MatMulTile& t) {
  KernelTable table;  // a few pointers: nothing beside a product
  avx512::FillBlocks(&table);
  table.matmul_blocks[kFormat](t);
}

template <int kFormat>
void MultiplyBlocks(const MatMulTile& t) {
  if (t.m < kLeastRows || t.m > kMostRows) return MultiplyInRegisters<kFormat>(t);
  const int64_t left = t.m % kTileRows;
  Configure(left == 0 ? kTileRows : left);
  for (int64_t p = t.panel0; p < t.panel1; p += kPanels) {
    const int64_t panels = t.panel1 - p < kPanels ? t.panel1 - p : kPanels;
    RowsByPanels<kFormat>(t, p, static_cast<int>(panels));
  }
  TileRelease();
}

template <int kFormat>
void FillFrom(KernelTable* table) {
  if constexpr (kFormat < kBlockFormatCount) {
    if constexpr (TilesPay(KindOf(kBlockFormats[kFormat]))) {
      table->matmul_blocks[kFormat] = MultiplyBlocks<kFormat>;
    }
    FillFrom<kFormat + 1>(table);
  }
}

}  // namespace

namespace amx {

void HADAL_FILL_BLOCKS(KernelTable* table) { FillFrom<0>(table); }

}  // namespace amx
}  // namespace hadal::cpu
