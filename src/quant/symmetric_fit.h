// Owns: the search for the scale of a sub-block whose codes are signed integers around zero.
// Internal to this folder. Thread rule: pure functions.
#pragma once

#include "quant/lanes.h"

namespace hadal::blocks {

// Codes of w ~ d * q with -kMax <= q < kMax.
template <int N, int kMax>
class SymmetricFit {
 public:
  explicit SymmetricFit(const Weighted<N>& block) : b_(block) {
    Lanes low = block.x[0], high = block.x[0];
    for (int i = 1; i < Weighted<N>::kLanes; ++i) {
      low = Min(low, block.x[i]);
      high = Max(high, block.x[i]);
    }
    const float a = Lowest(low), b = Highest(high);
    extreme_ = -a > b ? a : b;
  }

  // The weight of largest magnitude.
  float extreme() const { return extreme_; }

  // The scale of least weighted error among those that give the extreme weight a code of each of
  // `targets` (not an integer: the codes are rounded, and the scale fitted to them).
  template <size_t K>
  float Best(const float (&targets)[K]) const {
    float best_gain = -1.0f, best = 0.0f;
    for (const float target : targets) {
      const float inverse = target / extreme_;
      Lanes xq = All(0.0f), qq = All(0.0f);
      for (int i = 0; i < Weighted<N>::kLanes; ++i) {
        const Lanes q = Codes(b_.x[i], inverse), wq = b_.w[i] * q;
        xq += wq * b_.x[i];
        qq += wq * q;
      }
      const float sum_xq = Sum(xq), sum_qq = Sum(qq);
      const float scale = sum_xq / sum_qq, gain = sum_xq * scale;
      if (gain > best_gain) {  // false for 0 / 0
        best_gain = gain;
        best = scale;
      }
    }
    return best;
  }

  // Weighted error when each weight takes the nearest code of scale d.
  float ErrorOf(float d) const {
    const float inverse = d == 0.0f ? 0.0f : 1.0f / d;
    Lanes error = All(0.0f);
    for (int i = 0; i < Weighted<N>::kLanes; ++i) {
      const Lanes off = b_.x[i] - Codes(b_.x[i], inverse) * d;
      error += b_.w[i] * off * off;
    }
    return Sum(error);
  }

  // Codes shifted to 0 .. 2 * kMax - 1.
  void Store(float d, int32_t* codes) const {
    const float inverse = d == 0.0f ? 0.0f : 1.0f / d;
    for (int i = 0; i < Weighted<N>::kLanes; ++i) {
      StoreCodes(Codes(b_.x[i], inverse) + static_cast<float>(kMax), codes + 4 * i);
    }
  }

 private:
  static Lanes Codes(Lanes x, float inverse) { return Round(Clamp(x * inverse, -kMax, kMax - 1)); }

  const Weighted<N>& b_;
  float extreme_;
};

}  // namespace hadal::blocks
