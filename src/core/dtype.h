// DType: the element types of tensors, and single-value conversions that define them.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace hadal {

enum class DType : uint8_t { kF32, kF16, kBf16, kF8E4M3, kI8, kI32, kI64, kU8 };

constexpr size_t SizeOf(DType t) {
  switch (t) {
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBf16:
      return 2;
    case DType::kI64:
      return 8;
    case DType::kF8E4M3:
    case DType::kI8:
    case DType::kU8:
      return 1;
  }
  return 0;
}
std::string_view NameOf(DType t);  // safetensors spelling: "F32", "BF16", "F8_E4M3", ...

inline float Bf16ToFloat(uint16_t v) {
  return std::bit_cast<float>(static_cast<uint32_t>(v) << 16);
}
// Round to nearest even; NaN stays NaN.
inline uint16_t FloatToBf16(float f) {
  const uint32_t u = std::bit_cast<uint32_t>(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((u >> 16) | 0x40);
  return static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}
float F16ToFloat(uint16_t v);
uint16_t FloatToF16(float f);    // round to nearest even, overflow to infinity
float F8E4M3ToFloat(uint8_t v);  // e4m3fn: bias 7, no infinity, 0x7f and 0xff are NaN
uint8_t FloatToF8E4M3(float f);  // round to nearest even, saturates at 448

}  // namespace hadal
