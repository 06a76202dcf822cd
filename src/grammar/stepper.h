// Owns: one step of reading: from the configurations before a byte to those after it.
// Knows nothing of tokens or masks. Thread rule: a value of one thread, beside its Stack.
#pragma once

#include <cstdint>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/stack.h"

namespace hadal::grammar {

class Stepper {
 public:
  Stepper(const Automaton& automaton, const Limits& limits)
      : automaton_(&automaton),
        max_configurations_(limits.max_configurations),
        max_frames_(limits.max_stack_frames) {}

  struct Outcome {
    bool bottom = false;    // the bottom of the stack can be left here: complete, or unknown
    bool too_many = false;  // a limit was hit; the configurations are of no use
  };
  // Sorted configurations, empty when the byte is not possible.
  Outcome Begin(Stack& stack, std::vector<Config>& out);
  Outcome Step(Stack& stack, const std::vector<Config>& in, uint8_t byte, std::vector<Config>& out);
  // What follows when a call is done that returns to `to` above the bottom.
  Outcome Resume(Stack& stack, const Return& to, std::vector<Config>& out);

 private:
  struct Pending {
    uint32_t rank, rule;
    std::vector<Frame> frames;
  };
  void Return_(const Return& to, uint32_t below, std::vector<Config>& out);
  void AddCall(uint32_t rule, const Frame& frame);
  void AddCalls(const Stack& stack, const Config& config);
  Outcome Close(Stack& stack, std::vector<Config>& out);
  Pending& PendingOf(uint32_t rule);

  const Automaton* automaton_;
  size_t max_configurations_, max_frames_;
  std::vector<Pending> pending_;  // kept allocated; n_pending_ are in use
  size_t n_pending_ = 0;
  bool overflowed_ = false;
};

}  // namespace hadal::grammar
