// Owns: the byte layouts that several codecs share, and the codecs by type for codec.cc.
// Internal to this folder. A block is read through unsigned bytes, so alignment never matters.
// Layouts, in bytes from the start of a block:
//   Q4_0   d f16 | 16 nibble pairs: byte j holds weight j (low) and j + 16 (high)
//   Q4_1   d f16 | m f16 | 16 nibble pairs
//   Q5_0   d f16 | 4 fifth bits, bit i for weight i | 16 nibble pairs
//   Q5_1   d f16 | m f16 | 4 fifth bits | 16 nibble pairs
//   Q8_0   d f16 | 32 int8
//   Q2_K   16 x (scale low, min high nibble) | 64 two-bit | d f16 | dmin f16
//   Q3_K   32 third bits | 64 two-bit | 12 six-bit scales | d f16
//   Q4_K   d f16 | dmin f16 | 12 six-bit (scale, min) | 128 nibble pairs
//   Q5_K   d f16 | dmin f16 | 12 six-bit (scale, min) | 32 fifth bits | 128 nibble pairs
//   Q6_K   128 nibble pairs | 64 two-bit | 16 int8 scales | d f16
//   IQ4_NL as Q4_0, codes look up Iq4Values
//   IQ4_XS d f16 | u16 high scale bits | 4 low scale nibbles | 128 nibble pairs
//   MXFP4  e8m0 | 16 nibble pairs, codes look up Mxfp4Values
//   U4Z    d f16 | zero u8 | 16 nibble pairs
// Thread rule: pure functions.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace hadal::blocks {

constexpr int kSmall = 32;   // weights of a legacy block
constexpr int kSuper = 256;  // weights of a k-quant block

inline uint16_t LoadU16(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }
inline float LoadF16(const uint8_t* p) { return F16ToFloat(LoadU16(p)); }
inline void StoreU16(uint8_t* p, uint16_t v) {
  p[0] = static_cast<uint8_t>(v);
  p[1] = static_cast<uint8_t>(v >> 8);
}

struct ScaleMin {
  uint8_t scale;
  uint8_t min;
};
// The 12 bytes of Q4_K and Q5_K: pairs 0-3 in the low six bits of bytes 0-7; of pairs 4-7 the low
// nibbles in bytes 8-11 and the two high bits above the pairs 0-3.
inline ScaleMin UnpackScaleMin(const uint8_t* s, int j) {
  if (j < 4) return {static_cast<uint8_t>(s[j] & 63), static_cast<uint8_t>(s[j + 4] & 63)};
  return {static_cast<uint8_t>((s[j + 4] & 15) | s[j - 4] >> 6 << 4),
          static_cast<uint8_t>(s[j + 4] >> 4 | s[j] >> 6 << 4)};
}
// Pairs are packed in rising order of j; bytes are overwritten, so they need not be cleared.
inline void PackScaleMin(ScaleMin v, int j, uint8_t* s) {
  if (j < 4) {
    s[j] = v.scale;
    s[j + 4] = v.min;
    return;
  }
  s[j + 4] = static_cast<uint8_t>((v.scale & 15) | (v.min & 15) << 4);
  s[j - 4] = static_cast<uint8_t>(s[j - 4] | v.scale >> 4 << 6);
  s[j] = static_cast<uint8_t>(s[j] | v.min >> 4 << 6);
}

// One block each.
void DecodeQ4_0(const uint8_t* block, float* out);
void DecodeQ4_1(const uint8_t* block, float* out);
void DecodeQ5_0(const uint8_t* block, float* out);
void DecodeQ5_1(const uint8_t* block, float* out);
void DecodeQ8_0(const uint8_t* block, float* out);
void DecodeQ2_K(const uint8_t* block, float* out);
void DecodeQ3_K(const uint8_t* block, float* out);
void DecodeQ4_K(const uint8_t* block, float* out);
void DecodeQ5_K(const uint8_t* block, float* out);
void DecodeQ6_K(const uint8_t* block, float* out);
void DecodeIQ4_NL(const uint8_t* block, float* out);
void DecodeIQ4_XS(const uint8_t* block, float* out);
void DecodeMXFP4(const uint8_t* block, float* out);
void DecodeU4Z(const uint8_t* block, float* out);

void EncodeQ4_0(const float* x, uint8_t* block);
void EncodeQ5_0(const float* x, uint8_t* block);
void EncodeQ8_0(const float* x, uint8_t* block);
void EncodeQ4_K(const float* x, uint8_t* block);
void EncodeQ5_K(const float* x, uint8_t* block);
void EncodeQ6_K(const float* x, uint8_t* block);

}  // namespace hadal::blocks
