// Owns: E4M3 codes (sign, four bits of exponent with bias 7, three of mantissa; no infinity) as
// bf16 values, which all of them are, exactly. Only .cu files include this.
#pragma once

#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {

constexpr float kLargestCode = 448;
constexpr int kCodeBias = 120;  // a code's bits as those of a bf16 value are 2^-120 of it

// The nearest code, ties to even; at most 448.
__device__ inline uint8_t FloatToCode(float v) {
  const uint32_t u = __float_as_uint(v), sign = u >> 24 & 0x80;
  const float a = fminf(fabsf(v), kLargestCode);
  if (a < 0x1p-6f) return static_cast<uint8_t>(sign | __float2int_rn(a * 512));
  const uint32_t bits = __float_as_uint(a);
  const uint32_t rounded = (bits + 0x7ffff + (bits >> 20 & 1)) >> 20;
  return static_cast<uint8_t>(sign | (rounded - (kCodeBias << 3)));
}

// Two codes in the upper bytes of both halves, as bf16 values times 2^-kCodeBias.
__device__ inline uint32_t SmallBf16(uint32_t codes) {
  return (codes & 0x80008000u) | (codes >> 4 & 0x07f007f0u);
}
// What makes them values: two scales times 2^kCodeBias, as bf16.
__device__ inline uint32_t CodeFactors(float low, float high) {
  return PackBf16(low * 0x1p120f, high * 0x1p120f);
}
constexpr uint32_t kNoScale = 0x7b807b80;  // CodeFactors(1, 1)
// Bytes 0 and 1 of four codes, bytes 2 and 3, or 0 and 2, or 1 and 3, as two bf16 values.
constexpr uint32_t kCodes01 = 0x1404, kCodes23 = 0x3424, kCodes02 = 0x2404, kCodes13 = 0x3414;
template <uint32_t kWhich>
__device__ inline uint32_t CodesToBf16(uint32_t codes, uint32_t factors) {
  return MultiplyBf16(SmallBf16(BytePermute(codes, 0, kWhich)), factors);
}
// Eight codes that share a scale.
__device__ inline uint4 CodesToBf16(uint2 codes, uint32_t factors) {
  return {CodesToBf16<kCodes01>(codes.x, factors), CodesToBf16<kCodes23>(codes.x, factors),
          CodesToBf16<kCodes01>(codes.y, factors), CodesToBf16<kCodes23>(codes.y, factors)};
}

}  // namespace hadal::CUDA_NAMESPACE
