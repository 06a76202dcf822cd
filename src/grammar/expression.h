// Owns: the tree that patterns and grammars are read into, and its translation into an Nfa.
// Knows nothing of either notation. Thread rule: values of one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "grammar/code_points.h"
#include "grammar/dfa.h"
#include "grammar/nfa.h"

namespace hadal::grammar {

struct Expression {
  enum class Kind {
    kBytes,  // a literal; "" matches the empty string
    kSet,    // one character
    kSequence,
    kChoice,
    kRepeat,  // of one child
    kRule,    // a call
    kBegin,   // ^
    kEnd      // $
  };
  Kind kind = Kind::kBytes;
  std::string bytes = {};
  CodePointSet set = {};
  std::vector<uint32_t> children = {};
  uint32_t min = 0, max = kNone;
  uint32_t rule = 0;
};

class Expressions {
 public:
  uint32_t Add(Expression expression);
  const Expression& operator[](uint32_t i) const { return all_[i]; }
  Expression& operator[](uint32_t i) { return all_[i]; }
  // A new state of `nfa` reached from `from` by the expression. The depth of recursion is that of
  // the tree, which the parsers bound; repetitions stop when the Nfa has overflowed.
  uint32_t Emit(uint32_t i, Nfa& nfa, uint32_t from) const;

 private:
  uint32_t EmitRepeat(const Expression& repeat, Nfa& nfa, uint32_t from) const;
  std::vector<Expression> all_;
};

}  // namespace hadal::grammar
