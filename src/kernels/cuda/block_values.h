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

// The low three bits of four bytes as four fields of four bits.
__device__ inline uint32_t Selector(uint32_t bytes) {
  const uint32_t v = bytes & 0x07070707u;
  return BytePermute(v | v >> 4, 0, 0x4420);
}
// Signed bytes of a table of 16 at four codes, one to a byte.
__device__ inline uint32_t TableWord(cpu::ValueTable table, uint32_t codes) {
  const bool iq4 = table == cpu::ValueTable::kIq4;
  // -127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113
  // 0 1 2 3 4 6 8 12 0 -1 -2 -3 -4 -6 -8 -12
  const uint32_t low = BytePermute(iq4 ? 0xbfad9881u : 0x03020100u, iq4 ? 0xf6eaddcfu : 0x0c080604u,
                                   Selector(codes));
  const uint32_t high = BytePermute(iq4 ? 0x26190d01u : 0xfdfeff00u,
                                    iq4 ? 0x71594535u : 0xf4f8fafcu, Selector(codes));
  const uint32_t upper = (codes >> 3 & 0x01010101u) * 0xff;
  return (high & upper) | (low & ~upper);
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

  // A tile in global or shared memory, and the super scales of its pair.
  static constexpr int kLowBytes = planes::LowBytes(kFormat);
  static constexpr int kTileBytes = planes::TileBytes(kFormat);
  static constexpr int kScaleAt = kTileBytes - planes::TileScaleBytes(kFormat);
  static constexpr int kSuperBytes = planes::SuperBytes(kFormat);
  const uint8_t *base, *super;

  template <class Int>
  __device__ BlockReader(const uint8_t* matrix, Int tile) {
    constexpr cpu::BlockFormat format =
        planes::FormatOf(kType);  // members have no address on the card
    base = matrix + planes::TileAt(format, tile);
    super = matrix + planes::SuperAt(format, tile);
  }
  // A copy of one.
  static constexpr int kCopyBytes = kTileBytes + kSuperBytes;
  __device__ explicit BlockReader(const char* copy)
      : base(reinterpret_cast<const uint8_t*>(copy)), super(base + kTileBytes) {}
  // By a warp, with its next group of copies.
  __device__ void CopyTo(char* to) const {
    const int at = static_cast<int>(threadIdx.x) % kWarp * kPiece;
    Copy<kTileBytes>(base + at, to + at, at);
    Copy<kSuperBytes>(super + at, to + kTileBytes + at, at);
  }

  struct Codes {
    uint32_t low[kWords];
    uint32_t high[kHighWords > 0 ? kHighWords : 1];
  };
  __device__ Codes Load(int unit) const {
    Codes c;
    LoadWords<kWords>(base + unit * kWords * 4, c.low);
    if constexpr (kHighWords > 0)
      LoadWords<kHighWords>(base + kLowBytes + unit * kHighWords * 4, c.high);
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
  __device__ RowScales LoadScales(int row) const {
    RowScales s;
    LoadWords<kScaleWords>(base + kScaleAt + row * kScaleWords * 4, s.words);
    s.super = 0;
    if constexpr (planes::HasSuper(kFormat)) {
      s.super = reinterpret_cast<const uint32_t*>(super)[row];
    }
    return s;
  }
  // What the scales and mins of a row's groups are multiplied by.
  struct RowFactors {
    float scale = 1, min = 1;
  };
  __device__ static RowFactors Factors(const RowScales& row) {
    if constexpr (!planes::HasSuper(kFormat)) return {};
    return {HalfToFloat(static_cast<uint16_t>(row.super & 0xffff)),
            HalfToFloat(static_cast<uint16_t>(row.super >> 16))};
  }
  // Scales and mins before that.
  __device__ static GroupScales Scales(const RowScales& row, int group) {
    GroupScales s = {{0, 0}, {0, 0}, planes::ZeroOf(kFormat)};
    const uint32_t word =
        kScaleWords == 4 ? row.words[group] : row.words[group / 2] >> group % 2 * 16;
    const uint32_t a = word & 0xff, b = word >> 8 & 0xff;
    if constexpr (!planes::HasSuper(kFormat)) {
      const auto first = static_cast<uint16_t>(word & 0xffff);
      s.scale[0] = s.scale[1] =
          kFormat.scales == cpu::Scales::kBf16 ? Bf16ToFloat(first) : HalfToFloat(first);
      if constexpr (kFormat.scales == cpu::Scales::kHalfMin) {
        s.min[0] = s.min[1] = -HalfToFloat(static_cast<uint16_t>(word >> 16));
      }
      if constexpr (kFormat.scales == cpu::Scales::kHalfZero) s.zero = word >> 16 & 0xff;
    } else if constexpr (kFormat.scales == cpu::Scales::kSuper) {
      s.scale[0] = static_cast<float>(static_cast<int8_t>(a));
      s.scale[1] = static_cast<float>(static_cast<int8_t>(b));
    } else if constexpr (kFormat.scales == cpu::Scales::kSuperMin) {
      s.scale[0] = s.scale[1] = static_cast<float>(a);
      s.min[0] = s.min[1] = static_cast<float>(b);
    } else {
      s.scale[0] = static_cast<float>(a & 15);
      s.min[0] = static_cast<float>(a >> 4);
      s.scale[1] = static_cast<float>(b & 15);
      s.min[1] = static_cast<float>(b >> 4);
    }
    return s;
  }

  // What four codes are worth: of quad `half` of the two that a unit has of a group.
  __device__ static void Values(const Codes& codes, const RowScales& row, int group, int half,
                                float (&v)[4]) {
    const int32_t quad = Quad(codes, group * 2 + half);
    const GroupScales s = Scales(row, group);
    const RowFactors by = Factors(row);
    const int part = kHalves ? half : 0;
    const float scale = by.scale * s.scale[part], min = by.min * s.min[part];
    for (int j = 0; j < 4; ++j) {
      const int code = static_cast<int8_t>(quad >> 8 * j) - s.zero;
      v[j] = scale * static_cast<float>(code) - min;
    }
  }
  // Groups 2 and 3 become 0 and 1.
  __device__ static void DropHalf(Codes& c, RowScales& row) {
    for (int i = 0; i < kWords / 2; ++i) c.low[i] = c.low[i + kWords / 2];
    if constexpr (kHighWords == 1) c.high[0] >>= 4;
    for (int i = 0; i < kHighWords / 2; ++i) c.high[i] = c.high[i + kHighWords / 2];
    for (int i = 0; i < kScaleWords / 2; ++i) row.words[i] = row.words[i + kScaleWords / 2];
  }

 private:
  // The lane's piece at `at` of every 32 pieces.
  static constexpr int kPiece = 16;
  template <int kBytes, int kAt = 0>
  __device__ static void Copy(const uint8_t* from, char* to, int at) {
    if constexpr (kAt < kBytes) {
      constexpr int kLanes = kWarp * kPiece;
      if (kAt + kLanes <= kBytes || kAt + at < kBytes) CopyAsync16At<kAt>(to, from);
      Copy<kBytes, kAt + kLanes>(from, to, at);
    }
  }
  template <int kN>
  __device__ static void LoadWords(const uint8_t* from, uint32_t* to) {
    if constexpr (kN % 4 == 0) {
      for (int i = 0; i < kN; i += 4) {
        const uint4 v = *reinterpret_cast<const uint4*>(from + 4 * i);
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
#ifdef __CUDACC__
#pragma nv_exec_check_disable
#endif
template <class F>
__device__ __host__ void ForBlockType(Form form, const F& fn) {
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
