// Owns: how block weights lie in the card's memory: one description per type, from which the packer
// and the kernels compute the same offsets. A matrix is padded with zeros to whole tiles of 16 rows
// by 128 values of k (four groups of 32), which follow one another along k, then over the rows. A
// tile is up to three planes, one after another:
//   low     low_bits * 4 bytes a unit
//   high    high_bits * 4 bytes a unit, the codes' high bits
//   scales  2 or 4 bytes a group, as GroupScaleBytes says: [16 rows][4 groups]
// and after every second tile, for types with scales per 256 values,
//   super   f16 d, f16 dmin: [16 rows]
// A unit is what one lane of a warp gives to the matrix instruction of a half tile of 8 rows: 32
// codes of row lane / 4, quads (four neighbours in k) lane % 4 and lane % 4 + 4 of each group.
// [half][lane], so that a warp reads whole lines. In a unit word w of a b-bit plane holds quads
// w * 8 / b .. of it, quad j at bit j % (8 / b) * b of each byte.
// Codes, scales and values are those of cpu/block_format.h, but that codes of eight bits and table
// entries are signed bytes with the zero point already taken off.
// Must not know CUDA; plain constants.
#pragma once

#include <cstdint>

#include "kernels/cpu/block_format.h"

namespace hadal::block_planes {

using cpu::BlockFormat;
using cpu::Scales;
using cpu::ValueTable;

constexpr const BlockFormat& FormatOf(int quant_type) { return cpu::kBlockFormats[quant_type]; }
constexpr int kGroup = 32;

// What is still to be subtracted from a code.
constexpr int ZeroOf(const BlockFormat& f) {
  return f.table != ValueTable::kNone || f.low_bits == 8 ? 0 : f.zero;
}
using cpu::HasSuper;

// kHalf, kBf16: d. kHalfMin: d, m. kHalfZero: d, u8 z, 0. kSuper: i8 s of both halves. kSuperMin:
// u8 s, u8 m. kSuperMinNibbles: s | m << 4 of both halves.
constexpr int GroupScaleBytes(const BlockFormat& f) {
  return f.scales == Scales::kHalfMin || f.scales == Scales::kHalfZero ? 4 : 2;
}
// Planes begin at multiples of 16 bytes.
constexpr int64_t Whole(int64_t bytes) { return (bytes + 15) / 16 * 16; }

constexpr int kTileRows = 16, kHalfRows = 8;
constexpr int kTileGroups = 4, kTileK = kTileGroups * kGroup;
constexpr int kUnits = 64;  // of a tile
constexpr int64_t RowTiles(int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }
constexpr int64_t ColumnTiles(int64_t cols) { return (cols + kTileK - 1) / kTileK; }
// Of the codes of row r and quad q of group g in a tile.
constexpr int UnitOf(int row, int quad) {
  return row / kHalfRows * 32 + row % kHalfRows * 4 + quad % 4;
}
constexpr int QuadInUnit(int group, int quad) { return group * 2 + quad / 4; }

constexpr int LowBytes(const BlockFormat& f) { return kUnits * f.low_bits * 4; }
constexpr int HighBytes(const BlockFormat& f) { return kUnits * f.high_bits * 4; }
constexpr int TileScaleBytes(const BlockFormat& f) {
  return kTileRows * kTileGroups * GroupScaleBytes(f);
}
constexpr int TileBytes(const BlockFormat& f) {
  return LowBytes(f) + HighBytes(f) + TileScaleBytes(f);
}
constexpr int SuperBytes(const BlockFormat& f) { return HasSuper(f) ? kTileRows * 4 : 0; }
// Where tile i of a matrix begins, and what its super scales are.
template <class Int>
constexpr Int TileAt(const BlockFormat& f, Int tile) {
  return tile * TileBytes(f) + tile / 2 * SuperBytes(f);
}
template <class Int>
constexpr Int SuperAt(const BlockFormat& f, Int tile) {
  return TileAt(f, tile | 1) + TileBytes(f);
}
constexpr int64_t BytesOfMatrix(const BlockFormat& f, int64_t rows, int64_t cols) {
  return TileAt(f, RowTiles(rows) * ColumnTiles(cols));
}

}  // namespace hadal::block_planes
