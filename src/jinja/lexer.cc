#include "jinja/lexer.h"

#include <algorithm>

#include "jinja/text.h"

namespace hadal::jinja {
namespace {

using Kind = Token::Kind;

bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsDecimal(char c) { return c >= '0' && c <= '9'; }

std::string NormaliseNewlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(NormaliseNewlines(source)) {}

  Result<std::vector<Token>> Run() {
    while (at_ < source_.size()) {
      const size_t open = FindDelimiter(at_);
      if (open == kNotFound) {
        Add(Kind::kText, at_, source_.substr(at_));
        break;
      }
      HADAL_OK(LexDelimiter(open));
    }
    Add(Kind::kEnd, source_.size(), "");
    return std::move(tokens_);
  }

 private:
  Position PositionOf(size_t offset) {
    // Offsets mostly grow; an error inside a literal may lie a little before the last one.
    if (offset < counted_) {
      counted_ = 0;
      position_ = {};
    }
    for (; counted_ < offset; ++counted_) {
      if (source_[counted_] == '\n') {
        ++position_.line;
        position_.column = 1;
      } else if ((static_cast<unsigned char>(source_[counted_]) & 0xC0) != 0x80) {
        ++position_.column;
      }
    }
    return position_;
  }
  void Add(Kind kind, size_t offset, std::string text) {
    tokens_.push_back({kind, PositionOf(offset), std::move(text)});
  }
  bool StartsWith(size_t at, std::string_view text) const {
    return std::string_view(source_).substr(std::min(at, source_.size())).starts_with(text);
  }
  size_t SkipSpaces(size_t at) const {
    while (at < source_.size()) {
      const Character c = CharacterAt(source_, at);
      if (!IsSpace(c.code)) break;
      at += c.size;
    }
    return at;
  }
  size_t FindDelimiter(size_t from) const {
    for (size_t at = source_.find('{', from); at != kNotFound; at = source_.find('{', at + 1)) {
      if (at + 1 < source_.size() &&
          std::string_view("%{#").find(source_[at + 1]) != std::string_view::npos) {
        return at;
      }
    }
    return kNotFound;
  }
  // Moves on, and remembers whether what follows begins a line.
  void MoveTo(size_t at) {
    if (at > at_) line_starting_ = source_[at - 1] == '\n';
    at_ = at;
  }
  // The text in front of a delimiter, stripped as the delimiter's sign and kind ask for.
  void AddText(size_t begin, size_t end, char sign, bool is_print) {
    const size_t from = begin;
    std::string_view text = std::string_view(source_).substr(begin, end - begin);
    if (sign == '-') {
      const Text stripped =
          Strip({std::string(text), std::string(text.size(), '\0')}, nullptr, {.left = false});
      text = text.substr(0, stripped.size());
    } else if (sign != '+' && !is_print) {
      const size_t newline = text.rfind('\n');
      const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      if ((line > 0 || line_starting_) && line < text.size() && SkipSpaces(begin + line) >= end) {
        text = text.substr(0, line);
      }
    }
    if (!text.empty()) Add(Kind::kText, from, std::string(text));
  }
  char SignAt(size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : 0;
  }
  // After a block or comment: its closing sign decides what is skipped.
  size_t AfterEnd(size_t at, char sign) const {
    if (sign == '-') return SkipSpaces(at);
    if (sign != '+' && at < source_.size() && source_[at] == '\n') return at + 1;
    return at;
  }

  Status LexDelimiter(size_t open) {
    const char type = source_[open + 1];
    const char sign = SignAt(open + 2);
    AddText(at_, open, sign, type == '{');
    const size_t inside = open + 2 + (sign != 0 ? 1 : 0);
    if (type == '#') return LexComment(open, inside);
    if (type == '%') {
      const size_t raw = RawBegin(inside);
      if (raw != kNotFound) return LexRaw(open, raw);
    }
    const bool is_print = type == '{';
    Add(is_print ? Kind::kPrintBegin : Kind::kBlockBegin, open, "");
    MoveTo(inside);
    return LexInside(open, is_print);
  }

