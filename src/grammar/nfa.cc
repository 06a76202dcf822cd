#include "grammar/nfa.h"

#include "grammar/dfa.h"

namespace hadal::grammar {

Nfa::Nfa(uint32_t max_states) : max_states_(max_states) { states_.resize(2); }

uint32_t Nfa::AddState() {
  if (states_.size() >= max_states_) {
    overflowed_ = true;
    return accept();
  }
  states_.emplace_back();
  return size() - 1;
}

uint32_t Nfa::Literal(uint32_t from, std::string_view bytes) {
  for (const char c : bytes) {
    const uint32_t to = AddState();
    Bytes(from, static_cast<uint8_t>(c), static_cast<uint8_t>(c), to);
    from = to;
  }
  return from;
}

uint32_t Nfa::Calls(uint32_t from, uint32_t rule) {
  const uint32_t to = AddState();
  Call(from, rule, to);
  return to;
}

uint32_t Nfa::Embed(uint32_t from, const Dfa& dfa) {
  const uint32_t end = AddState();
  if (dfa.states.empty() || overflowed_ || dfa.states.size() > max_states_ - size()) {
    overflowed_ |= !dfa.states.empty();
    return end;
  }
  const uint32_t first = size();
  states_.resize(size() + dfa.states.size());
  Epsilon(from, first);
  for (uint32_t i = 0; i < dfa.states.size(); ++i) {
    for (const Dfa::Edge& e : dfa.states[i].edges) Bytes(first + i, e.lo, e.hi, first + e.to);
    if (dfa.states[i].accept) Epsilon(first + i, end);
  }
  return end;
}

}  // namespace hadal::grammar
