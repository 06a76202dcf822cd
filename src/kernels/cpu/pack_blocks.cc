// Repacks rows of blocks into the panels of block_format.h: the codes of 16 rows are unpacked to
// bytes, transposed by quads and folded into planes. One small reader per type knows its bytes
// (the layouts are those of quant/codec.h's types).
#include <algorithm>
#include <bit>
#include <cstring>

#include "core/dtype.h"
#include "kernels/cpu/cpu_weight.h"
#include "kernels/cpu/kernel_table.h"

namespace hadal::cpu {
namespace {

static_assert(kBlockFormatCount == kQuantTypes);
// The formats are in the order of the types: spot checks of all that a swap could hide.
constexpr const BlockFormat& FormatOf(QuantType t) { return kBlockFormats[static_cast<int>(t)]; }
static_assert(FormatOf(QuantType::kQ8_0).low_bits == 8);
static_assert(FormatOf(QuantType::kQ2_K).scales == Scales::kSuperMinNibbles);
static_assert(FormatOf(QuantType::kQ6_K).high_bits == 2);
static_assert(FormatOf(QuantType::kMXFP4).table == ValueTable::kMxfp4);
static_assert(FormatOf(QuantType::kU4Z).scales == Scales::kHalfZero);

uint8_t Byte(int v) { return static_cast<uint8_t>(v); }
// The 16-bit number at `from` becomes number `index` of the array at `to`.
void CopyU16(const uint8_t* from, uint8_t* to, int index) { std::memcpy(to + 2 * index, from, 2); }

void UnpackNibbles(const uint8_t* qs, uint8_t* __restrict codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = qs[i] & 15;
    codes[i + 16] = Byte(qs[i] >> 4);
  }
}
// Bit i of 4 bytes becomes bit 4 of code i.
void AddFifthBits(const uint8_t* bits, uint8_t* __restrict codes) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  for (int i = 0; i < 4; ++i) {
    uint64_t eight, picked = bits[i] * kOnes & 0x8040201008040201;  // bit b in byte b
    picked = (picked + 0x7f * kOnes) >> 7 & kOnes;                  // 0 or 1 in each
    std::memcpy(&eight, codes + 8 * i, 8);
    eight |= picked << 4;
    std::memcpy(codes + 8 * i, &eight, 8);
  }
}
// codes[32 * i + ...] = `width` bits at bit i * width of bytes qs[0..31].
void UnpackStrided(const uint8_t* qs, int width, uint8_t* __restrict codes) {
  const int mask = (1 << width) - 1;
  for (int i = 0; i < 8 / width; ++i) {
    for (int l = 0; l < 32; ++l) codes[32 * i + l] = Byte(qs[l] >> (i * width) & mask);
  }
}

// Six bits of scale and min each, for sub-blocks 0..7 in 12 bytes.
void CopyScalesMins(const uint8_t* s, int column, uint8_t* scales) {
  uint8_t* mins = scales + 8 * kPanel;
  for (int j = 0; j < 4; ++j) {
    scales[j * kPanel + column] = s[j] & 63;
    mins[j * kPanel + column] = s[j + 4] & 63;
    scales[(j + 4) * kPanel + column] = Byte((s[j + 8] & 15) | (s[j] >> 6) << 4);
    mins[(j + 4) * kPanel + column] = Byte(s[j + 8] >> 4 | (s[j + 4] >> 6) << 4);
  }
}

