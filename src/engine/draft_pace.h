// Owns: how many tokens to guess for one sequence next, from how its guesses fared. A guess is
// worth its row while the chance that it is reached and right is above what the row costs, as a
// share of what a token costs. Below that single guesses are tried, after pauses that double while
// they are wrong: what cannot be foretold costs a row in 63 steps.
// Thread rule: the engine thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace hadal {

class DraftPace {
 public:
  // Called once for each step that could hold `most` guesses; worth > 0. 0: none this time.
  int32_t Next(int32_t most, double worth) {
    if (pause_ > 0) {
      --pause_;
      return 0;
    }
    if (worth >= 1) return 0;
    trying_ = rate_ < worth;
    if (trying_) return std::min(1, most);
    const double length = std::log(worth) / std::log(std::min(rate_, kSurest));
    return std::clamp(static_cast<int32_t>(length), 1, most);
  }
  // How many of the guesses, at least one, were right.
  void Learn(int32_t drafted, int32_t right) {
    for (int32_t i = 0; i < right; ++i) rate_ += (1 - rate_) * kWeight;
    if (right < drafted) rate_ -= rate_ * kWeight;
    misses_ = trying_ ? std::clamp(misses_ + (right > 0 ? -1 : 1), 0, kMostMisses) : 0;
    pause_ = std::max(0, (1 << misses_) - 2);
  }

 private:
  static constexpr double kWeight = 0.125;  // of the last guess in the rate
  static constexpr double kSurest = 0.95;
  static constexpr int32_t kMostMisses = 6;

  double rate_ = 0.6;    // of right guesses among those reached
  bool trying_ = false;  // the last guess was a single one below what is worth it
  int32_t misses_ = 0;   // wrong tries, less right ones
  int32_t pause_ = 0;    // steps
};

}  // namespace hadal