  Status LexComment(size_t open, size_t inside) {
    const size_t close = source_.find("#}", inside);
    if (close == kNotFound) return FailAt(PositionOf(open), "the comment has no end '#}}'");
    MoveTo(AfterEnd(close + 2, close > inside ? SignAt(close - 1) : 0));
    return {};
  }

  // Offset after "raw %}", or kNotFound.
  size_t RawBegin(size_t inside) const {
    size_t at = SkipSpaces(inside);
    if (!StartsWith(at, "raw")) return kNotFound;
    at = SkipSpaces(at + 3);
    if (StartsWith(at, "-%}")) return SkipSpaces(at + 3);
    return StartsWith(at, "%}") ? at + 2 : kNotFound;
  }
  Status LexRaw(size_t open, size_t begin) {
    MoveTo(begin);
    for (size_t at = source_.find("{%", begin); at != kNotFound; at = source_.find("{%", at + 2)) {
      const char sign = SignAt(at + 2);
      size_t end = SkipSpaces(at + 2 + (sign != 0 ? 1 : 0));
      if (!StartsWith(end, "endraw")) continue;
      end = SkipSpaces(end + 6);
      const char end_sign = SignAt(end);
      if (end_sign != 0) ++end;
      if (!StartsWith(end, "%}")) continue;
      AddText(begin, at, sign, false);
      MoveTo(AfterEnd(end + 2, end_sign));
      return {};
    }
    return FailAt(PositionOf(open), "'raw' has no 'endraw'");
  }

  Status LexInside(size_t open, bool is_print) {
    const std::string_view close = is_print ? "}}" : "%}";
    std::vector<char> brackets;
    while (true) {
      MoveTo(SkipSpaces(at_));
      if (at_ >= source_.size()) {
        return FailAt(PositionOf(open), "'{}' has no end '{}'", is_print ? "{{" : "{%", close);
      }
      if (brackets.empty() && LexEnd(is_print, close)) return {};
      HADAL_OK(LexToken(brackets));
    }
  }
  bool LexEnd(bool is_print, std::string_view close) {
    const char sign = SignAt(at_);
    const bool with_sign = sign == '-' || (sign == '+' && !is_print);
    const size_t end = at_ + (with_sign ? 1 : 0);
    if (!StartsWith(end, close)) return false;
    Add(is_print ? Kind::kPrintEnd : Kind::kBlockEnd, at_, "");
    const bool keeps = is_print && !with_sign;
    MoveTo(keeps ? end + 2 : AfterEnd(end + 2, with_sign ? sign : 0));
    return true;
  }
  Status LexToken(std::vector<char>& brackets) {
    const char c = source_[at_];
    if (IsDecimal(c)) return LexNumber();
    if (c == '\'' || c == '"') return LexString(c);
    if (IsNameStart(c)) {
      const size_t begin = at_;
      size_t end = at_;
      while (end < source_.size() && (IsNameStart(source_[end]) || IsDecimal(source_[end]))) ++end;
      Add(Kind::kName, begin, source_.substr(begin, end - begin));
      MoveTo(end);
      return {};
    }
    return LexOperator(brackets);
  }

