// Owns: a way to write an object other than as JSON: one tagged parameter per member, whose value
// is the text itself when it is a string and JSON otherwise. The texts are whoever writes the
// tags'. Thread rule: a value.
#pragma once

#include <string>

#include "grammar/dfa.h"

namespace hadal::grammar {

// name_begin NAME string_begin TEXT end | name_begin NAME json_begin JSON end, one after the other.
struct ParameterSyntax {
  std::string name_begin, string_begin, json_begin, end;
  std::string none;        // in the place of the members when there are none
  Dfa names;               // what a listed member may be called
  Dfa free_names;          // what one that is not listed may be called
  uint32_t max_free = 64;  // members that are not listed
  // What a reader of parameters takes.
  size_t max_name_bytes = 1000;
  size_t max_listed = 900;
  Dfa texts;  // what TEXT may be: a filter (text_filter.h)
};

}  // namespace hadal::grammar
