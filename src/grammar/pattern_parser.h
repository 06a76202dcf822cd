// Owns: reading one pattern into Expressions. Internal to pattern.cc and its parts.
// Thread rule: a value of one thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "grammar/expression.h"
#include "grammar/limits.h"

namespace hadal::grammar {

class PatternParser {
 public:
  PatternParser(std::string_view text, Budget& budget) : text_(text), budget_(budget) {}
  Result<uint32_t> Parse();  // the root
  const Expressions& expressions() const { return expressions_; }

 private:
  Result<uint32_t> Choice(int depth);
  Result<uint32_t> Sequence(int depth);
  Result<uint32_t> Atom(int depth);
  Result<uint32_t> Group(int depth);
  Result<uint32_t> Quantified(uint32_t atom);
  Result<uint32_t> Escape();     // after the backslash
  Result<CodePointSet> Class();  // after the "["
  Result<CodePointSet> ClassMember(bool& single);
  Result<CodePointSet> EscapedSet(bool in_class, bool& single);
  Result<CodePointSet> Property(bool negated);
  Result<uint32_t> Hex(size_t digits);
  Result<uint32_t> UnicodeEscape();
  Result<uint32_t> Character();      // the UTF-8 character here
  std::optional<uint32_t> Number();  // saturates

  uint32_t AddSet(CodePointSet set);
  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  bool Take(std::string_view expected) {
    if (text_.substr(at_).substr(0, expected.size()) != expected) return false;
    at_ += expected.size();
    return true;
  }
  template <class... A>
  tl::unexpected<Error> Wrong(fmt::format_string<A...> format, A&&... args) const {
    return Fail(ErrorCode::kInvalidArgument, "{} at byte {} of the pattern",
                fmt::format(format, std::forward<A>(args)...), at_);
  }

  std::string_view text_;
  Budget& budget_;
  size_t at_ = 0;
  Expressions expressions_;
  std::map<std::string, CodePointSet, std::less<>> properties_;
};

}  // namespace hadal::grammar
