#include "grammar/expression.h"

#include <utility>

namespace hadal::grammar {

uint32_t Expressions::Add(Expression expression) {
  all_.push_back(std::move(expression));
  return static_cast<uint32_t>(all_.size() - 1);
}

uint32_t Expressions::Emit(uint32_t i, Nfa& nfa, uint32_t from) const {
  const Expression& e = all_[i];
  // Every expression adds a state, so that repetitions of nothing also end at the limit.
  const uint32_t to = nfa.AddState();
  if (nfa.overflowed()) return to;
  switch (e.kind) {
    case Expression::Kind::kBytes:
      nfa.Epsilon(nfa.Literal(from, e.bytes), to);
      break;
    case Expression::Kind::kSet:
      AddCharacters(nfa, from, e.set, to);
      break;
    case Expression::Kind::kSequence:
      for (const uint32_t child : e.children) from = Emit(child, nfa, from);
      nfa.Epsilon(from, to);
      break;
    case Expression::Kind::kChoice:
      for (const uint32_t child : e.children) nfa.Epsilon(Emit(child, nfa, from), to);
      break;
    case Expression::Kind::kRepeat:
      nfa.Epsilon(EmitRepeat(e, nfa, from), to);
      break;
    case Expression::Kind::kRule:
      nfa.Call(from, e.rule, to);
      break;
    case Expression::Kind::kBegin:
      nfa.Assert(from, NfaEdge::Kind::kBegin, to);
      break;
    case Expression::Kind::kEnd:
      nfa.Assert(from, NfaEdge::Kind::kEnd, to);
      break;
  }
  return to;
}

uint32_t Expressions::EmitRepeat(const Expression& repeat, Nfa& nfa, uint32_t from) const {
  const uint32_t child = repeat.children[0];
  for (uint32_t n = 0; n < repeat.min && !nfa.overflowed(); ++n) from = Emit(child, nfa, from);
  if (repeat.max == kNone) {
    const uint32_t loop = nfa.AddState();
    nfa.Epsilon(from, loop);
    nfa.Epsilon(Emit(child, nfa, loop), loop);
    return loop;
  }
  const uint32_t end = nfa.AddState();
  nfa.Epsilon(from, end);
  for (uint32_t n = repeat.min; n < repeat.max && !nfa.overflowed(); ++n) {
    from = Emit(child, nfa, from);
    nfa.Epsilon(from, end);
  }
  return end;
}

}  // namespace hadal::grammar