// ---- one block of a row each: its codes, and its scales at the column's places in `to`.
void ReadQ4_0(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  CopyU16(b, to, column);
  UnpackNibbles(b + 2, codes);
}
void ReadQ4_1(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  CopyU16(b, to, column);
  CopyU16(b + 2, to, kPanel + column);
  UnpackNibbles(b + 4, codes);
}
void ReadQ5_0(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  CopyU16(b, to, column);
  UnpackNibbles(b + 6, codes);
  AddFifthBits(b + 2, codes);
}
void ReadQ5_1(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  CopyU16(b, to, column);
  CopyU16(b + 2, to, kPanel + column);
  UnpackNibbles(b + 8, codes);
  AddFifthBits(b + 4, codes);
}
void ReadQ8_0(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  CopyU16(b, to, column);
  for (int i = 0; i < 32; ++i) codes[i] = b[2 + i] ^ 0x80;
}
void ReadQ2_K(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  CopyU16(b + 80, to, column);
  CopyU16(b + 82, to, kPanel + column);
  for (int i = 0; i < 16; ++i) to[64 + i * kPanel + column] = b[i];
  for (int half = 0; half < 2; ++half) UnpackStrided(b + 16 + 32 * half, 2, codes + 128 * half);
}
void ReadQ3_K(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  CopyU16(b + 108, to, column);
  const uint8_t* s = b + 96;
  for (int i = 0; i < 16; ++i) {
    const int low = s[i % 8] >> (i / 8 * 4) & 15, high = s[8 + i % 4] >> (i / 4 * 2) & 3;
    to[32 + i * kPanel + column] =
        std::bit_cast<uint8_t>(static_cast<int8_t>((low | high << 4) - 32));
  }
  for (int half = 0; half < 2; ++half) UnpackStrided(b + 32 + 32 * half, 2, codes + 128 * half);
  for (int g = 0; g < 8; ++g) {
    for (int l = 0; l < 32; ++l) codes[32 * g + l] |= Byte((b[l] >> g & 1) << 2);
  }
}
void ReadQ4_K(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  CopyU16(b, to, column);
  CopyU16(b + 2, to, kPanel + column);
  CopyScalesMins(b + 4, column, to + 64);
  for (int i = 0; i < 4; ++i) UnpackStrided(b + 16 + 32 * i, 4, codes + 64 * i);
}
void ReadQ5_K(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  CopyU16(b, to, column);
  CopyU16(b + 2, to, kPanel + column);
  CopyScalesMins(b + 4, column, to + 64);
  for (int i = 0; i < 4; ++i) UnpackStrided(b + 48 + 32 * i, 4, codes + 64 * i);
  for (int g = 0; g < 8; ++g) {
    for (int l = 0; l < 32; ++l) codes[32 * g + l] |= Byte((b[16 + l] >> g & 1) << 4);
  }
}
void ReadQ6_K(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  CopyU16(b + 208, to, column);
  for (int i = 0; i < 16; ++i) to[32 + i * kPanel + column] = b[192 + i];
  for (int half = 0; half < 2; ++half) {
    const uint8_t *low = b + 64 * half, *high = b + 128 + 32 * half;
    uint8_t* out = codes + 128 * half;
    for (int l = 0; l < 32; ++l) {
      out[l] = Byte((low[l] & 15) | (high[l] & 3) << 4);
      out[32 + l] = Byte((low[32 + l] & 15) | (high[l] >> 2 & 3) << 4);
      out[64 + l] = Byte(low[l] >> 4 | (high[l] >> 4 & 3) << 4);
      out[96 + l] = Byte(low[32 + l] >> 4 | (high[l] >> 6) << 4);
    }
  }
}
void ReadIQ4_XS(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  CopyU16(b, to, column);
  for (int g = 0; g < 8; ++g) {
    const int low = b[4 + g / 2] >> (g % 2 * 4) & 15, high = b[2 + g / 4] >> (g % 4 * 2) & 3;
    to[32 + g * kPanel + column] =
        std::bit_cast<uint8_t>(static_cast<int8_t>((low | high << 4) - 32));
    UnpackNibbles(b + 8 + 16 * g, codes + 32 * g);
  }
}
// The scale 2^(e - 128), two of them subnormal, is exact in bf16.
void ReadMXFP4(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  const int e = b[0];
  const auto scale = static_cast<uint16_t>(e < 2 ? 0x20 << e : (e - 1) << 7);
  std::memcpy(to + 2 * column, &scale, 2);
  UnpackNibbles(b + 1, codes);
}
void ReadU4Z(const uint8_t* b, int column, uint8_t* __restrict codes, uint8_t* to) {
  CopyU16(b, to, column);
  to[32 + column] = b[2];
  UnpackNibbles(b + 3, codes);
}

using ReadFn = void (*)(const uint8_t* block, int column, uint8_t* __restrict codes, uint8_t* to);
constexpr ReadFn kReaders[kQuantTypes] = {ReadQ4_0, ReadQ4_1,   ReadQ5_0,  ReadQ5_1, ReadQ8_0,
                                          ReadQ2_K, ReadQ3_K,   ReadQ4_K,  ReadQ5_K, ReadQ6_K,
                                          ReadQ4_0, ReadIQ4_XS, ReadMXFP4, ReadU4Z};

// A byte row of a plane in the registers that every x86-64 has.
using Bytes16 = uint8_t __attribute__((vector_size(16)));
using Words4 = uint32_t __attribute__((vector_size(16)));
using Quads = Bytes16[kQuads][kQuadBytes / 16];

