// Owns: what one answer may be, after the reasoning, as one automaton: text that holds no markup,
// text in a format, calls of the offered tools with arguments that validate. What it allows, the
// parser of tool calls reads as exactly that text and complete calls.
// Knows nothing of requests. Thread rule: pure functions.
//
// - Markup is what the renderers write: DSML's two newlines before a block, V3's fences. Nothing
//   follows a block. At most as many calls as the parser takes.
// - auto: the answer's text, then a block or none. With a format, either the formatted text or a
//   block. required, named: a block at once, so that a model cannot talk its way past it. none: no
//   block.
// - Arguments are objects that validate, with white space as SchemaOptions has it; a tool without
//   parameters takes none. Where a schema cannot be enforced, a strict tool is refused; another
//   takes any object, which is a warning. Such a tool's unknown keywords and formats say nothing,
//   as JSON Schema has it.
// - DSML: listed parameters in the schema's order, then others where the schema allows them. A
//   string is text, its length, pattern, format and values enforced; only its type decides. Where
//   tags are text a string cannot hold </｜DSML｜, and one with a length and no pattern no "<".
//   A name that is not listed has 1 to 64 characters without quotes, < and >.
// - Two things are not enforced: that a name that is not listed is written once (DSML's parser
// drops
//   the second and calls the call incomplete), and that values which may nest without end stay
//   within the 256 levels that the parsers follow.
// - Text, formatted or not, holds no beginning of a tag in any spelling that is read as text. JSON
//   can always write \u003c; a JSON string with a length writes every "<" so.
// - A prefix that is given already is fed to the matcher first. Where tags are text, one that ends
//   inside a tag would hide the tag from the parser: heal it, so that the answer begins with it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "api/types.h"
#include "chat/tools/tool_markup.h"
#include "grammar/constraint_cache.h"

namespace hadal {

struct AnswerRules {
  std::optional<ToolMarkup> markup = {};  // none: the format has no calls
  std::span<const api::Tool> tools = {};
  api::ToolChoice choice = {};
  bool parallel = true;  // false: at most one call
  api::AnswerFormat format = {};
  // The texts of the control tokens that the vocabulary has (TokenTrie::control): tags are written
  // with them.
  std::span<const std::string> control = {};
};

// Whether there is anything to enforce: a format, or tools, also where none may be called.
inline bool Constrains(const AnswerRules& rules) {
  return rules.format.constrains() || (rules.markup && !rules.tools.empty());
}

// All that CompileAnswer depends on.
std::string KeyOf(const AnswerRules& rules);

// kInvalidArgument names tools[i].function.parameters, tool_choice or response_format; the message
// has the JSON pointer. All of it together is within one budget of steps.
Result<grammar::Compiled> CompileAnswer(const AnswerRules& rules, const grammar::Limits& limits);

// From the cache, or compiled into it; `control` is that of the cache's vocabulary.
Result<std::shared_ptr<const grammar::Constraint>> ConstraintOf(AnswerRules rules,
                                                                grammar::ConstraintCache& cache);

}  // namespace hadal
