// Owns: the rules of plain JSON inside one automaton that is being built: white space, strings,
// numbers, any value. Each is made once, when first asked for, so that its masks are shared.
// Knows nothing of schemas. Thread rule: a value of one thread, beside its builder.
// What is generated is a bounded subset of JSON's spelling, so that no model can loop where nothing
// is said: white space is at most one line end with indentation and only where printers put it;
// numbers have at most 20 digits before and after the point and two in the exponent; strings hold
// any character, escaped or not, but no lone surrogates.
#pragma once

#include "grammar/automaton.h"

namespace hadal::grammar {

enum class JsonSpace {
  kNone,     // {"a":1,"b":2}
  kFlexible  // also a space, or a line end and indentation, after { [ , : and before } ]
};

class JsonRules {
 public:
  JsonRules(AutomatonBuilder& builder, JsonSpace space) : builder_(builder), space_(space) {}
  AutomatonBuilder& builder() { return builder_; }

  // A new state after optional white space.
  Result<uint32_t> Space(Nfa& nfa, uint32_t from);
  Result<uint32_t> Value();
  Result<uint32_t> Object();
  Result<uint32_t> Array();
  Result<uint32_t> String();
  Result<uint32_t> Character();  // one character of a string, as it may be spelled
  Result<uint32_t> Number();
  Result<uint32_t> Integer();  // no "-0"

 private:
  // Declares `rule` on first use; `define` fills it.
  template <class F>
  Result<uint32_t> Once(uint32_t& rule, const char* name, F define);
  Status DefineList(Nfa& nfa, char open, char close, bool keys);

  AutomatonBuilder& builder_;
  JsonSpace space_;
  uint32_t white_ = kNone, value_ = kNone, object_ = kNone, array_ = kNone, string_ = kNone,
           character_ = kNone, number_ = kNone, integer_ = kNone;
};

// "bytes" as a JSON string, shortest spelling.
std::string QuoteJson(std::string_view text);
// The automaton of the JSON strings (quotes included) whose values `texts` holds, shortest
// spelling.
void EmitQuoted(Nfa& nfa, uint32_t from, const Dfa& texts, uint32_t to);

}  // namespace hadal::grammar