template <class V>
V Load16(const uint8_t* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// The quads of 16 columns side by side: 4 by 4 words at a time.
void Transpose(const uint8_t (&codes)[kPanel][256], int at, Quads& quads) {
  for (int c = 0; c < kPanel; c += 4) {
    for (int j = 0; j < kQuads; j += 4) {
      const auto v0 = Load16<Words4>(codes[c] + at + 4 * j);
      const auto v1 = Load16<Words4>(codes[c + 1] + at + 4 * j);
      const auto v2 = Load16<Words4>(codes[c + 2] + at + 4 * j);
      const auto v3 = Load16<Words4>(codes[c + 3] + at + 4 * j);
      const auto a = __builtin_shufflevector(v0, v1, 0, 4, 1, 5);
      const auto b = __builtin_shufflevector(v2, v3, 0, 4, 1, 5);
      const auto d = __builtin_shufflevector(v0, v1, 2, 6, 3, 7);
      const auto e = __builtin_shufflevector(v2, v3, 2, 6, 3, 7);
      quads[j][c / 4] = Bytes16(__builtin_shufflevector(a, b, 0, 1, 4, 5));
      quads[j + 1][c / 4] = Bytes16(__builtin_shufflevector(a, b, 2, 3, 6, 7));
      quads[j + 2][c / 4] = Bytes16(__builtin_shufflevector(d, e, 0, 1, 4, 5));
      quads[j + 3][c / 4] = Bytes16(__builtin_shufflevector(d, e, 2, 3, 6, 7));
    }
  }
}

// Bits [kFrom, kFrom + kWidth) of the codes of a group's quads into a plane.
template <int kWidth, int kFrom>
void WritePlane(const Quads& quads, uint8_t* __restrict plane) {
  constexpr int kPerByte = 8 / kWidth;
  const Bytes16 mask = Bytes16{} + static_cast<uint8_t>((1 << kWidth) - 1);
  for (int row = 0; row < kQuads / kPerByte; ++row) {
    for (int i = 0; i < kQuadBytes / 16; ++i) {
      Bytes16 out = quads[row * kPerByte][i] >> kFrom & mask;
      for (int q = 1; q < kPerByte; ++q) {
        out |= (quads[row * kPerByte + q][i] >> kFrom & mask) << (q * kWidth);
      }
      std::memcpy(plane + row * kQuadBytes + 16 * i, &out, sizeof out);
    }
  }
}

using PlaneFn = void (*)(const Quads& quads, uint8_t* __restrict plane);
// By width and first bit: what the formats have.
PlaneFn PlaneOf(int width, int from) {
  if (from == 0) {
    return width == 2 ? WritePlane<2, 0> : width == 4 ? WritePlane<4, 0> : WritePlane<8, 0>;
  }
  if (from == 2) return WritePlane<1, 2>;
  return width == 1 ? WritePlane<1, 4> : WritePlane<2, 4>;
}
constexpr bool HasPlanes(const BlockFormat& f) {
  const bool low = f.low_bits == 2 || f.low_bits == 4 || f.low_bits == 8;
  const bool high = f.high_bits == 0 || (f.low_bits == 2 && f.high_bits == 1) ||
                    (f.low_bits == 4 && f.high_bits <= 2);
  return low && high;
}
static_assert(std::ranges::all_of(kBlockFormats, HasPlanes));

}  // namespace

void PackPanelBlocks(QuantType type, const std::byte* rows, int64_t n, int64_t cols,
                     std::byte* panel) {
  const BlockFormat& f = FormatOf(type);
  const int block_bytes = TraitsOf(type).bytes, block_k = BlockK(f);
  const ReadFn read = kReaders[static_cast<int>(type)];
  const auto* in = reinterpret_cast<const uint8_t*>(rows);
  auto* out = reinterpret_cast<uint8_t*>(panel);
  const int64_t blocks = cols / block_k, row_bytes = blocks * block_bytes;
  const PlaneFn write_low = PlaneOf(f.low_bits, 0);
  const PlaneFn write_high = f.high_bits == 0 ? nullptr : PlaneOf(f.high_bits, f.low_bits);
  alignas(16) uint8_t codes[kPanel][256] = {};
  Quads quads;
  for (int64_t b = 0; b < blocks; ++b, out += BlockBytes(f)) {
    for (int c = 0; c < static_cast<int>(n); ++c) {
      read(in + c * row_bytes + b * block_bytes, c, codes[c], out);
    }
    for (int g = 0; g < BlockGroups(f); ++g) {
      Transpose(codes, g * kGroup, quads);
      write_low(quads, out + LowAt(f, g));
      if (write_high != nullptr) write_high(quads, out + HighAt(f, g));
    }
  }
}

void ReadBlock(QuantType type, const std::byte* block, int column, uint8_t* codes,
               uint8_t* scales) {
  kReaders[static_cast<int>(type)](reinterpret_cast<const uint8_t*>(block), column, codes, scales);
}

int64_t PanelBytesOf(QuantType type, int64_t cols) {
  return PanelBytesBlocks(FormatOf(type), cols);
}

}  // namespace hadal::cpu
