// Owns: how block weights lie in the card's memory: one description per type, from which the packer
// and the kernels compute the same offsets. A matrix [rows, cols] is up to four planes, each
// row-major over (row, group of 32 values of a row):
//   low     low_bits * 4 bytes a group: word w of a b-bit plane holds quads w * 8 / b .. of four
//           neighbouring codes, quad j at bit j % (8 / b) * b of each byte
//   high    high_bits * 4 bytes, the same of the codes' high bits
//   scales  2 or 4 bytes a group, as scale_bytes says
//   super   4 bytes per 256 values: f16 d, f16 dmin
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

struct Planes {
  int64_t low, high, scales, super, bytes;  // offsets, and all
};
constexpr Planes PlanesOf(const BlockFormat& f, int64_t rows, int64_t cols) {
  const int64_t groups = rows * (cols / kGroup);
  Planes p = {};
  p.high = Whole(groups * f.low_bits * 4);
  p.scales = p.high + Whole(groups * f.high_bits * 4);
  p.super = p.scales + Whole(groups * GroupScaleBytes(f));
  p.bytes = p.super + (HasSuper(f) ? Whole(rows * (cols / 256) * 4) : 0);
  return p;
}

}  // namespace hadal::block_planes
