// Owns: how matrices that come in blocks lie packed in memory, for the packer and the kernels of
// every ISA: one description per type, from which all of them compute the same offsets.
// Part of kernel_table.h's contract and, like it, knows only <cstdint>; plain constants and static
// functions, so that an ISA file gets no weak symbol from it.
// Thread rule: constants and pure functions.
//
// A matrix [n, k] is stored in panels of 16 columns (zero-padded to whole panels), a panel as a row
// of packed blocks of K = 32 or 256 values of k; k is a whole number of them. A packed block:
//   scales                          by Scales, below; [16] is over the columns
//   low   [K / 32][low_bits][64]    bytes
//   high  [K / 32][high_bits][64]   bytes
// The 32 values of a group are 8 quads j of 4 neighbours in k. A quad of all 16 columns is 64 codes
// [column][4], one AVX-512 register for a 4-way dot product; a plane of b bits holds quad j in byte
// row j * b / 8 at bit j * b % 8. The code is low + (high << low_bits), or the entry of a table of
// 16 unsigned bytes at the low code.
//
// clang-format off
//   type    planes scales                                w                 bytes/weight  x parts
//   Q4_0    4      f16 d                                 d (q - 8)         0.5625 file   1
//   Q4_1    4      f16 d, f16 m                          d q + m           0.625  file   1
//   Q5_0    4 + 1  f16 d                                 d (q - 16)        0.6875 file   2
//   Q5_1    4 + 1  f16 d, f16 m                          d q + m           0.75   file   2
//   Q8_0    8      f16 d                                 d (q - 128)       1.0625 file   2
//   Q2_K    2      f16 d, f16 dmin, per 16 s + 16 m (4)  d s q - dmin m    0.3281 file   1
//   Q3_K    2 + 1  f16 d, per 16 i8 s                    d s (q - 4)       0.4453 +4%    1
//   Q4_K    4      f16 d, f16 dmin, per 32 u8 s, u8 m    d s q - dmin m    0.5781 +3%    1
//   Q5_K    4 + 1  f16 d, f16 dmin, per 32 u8 s, u8 m    d s q - dmin m    0.7031 +2%    2
//   Q6_K    4 + 2  f16 d, per 16 i8 s                    d s (q - 32)      0.8203 file   2
//   IQ4_NL  4      f16 d                                 d (iq4[q] - 128)  0.5625 file   1
//   IQ4_XS  4      f16 d, per 32 i8 s                    d s (iq4[q] - 128) 0.5391 +1%   1
//   MXFP4   4      bf16 d                                d (mxfp4[q] - 12) 0.5625 +6%    1
//   U4Z     4      f16 d, u8 z                           d (q - z)         0.5938 file   1
// clang-format on
// ("file": as in the file.) Every w is exact: no scale is rounded.
//
// Products are exact too, up to the activations: these become integers of x_parts bytes per group
// of 32 values, whose dot products with the codes are sums of integers below 2^31. Zero points are
// subtracted in the integers; scales and mins are applied in one chain of float operations in the
// order of k, which is the same on every ISA, so all of them give the same bits. x_parts is 1 for
// the widths of weights at which that moves the loss report by less than its standard error: bytes
// are off by about 0.6 % of an activation, 4-bit weights by 7 % (docs/QUANTISATION.md).
#pragma once

#include <cstdint>

