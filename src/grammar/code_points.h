// Owns: sets of Unicode code points and their UTF-8 byte sequences. Knows nothing of patterns.
// Surrogates (U+D800..U+DFFF) are in no set: no UTF-8 text holds them.
// Thread rule: values and pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "grammar/nfa.h"

namespace hadal::grammar {

class CodePointSet {
 public:
  using Range = std::pair<uint32_t, uint32_t>;  // both included
  CodePointSet() = default;
  CodePointSet(std::initializer_list<Range> ranges);

  void Add(uint32_t lo, uint32_t hi);
  void Add(const CodePointSet& other);
  CodePointSet Negated() const;
  const std::vector<Range>& ranges() const;  // sorted, disjoint, not adjacent
  bool empty() const { return ranges().empty(); }

  static CodePointSet All();
  // General category by its one- or two-letter name ("L", "Nd"); nullopt for any other name.
  static std::optional<CodePointSet> Category(std::string_view name);
  static CodePointSet Digits();         // \d
  static CodePointSet Word();           // \w
  static CodePointSet Space();          // \s of ECMAScript
  static CodePointSet AnyButNewline();  // .

 private:
  mutable std::vector<Range> ranges_;
  mutable bool normal_ = true;
};

// Edges from `from` to `to` that read one character of the set.
void AddCharacters(Nfa& nfa, uint32_t from, const CodePointSet& set, uint32_t to);

}  // namespace hadal::grammar
