// Owns: how calls are spelled in each kind of markup, as the renderers write them, and which words
// an answer's text must not hold so that the parsers find no markup in it. Knows nothing of
// schemas. Thread rule: pure functions.
//
// A tag's control tokens are written as grammar::TokenTrie::kControl and their text where the
// vocabulary has them, and then only so; otherwise tags are text.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "chat/tools/tool_markup.h"
#include "grammar/parameter_syntax.h"

namespace hadal {

struct MarkupSpelling {
  // block_begin CALL (between CALL)* block_end, CALL = call_begin NAME name_end ARGUMENTS call_end
  std::string block_begin, block_end, between, call_begin, name_end, call_end;
};
// control: texts of the vocabulary's control tokens.
MarkupSpelling SpellingOf(ToolMarkup markup, std::span<const std::string> control);
// How DSML's arguments are written.
Result<grammar::ParameterSyntax> DsmlParameters(std::span<const std::string> control,
                                                grammar::Budget& budget);

// Every tag of the markup, in every spelling that is read, begins with one of these.
std::vector<std::string> BeginningsOf(ToolMarkup markup);
// Answers' text as a filter (grammar/text_filter.h): holds none of the beginnings, and does not end
// inside one, where the parser would take it for markup that was cut off. goes_on: a block follows.
grammar::Dfa TextWithoutMarkup(ToolMarkup markup, bool goes_on = false);

}  // namespace hadal
