#include "grammar/pattern.h"

#include "grammar/pattern_parser.h"

namespace hadal::grammar {

Result<Dfa> CompilePattern(std::string_view pattern, PatternUse use, Budget& budget) {
  if (pattern.size() > budget.limits().max_source_bytes) {
    return Fail(ErrorCode::kInvalidArgument, "the pattern has {} bytes; at most {} are accepted",
                pattern.size(), budget.limits().max_source_bytes);
  }
  PatternParser parser(pattern, budget);
  HADAL_TRY(const uint32_t root, parser.Parse());
  Nfa nfa(budget.limits().max_states);
  uint32_t at = nfa.start();
  const auto skip_anything = [&] {
    const uint32_t loop = nfa.AddState();
    nfa.Epsilon(at, loop);
    AddCharacters(nfa, loop, CodePointSet::All(), loop);
    at = loop;
  };
  if (use == PatternUse::kSearch) skip_anything();
  at = parser.expressions().Emit(root, nfa, at);
  if (use == PatternUse::kSearch) skip_anything();
  nfa.Epsilon(at, nfa.accept());
  return DeterminizeBytes(nfa, budget);
}

Result<Dfa> AnyText(Budget& budget) {
  Nfa nfa(budget.limits().max_states);
  const uint32_t loop = nfa.AddState();
  nfa.Epsilon(nfa.start(), loop);
  AddCharacters(nfa, loop, CodePointSet::All(), loop);
  nfa.Epsilon(loop, nfa.accept());
  return DeterminizeBytes(nfa, budget);
}

}  // namespace hadal::grammar
