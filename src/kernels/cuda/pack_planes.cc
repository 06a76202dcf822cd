#include "kernels/cuda/pack_planes.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/cpu_weight.h"
#include "kernels/cuda/block_planes.h"
#include "quant/codec.h"

namespace hadal::block_planes {
namespace {

// Registers that every x86-64 has: quad t of 16 codes in word t.
using Bytes16 = uint8_t __attribute__((vector_size(16)));
using Words4 = uint32_t __attribute__((vector_size(16)));

// Words t of all registers side by side.
void Interleave(const Words4 (&w)[1], Words4* to) { to[0] = w[0]; }
void Interleave(const Words4 (&w)[2], Words4* to) {
  to[0] = __builtin_shufflevector(w[0], w[1], 0, 4, 1, 5);
  to[1] = __builtin_shufflevector(w[0], w[1], 2, 6, 3, 7);
}
void Interleave(const Words4* w, Words4* to, int stride) {
  const auto a = __builtin_shufflevector(w[0], w[1], 0, 4, 1, 5);
  const auto b = __builtin_shufflevector(w[2], w[3], 0, 4, 1, 5);
  const auto c = __builtin_shufflevector(w[0], w[1], 2, 6, 3, 7);
  const auto d = __builtin_shufflevector(w[2], w[3], 2, 6, 3, 7);
  to[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
  to[stride] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
  to[2 * stride] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
  to[3 * stride] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}
void Interleave(const Words4 (&w)[4], Words4* to) { Interleave(w, to, 1); }
void Interleave(const Words4 (&w)[8], Words4* to) {
  Interleave(w, to, 2);
  Interleave(w + 4, to + 1, 2);
}

// Bits [kFrom, kFrom + kWidth) of a row's codes in a tile, as its four units hold them.
template <int kWidth, int kFrom>
void WritePlane(const uint8_t* codes, uint8_t* __restrict plane) {
  constexpr int kPerWord = 8 / kWidth;
  const Bytes16 mask = Bytes16{} + static_cast<uint8_t>((1 << kWidth) - 1);
  Words4 words[kWidth], of_units[kWidth];
  for (int w = 0; w < kWidth; ++w) {
    Bytes16 word = {};
    for (int q = 0; q < kPerWord; ++q) {
      Bytes16 quads;
      std::memcpy(&quads, codes + 16 * (w * kPerWord + q), sizeof quads);
      word |= (quads >> kFrom & mask) << (q * kWidth);
    }
    words[w] = Words4(word);
  }
  Interleave(words, of_units);
  std::memcpy(plane, of_units, sizeof of_units);
}

using PlaneFn = void (*)(const uint8_t* codes, uint8_t* __restrict plane);
PlaneFn LowPlaneOf(const BlockFormat& f) {
  return f.low_bits == 2 ? WritePlane<2, 0> : f.low_bits == 4 ? WritePlane<4, 0> : WritePlane<8, 0>;
}
PlaneFn HighPlaneOf(const BlockFormat& f) {
  if (f.high_bits == 0) return nullptr;
  if (f.low_bits == 2) return WritePlane<1, 2>;
  return f.high_bits == 1 ? WritePlane<1, 4> : WritePlane<2, 4>;
}
constexpr bool HasPlanes(const BlockFormat& f) {
  if (f.high_bits == 0) return f.low_bits == 2 || f.low_bits == 4 || f.low_bits == 8;
  return (f.low_bits == 2 && f.high_bits == 1) || (f.low_bits == 4 && f.high_bits <= 2);
}
static_assert(std::ranges::all_of(cpu::kBlockFormats, HasPlanes));

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

// Rows of a matrix that begins at `matrix`.
struct Packer {
  const BlockFormat& f;
  int64_t tiles;  // of a row
  uint8_t* matrix;
  PlaneFn write_low = LowPlaneOf(f), write_high = HighPlaneOf(f);

  uint8_t* TileOf(int64_t row, int64_t k) const {
    return matrix + TileAt(f, row / kTileRows * tiles + k / kTileK);
  }
  // The codes of row `row` in the tile of values k and on.
  void WriteCodes(int64_t row, int64_t k, const uint8_t* codes) const {
    uint8_t* tile = TileOf(row, k);
    const int unit = UnitOf(static_cast<int>(row % kTileRows), 0);
    write_low(codes, tile + unit * f.low_bits * 4);
    if (write_high != nullptr) write_high(codes, tile + LowBytes(f) + unit * f.high_bits * 4);
  }
  // The scales of a block of that row, whose values are k .. k + block_k - 1.
  void WriteBlockScales(int64_t row, int64_t k, int block_k, const uint8_t* scales) const {
    for (int g = 0; g < block_k / kGroup; ++g) {
      const int64_t at = k + g * kGroup;
      const int64_t group = row % kTileRows * kTileGroups + at % kTileK / kGroup;
      WriteScales(f, scales, g,
                  TileOf(row, at) + LowBytes(f) + HighBytes(f) + group * GroupScaleBytes(f));
    }
    if (!HasSuper(f)) return;
    uint8_t* super =
        matrix + SuperAt(f, row / kTileRows * tiles + k / kTileK) + row % kTileRows * 4;
    std::memcpy(super, scales, 2);
    if (f.scales != Scales::kSuper) std::memcpy(super + 2, scales + 32, 2);
  }
};

}  // namespace

void PackRows(QuantType type, const std::byte* blocks, int64_t n, int64_t cols, uint8_t* matrix) {
  const BlockFormat& f = FormatOf(static_cast<int>(type));
  const Packer packer{f, ColumnTiles(cols), matrix};
  const int block_k = cpu::BlockK(f), block_bytes = TraitsOf(type).bytes;
  const bool offset = f.table == ValueTable::kNone && f.low_bits == 8;
  std::vector<uint8_t> codes(static_cast<size_t>(ColumnTiles(cols) * kTileK));
  uint8_t scales[64 + 2 * 16 * 16];
  std::memset(matrix, 0, static_cast<size_t>(MatrixBytes(type, n, cols)));
  for (int64_t row = 0; row < n; ++row) {
    for (int64_t at = 0; at < cols; at += block_k, blocks += block_bytes) {
      uint8_t* of_block = codes.data() + at;
      cpu::ReadBlock(type, blocks, 0, of_block, scales);
      if (offset) {
        for (int i = 0; i < block_k; ++i) of_block[i] ^= 0x80;
      }
      packer.WriteBlockScales(row, at, block_k, scales);
    }
    for (int64_t k = 0; k < cols; k += kTileK) packer.WriteCodes(row, k, codes.data() + k);
  }
}

}  // namespace hadal::block_planes
