// Owns: reading block weights on the card: the codes of a unit (block_planes.h) as signed bytes, a
// quad to a word, and the scales of a group as floats. Only .cu files include this.
#pragma once

#include "kernels/cuda/block_planes.h"
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {

namespace planes = block_planes;

// w = scale[half] * (code - zero) - min[half]; without halves and mins only what there is is set.
struct GroupScales {
  float scale[2], min[2];
  int zero;
};

__device__ inline uint32_t TableWord(cpu::ValueTable table, uint32_t codes) {
  constexpr int8_t kIq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                               1,    13,   25,  38,  53,  69,  89,  113};
  constexpr int8_t kMxfp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t code = codes >> 8 * i & 15;
    const int8_t v = table == cpu::ValueTable::kIq4 ? kIq4[code] : kMxfp4[code];
    out |= uint32_t{static_cast<uint8_t>(v)} << 8 * i;
  }
  return out;
}

// kType is a QuantType.
template <int kType>
struct BlockReader {
  static constexpr cpu::BlockFormat kFormat = planes::FormatOf(kType);
  static constexpr int kWords = kFormat.low_bits;                       // of the low plane, a unit
  static constexpr int kHighWords = kFormat.high_bits;                  // of the high one
  static constexpr int kScaleWords = planes::GroupScaleBytes(kFormat);  // of a row in a tile
  static constexpr bool kHalves = kFormat.part == 16;
  static constexpr bool kHasMin = kFormat.scales == cpu::Scales::kHalfMin ||
                                  kFormat.scales == cpu::Scales::kSuperMin ||
                                  kFormat.scales == cpu::Scales::kSuperMinNibbles;
  static constexpr bool kHasZero =  // of a group its own, or that of the type
      kFormat.scales == cpu::Scales::kHalfZero || planes::ZeroOf(kFormat) != 0;

  const uint8_t *low, *high, *scales, *super;
  int64_t tiles;  // of a row

  __device__ BlockReader(const Matrix& w, int64_t matrix) : tiles(planes::ColumnTiles(w.cols)) {
    const uint8_t* base = w.data + matrix * w.stride;
    constexpr cpu::BlockFormat format =
        planes::FormatOf(kType);  // members have no address on the card
    const planes::Planes p = planes::PlanesOf(format, w.rows, w.cols);
    low = base + p.low;
    high = base + p.high;
    scales = base + p.scales;
    super = base + p.super;
  }

  struct Codes {
    uint32_t low[kWords];
    uint32_t high[kHighWords > 0 ? kHighWords : 1];
  };
  __device__ Codes Load(int64_t tile, int unit) const {
    Codes c;
    LoadWords<kWords>(low + (tile * planes::kUnits + unit) * kWords * 4, c.low);
    if constexpr (kHighWords > 0) {
      LoadWords<kHighWords>(high + (tile * planes::kUnits + unit) * kHighWords * 4, c.high);
    }
    return c;
  }
  // Four codes: quad planes::QuadInUnit() of a unit.
  __device__ static int32_t Quad(const Codes& c, int quad) {
    uint32_t v = Field<kFormat.low_bits>(c.low, quad, 0);
    if constexpr (kHighWords > 0) v |= Field<kFormat.high_bits>(c.high, quad, kFormat.low_bits);
    if constexpr (kFormat.table != cpu::ValueTable::kNone) v = TableWord(kFormat.table, v);
    return static_cast<int32_t>(v);
  }

