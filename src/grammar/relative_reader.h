// Owns: reading bytes from a state whose callers are not known: configurations above an unknown
// bottom, numbered, with every step remembered, so that reading a vocabulary costs one table
// look-up per byte. Knows nothing of tokens. Thread rule: a value of one thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "grammar/stepper.h"

namespace hadal::grammar {

class RelativeReader {
 public:
  static constexpr int32_t kDead = -1;
  static constexpr int32_t kTooMany = -3;

  RelativeReader(const Automaton& automaton, const Limits& limits);

  // All three return a state, kDead or kTooMany. States stay valid until Clear.
  int32_t FromState(uint32_t state);  // calls made there are other configurations' business
  int32_t FromReturn(const Return& to);
  int32_t Step(int32_t state, uint8_t byte) {
    const int32_t next = rows_[static_cast<size_t>(state)]->next[byte];
    return next == kUnknown ? Compute(state, byte) : next;
  }
  // The bottom can be left in this state: what follows depends on the caller.
  bool AtBottom(int32_t state) const { return rows_[static_cast<size_t>(state)]->bottom; }

  size_t n_states() const { return rows_.size(); }
  uint64_t steps() const { return steps_; }  // configurations computed, ever
  void Clear();

 private:
  static constexpr int32_t kUnknown = -2;
  struct Row {
    std::array<int32_t, 256> next;
    bool bottom = false;
    std::vector<Config> configs;
  };
  int32_t Compute(int32_t state, uint8_t byte);
  int32_t IdOf(const std::vector<Config>& configs, const Stepper::Outcome& outcome);

  Stepper stepper_;
  Stack stack_;
  std::vector<std::unique_ptr<Row>> rows_;
  std::map<std::pair<bool, std::vector<Config>>, int32_t> ids_;
  std::vector<Config> scratch_;
  uint64_t steps_ = 0;
};

}  // namespace hadal::grammar
