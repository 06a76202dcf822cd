// Decoders against the layouts, one weight at a time: every weight's bits are looked up by its
// index in a table of positions, and the arithmetic is written out in the published order.
#include "quant/codec.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace hadal {
namespace {

constexpr int kBlocks = 400;

// A block as the layout describes it: bytes with bit fields in them.
struct Block {
  const uint8_t* bytes;

  int Field(int byte, int bit, int width) const { return bytes[byte] >> bit & ((1 << width) - 1); }
  int Signed(int byte) const { return bytes[byte] < 128 ? bytes[byte] : bytes[byte] - 256; }
  // IEEE binary16 from its definition.
  float Half(int byte) const {
    const int mantissa = bytes[byte] | Field(byte + 1, 0, 2) << 8;
    const int exponent = Field(byte + 1, 2, 5);
    const double sign = Field(byte + 1, 7, 1) ? -1.0 : 1.0;
    if (exponent == 31) return static_cast<float>(sign * (mantissa ? NAN : INFINITY));
    if (exponent == 0) return static_cast<float>(sign * std::ldexp(mantissa, -24));
    return static_cast<float>(sign * std::ldexp(1024 + mantissa, exponent - 25));
  }
  // Weight i of 32: low nibbles first, then the high ones.
  int SmallNibble(int first, int i) const { return Field(first + i % 16, i / 16 * 4, 4); }
  int BitOf(int first, int i) const { return Field(first + i / 8, i % 8, 1); }
  // The six-bit scale (which = 0) or minimum (1) of sub-block j, of Q4_K and Q5_K.
  int Six(int which, int j) const {
    const int s = 4;
    if (j < 4) return Field(s + j + 4 * which, 0, 6);
    return Field(s + 4 + j, 4 * which, 4) + 16 * Field(s + j - 4 + 4 * which, 6, 2);
  }
  // Two-bit code of weight i of 256, 64 bytes from `first`.
  int TwoBits(int first, int i) const {
    return Field(first + i / 128 * 32 + i % 32, i % 128 / 32 * 2, 2);
  }
  // Nibble of weight i of 256 where chunks of 64 weights share 32 bytes.
  int ChunkNibble(int first, int i) const {
    return Field(first + i / 64 * 32 + i % 32, i % 64 / 32 * 4, 4);
  }
};

constexpr int kIq4Table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                               1,    13,   25,  38,  53,  69,  89,  113};
constexpr float kE2m1[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};

float F(int v) { return static_cast<float>(v); }

float SmallWeight(QuantType type, const Block& b, int i) {
  switch (type) {
    case QuantType::kQ4_0:
      return F(b.SmallNibble(2, i) - 8) * b.Half(0);
    case QuantType::kQ4_1:
      return F(b.SmallNibble(4, i)) * b.Half(0) + b.Half(2);
    case QuantType::kQ5_0:
      return F(b.SmallNibble(6, i) + 16 * b.BitOf(2, i) - 16) * b.Half(0);
    case QuantType::kQ5_1:
      return F(b.SmallNibble(8, i) + 16 * b.BitOf(4, i)) * b.Half(0) + b.Half(2);
    case QuantType::kQ8_0:
      return F(b.Signed(2 + i)) * b.Half(0);
    case QuantType::kIQ4_NL:
      return b.Half(0) * F(kIq4Table[b.SmallNibble(2, i)]);
    case QuantType::kU4Z:
      return F(b.SmallNibble(3, i) - b.bytes[2]) * b.Half(0);
    default: {  // MXFP4: e2m1 x 2^(e - 127); products of powers of two are exact
      const int code = b.SmallNibble(1, i);
      const float value = kE2m1[code % 8] * (code < 8 ? 1.0f : -1.0f);
      return value == 0.0f ? 0.0f : std::ldexp(value, b.bytes[0] - 127);
    }
  }
}

float SuperWeight(QuantType type, const Block& b, int i) {
  switch (type) {
    case QuantType::kQ2_K: {
      const float scale = b.Half(80) * F(b.Field(i / 16, 0, 4));
      const float min = b.Half(82) * F(b.Field(i / 16, 4, 4));
      return scale * F(b.TwoBits(16, i)) - min;
    }
    case QuantType::kQ3_K: {
      const int k = i / 16;
      const int six = b.Field(96 + k % 8, k / 8 * 4, 4) + 16 * b.Field(104 + k % 4, k / 4 * 2, 2);
      const int code = b.TwoBits(32, i) + 4 * b.Field(i % 32, i / 32, 1);
      return b.Half(108) * F(six - 32) * F(code - 4);
    }
    case QuantType::kQ4_K: {
      const float scale = b.Half(0) * F(b.Six(0, i / 32)), min = b.Half(2) * F(b.Six(1, i / 32));
      return scale * F(b.ChunkNibble(16, i)) - min;
    }
    case QuantType::kQ5_K: {
      const float scale = b.Half(0) * F(b.Six(0, i / 32)), min = b.Half(2) * F(b.Six(1, i / 32));
      return scale * F(b.ChunkNibble(48, i) + 16 * b.Field(16 + i % 32, i / 32, 1)) - min;
    }
    case QuantType::kQ6_K: {
      const int r = i % 128;
      const int low = b.Field(i / 128 * 64 + r % 64, r / 64 * 4, 4);
      const int high = b.Field(128 + i / 128 * 32 + r % 32, r / 32 * 2, 2);
      return b.Half(208) * F(b.Signed(192 + i / 16)) * F(low + 16 * high - 32);
    }
    default: {  // IQ4_XS
      const int j = i / 32;
      const int six = b.Field(4 + j / 2, j % 2 * 4, 4) + 16 * b.Field(2 + j / 4, j % 4 * 2, 2);
      return b.Half(0) * F(six - 32) * F(kIq4Table[b.SmallNibble(8 + 16 * j, i % 32)]);
    }
  }
}

