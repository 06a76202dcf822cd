// Owns: the nondeterministic byte automaton of one rule while it is being put together: byte
// ranges, epsilon, calls of other rules, counted calls, and the assertions "begin" and "end" of
// patterns. Knows nothing of schemas or patterns. Thread rule: a value of one thread.
//
//   Nfa nfa(limits.max_states);
//   nfa.Epsilon(nfa.Literal(nfa.start(), "{"), nfa.accept());
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace hadal::grammar {

struct Dfa;

struct NfaEdge {
  enum class Kind : uint8_t { kBytes, kEpsilon, kCall, kRepeat, kBegin, kEnd };
  Kind kind = Kind::kEpsilon;
  uint8_t lo = 0, hi = 0;  // kBytes
  uint32_t label = 0;      // kCall: rule, kRepeat: repeat
  uint32_t to = 0;
};

class Nfa {
 public:
  // Past max_states no state is added and overflowed() says so: the result is then of no use.
  explicit Nfa(uint32_t max_states);

  uint32_t start() const { return 0; }
  uint32_t accept() const { return 1; }
  uint32_t AddState();
  void Bytes(uint32_t from, uint8_t lo, uint8_t hi, uint32_t to) {
    Add(from, {NfaEdge::Kind::kBytes, lo, hi, 0, to});
  }
  void Epsilon(uint32_t from, uint32_t to) { Add(from, {.to = to}); }
  void Call(uint32_t from, uint32_t rule, uint32_t to) {
    Add(from, {NfaEdge::Kind::kCall, 0, 0, rule, to});
  }
  void Repeat(uint32_t from, uint32_t repeat, uint32_t to) {
    Add(from, {NfaEdge::Kind::kRepeat, 0, 0, repeat, to});
  }
  void Assert(uint32_t from, NfaEdge::Kind kind, uint32_t to) {
    Add(from, {kind, 0, 0, 0, to});
    has_end_ |= kind == NfaEdge::Kind::kEnd;
  }
  // A new state reached from `from` by the bytes, by the rule, by the language of the automaton.
  uint32_t Literal(uint32_t from, std::string_view bytes);
  uint32_t Calls(uint32_t from, uint32_t rule);
  uint32_t Embed(uint32_t from, const Dfa& dfa);

  const std::vector<NfaEdge>& edges(uint32_t state) const { return states_[state]; }
  uint32_t size() const { return static_cast<uint32_t>(states_.size()); }
  bool overflowed() const { return overflowed_; }
  bool has_end() const { return has_end_; }

 private:
  void Add(uint32_t from, NfaEdge edge) {
    if (!overflowed_) states_[from].push_back(edge);
  }
  std::vector<std::vector<NfaEdge>> states_;
  uint32_t max_states_;
  bool overflowed_ = false;
  bool has_end_ = false;
};

}  // namespace hadal::grammar
