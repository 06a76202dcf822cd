// Encoders of the 32-weight blocks.
#include <cmath>

#include "quant/blocks.h"
#include "quant/lanes.h"
#include "quant/symmetric_fit.h"

namespace hadal::blocks {

uint16_t ScaleToF16(float scale) {
  const float magnitude = std::fabs(scale);
  if (magnitude >= kMaxF16) return FloatToF16(std::copysign(kMaxF16, scale));
  if (magnitude >= 0x1p-14f) return FloatToF16(scale);
  // Multiples of 2^-24. What is a multiple but for rounding errors stays the same.
  const float units = std::ceil(magnitude * (0x1p24f * 0.9999f));
  return FloatToF16(std::copysign(units * 0x1p-24f, scale));
}

namespace {

// Codes 0 .. 2 * kMax - 1 and d of a block; targets hold every integer that the extreme weight's
// code can be, so that a block which was decoded before is found again.
template <int kMax, size_t K>
float FitSmall(const float* x, const float (&targets)[K], uint8_t* d_out, int32_t* codes) {
  const Weighted<kSmall> block(x, -kMax * kMaxF16, kMax * kMaxF16);
  const SymmetricFit<kSmall, kMax> fit(block);
  uint16_t best = 0;
  if (std::fabs(fit.extreme()) >= kTiny) {
    const uint16_t fitted = ScaleToF16(fit.Best(targets));
    const uint16_t full = ScaleToF16(fit.extreme() / -kMax);  // no code is cut off
    best = fit.ErrorOf(F16ToFloat(fitted)) <= fit.ErrorOf(F16ToFloat(full)) ? fitted : full;
  }
  StoreU16(d_out, best);
  fit.Store(F16ToFloat(best), codes);
  return F16ToFloat(best);
}

void PackNibbles(const int32_t* codes, uint8_t* out) {
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<uint8_t>((codes[j] & 15) | (codes[j + 16] & 15) << 4);
  }
}

}  // namespace

void EncodeQ4_0(const float* x, uint8_t* block) {
  constexpr float kTargets[] = {-8.0f, -8.6f, -8.3f, -7.7f, -7.4f, -7.0f, -6.0f,
                                6.0f,  6.7f,  7.0f,  7.3f,  7.6f,  7.9f};
  int32_t codes[kSmall];
  FitSmall<8>(x, kTargets, block, codes);
  PackNibbles(codes, block + 2);
}

void EncodeQ5_0(const float* x, uint8_t* block) {
  constexpr float kTargets[] = {-16.0f, -16.8f, -16.4f, -15.6f, -15.0f, -14.0f,
                                14.0f,  14.6f,  15.0f,  15.4f,  15.8f};
  int32_t codes[kSmall];
  FitSmall<16>(x, kTargets, block, codes);
  uint32_t high = 0;
  for (int j = 0; j < kSmall; ++j) high |= static_cast<uint32_t>(codes[j] >> 4) << j;
  StoreU16(block + 2, static_cast<uint16_t>(high));
  StoreU16(block + 4, static_cast<uint16_t>(high >> 16));
  PackNibbles(codes, block + 6);
}

// 255 steps are fine enough for the plain rule: the largest magnitude becomes 127.
void EncodeQ8_0(const float* x, uint8_t* block) {
  Lanes largest = All(0.0f);
  for (int i = 0; i < kSmall; i += 4) largest = Max(largest, Abs(Load(x + i)));
  const uint16_t d = ScaleToF16(Highest(largest) / 127.0f);
  StoreU16(block, d);
  const float inverse = d == 0 ? 0.0f : 1.0f / F16ToFloat(d);
  int32_t codes[kSmall];
  for (int i = 0; i < kSmall; i += 4) {
    const Lanes limited = Clamp(Load(x + i), -127.0f * kMaxF16, 127.0f * kMaxF16);
    StoreCodes(Round(Clamp(limited * inverse, -127.0f, 127.0f)), codes + i);
  }
  for (int i = 0; i < kSmall; ++i) block[2 + i] = static_cast<uint8_t>(codes[i]);
}

}  // namespace hadal::blocks
