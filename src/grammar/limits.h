// Owns: how much one constraint may cost, and the count of the work that its compilation has done.
// Knows nothing of what is compiled. Limits are arguments: no default is read from anywhere else.
// Thread rule: Limits is a value; a Budget belongs to one compilation.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/error.h"

namespace hadal::grammar {

struct Limits {
  size_t max_source_bytes = 1u << 20;
  int max_depth = 128;                   // nesting of values, groups and chains of $ref
  uint32_t max_rules = 1u << 15;         // rules of one grammar
  uint32_t max_states = 1u << 18;        // states of the automaton, and of any one step towards it
  uint64_t max_steps = 15'000'000;       // edges looked at while compiling; under a second
  uint32_t max_alternatives = 1024;      // of one schema after anyOf and allOf are multiplied out
  uint32_t max_required = 1u << 16;      // minItems, minLength: more could never be generated
  uint32_t max_configurations = 1024;    // ways to read the output so far that are kept at once
  uint32_t max_stack_frames = 1u << 21;  // of one matcher
  uint64_t max_mask_steps = 1u << 23;    // tokens' bytes read for one mask
  size_t max_mask_bytes = 32u << 20;     // masks remembered for one constraint
};

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}
  const Limits& limits() const { return limits_; }
  // kInvalidArgument when the work is used up.
  Status Spend(uint64_t steps) {
    steps_ += steps;
    if (steps_ <= limits_.max_steps) return {};
    return Fail(ErrorCode::kInvalidArgument,
                "the constraint needs more than {} steps to compile; make it simpler",
                limits_.max_steps);
  }
  uint64_t steps() const { return steps_; }
  bool left() const { return steps_ <= limits_.max_steps; }

 private:
  Limits limits_;
  uint64_t steps_ = 0;
};

}  // namespace hadal::grammar
