#include "kernels/cuda/pack_planes.h"

#include <cstring>

#include "kernels/cpu/cpu_weight.h"
#include "kernels/cuda/block_planes.h"
#include "quant/codec.h"

namespace hadal::block_planes {
namespace {

// The codes of a group, as the planes hold them.
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
  return PlanesOf(FormatOf(static_cast<int>(type)), rows, cols).bytes;
}

void PackRows(QuantType type, const std::byte* blocks, int64_t row0, int64_t n, int64_t rows,
              int64_t cols, uint8_t* matrix) {
  const BlockFormat& f = FormatOf(static_cast<int>(type));
  const Planes p = PlanesOf(f, rows, cols);
  const int block_k = cpu::BlockK(f), block_bytes = TraitsOf(type).bytes;
  const int64_t row_groups = cols / kGroup;
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t at = 0; at < cols; at += block_k, blocks += block_bytes) {
      uint8_t codes[256];
      uint8_t scales[64 + 2 * 16 * 16] = {};
      cpu::ReadBlock(type, blocks, 0, codes, scales);
      if (f.table == ValueTable::kNone && f.low_bits == 8) {
        for (int i = 0; i < block_k; ++i) codes[i] ^= 0x80;
      }
      for (int g = 0; g < block_k / kGroup; ++g) {
        const int64_t group = (row0 + r) * row_groups + at / kGroup + g;
        const uint8_t* of_group = codes + g * kGroup;
        WritePlane(of_group, f.low_bits, 0, matrix + p.low + group * f.low_bits * 4);
        if (f.high_bits > 0) {
          WritePlane(of_group, f.high_bits, f.low_bits, matrix + p.high + group * f.high_bits * 4);
        }
        WriteScales(f, scales, g, matrix + p.scales + group * GroupScaleBytes(f));
      }
      if (!HasSuper(f)) continue;
      uint8_t* super = matrix + p.super + ((row0 + r) * (cols / 256) + at / 256) * 4;
      std::memcpy(super, scales, 2);
      const bool has_min = f.scales != Scales::kSuper;
      if (has_min) {
        std::memcpy(super + 2, scales + 32, 2);
      } else {
        std::memset(super + 2, 0, 2);
      }
    }
  }
}

}  // namespace hadal::block_planes
