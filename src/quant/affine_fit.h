// Owns: the search for scale and minimum of a sub-block of 32 whose codes are 0 .. kMax.
// Internal to this folder. Thread rule: pure functions.
#pragma once

#include "quant/lanes.h"

namespace hadal::blocks {

// w ~ scale * q - min, both not negative.
struct AffineScale {
  float scale = 0.0f;
  float min = 0.0f;
};

template <int kMax>
class AffineFit {
 public:
  explicit AffineFit(const Weighted<32>& block) : b_(block) {
    Lanes low = block.x[0], high = block.x[0], w = All(0.0f), x = All(0.0f);
    for (int i = 0; i < kLanes; ++i) {
      low = Min(low, block.x[i]);
      high = Max(high, block.x[i]);
      w += block.w[i];
      x += block.w[i] * block.x[i];
    }
    const float lowest = Lowest(low);
    low_ = lowest < 0.0f ? lowest : 0.0f;
    range_ = Highest(high) - low_;
    sum_w_ = Sum(w);
    sum_x_ = Sum(x);
  }

  // Codes over a little more and a little less than the range, a least-squares fit of scale and
  // minimum to each; then the best is rounded and fitted once more, as in Lloyd's algorithm.
  AffineScale Best() const {
    if (range_ < kTiny) return {0.0f, -low_};
    Candidate best{{range_ / kMax, -low_}, -1.0f};
    constexpr float kStretch[] = {-1.0f, -0.6f, -0.3f, 0.0f, 0.3f, 0.6f, 0.9f};
    for (const float stretch : kStretch) Try((kMax + stretch) / range_, low_, &best);
    for (int round = 0; round < 2; ++round) {
      Try(1.0f / best.fit.scale, -best.fit.min, &best);
    }
    return best.fit;
  }

  // Weighted error when each weight takes the nearest code.
  float ErrorOf(AffineScale fit) const {
    const float inverse = Inverse(fit.scale);
    Lanes error = All(0.0f);
    for (int i = 0; i < kLanes; ++i) {
      const Lanes off = Codes(b_.x[i] + fit.min, inverse) * fit.scale - (b_.x[i] + fit.min);
      error += b_.w[i] * off * off;
    }
    return Sum(error);
  }

  void Store(AffineScale fit, int32_t* codes) const {
    const float inverse = Inverse(fit.scale);
    for (int i = 0; i < kLanes; ++i) {
      StoreCodes(Codes(b_.x[i] + fit.min, inverse), codes + 4 * i);
    }
  }

 private:
  static constexpr int kLanes = Weighted<32>::kLanes;
  struct Candidate {
    AffineScale fit;
    float gain;  // how much of sum w x^2 it explains
  };

  static float Inverse(float scale) { return scale > 0.0f ? 1.0f / scale : 0.0f; }
  static Lanes Codes(Lanes x, float inverse) { return Round(Clamp(x * inverse, 0.0f, kMax)); }

  void Try(float inverse, float offset, Candidate* best) const {
    Lanes q1 = All(0.0f), q2 = All(0.0f), xq = All(0.0f);
    for (int i = 0; i < kLanes; ++i) {
      const Lanes q = Codes(b_.x[i] - offset, inverse), wq = b_.w[i] * q;
      q1 += wq;
      q2 += wq * q;
      xq += wq * b_.x[i];
    }
    const float sum_q = Sum(q1), sum_qq = Sum(q2), sum_xq = Sum(xq);
    const float determinant = sum_w_ * sum_qq - sum_q * sum_q;
    if (!(determinant > 0.0f)) return;
    float scale = (sum_w_ * sum_xq - sum_x_ * sum_q) / determinant;
    float min = (sum_q * sum_xq - sum_qq * sum_x_) / determinant;
    if (min < 0.0f) {
      min = 0.0f;
      scale = sum_xq / sum_qq;
    }
    if (!(scale > 0.0f)) return;
    const float gain = scale * (2.0f * sum_xq + 2.0f * min * sum_q - scale * sum_qq) -
                       min * (2.0f * sum_x_ + min * sum_w_);
    if (gain > best->gain) *best = {{scale, min}, gain};
  }

  const Weighted<32>& b_;
  float low_, range_, sum_w_, sum_x_;
};

}  // namespace hadal::blocks
