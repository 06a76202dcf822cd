// Owns: grammars in the GBNF notation: `name ::= ...` with "literals", [classes], ".", groups, |,
// *, +,
// ?, {m}, {m,}, {m,n} and # comments; the rule "root" is the output.
// Escapes: \n \r \t \\ \" \' \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH. Refused, with the byte: undefined
// and doubly defined rules, left recursion (by rule), a second quantifier, token references <...>.
// Thread rule: pure function.
#pragma once

#include <string_view>

#include "grammar/automaton.h"

namespace hadal::grammar {

// The rule "root".
Result<uint32_t> EmitGbnf(std::string_view source, AutomatonBuilder& builder);

}  // namespace hadal::grammar
