// Owns: keeping words out of whatever a rule describes, also where a word would come together from
// the ends of several rules. Knows nothing of what the words mean. Thread rule: pure functions.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "grammar/automaton.h"

namespace hadal::grammar {

// The byte strings that contain none of `words`. `may_end` tells of each proper beginning of a word
// ("" too) whether a text may end with it and nothing longer of the kind.
Dfa Avoiding(std::span<const std::string> words,
             const std::function<bool(std::string_view)>& may_end);

// A rule of those outputs of `rule` that `filter` accepts; every rule that it calls is defined.
// A counted call is kept where each of its rounds ends in the filter's state in which it began:
// between rounds no word may have begun. So strings with a length hold no first byte of a word.
Result<uint32_t> Filter(AutomatonBuilder& builder, uint32_t rule, const Dfa& filter);

}  // namespace hadal::grammar
