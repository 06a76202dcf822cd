// Owns: how many tokens to draft for one sequence next, from how its last drafts fared. Whole
// drafts that are right double the length; one that is wrong at once halves it, and several in a
// row make pauses that double up to 62 steps: what cannot be foretold costs a row in 63 steps.
// Thread rule: the engine thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace hadal {

class DraftPace {
 public:
  // Called once for each step that could hold a draft of `most` tokens; 0: none this time.
  int32_t Next(int32_t most) {
    if (pause_ > 0) {
      --pause_;
      return 0;
    }
    return std::min(length_, most);
  }
  // How many of the drafted tokens, at least one, were right.
  void Learn(int32_t drafted, int32_t right) {
    if (right == 0) {
      length_ = std::max(1, length_ / 2);
      misses_ = std::min(misses_ + 1, kMostMisses);
      pause_ = (1 << misses_) - 2;
      return;
    }
    misses_ = 0;
    // A draft cut short for lack of room says nothing about a longer one.
    if (right < drafted) length_ = right + 1;
    if (right == drafted && drafted >= length_) length_ = std::min(2 * length_, kLongest);
  }

  static constexpr int32_t kLongest = 16;

 private:
  static constexpr int32_t kMostMisses = 6;
  int32_t length_ = 2;
  int32_t misses_ = 0;  // drafts in a row that were wrong at once
  int32_t pause_ = 0;   // steps
};

}  // namespace hadal
