// Decoders of the 4-bit types whose codes index a table of values.
#include <array>
#include <bit>

#include "quant/blocks.h"
#include "quant/codec.h"

namespace hadal {
namespace {

constexpr std::array<int8_t, 16> kIq4 = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};
constexpr std::array<int8_t, 16> kMxfp4 = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 32 weights: byte j of qs holds weight j in its low and weight j + 16 in its high nibble.
void LookUp(const std::array<int8_t, 16>& table, const uint8_t* qs, float d, float* out) {
  for (int j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>(table[qs[j] & 15]);
    out[j + 16] = d * static_cast<float>(table[qs[j] >> 4]);
  }
}

// 2^(e - 128); the two smallest are subnormal.
float HalfE8M0(uint8_t e) {
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (static_cast<uint32_t>(e) - 1) << 23);
}

}  // namespace

std::span<const int8_t, 16> Iq4Values() { return kIq4; }
std::span<const int8_t, 16> Mxfp4Values() { return kMxfp4; }

namespace blocks {

void DecodeIQ4_NL(const uint8_t* block, float* out) {
  LookUp(kIq4, block + 2, LoadF16(block), out);
}

void DecodeIQ4_XS(const uint8_t* block, float* out) {
  const float d = LoadF16(block);
  const int high = LoadU16(block + 2);
  for (int sub = 0; sub < 8; ++sub) {
    const int low = block[4 + sub / 2] >> (sub % 2 * 4) & 15;
    const int scale = low | (high >> (2 * sub) & 3) << 4;
    LookUp(kIq4, block + 8 + 16 * sub, d * static_cast<float>(scale - 32), out + 32 * sub);
  }
}

void DecodeMXFP4(const uint8_t* block, float* out) {
  LookUp(kMxfp4, block + 1, HalfE8M0(block[0]), out);
}

}  // namespace blocks
}  // namespace hadal
