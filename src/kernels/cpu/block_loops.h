// Owns: the loops over a matrix in blocks that are the same on every ISA.
//   few rows   kPanelRows at a time go through a panel, whose codes are unpacked in registers: the
//              weights come from memory, and that takes longer
//   more rows  go in blocks; for each, a piece of some panels is unpacked to the L1 cache and
//              multiplied by all its rows, kRows at a time, whose sums fit the registers
// Included only by the matmul_blocks.cc of an ISA; everything has internal linkage. Isa has
//   kFewRows, kPanelRows; kRows, kPanels
//   MultiplyPanel<kFormat, R>(t, row, panel)
//   Unpack<kFormat>(block, group, out)
//   AddRows<kFormat, R, P>(piece, n_groups, x, ldx, totals)
//   Finish(t, row, panel, totals)       adds the bias and stores 16 columns
// Thread rule: pure functions.
#pragma once

#include "kernels/cpu/kernel_table.h"

#define HADAL_BLOCK_INLINE static inline __attribute__((always_inline))

namespace hadal::cpu {
namespace {

// How far ahead of a group the weights are asked for; the hardware stops at the end of a page.
constexpr int64_t kPrefetchBytes = 4096;
constexpr int64_t kRowBlock = 96;  // their running sums stay in the L1 cache
constexpr int kPieceGroups = 8;

template <int kFormat>
using Group = ActivationGroupType<kBlockFormats[kFormat].x_parts>::Type;

constexpr bool HasMin(const BlockFormat& f) {
  return f.scales == Scales::kHalfMin || f.scales >= Scales::kSuperMin;
}
constexpr bool HasZeros(const BlockFormat& f) {
  return f.zero != 0 || f.scales == Scales::kHalfZero;
}
constexpr int PartsOf(const BlockFormat& f) { return kGroup / f.part; }  // of a group

// 0 - zero of a column, beside itself or beside 0: what the sums of both halves of a group are
// multiplied with when a part is the whole group, or one half of it.
constexpr int32_t MinusZeroPair(const BlockFormat& f, int part) {
  const uint32_t minus = static_cast<uint32_t>(-f.zero) & 0xffff;
  const bool low = PartsOf(f) == 1 || part == 0, high = PartsOf(f) == 1 || part == 1;
  return static_cast<int32_t>((low ? minus : 0) | (high ? minus << 16 : 0));
}
// Which of an activation group's sums belongs to a part.
constexpr int SumOf(const BlockFormat& f, int part) { return PartsOf(f) == 1 ? 2 : part; }

// A group of a panel with its codes as bytes and its scales as floats. Where there are no dot
// products of bytes the codes that two bytes are multiplied with are 16-bit integers, less their
// zero, in pairs [16][column][2] in the order of the activations.
#if defined(__AVX512VNNI__)
constexpr bool kWidens = false;
#else
constexpr bool kWidens = true;
#endif
template <int kFormat>
struct alignas(64) UnpackedGroup {
  static constexpr BlockFormat kF = kBlockFormats[kFormat];
  static constexpr bool kWide = kWidens && kF.x_parts == 2;
  uint8_t codes[kWide ? 2 * kQuads : kQuads][kQuadBytes];
  float scale[PartsOf(kF)][kPanel];
  float min[PartsOf(kF)][kPanel];  // where HasMin; to be subtracted
  int32_t minus_zeros[kPanel];     // of kHalfZero: pairs
};
template <int kFormat, int P>
using Piece = UnpackedGroup<kFormat>[P][kPieceGroups];

// Asks for the bytes that lie kPrefetchBytes after those of a group.
template <int kFormat>
HADAL_BLOCK_INLINE void Prefetch(const uint8_t* block, int group) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int64_t kGroupBytes = BlockBytes(kF) / BlockGroups(kF), kLine = 64;
  const uint8_t* at = block + group * kGroupBytes + kPrefetchBytes;
  HADAL_UNROLL
  for (int64_t i = 0; i < kGroupBytes; i += kLine) __builtin_prefetch(at + i);
}

// Groups [group, group + n) of a panel.
template <class Isa, int kFormat>
HADAL_BLOCK_INLINE void UnpackPiece(const uint8_t* panel, int64_t group, int n,
                                    UnpackedGroup<kFormat>* out) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  const uint8_t* block = panel + group / BlockGroups(kF) * BlockBytes(kF);
  for (int i = 0; i < n; i += BlockGroups(kF), block += BlockBytes(kF)) {
    for (int g = 0; g < BlockGroups(kF); ++g) {
      Prefetch<kFormat>(block, g);
      Isa::template Unpack<kFormat>(block, g, out + i + g);
    }
  }
}

