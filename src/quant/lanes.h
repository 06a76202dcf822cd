// Owns: four floats side by side and what the encoders do with them. Sums have one written order,
// so an encoder gives the same bytes on every machine, vectorised or not.
// Internal to this folder. Thread rule: pure functions.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/dtype.h"

namespace hadal::blocks {

using Lanes = float __attribute__((vector_size(16)));
using IntLanes = int32_t __attribute__((vector_size(16)));

inline Lanes Load(const float* p) {
  Lanes v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline Lanes All(float v) { return Lanes{v, v, v, v}; }
inline Lanes Min(Lanes a, Lanes b) { return a < b ? a : b; }
inline Lanes Max(Lanes a, Lanes b) { return a > b ? a : b; }
inline Lanes Abs(Lanes a) { return Max(a, -a); }
inline Lanes Clamp(Lanes v, float low, float high) { return Min(Max(v, All(low)), All(high)); }
// To the nearest integer, ties to even; |v| < 2^22.
inline Lanes Round(Lanes v) { return (v + 0x1.8p23f) - 0x1.8p23f; }
inline float Sum(Lanes v) { return (v[0] + v[2]) + (v[1] + v[3]); }
inline float Lowest(Lanes v) {
  const float a = v[0] < v[2] ? v[0] : v[2], b = v[1] < v[3] ? v[1] : v[3];
  return a < b ? a : b;
}
inline float Highest(Lanes v) { return -Lowest(-v); }
inline void StoreCodes(Lanes v, int32_t* out) {
  const IntLanes codes = __builtin_convertvector(v, IntLanes);
  std::memcpy(out, &codes, sizeof(codes));
}

constexpr float kMaxF16 = 65504.0f;
// Below this no f16 scale gives a code other than 0 a value nearer than 0.
constexpr float kTiny = 0x1p-30f;

// N weights of a sub-block and how much the error of each counts: its magnitude above the root mean
// square of the sub-block, because outputs follow the large weights.
template <int N>
struct Weighted {
  static constexpr int kLanes = N / 4;
  Lanes x[kLanes];
  Lanes w[kLanes];

  // Values beyond what the type can hold count as the nearest that it can.
  Weighted(const float* values, float low, float high) {
    Lanes squares = All(0.0f);
    for (int i = 0; i < kLanes; ++i) {
      x[i] = Clamp(Load(values + 4 * i), low, high);
      squares += x[i] * x[i];
    }
    const Lanes base = All(std::sqrt(Sum(squares) / N));
    for (int i = 0; i < kLanes; ++i) w[i] = base + Abs(x[i]);
  }
};

// The f16 for a scale: finite, and not below `scale` where f16 has few bits left, since codes that
// are cut off at their limit cost more than coarse steps.
uint16_t ScaleToF16(float scale);

}  // namespace hadal::blocks