namespace hadal::cpu {

enum class Scales : uint8_t {
  kHalf,             // f16 d [16]
  kBf16,             // bf16 d [16]
  kHalfMin,          // f16 d [16], f16 m [16]
  kHalfZero,         // f16 d [16], u8 z [16]
  kSuper,            // f16 d [16], i8 s [K / part][16]
  kSuperMin,         // f16 d [16], f16 dmin [16], u8 s [K / 32][16], u8 m [K / 32][16]
  kSuperMinNibbles,  // f16 d [16], f16 dmin [16], u8 (s | m << 4) [K / part][16]
};
enum class ValueTable : uint8_t { kNone, kIq4, kMxfp4 };

struct BlockFormat {
  Scales scales;
  int low_bits, high_bits;
  ValueTable table;
  int zero;     // subtracted from every code
  int part;     // values of k that share a scale: 16 or 32
  int x_parts;  // bytes of an activation: 1, ActivationGroup8; 2, ActivationGroup16
};

// In the order of QuantType.
constexpr int kBlockFormatCount = 14;
constexpr BlockFormat kBlockFormats[kBlockFormatCount] = {
    {Scales::kHalf, 4, 0, ValueTable::kNone, 8, 32, 1},             // Q4_0
    {Scales::kHalfMin, 4, 0, ValueTable::kNone, 0, 32, 1},          // Q4_1
    {Scales::kHalf, 4, 1, ValueTable::kNone, 16, 32, 2},            // Q5_0
    {Scales::kHalfMin, 4, 1, ValueTable::kNone, 0, 32, 2},          // Q5_1
    {Scales::kHalf, 8, 0, ValueTable::kNone, 128, 32, 2},           // Q8_0
    {Scales::kSuperMinNibbles, 2, 0, ValueTable::kNone, 0, 16, 1},  // Q2_K
    {Scales::kSuper, 2, 1, ValueTable::kNone, 4, 16, 1},            // Q3_K
    {Scales::kSuperMin, 4, 0, ValueTable::kNone, 0, 32, 1},         // Q4_K
    {Scales::kSuperMin, 4, 1, ValueTable::kNone, 0, 32, 2},         // Q5_K
    {Scales::kSuper, 4, 2, ValueTable::kNone, 32, 16, 2},           // Q6_K
    {Scales::kHalf, 4, 0, ValueTable::kIq4, 128, 32, 1},            // IQ4_NL
    {Scales::kSuper, 4, 0, ValueTable::kIq4, 128, 32, 1},           // IQ4_XS
    {Scales::kBf16, 4, 0, ValueTable::kMxfp4, 12, 32, 1},           // MXFP4
    {Scales::kHalfZero, 4, 0, ValueTable::kNone, 0, 32, 1},         // U4Z
};

// The values of quant/codec.h plus the zero point.
constexpr uint8_t kIq4Table[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                   129, 141, 153, 166, 181, 197, 217, 241};
constexpr uint8_t kMxfp4Table[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

constexpr int kGroup = 32;          // values of k in a group
constexpr int kQuads = 8;           // of a group
constexpr int kQuadBytes = 4 * 16;  // a byte row of a plane

static constexpr bool HasSuper(const BlockFormat& f) { return f.scales >= Scales::kSuper; }
// Values of k of a packed block.
static constexpr int BlockK(const BlockFormat& f) { return HasSuper(f) ? 256 : kGroup; }
static constexpr int BlockGroups(const BlockFormat& f) { return BlockK(f) / kGroup; }
static constexpr int64_t ScaleBytes(const BlockFormat& f) {
  switch (f.scales) {
    case Scales::kHalf:
    case Scales::kBf16:
      return 32;
    case Scales::kHalfMin:
      return 64;
    case Scales::kHalfZero:
      return 48;
    case Scales::kSuper:
      return 32 + BlockK(f) / f.part * 16;
    case Scales::kSuperMin:
      return 64 + 2 * BlockGroups(f) * 16;
    case Scales::kSuperMinNibbles:
      return 64 + BlockK(f) / f.part * 16;
  }
  return 0;
}
// Where in a packed block the planes of a group begin.
static constexpr int64_t LowAt(const BlockFormat& f, int group) {
  return ScaleBytes(f) + group * f.low_bits * kQuadBytes;
}
static constexpr int64_t HighAt(const BlockFormat& f, int group) {
  return LowAt(f, BlockGroups(f)) + group * f.high_bits * kQuadBytes;
}
static constexpr int64_t BlockBytes(const BlockFormat& f) { return HighAt(f, BlockGroups(f)); }
static constexpr int64_t PanelBytesBlocks(const BlockFormat& f, int64_t k) {
  return k / BlockK(f) * BlockBytes(f);
}

// The largest code, after the table.
static constexpr int MaxCode(const BlockFormat& f) {
  if (f.table == ValueTable::kIq4) return 241;
  if (f.table == ValueTable::kMxfp4) return 24;
  return (1 << (f.low_bits + f.high_bits)) - 1;
}

// 32 activations as integers in [-127, 127] times a scale; the same on every ISA. The scale has two
// bits fewer than a float holds, so that kSumOffset * scale is exact; with a sum of products s,
//   fma(float(kSumOffset + s), scale, minus_offset) = float(s) * scale,
// both rounded once: sums that start at the bits of kSumOffset are floats already, as one step of
// them is 1 there. Values above kLargestActivation or not finite make every float NaN and the
// integers zero.
struct ActivationGroup8 {
  int8_t x[kGroup];
  int16_t sum[2];       // of the integers: both halves; side by side, for a 16-bit dot product
  float scaled_sum[3];  // sum * scale: both halves, all
  float scale;          // largest magnitude / 127, rounded to two bits fewer
  float minus_offset;   // -kSumOffset * scale
  uint32_t unused[2];
};
static_assert(sizeof(ActivationGroup8) == 64);
constexpr float kActivationSteps8 = 127.0f;
constexpr float kLargestActivation = 1e30f;
constexpr float kSumOffset = 12582912.0f;  // 1.5 * 2^23
constexpr int32_t kSumOffsetBits = 0x4b400000;

// 32 activations as integers in [-32512, 32512] times a scale; their form is that of the ISA which
// quantises and multiplies:
//   ref      x[32] in the order of k
//   AVX2     per quad the values 0, 2, 1, 3: two pairs for 16-bit dot products
//   AVX-512  parts: 32 high bytes, then 32 low bytes, both signed: x = 256 * high + low
// Values that are not finite make every float NaN and the integers zero.
struct ActivationGroup16 {
  union {
    int16_t x[kGroup];
    int8_t parts[2][kGroup];
  };
  int32_t sum[3];       // of the integers: both halves, all
  float scaled_sum[3];  // sum * scale
  float scale;          // largest magnitude / 32512
  uint32_t unused;
};
static_assert(sizeof(ActivationGroup16) == 96);
constexpr float kActivationSteps16 = 32512.0f;  // 127 * 256: the high byte of it still fits

static constexpr int64_t ActivationGroupBytes(const BlockFormat& f) {
  return f.x_parts == 1 ? sizeof(ActivationGroup8) : sizeof(ActivationGroup16);
}
// Groups from a row of activations to the next one: odd, as rows that are a whole number of pages
// apart would share few places of a cache.
static constexpr int64_t RowGroups(int64_t k) { return k / kGroup | 1; }
template <int kParts>
struct ActivationGroupType {
  using Type = ActivationGroup8;
};
template <>
struct ActivationGroupType<2> {
  using Type = ActivationGroup16;
};

}  // namespace hadal::cpu
