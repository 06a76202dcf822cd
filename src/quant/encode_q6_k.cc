// Encoder of Q6_K: 16 sub-blocks of 16 weights, each with a signed scale of 8 bits.
#include <algorithm>
#include <cmath>

#include "quant/blocks.h"
#include "quant/lanes.h"
#include "quant/symmetric_fit.h"

namespace hadal::blocks {
namespace {

constexpr int kSubs = 16;
constexpr int kMax = 32;
constexpr float kLimit = 128.0f * kMax * kMaxF16;
constexpr float kTargets[] = {-32.0f, -32.9f, -32.7f, -32.5f, -32.2f, -31.7f, -31.4f, -31.1f,
                              30.3f,  30.6f,  30.9f,  31.1f,  31.3f,  31.5f,  31.7f,  31.9f};

using Fit = SymmetricFit<16, kMax>;
using Sub = Weighted<16>;

float ScaleOf(const float* x) {
  const Sub sub(x, -kLimit, kLimit);
  const Fit fit(sub);
  return std::fabs(fit.extreme()) < kTiny ? 0.0f : fit.Best(kTargets);
}

// Of the whole multiples of d next to `wanted` the one with the least error; its codes.
int8_t Choose(const float* x, float wanted, float d, int32_t* codes) {
  const Sub sub(x, -kLimit, kLimit);
  const Fit fit(sub);
  const int nearest = d == 0.0f ? 0 : static_cast<int>(std::nearbyint(wanted / d));
  int best = 0;
  float least = INFINITY;
  for (const int step : {0, 1, -1}) {
    const int scale = std::clamp(nearest + step, -128, 127);
    const float error = fit.ErrorOf(d * static_cast<float>(scale));
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  fit.Store(d * static_cast<float>(best), codes);
  return static_cast<int8_t>(best);
}

void Pack(const int32_t* codes, uint8_t* block) {
  for (int half = 0; half < 2; ++half) {
    const int32_t* q = codes + 128 * half;
    for (int i = 0; i < 64; ++i) {
      block[64 * half + i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 64] & 15) << 4);
    }
    for (int i = 0; i < 32; ++i) {
      block[128 + 32 * half + i] = static_cast<uint8_t>(q[i] >> 4 | q[i + 32] >> 4 << 2 |
                                                        q[i + 64] >> 4 << 4 | q[i + 96] >> 4 << 6);
    }
  }
}

}  // namespace

void EncodeQ6_K(const float* x, uint8_t* block) {
  float scales[kSubs];
  float largest = 0.0f;  // in magnitude, with its sign: it becomes -128
  for (int j = 0; j < kSubs; ++j) {
    scales[j] = ScaleOf(x + 16 * j);
    if (std::fabs(scales[j]) > std::fabs(largest)) largest = scales[j];
  }
  const uint16_t half = ScaleToF16(largest / -128.0f);
  StoreU16(block + 208, half);
  int32_t codes[kSuper];
  for (int j = 0; j < kSubs; ++j) {
    block[192 + j] =
        static_cast<uint8_t>(Choose(x + 16 * j, scales[j], F16ToFloat(half), codes + 16 * j));
  }
  Pack(codes, block);
}

}  // namespace hadal::blocks