float WeightOf(QuantType type, const uint8_t* block, int i) {
  const Block b{block};
  return TraitsOf(type).elements == 32 ? SmallWeight(type, b, i) : SuperWeight(type, b, i);
}

// Equal bits; NaN is NaN whatever its payload.
void ExpectSame(float expected, float actual, const std::string& where) {
  if (std::isnan(expected) && std::isnan(actual)) return;
  ASSERT_EQ(std::bit_cast<uint32_t>(expected), std::bit_cast<uint32_t>(actual))
      << where << ": " << actual << " instead of " << expected;
}

class EveryType : public testing::TestWithParam<int> {
 protected:
  QuantType type() const { return static_cast<QuantType>(GetParam()); }
  const QuantTraits& traits() const { return TraitsOf(type()); }
};

TEST_P(EveryType, DecodesEveryWeightOfRandomBlocksBitByBit) {
  std::mt19937 random(1234);
  std::uniform_int_distribution<int> byte(0, 255);
  std::vector<uint8_t> bytes(static_cast<size_t>(kBlocks * traits().bytes));
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(byte(random));
  std::vector<float> out(static_cast<size_t>(kBlocks * traits().elements));
  DecodeBlocks(type(), reinterpret_cast<const std::byte*>(bytes.data()),
               static_cast<int64_t>(out.size()), out.data());
  for (int block = 0; block < kBlocks; ++block) {
    for (int i = 0; i < traits().elements; ++i) {
      const float expected =
          WeightOf(type(), bytes.data() + static_cast<size_t>(block * traits().bytes), i);
      ExpectSame(expected, out[static_cast<size_t>(block * traits().elements + i)],
                 std::string(traits().name) + " block " + std::to_string(block) + " weight " +
                     std::to_string(i));
      if (HasFatalFailure()) return;
    }
  }
}

// Every bit of a block belongs to some weight, and only the layout's weights see it: the number of
// weights that change is what the format's fields allow.
TEST_P(EveryType, ReadsEveryBitOfABlock) {
  const auto size = static_cast<size_t>(traits().bytes);
  const auto n = static_cast<size_t>(traits().elements);
  std::mt19937 random(7);
  std::vector<uint8_t> block(size);
  std::vector<float> before(n), after(n);
  for (size_t bit = 0; bit < size * 8; ++bit) {
    bool seen = false;
    for (int attempt = 0; attempt < 40 && !seen; ++attempt) {
      for (uint8_t& b : block) b = static_cast<uint8_t>(random() & 0x7f);  // scales stay finite
      DecodeBlocks(type(), reinterpret_cast<const std::byte*>(block.data()),
                   static_cast<int64_t>(n), before.data());
      block[bit / 8] = static_cast<uint8_t>(block[bit / 8] ^ 1 << bit % 8);
      DecodeBlocks(type(), reinterpret_cast<const std::byte*>(block.data()),
                   static_cast<int64_t>(n), after.data());
      seen = std::memcmp(before.data(), after.data(), n * sizeof(float)) != 0;
    }
    EXPECT_TRUE(seen) << "bit " << bit;
  }
}

TEST_P(EveryType, DecodesBlocksAtAnyAddress) {
  std::mt19937 random(99);
  const auto size = static_cast<size_t>(3 * traits().bytes);
  const auto n = static_cast<size_t>(3 * traits().elements);
  std::vector<std::byte> bytes(size), shifted(size + 8);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random() & 0x3f);
  std::vector<float> aligned(n), moved(n);
  DecodeBlocks(type(), bytes.data(), static_cast<int64_t>(n), aligned.data());
  for (size_t offset = 1; offset < 8; ++offset) {
    std::copy(bytes.begin(), bytes.end(), shifted.begin() + static_cast<std::ptrdiff_t>(offset));
    DecodeBlocks(type(), shifted.data() + offset, static_cast<int64_t>(n), moved.data());
    EXPECT_EQ(0, std::memcmp(aligned.data(), moved.data(), n * sizeof(float))) << offset;
  }
}

INSTANTIATE_TEST_SUITE_P(Quant, EveryType, testing::Range(0, kQuantTypes), [](const auto& param) {
  return std::string(NameOf(static_cast<QuantType>(param.param)));
});

TEST(Codec, Mxfp4ReadsEveryExponent) {
  std::array<std::byte, 17> block{};
  for (int nibble = 0; nibble < 16; ++nibble) {
    block[1 + static_cast<size_t>(nibble)] = static_cast<std::byte>(nibble | nibble << 4);
  }
  for (int e = 0; e < 256; ++e) {
    block[0] = static_cast<std::byte>(e);
    std::array<float, 32> out;
    DecodeBlocks(QuantType::kMXFP4, block.data(), 32, out.data());
    for (size_t i = 0; i < 16; ++i) {
      const float sign = i < 8 ? 1.0f : -1.0f;
      ExpectSame(std::ldexp(sign * kE2m1[i % 8], e - 127) + 0.0f, out[i] + 0.0f,
                 "e " + std::to_string(e) + " code " + std::to_string(i));
    }
  }
}

TEST(Codec, TheTablesOfValuesAreThePublishedOnes) {
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(kIq4Table[i], Iq4Values()[i]);
    EXPECT_EQ(2.0f * kE2m1[i % 8] * (i < 8 ? 1.0f : -1.0f), static_cast<float>(Mxfp4Values()[i]));
  }
}

}  // namespace
}  // namespace hadal
