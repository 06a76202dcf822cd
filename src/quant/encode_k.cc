// Encoders of the k-quants. A sub-block's scale is found as if it could be any number; then the
// block's f16 scales are set by the largest, and of the neighbouring whole multiples each sub-block
// takes those with the least error.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "quant/affine_fit.h"
#include "quant/blocks.h"
#include "quant/lanes.h"
#include "quant/symmetric_fit.h"

namespace hadal::blocks {
namespace {

int Nearest(float v) { return static_cast<int>(v + 0.5f); }  // v >= 0

// How far scale and minimum move together: a larger scale wants a larger minimum.
struct Step {
  int scale, min;
};
constexpr Step kSteps[] = {{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, -1}};

template <int kMax>
struct AffineBlock {
  static constexpr int kSubs = 8;
  uint16_t d = 0, dmin = 0;
  uint8_t scales[12];
  int32_t codes[kSuper];

  explicit AffineBlock(const float* x) {
    AffineScale wanted[kSubs];
    float max_scale = 0.0f, max_min = 0.0f;
    for (int j = 0; j < kSubs; ++j) {
      const Weighted<32> sub = Sub(x, j);
      wanted[j] = AffineFit<kMax>(sub).Best();
      max_scale = std::max(max_scale, wanted[j].scale);
      max_min = std::max(max_min, wanted[j].min);
    }
    d = ScaleToF16(max_scale / 63.0f);
    dmin = ScaleToF16(max_min / 63.0f);
    for (int j = 0; j < kSubs; ++j) {
      const Weighted<32> sub = Sub(x, j);
      Choose(AffineFit<kMax>(sub), wanted[j], j);
    }
  }

 private:
  static Weighted<32> Sub(const float* x, int j) {
    return Weighted<32>(x + 32 * j, -63.0f * kMaxF16, 63.0f * kMax * kMaxF16);
  }

  void Choose(const AffineFit<kMax>& fit, AffineScale wanted, int j) {
    const float unit = F16ToFloat(d), min_unit = F16ToFloat(dmin);
    const int scale = unit > 0.0f ? std::min(Nearest(wanted.scale / unit), 63) : 0;
    const int min = min_unit > 0.0f ? std::min(Nearest(wanted.min / min_unit), 63) : 0;
    ScaleMin best{};
    AffineScale best_fit;
    float least = INFINITY;
    for (const Step step : kSteps) {
      const int s = scale + step.scale, m = min + step.min;
      if (s < 0 || s > 63 || m < 0 || m > 63) continue;
      const AffineScale candidate{unit * static_cast<float>(s), min_unit * static_cast<float>(m)};
      const float error = fit.ErrorOf(candidate);
      if (error < least) {
        least = error;
        best = {static_cast<uint8_t>(s), static_cast<uint8_t>(m)};
        best_fit = candidate;
      }
    }
    PackScaleMin(best, j, scales);
    fit.Store(best_fit, codes + 32 * j);
  }
};

// Chunks of 64 codes: the low nibbles are the first 32, the high ones the others.
void PackChunks(const int32_t* codes, uint8_t* out) {
  for (int chunk = 0; chunk < 4; ++chunk) {
    const int32_t* q = codes + 64 * chunk;
    for (int i = 0; i < 32; ++i) {
      out[32 * chunk + i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 32] & 15) << 4);
    }
  }
}

}  // namespace

void EncodeQ4_K(const float* x, uint8_t* block) {
  const AffineBlock<15> fit(x);
  StoreU16(block, fit.d);
  StoreU16(block + 2, fit.dmin);
  std::memcpy(block + 4, fit.scales, sizeof(fit.scales));
  PackChunks(fit.codes, block + 16);
}

void EncodeQ5_K(const float* x, uint8_t* block) {
  const AffineBlock<31> fit(x);
  StoreU16(block, fit.d);
  StoreU16(block + 2, fit.dmin);
  std::memcpy(block + 4, fit.scales, sizeof(fit.scales));
  for (int i = 0; i < 32; ++i) {
    int bits = 0;
    for (int sub = 0; sub < 8; ++sub) bits |= fit.codes[32 * sub + i] >> 4 << sub;
    block[16 + i] = static_cast<uint8_t>(bits);
  }
  PackChunks(fit.codes, block + 48);
}

}  // namespace hadal::blocks
