// Owns: the deterministic automaton over bytes (and calls) of one rule, and the operations on pure
// byte automata that schemas need: intersection, difference, length in characters.
// Knows nothing of rules' names or of tokens. Thread rule: values and pure functions.
// Every operation costs the Budget what it looks at and fails beyond Limits::max_states.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "grammar/limits.h"
#include "grammar/nfa.h"

namespace hadal::grammar {

inline constexpr uint32_t kNone = UINT32_MAX;

struct Dfa {
  struct Edge {
    uint8_t lo = 0, hi = 0;
    uint32_t to = 0;
  };
  struct Call {
    uint32_t rule = kNone;    // a plain call, or
    uint32_t repeat = kNone;  // a counted one
    uint32_t to = 0;
  };
  struct State {
    std::vector<Edge> edges;  // sorted, disjoint
    std::vector<Call> calls;
    bool accept = false;
  };
  std::vector<State> states;  // 0 is the start; none at all = the empty language

  bool empty() const { return states.empty(); }
  bool Matches(std::string_view bytes) const;  // states without calls only
};

// `nullable` tells whether a rule matches the empty string, `optional` whether a repeat does: their
// calls may be passed over.
struct CallInfo {
  std::function<bool(uint32_t rule)> nullable;
  std::function<bool(uint32_t repeat)> optional;
};
Result<Dfa> Determinize(const Nfa& nfa, const CallInfo& calls, Budget& budget);
// For an automaton without calls; what cannot lead to acceptance is removed.
Result<Dfa> DeterminizeBytes(const Nfa& nfa, Budget& budget);

enum class Product { kBoth, kFirstOnly };
Result<Dfa> Combine(const Dfa& a, const Dfa& b, Product product, Budget& budget);
// The texts of `dfa` (UTF-8) with min..max characters; max may be kNone.
Result<Dfa> WithLength(const Dfa& dfa, uint32_t min, uint32_t max, Budget& budget);
// Removes states that cannot lead to acceptance.
void Trim(Dfa& dfa);

}  // namespace hadal::grammar
