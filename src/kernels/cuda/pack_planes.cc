#include "kernels/cuda/pack_planes.h"

#include <cstring>
#include <vector>

#include "kernels/cpu/cpu_weight.h"
#include "kernels/cuda/block_planes.h"
#include "quant/codec.h"

namespace hadal::block_planes {
namespace {

// The codes of a unit, as the planes hold them.
void WritePlane(const uint8_t* codes, int bits, int from, uint8_t* plane) {
  std::memset(plane, 0, static_cast<size_t>(bits) * 4);
  const int per_word = 8 / bits;
  for (int i = 0; i < kGroup; ++i) {
    const int quad = i / 4, field = codes[i] >> from & ((1 << bits) - 1);
    plane[quad / per_word * 4 + i % 4] |= static_cast<uint8_t>(field << (quad % per_word * bits));
  }
}

// Group g of a block: two or four bytes from the scales of column 0 of a packed block.
void WriteScales(const BlockFormat& f, const uint8_t* scales, int g, uint8_t* to) {
  constexpr int kColumns = 16;
  switch (f.scales) {
    case Scales::kHalf:
    case Scales::kBf16:
      std::memcpy(to, scales, 2);
      break;
    case Scales::kHalfMin:
      std::memcpy(to, scales, 2);
      std::memcpy(to + 2, scales + 2 * kColumns, 2);
      break;
    case Scales::kHalfZero:
      std::memcpy(to, scales, 2);
      to[2] = scales[2 * kColumns];
      to[3] = 0;
      break;
    case Scales::kSuper:
      for (int half = 0; half < 2; ++half) {
        const int part = f.part == 16 ? 2 * g + half : g;
        to[half] = scales[2 * kColumns + part * kColumns];
      }
      break;
    case Scales::kSuperMin:
      to[0] = scales[4 * kColumns + g * kColumns];
      to[1] = scales[4 * kColumns + (8 + g) * kColumns];
      break;
    case Scales::kSuperMinNibbles:
      for (int half = 0; half < 2; ++half) {
        to[half] = scales[4 * kColumns + (2 * g + half) * kColumns];
      }
      break;
  }
}

}  // namespace

int64_t MatrixBytes(QuantType type, int64_t rows, int64_t cols) {
  return BytesOfMatrix(FormatOf(static_cast<int>(type)), rows, cols);
}

namespace {

struct Packer {
  const BlockFormat& f;
  int64_t tiles;  // of a row
  uint8_t* matrix;

  int64_t TileOf(int64_t row, int64_t k) const { return row / kTileRows * tiles + k / kTileK; }
  // The codes of row `row` in the tile of values k and on.
  void WriteCodes(int64_t row, int64_t k, const uint8_t* codes) const {
    const int in_tile = static_cast<int>(row % kTileRows);
    for (int t = 0; t < 4; ++t) {
      uint8_t of_unit[kGroup];
      for (int g = 0; g < kTileGroups; ++g) {
        for (int quad = t; quad < 8; quad += 4) {
          std::memcpy(of_unit + QuadInUnit(g, quad) * 4, codes + g * kGroup + quad * 4, 4);
        }
      }
      uint8_t* tile = matrix + TileAt(f, TileOf(row, k));
      const int unit = UnitOf(in_tile, t);
      WritePlane(of_unit, f.low_bits, 0, tile + unit * f.low_bits * 4);
      if (f.high_bits == 0) continue;
      WritePlane(of_unit, f.high_bits, f.low_bits, tile + LowBytes(f) + unit * f.high_bits * 4);
    }
  }
  uint8_t* ScalesOf(int64_t row, int64_t k) const {
    const int64_t group = row % kTileRows * kTileGroups + k % kTileK / kGroup;
    return matrix + TileAt(f, TileOf(row, k)) + LowBytes(f) + HighBytes(f) +
           group * GroupScaleBytes(f);
  }
  void WriteSuper(int64_t row, int64_t k, const uint8_t* scales) const {
    uint8_t* super = matrix + SuperAt(f, TileOf(row, k)) + row % kTileRows * 4;
    std::memcpy(super, scales, 2);
    if (f.scales == Scales::kSuper) {
      std::memset(super + 2, 0, 2);
    } else {
      std::memcpy(super + 2, scales + 32, 2);
    }
  }
};

}  // namespace

void PackRows(QuantType type, const std::byte* blocks, int64_t row0, int64_t n, int64_t cols,
              uint8_t* matrix) {
  const BlockFormat& f = FormatOf(static_cast<int>(type));
  const Packer packer{f, ColumnTiles(cols), matrix};
  const int block_k = cpu::BlockK(f), block_bytes = TraitsOf(type).bytes;
  std::vector<uint8_t> codes(static_cast<size_t>(ColumnTiles(cols) * kTileK));
  for (int64_t row = row0; row < row0 + n; ++row) {
    for (int64_t at = 0; at < cols; at += block_k, blocks += block_bytes) {
      uint8_t* of_block = codes.data() + at;
      uint8_t scales[64 + 2 * 16 * 16] = {};
      cpu::ReadBlock(type, blocks, 0, of_block, scales);
      if (f.table == ValueTable::kNone && f.low_bits == 8) {
        for (int i = 0; i < block_k; ++i) of_block[i] ^= 0x80;
      }
      for (int g = 0; g < block_k / kGroup; ++g) {
        WriteScales(f, scales, g, packer.ScalesOf(row, at + g * kGroup));
      }
      if (HasSuper(f)) packer.WriteSuper(row, at, scales);
    }
    for (int64_t k = 0; k < cols; k += kTileK) packer.WriteCodes(row, k, codes.data() + k);
  }
}

}  // namespace hadal::block_planes