  Status LexOperator(std::vector<char>& brackets) {
    for (const std::string_view op : {"//", "**", "==", "!=", ">=", "<="}) {
      if (!StartsWith(at_, op)) continue;
      Add(Kind::kOperator, at_, std::string(op));
      MoveTo(at_ + 2);
      return {};
    }
    const char c = source_[at_];
    if (std::string_view("+-/*%~[](){}<>=.:|,").find(c) == std::string_view::npos) {
      const Character character = CharacterAt(source_, at_);
      return FailAt(PositionOf(at_), "'{}' has no meaning here",
                    c < ' ' && c >= 0 ? "\\" : source_.substr(at_, character.size));
    }
    if (c == '(' || c == '[' || c == '{') brackets.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c) {
        return FailAt(PositionOf(at_), "'{}' closes nothing", c);
      }
      brackets.pop_back();
    }
    Add(Kind::kOperator, at_, std::string(1, c));
    MoveTo(at_ + 1);
    return {};
  }

  Status LexNumber() {
    const size_t begin = at_;
    size_t end = at_;
    const auto digits = [&] {
      while (end < source_.size() && IsDecimal(source_[end])) ++end;
    };
    digits();
    bool is_float = false;
    if (end + 1 < source_.size() && source_[end] == '.' && IsDecimal(source_[end + 1])) {
      is_float = true;
      ++end;
      digits();
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      size_t power = end + 1;
      if (SignAt(power) != 0) ++power;
      if (power < source_.size() && IsDecimal(source_[power])) {
        is_float = true;
        end = power;
        digits();
      }
    }
    if (end < source_.size() && IsNameStart(source_[end])) {
      return FailAt(PositionOf(begin),
                    "a number is followed by '{}'; only decimal numbers are known", source_[end]);
    }
    Add(is_float ? Kind::kFloat : Kind::kInteger, begin, source_.substr(begin, end - begin));
    MoveTo(end);
    return {};
  }

  Status LexString(char quote) {
    const size_t begin = at_;
    std::string text;
    size_t at = at_ + 1;
    while (at < source_.size() && source_[at] != quote) {
      if (source_[at] != '\\') {
        text += source_[at++];
        continue;
      }
      HADAL_OK(LexEscape(at, text));
    }
    if (at >= source_.size()) return FailAt(PositionOf(begin), "the string has no end {}", quote);
    Add(Kind::kString, begin, std::move(text));
    MoveTo(at + 1);
    return {};
  }
  // At a backslash; the escapes are those of Python.
  Status LexEscape(size_t& at, std::string& text) {
    const size_t begin = at++;
    if (at >= source_.size()) return {};
    const char c = source_[at++];
    constexpr std::string_view kNames = "nrtabfv0\\'\"", kCodes("\n\r\t\a\b\f\v\0\\'\"", 11);
    if (const size_t i = kNames.find(c); i != std::string_view::npos && c != '0') {
      text += kCodes[i];
    } else if (c >= '0' && c <= '7') {
      char32_t code = static_cast<char32_t>(c - '0');
      for (int n = 1; n < 3 && at < source_.size() && source_[at] >= '0' && source_[at] <= '7';
           ++n) {
        code = code * 8 + static_cast<char32_t>(source_[at++] - '0');
      }
      AppendUtf8(text, code);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      return LexHexEscape(begin, at, c == 'x' ? 2 : c == 'u' ? 4 : 8, text);
    } else if (c == 'N') {
      return FailAt(PositionOf(begin), "\\N{{...}} is not supported; write the character itself");
    } else if (c != '\n') {  // what has no meaning stays
      text += '\\';
      text += c;
    }
    return {};
  }
  Status LexHexEscape(size_t begin, size_t& at, int n, std::string& text) {
    char32_t code = 0;
    for (int i = 0; i < n; ++i, ++at) {
      const char c = at < source_.size() ? source_[at] : '\0';
      const int digit = IsDecimal(c)           ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return FailAt(PositionOf(begin), "the escape needs {} hexadecimal digits", n);
      code = code << 4 | static_cast<char32_t>(digit);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      return FailAt(PositionOf(begin), "the escape stands for no character");
    }
    AppendUtf8(text, code);
    return {};
  }

  const std::string source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  bool line_starting_ = true;
  size_t counted_ = 0;
  Position position_;
};

}  // namespace

std::string ToString(Position position) {
  return fmt::format("line {}, column {}", position.line, position.column);
}

Result<std::vector<Token>> Tokenise(std::string_view source) {
  if (const size_t at = FindInvalidUtf8(source); at != std::string_view::npos) {
    return Fail(ErrorCode::kBadFile, "the template is not UTF-8 at byte {}", at);
  }
  return Lexer(source).Run();
}

}  // namespace hadal::jinja
