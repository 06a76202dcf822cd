// Owns: regular expressions (the ECMAScript notation, as JSON Schema uses it) to byte automata.
// Linear: whatever cannot be an automaton is refused by name: back-references, look-around, word
// boundaries, inline flags, \p of anything but a general category. Lazy quantifiers are read as
// greedy ones: the language is the same. \d, \w as in ECMAScript (ASCII), \s its white space,
// "." anything but a line end. ^ and $ mean the text's begin and end, wherever they stand.
// Thread rule: pure functions.
#pragma once

#include <string_view>

#include "grammar/dfa.h"

namespace hadal::grammar {

enum class PatternUse {
  kWhole,  // the text is what the pattern describes, all of it
  kSearch  // the text holds it somewhere ("pattern" of JSON Schema)
};

// kInvalidArgument names the byte of the pattern. The result may be empty: nothing matches.
Result<Dfa> CompilePattern(std::string_view pattern, PatternUse use, Budget& budget);
// Every UTF-8 text.
Result<Dfa> AnyText(Budget& budget);

}  // namespace hadal::grammar
