// The parts of a pattern that stand for one character: classes and escapes.
#include <utility>

#include "grammar/pattern_parser.h"

namespace hadal::grammar {

Result<CodePointSet> PatternParser::Class() {
  const bool negated = Take("^");
  CodePointSet set;
  while (true) {
    if (AtEnd()) return Wrong("\"]\" is missing");
    if (Take("]")) break;
    HADAL_OK(budget_.Spend(16));
    bool single = false;
    HADAL_TRY(const CodePointSet low, ClassMember(single));
    if (Peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
      if (!single) return Wrong("a range cannot begin with a class");
      ++at_;
      HADAL_TRY(const CodePointSet high, ClassMember(single));
      if (!single) return Wrong("a range cannot end with a class");
      // A surrogate's set is empty: it is no character.
      if (low.empty() || high.empty()) return Wrong("a surrogate is not a character");
      const uint32_t lo = low.ranges()[0].first, hi = high.ranges()[0].first;
      if (lo > hi) return Wrong("the range U+{:04X}-U+{:04X} is upside down", lo, hi);
      set.Add(lo, hi);
    } else {
      set.Add(low);
    }
  }
  return negated ? set.Negated() : set;
}

Result<CodePointSet> PatternParser::ClassMember(bool& single) {
  if (Take("\\")) return EscapedSet(true, single);
  single = true;
  HADAL_TRY(const uint32_t c, Character());
  return CodePointSet{{c, c}};
}

Result<CodePointSet> PatternParser::EscapedSet(bool in_class, bool& single) {
  if (AtEnd()) return Wrong("the pattern ends after a backslash");
  single = false;
  const char c = Peek();
  const auto one = [&](uint32_t code_point) {
    single = true;
    return CodePointSet{{code_point, code_point}};
  };
  static constexpr std::pair<char, uint32_t> kControls[] = {{'t', 9},  {'n', 10}, {'v', 11},
                                                            {'f', 12}, {'r', 13}, {'0', 0}};
  for (const auto& [name, code_point] : kControls) {
    if (c != name) continue;
    ++at_;
    if (c == '0' && Peek() >= '0' && Peek() <= '9') return Wrong("octal escapes are not supported");
    return one(code_point);
  }
  if (in_class && c == 'b') {
    ++at_;
    return one(8);
  }
  const bool upper = c >= 'A' && c <= 'Z';
  const auto either = [&](const CodePointSet& set) { return upper ? set.Negated() : set; };
  switch (c) {
    case 'd':
    case 'D':
      ++at_;
      return either(CodePointSet::Digits());
    case 'w':
    case 'W':
      ++at_;
      return either(CodePointSet::Word());
    case 's':
    case 'S':
      ++at_;
      return either(CodePointSet::Space());
    case 'p':
    case 'P':
      ++at_;
      return Property(upper);
    case 'x': {
      ++at_;
      HADAL_TRY(const uint32_t code_point, Hex(2));
      return one(code_point);
    }
    case 'u': {
      ++at_;
      HADAL_TRY(const uint32_t code_point, UnicodeEscape());
      return one(code_point);
    }
    case 'c': {
      ++at_;
      const char letter = Peek();
      if ((letter | 0x20) < 'a' || (letter | 0x20) > 'z') return Wrong("\\c needs a letter");
      ++at_;
      return one(static_cast<uint32_t>(letter) & 31u);
    }
    default:
      break;
  }
  if (upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
    return Wrong("the escape \\{} is not supported", c);
  }
  HADAL_TRY(const uint32_t code_point, Character());
  return one(code_point);
}

Result<CodePointSet> PatternParser::Property(bool negated) {
  if (!Take("{")) return Wrong("\\p needs a category in braces");
  const size_t end = text_.find('}', at_);
  if (end == text_.npos) return Wrong("\"}}\" is missing");
  std::string_view name = text_.substr(at_, end - at_);
  for (const std::string_view prefix : {"gc=", "General_Category="}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  static constexpr std::pair<std::string_view, std::string_view> kLong[] = {
      {"Letter", "L"},
      {"Lowercase_Letter", "Ll"},
      {"Uppercase_Letter", "Lu"},
      {"Number", "N"},
      {"Decimal_Number", "Nd"},
      {"Punctuation", "P"},
      {"Symbol", "S"},
      {"Separator", "Z"},
      {"Mark", "M"},
      {"Space_Separator", "Zs"},
      {"Other", "C"},
      {"Currency_Symbol", "Sc"}};
  for (const auto& [text, category] : kLong) {
    if (name == text) name = category;
  }
  auto it = properties_.find(name);
  if (it == properties_.end()) {
    HADAL_OK(budget_.Spend(1'000'000));
    auto set = CodePointSet::Category(name);
    if (!set) {
      return Wrong("\\p{{{}}} is not a general category (such as L, Lu, Nd)", name.substr(0, 40));
    }
    it = properties_.emplace(std::string(name), std::move(*set)).first;
  }
  HADAL_OK(budget_.Spend(it->second.ranges().size()));
  at_ = end + 1;
  return negated ? it->second.Negated() : it->second;
}

Result<uint32_t> PatternParser::Hex(size_t digits) {
  uint32_t value = 0;
  for (size_t i = 0; i < digits; ++i, ++at_) {
    const char c = Peek();
    const int lower = c | 0x20;
    const int digit = c >= '0' && c <= '9'           ? c - '0'
                      : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
                                                     : -1;
    if (digit < 0) return Wrong("an escape needs {} hexadecimal digits", digits);
    value = value * 16 + static_cast<uint32_t>(digit);
  }
  return value;
}

Result<uint32_t> PatternParser::UnicodeEscape() {
  if (Take("{")) {
    const size_t end = text_.find('}', at_);
    if (end == text_.npos || end == at_ || end - at_ > 6) return Wrong("\\u{{...}} is malformed");
    HADAL_TRY(const uint32_t code_point, Hex(end - at_));
    if (code_point > 0x10FFFF) return Wrong("U+{:X} is beyond Unicode", code_point);
    ++at_;
    return code_point;
  }
  HADAL_TRY(const uint32_t high, Hex(4));
  if (high < 0xD800 || high > 0xDBFF || !Take("\\u")) return high;
  HADAL_TRY(const uint32_t low, Hex(4));
  if (low < 0xDC00 || low > 0xDFFF) return Wrong("a high surrogate stands alone");
  return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

}  // namespace hadal::grammar