// At most R rows by a panel that is unpacked in registers.
template <class Isa, int kFormat, int R = Isa::kPanelRows>
HADAL_BLOCK_INLINE void MultiplyPanel(const MatMulTile& t, int64_t row, int64_t rows,
                                      int64_t panel) {
  if (rows == R) {
    Isa::template MultiplyPanel<kFormat, R>(t, row, panel);
  } else if constexpr (R > 1) {
    MultiplyPanel<Isa, kFormat, R - 1>(t, row, rows, panel);
  }
}

template <class Isa, int kFormat>
void FewRows(const MatMulTile& t) {
  const int64_t steps = (t.m + Isa::kPanelRows - 1) / Isa::kPanelRows;
  for (int64_t p = t.panel0; p < t.panel1; ++p) {
    for (int64_t i = 0; i < steps; ++i) {  // of about as many rows each
      const int64_t begin = t.m * i / steps, end = t.m * (i + 1) / steps;
      MultiplyPanel<Isa, kFormat>(t, begin, end - begin, p);
    }
  }
}

// At most R rows.
template <class Isa, int kFormat, int P, int R = Isa::kRows>
HADAL_BLOCK_INLINE void AddRows(int64_t rows, const Piece<kFormat, P>& piece, int n_groups,
                                const Group<kFormat>* x, int64_t ldx, float (*totals)[P][kPanel]) {
  if (rows == R) {
    Isa::template AddRows<kFormat, R, P>(piece, n_groups, x, ldx, totals);
  } else if constexpr (R > 1) {
    AddRows<Isa, kFormat, P, R - 1>(rows, piece, n_groups, x, ldx, totals);
  }
}

// Rows [row, row + rows), at most kRowBlock, by P panels.
template <class Isa, int kFormat, int P>
void RowBlock(const MatMulTile& t, int64_t row, int64_t rows, int64_t panel) {
  const int64_t panel_bytes = PanelBytesBlocks(kBlockFormats[kFormat], t.k);
  const int64_t n_groups = t.k / kGroup, steps = (rows + Isa::kRows - 1) / Isa::kRows;
  const auto* w = static_cast<const uint8_t*>(t.w) + panel * panel_bytes;
  const auto* x = static_cast<const Group<kFormat>*>(t.x) + row * t.ldx;
  Piece<kFormat, P> piece;
  alignas(64) float totals[kRowBlock][P][kPanel];
  for (int64_t r = 0; r < rows; ++r) {
    for (int p = 0; p < P; ++p) {
      for (float& total : totals[r][p]) total = 0;
    }
  }
  for (int64_t g = 0; g < n_groups; g += kPieceGroups) {
    const int n = static_cast<int>(g + kPieceGroups < n_groups ? kPieceGroups : n_groups - g);
    for (int p = 0; p < P; ++p) UnpackPiece<Isa, kFormat>(w + p * panel_bytes, g, n, piece[p]);
    for (int64_t i = 0; i < steps; ++i) {  // of about as many rows each
      const int64_t begin = rows * i / steps, end = rows * (i + 1) / steps;
      AddRows<Isa, kFormat, P>(end - begin, piece, n, x + begin * t.ldx + g, t.ldx, totals + begin);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int p = 0; p < P; ++p) Isa::Finish(t, row + r, panel + p, totals[r][p]);
  }
}

template <class Isa, int kFormat>
void MultiplyBlocks(const MatMulTile& t) {
  if (t.m <= Isa::kFewRows) return FewRows<Isa, kFormat>(t);
  for (int64_t r = 0; r < t.m; r += kRowBlock) {
    const int64_t rows = r + kRowBlock < t.m ? kRowBlock : t.m - r;
    int64_t p = t.panel0;
    for (; p + Isa::kPanels <= t.panel1; p += Isa::kPanels) {
      RowBlock<Isa, kFormat, Isa::kPanels>(t, r, rows, p);
    }
    for (; p < t.panel1; ++p) RowBlock<Isa, kFormat, 1>(t, r, rows, p);
  }
}

}  // namespace
}  // namespace hadal::cpu
