#include "formats/finite_blocks.h"

#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "quant/codec.h"

namespace hadal {
namespace {

// Offsets of a block's f16 scales; the same number twice when there is one.
struct Scales {
  int32_t first, second;
};
Scales ScalesOf(QuantType type) {
  switch (type) {
    case QuantType::kQ4_0:
    case QuantType::kQ5_0:
    case QuantType::kQ8_0:
    case QuantType::kIQ4_NL:
    case QuantType::kIQ4_XS:
    case QuantType::kU4Z:
      return {0, 0};
    case QuantType::kQ4_1:
    case QuantType::kQ5_1:
    case QuantType::kQ4_K:
    case QuantType::kQ5_K:
      return {0, 2};
    case QuantType::kQ2_K:
      return {80, 82};
    case QuantType::kQ3_K:
      return {108, 108};
    case QuantType::kQ6_K:
      return {208, 208};
    case QuantType::kMXFP4:
      break;  // an exponent byte
  }
  CHECK(false);
  return {};
}

bool IsFiniteF16(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return (bits & 0x7c00u) != 0x7c00u;
}

// The largest exponents overflow for some values only.
bool IsFiniteMxfp4(const std::byte* block) {
  constexpr uint8_t kFirstThatMayOverflow = 252;
  if (std::to_integer<uint8_t>(block[0]) < kFirstThatMayOverflow) return true;
  std::array<float, 32> values;
  DecodeBlocks(QuantType::kMXFP4, block, values.size(), values.data());
  for (const float v : values) {
    if (!std::isfinite(v)) return false;
  }
  return true;
}

}  // namespace

bool BlocksAreFinite(QuantType type, const std::byte* blocks, int64_t n) {
  const QuantTraits& traits = TraitsOf(type);
  const std::byte* end = blocks + n / traits.elements * traits.bytes;
  bool finite = true;
  if (type == QuantType::kMXFP4) {
    for (; blocks != end; blocks += traits.bytes) finite = finite && IsFiniteMxfp4(blocks);
    return finite;
  }
  const Scales at = ScalesOf(type);
  for (; blocks != end; blocks += traits.bytes) {
    finite = finite && IsFiniteF16(blocks + at.first) && IsFiniteF16(blocks + at.second);
  }
  return finite;
}

bool HalvesAreFinite(DType type, const std::byte* values, int64_t n) {
  CHECK(type == DType::kF16 || type == DType::kBf16);
  const uint16_t exponent = type == DType::kF16 ? 0x7c00u : 0x7f80u;  // all ones: not finite
  bool found = false;
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    std::memcpy(&bits, values + 2 * i, sizeof bits);
    found |= (bits & exponent) == exponent;
  }
  return !found;
}

}  // namespace hadal
