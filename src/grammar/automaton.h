// Owns: the compiled form of every constraint: rules that call each other, each a byte automaton
// that is deterministic in itself. Knows nothing of the language it was written in, nor of tokens.
// Every state can be continued to acceptance (dead ends are removed), no rule can call itself
// without reading a byte, and calls of rules that match the empty string may be passed over. Thread
// rule: an Automaton is immutable; a builder belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "grammar/dfa.h"
#include "grammar/limits.h"
#include "grammar/nfa.h"

namespace hadal::grammar {

class Automaton {
 public:
  using Edge = Dfa::Edge;
  struct Call {
    uint32_t rule = 0;
    uint32_t repeat = kNone;  // kNone: a plain call
    uint32_t to = 0;
  };
  // `rule`, `min` to `max` times (max may be kNone); a body never matches the empty string.
  struct Repeat {
    uint32_t rule = 0;
    uint32_t min = 0, max = kNone;
  };
  struct Rule {
    uint32_t start = 0;
    uint32_t rank = 0;  // a rule that another begins with has the larger rank
  };

  uint32_t root() const { return root_; }
  const Rule& rule(uint32_t rule) const { return rules_[rule]; }
  const Repeat& repeat(uint32_t repeat) const { return repeats_[repeat]; }
  bool accepts(uint32_t state) const { return states_[state].accept; }
  // A state of the root that nothing calls: nothing follows what it accepts.
  bool is_outermost(uint32_t state) const { return state < n_outermost_; }
  // Accepting with nothing after it: a call that ends here need not be returned to.
  bool only_accepts(uint32_t state) const {
    return accepts(state) && edges(state).empty() && calls(state).empty();
  }
  std::span<const Edge> edges(uint32_t state) const {
    return {edges_.data() + states_[state].first_edge,
            edges_.data() + states_[state + 1].first_edge};
  }
  std::span<const Call> calls(uint32_t state) const {
    return {calls_.data() + states_[state].first_call,
            calls_.data() + states_[state + 1].first_call};
  }
  uint32_t Next(uint32_t state, uint8_t byte) const;  // kNone: no such byte here
  uint32_t n_states() const { return static_cast<uint32_t>(states_.size() - 1); }
  uint32_t n_rules() const { return static_cast<uint32_t>(rules_.size()); }
  size_t bytes() const;  // of memory

 private:
  friend class AutomatonBuilder;
  struct State {
    uint32_t first_edge = 0, first_call = 0;
    bool accept = false;
  };
  uint32_t root_ = 0;
  uint32_t n_outermost_ = 0;  // the root's states come first
  std::vector<Rule> rules_;
  std::vector<Repeat> repeats_;
  std::vector<State> states_;  // one more than there are states
  std::vector<Edge> edges_;
  std::vector<Call> calls_;
};

class AutomatonBuilder {
 public:
  explicit AutomatonBuilder(Budget& budget) : budget_(budget) {}

  // `name` is for error messages. Every declared rule must be defined before Build.
  Result<uint32_t> Declare(std::string name);
  void Define(uint32_t rule, Nfa nfa) {
    nfa_states_ += nfa.size();
    rules_[rule].nfa = std::move(nfa);
  }
  // A rule of the byte automaton's language.
  Result<uint32_t> DefineBytes(std::string name, const Dfa& dfa);
  uint32_t AddRepeat(uint32_t rule, uint32_t min, uint32_t max);
  // Overflows when it, or all that were defined together, are too large.
  Nfa NewNfa() const {
    const uint64_t max = budget_.limits().max_states;
    const uint64_t left = 4 * max > nfa_states_ ? 4 * max - nfa_states_ : 0;
    return Nfa(static_cast<uint32_t>(left < max ? left : max));
  }
  Budget& budget() { return budget_; }
  uint32_t n_rules() const { return static_cast<uint32_t>(rules_.size()); }
  // Of what was defined, until Build.
  const std::string& name(uint32_t rule) const { return rules_[rule].name; }
  const Nfa& nfa(uint32_t rule) const { return rules_[rule].nfa; }
  const Automaton::Repeat& repeat(uint32_t repeat) const { return repeats_[repeat]; }

  // kInvalidArgument: too large, a rule that begins with itself, or nothing that matches.
  Result<std::shared_ptr<const Automaton>> Build(uint32_t root);
  // After Build failed: which rule the error is about, if one.
  std::optional<uint32_t> blamed() const { return blamed_; }
  // After Build, also when nothing matches its root: whether anything matches a rule.
  bool Matches(uint32_t rule) const {
    return rules_[rule].reached && !live_.empty() && live_[rules_[rule].first_state] != 0;
  }

 private:
  struct Draft {
    std::string name;
    Nfa nfa{2};
    bool nullable = false;
    bool reached = false;
    Dfa dfa;
    uint32_t first_state = 0;
    uint32_t rank = 0;
  };
  Status FindNullable();
  Result<bool> IsNullable(const Nfa& nfa);
  Status DeterminizeReached(uint32_t root);
  Status FindLive();
  Status Rank();
  std::shared_ptr<const Automaton> Flatten(uint32_t root);
  uint32_t RuleOf(const Dfa::Call& call) const {
    return call.repeat == kNone ? call.rule : repeats_[call.repeat].rule;
  }

  Budget& budget_;
  std::vector<Draft> rules_;
  std::vector<Automaton::Repeat> repeats_;
  std::vector<uint8_t> live_;  // by global state
  std::optional<uint32_t> blamed_;
  uint32_t n_states_ = 0;
  uint64_t nfa_states_ = 0;
};

}  // namespace hadal::grammar
