#include "grammar/pattern_parser.h"

#include <algorithm>
#include <utility>

#include "tokenizer/utf8.h"

namespace hadal::grammar {

Result<uint32_t> PatternParser::Parse() {
  HADAL_TRY(const uint32_t root, Choice(0));
  if (!AtEnd()) return Wrong("unexpected \"{}\"", Peek());
  return root;
}

uint32_t PatternParser::AddSet(CodePointSet set) {
  return expressions_.Add({.kind = Expression::Kind::kSet, .set = std::move(set)});
}

Result<uint32_t> PatternParser::Choice(int depth) {
  if (depth > budget_.limits().max_depth) {
    return Wrong("groups are nested deeper than {}", budget_.limits().max_depth);
  }
  std::vector<uint32_t> children;
  do {
    HADAL_TRY(children.emplace_back(), Sequence(depth));
  } while (Take("|"));
  if (children.size() == 1) return children[0];
  return expressions_.Add({.kind = Expression::Kind::kChoice, .children = std::move(children)});
}

Result<uint32_t> PatternParser::Sequence(int depth) {
  std::vector<uint32_t> children;
  while (!AtEnd() && Peek() != '|' && Peek() != ')') {
    HADAL_OK(budget_.Spend(16));
    HADAL_TRY(const uint32_t atom, Atom(depth));
    HADAL_TRY(children.emplace_back(), Quantified(atom));
  }
  if (children.size() == 1) return children[0];
  return expressions_.Add({.kind = Expression::Kind::kSequence, .children = std::move(children)});
}

Result<uint32_t> PatternParser::Atom(int depth) {
  switch (Peek()) {
    case '(':
      ++at_;
      return Group(depth);
    case '[': {
      ++at_;
      HADAL_TRY(CodePointSet set, Class());
      return AddSet(std::move(set));
    }
    case '.':
      ++at_;
      return AddSet(CodePointSet::AnyButNewline());
    case '^':
      ++at_;
      return expressions_.Add({.kind = Expression::Kind::kBegin});
    case '$':
      ++at_;
      return expressions_.Add({.kind = Expression::Kind::kEnd});
    case '\\':
      ++at_;
      return Escape();
    case '*':
    case '+':
    case '?':
      return Wrong("nothing to repeat before \"{}\"", Peek());
    case '{':
      return Wrong("nothing to repeat before \"{{\" (write \\{{ for the character)");
    default: {
      HADAL_TRY(const uint32_t c, Character());
      return AddSet({{c, c}});
    }
  }
}

Result<uint32_t> PatternParser::Group(int depth) {
  if (Take("?")) {
    if (Take("=") || Take("!") || Take("<=") || Take("<!")) {
      return Wrong("look-around is not supported");
    }
    if (Take("<") || Take("P<")) {
      const size_t end = text_.find('>', at_);
      const std::string_view name = text_.substr(at_, end == text_.npos ? end : end - at_);
      const auto is_word = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '_' || c == '$';
      };
      if (end == text_.npos || name.empty() || !std::all_of(name.begin(), name.end(), is_word)) {
        return Wrong("a group's name is malformed");
      }
      at_ = end + 1;
    } else if (!Take(":")) {
      return Wrong("inline flags and other (?...) forms are not supported");
    }
  }
  HADAL_TRY(const uint32_t inner, Choice(depth + 1));
  if (!Take(")")) return Wrong("\")\" is missing");
  return inner;
}

std::optional<uint32_t> PatternParser::Number() {
  if (Peek() < '0' || Peek() > '9') return std::nullopt;
  uint64_t n = 0;
  for (; Peek() >= '0' && Peek() <= '9'; ++at_) {
    n = std::min<uint64_t>(n * 10 + static_cast<uint64_t>(Peek() - '0'), kNone - 1);
  }
  return static_cast<uint32_t>(n);
}

Result<uint32_t> PatternParser::Quantified(uint32_t atom) {
  uint32_t min = 0, max = kNone;
  if (Take("*")) {
  } else if (Take("+")) {
    min = 1;
  } else if (Take("?")) {
    max = 1;
  } else if (Take("{")) {
    const auto first = Number();
    if (!first) return Wrong("a repetition needs a number");
    min = max = *first;
    if (Take(",")) max = Number().value_or(kNone);
    if (!Take("}")) return Wrong("\"}}\" is missing");
    if (min > max) return Wrong("the repetition {{{},{}}} is upside down", min, max);
  } else {
    return atom;
  }
  Take("?");  // lazy: the same language
  if (Peek() == '*' || Peek() == '+' || Peek() == '?' || Peek() == '{') {
    return Wrong("a second quantifier follows the first");
  }
  const uint32_t limit = budget_.limits().max_states;
  if (min > limit || (max != kNone && max > limit)) {
    return Wrong("the repetition {{{},{}}} is longer than the {} states that a constraint may have",
                 min, max == kNone ? min : max, limit);
  }
  return expressions_.Add(
      {.kind = Expression::Kind::kRepeat, .children = {atom}, .min = min, .max = max});
}

Result<uint32_t> PatternParser::Escape() {
  const char c = Peek();
  if (c == 'b' || c == 'B') return Wrong("word boundaries are not supported");
  if ((c >= '1' && c <= '9') || c == 'k') return Wrong("back-references are not supported");
  bool single = false;
  HADAL_TRY(CodePointSet set, EscapedSet(false, single));
  return AddSet(std::move(set));
}

Result<uint32_t> PatternParser::Character() {
  const Utf8Char c = ReadUtf8Char(text_.substr(at_));
  if (c.kind != Utf8Char::Kind::kValid) return Wrong("invalid UTF-8");
  at_ += c.length;
  return c.code_point;
}

}  // namespace hadal::grammar
