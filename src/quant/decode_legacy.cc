// Decoders of the 32-weight blocks whose codes are integers.
#include <array>

#include "quant/blocks.h"

namespace hadal::blocks {
namespace {

using Codes = std::array<int32_t, kSmall>;

Codes Nibbles(const uint8_t* qs) {
  Codes q;
  for (size_t j = 0; j < 16; ++j) {
    q[j] = qs[j] & 15;
    q[j + 16] = qs[j] >> 4;
  }
  return q;
}

Codes FiveBits(const uint8_t* high, const uint8_t* qs) {
  const uint32_t bits = LoadU16(high) | static_cast<uint32_t>(LoadU16(high + 2)) << 16;
  Codes q = Nibbles(qs);
  for (size_t j = 0; j < kSmall; ++j) q[j] |= static_cast<int32_t>((bits >> j & 1) << 4);
  return q;
}

// (q - zero) * d
void Scaled(const Codes& q, int32_t zero, float d, float* out) {
  for (size_t j = 0; j < kSmall; ++j) out[j] = static_cast<float>(q[j] - zero) * d;
}

// q * d + m
void Affine(const Codes& q, float d, float m, float* out) {
  for (size_t j = 0; j < kSmall; ++j) out[j] = static_cast<float>(q[j]) * d + m;
}

}  // namespace

void DecodeQ4_0(const uint8_t* block, float* out) {
  Scaled(Nibbles(block + 2), 8, LoadF16(block), out);
}

void DecodeQ4_1(const uint8_t* block, float* out) {
  Affine(Nibbles(block + 4), LoadF16(block), LoadF16(block + 2), out);
}

void DecodeQ5_0(const uint8_t* block, float* out) {
  Scaled(FiveBits(block + 2, block + 6), 16, LoadF16(block), out);
}

void DecodeQ5_1(const uint8_t* block, float* out) {
  Affine(FiveBits(block + 4, block + 8), LoadF16(block), LoadF16(block + 2), out);
}

void DecodeQ8_0(const uint8_t* block, float* out) {
  const float d = LoadF16(block);
  for (int j = 0; j < kSmall; ++j) {
    out[j] = static_cast<float>(static_cast<int8_t>(block[2 + j])) * d;
  }
}

void DecodeU4Z(const uint8_t* block, float* out) {
  Scaled(Nibbles(block + 3), block[2], LoadF16(block), out);
}

}  // namespace hadal::blocks