  // As stored: of the four groups of a row in a tile.
  struct RowScales {
    uint32_t words[kScaleWords];
    uint32_t super;
  };
  __device__ RowScales LoadScales(int64_t tile, int row) const {
    RowScales s;
    const int64_t at = tile * planes::kTileRows + row;
    LoadWords<kScaleWords>(scales + at * kScaleWords * 4, s.words);
    s.super = 0;
    if constexpr (planes::HasSuper(kFormat)) {
      s.super = reinterpret_cast<const uint32_t*>(super)[tile / 2 * planes::kTileRows + row];
    }
    return s;
  }
  __device__ static GroupScales Scales(const RowScales& row, int group) {
    GroupScales s = {{0, 0}, {0, 0}, planes::ZeroOf(kFormat)};
    if constexpr (!planes::HasSuper(kFormat)) {
      const uint32_t word =
          kScaleWords == 4 ? row.words[group] : row.words[group / 2] >> group % 2 * 16;
      const auto first = static_cast<uint16_t>(word & 0xffff);
      s.scale[0] = s.scale[1] =
          kFormat.scales == cpu::Scales::kBf16 ? Bf16ToFloat(first) : HalfToFloat(first);
      if constexpr (kFormat.scales == cpu::Scales::kHalfMin) {
        s.min[0] = s.min[1] = -HalfToFloat(static_cast<uint16_t>(word >> 16));
      }
      if constexpr (kFormat.scales == cpu::Scales::kHalfZero) s.zero = word >> 16 & 0xff;
    } else {
      const uint32_t both = row.words[group / 2] >> group % 2 * 16;
      const float d = HalfToFloat(static_cast<uint16_t>(row.super & 0xffff));
      const float m = HalfToFloat(static_cast<uint16_t>(row.super >> 16));
      const uint32_t a = both & 0xff, b = both >> 8 & 0xff;
      if constexpr (kFormat.scales == cpu::Scales::kSuper) {
        s.scale[0] = d * static_cast<float>(static_cast<int8_t>(a));
        s.scale[1] = d * static_cast<float>(static_cast<int8_t>(b));
      } else if constexpr (kFormat.scales == cpu::Scales::kSuperMin) {
        s.scale[0] = s.scale[1] = d * static_cast<float>(a);
        s.min[0] = s.min[1] = m * static_cast<float>(b);
      } else {
        s.scale[0] = d * static_cast<float>(a & 15);
        s.min[0] = m * static_cast<float>(a >> 4);
        s.scale[1] = d * static_cast<float>(b & 15);
        s.min[1] = m * static_cast<float>(b >> 4);
      }
    }
    return s;
  }

 private:
  template <int kN>
  __device__ static void LoadWords(const uint8_t* from, uint32_t* to) {
    if constexpr (kN % 4 == 0) {
      for (int i = 0; i < kN; i += 4) {
        const uint4 v = LoadOnce16(from + 4 * i);
        to[i] = v.x;
        to[i + 1] = v.y;
        to[i + 2] = v.z;
        to[i + 3] = v.w;
      }
    } else if constexpr (kN == 2) {
      const uint2 v = *reinterpret_cast<const uint2*>(from);
      to[0] = v.x;
      to[1] = v.y;
    } else {
      for (int i = 0; i < kN; ++i) to[i] = reinterpret_cast<const uint32_t*>(from)[i];
    }
  }
  // The field of a quad, moved up by `up` bits.
  template <int kBits>
  __device__ static uint32_t Field(const uint32_t* words, int quad, int up) {
    constexpr int kPerWord = 8 / kBits;
    constexpr uint32_t kMask = kBits == 8 ? ~0u : 0x01010101u * ((1u << kBits) - 1);
    const uint32_t word = words[quad / kPerWord];
    const int at = quad % kPerWord * kBits;
    return (at >= up ? word >> (at - up) : word << (up - at)) & kMask << up;
  }
};

// Calls fn.template operator()<type>() for the type of a matrix in blocks.
template <class F>
void ForBlockType(Form form, const F& fn) {
  switch (static_cast<int>(form) - static_cast<int>(Form::kBlocks)) {
#define HADAL_TYPE(n) \
  case n:             \
    return fn.template operator()<n>();
    HADAL_TYPE(0)
    HADAL_TYPE(1)
    HADAL_TYPE(2)
    HADAL_TYPE(3)
    HADAL_TYPE(4)
    HADAL_TYPE(5)
    HADAL_TYPE(6)
    HADAL_TYPE(7)
    HADAL_TYPE(8)
    HADAL_TYPE(9)
    HADAL_TYPE(10)
    HADAL_TYPE(11)
    HADAL_TYPE(12)
    HADAL_TYPE(13)
#undef HADAL_TYPE
    default:
      return;
  }
}
static_assert(cpu::kBlockFormatCount == 14);

}  // namespace hadal::CUDA_NAMESPACE
