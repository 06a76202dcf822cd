#include "chat/tools/json_text.h"

#include <charconv>
#include <cmath>
#include <set>
#include <system_error>

#include "tokenizer/utf8.h"

namespace hadal {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Python's repr of a float: shortest digits, an exponent below -4 and from 16 on.
std::string PythonFloat(double value) {
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  const size_t digits_at = e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(text.data() + digits_at, text.data() + text.size(), exponent);
  std::string sign = text[0] == '-' ? "-" : "";
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (IsDigit(c)) digits += c;
  }
  const int n = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    if (n > 1) digits.insert(1, ".");
    return fmt::format("{}{}e{}{:02}", sign, digits, exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (n <= exponent + 1) {
    return sign + digits + std::string(static_cast<size_t>(exponent + 1 - n), '0') + ".0";
  }
  return sign + digits.insert(static_cast<size_t>(exponent + 1), ".");
}

class Rewriter {
 public:
  Rewriter(std::string_view text, int indent, const JsonTextLimits& limits)
      : text_(text), indent_(indent), limits_(limits) {}

  Status Whole(std::string& out) {
    HADAL_OK(CheckSize());
    HADAL_OK(Value(out));
    return End();
  }

  Status Members(std::vector<JsonMember>& members) {
    HADAL_OK(CheckSize());
    SkipSpace();
    if (Peek() != '{') return Wrong("expected an object");
    const auto member = [&](std::string key) -> Status {
      JsonMember& m = members.emplace_back();
      m.key = std::move(key);
      SkipSpace();
      m.is_string = Peek() == '"';
      return m.is_string ? String(m.text) : Value(m.text);
    };
    HADAL_OK(EachMember(member, [](bool) {}));
    return End();
  }

 private:
  tl::unexpected<Error> Wrong(std::string_view what) const {
    return Fail(ErrorCode::kMalformed, "not valid JSON: {} at byte {}", what, at_);
  }
  Status CheckSize() const {
    if (text_.size() <= limits_.max_bytes) return {};
    return Fail(ErrorCode::kMalformed, "the JSON has {} bytes; at most {} are accepted",
                text_.size(), limits_.max_bytes);
  }
  Status End() {
    SkipSpace();
    if (at_ != text_.size()) return Wrong("text after the value");
    return {};
  }

  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void SkipSpace() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
  }
  bool Take(char c) {
    if (Peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  bool TakeWord(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  Status Value(std::string& out) {
    SkipSpace();
    switch (Peek()) {
      case '{':
        return Object(out);
      case '[':
        return Array(out);
      case '"': {
        std::string text;
        HADAL_OK(String(text));
        out += QuoteJson(text);
        return {};
      }
      default:
        break;
    }
    for (const std::string_view word : {"true", "false", "null"}) {
      if (!TakeWord(word)) continue;
      out += word;
      return {};
    }
    return Number(out);
  }

  // Calls between(first), then member(key) with the value next, for each member.
  template <class Member, class Between>
  Status EachMember(const Member& member, const Between& between) {
    if (++depth_ > limits_.max_depth) return Wrong("too much nesting");
    ++at_;  // {
    std::set<std::string, std::less<>> keys;
    SkipSpace();
    if (!Take('}')) {
      do {
        SkipSpace();
        if (Peek() != '"') return Wrong("expected a key");
        std::string key;
        HADAL_OK(String(key));
        if (!keys.insert(key).second) return Wrong("a key that the object already has");
        SkipSpace();
        if (!Take(':')) return Wrong("expected ':'");
        between(keys.size() == 1);
        HADAL_OK(member(std::move(key)));
        SkipSpace();
      } while (Take(','));
      if (!Take('}')) return Wrong("expected ',' or '}'");
    }
    --depth_;
    return {};
  }

  void NewLine(std::string& out, int depth) const {
    out += '\n';
    out.append(static_cast<size_t>(depth * indent_), ' ');
  }
  void Separate(bool first, std::string& out) const {
    if (!first) out += indent_ > 0 ? "," : ", ";
    if (indent_ > 0) NewLine(out, depth_);
  }

  Status Object(std::string& out) {
    out += '{';
    bool empty = true;
    const auto member = [&](const std::string& key) -> Status {
      empty = false;
      out += QuoteJson(key);
      out += ": ";
      return Value(out);
    };
    HADAL_OK(EachMember(member, [&](bool first) { Separate(first, out); }));
    if (!empty && indent_ > 0) NewLine(out, depth_);
    out += '}';
    return {};
  }

  Status Array(std::string& out) {
    if (++depth_ > limits_.max_depth) return Wrong("too much nesting");
    ++at_;
    out += '[';
    SkipSpace();
    if (!Take(']')) {
      bool first = true;
      do {
        Separate(first, out);
        first = false;
        HADAL_OK(Value(out));
        SkipSpace();
      } while (Take(','));
      if (!Take(']')) return Wrong("expected ',' or ']'");
      if (indent_ > 0) NewLine(out, depth_ - 1);
    }
    --depth_;
    out += ']';
    return {};
  }

  Status Number(std::string& out) {
    const size_t begin = at_;
    Take('-');
    const size_t integer = at_;
    while (IsDigit(Peek())) ++at_;
    if (at_ == integer) return Wrong("expected a value");
    if (text_[integer] == '0' && at_ > integer + 1) return Wrong("a number that begins with 0");
    bool is_float = false;
    if (Take('.')) {
      is_float = true;
      if (!IsDigit(Peek())) return Wrong("expected a digit");
      while (IsDigit(Peek())) ++at_;
    }
    if (Peek() == 'e' || Peek() == 'E') {
      is_float = true;
      ++at_;
      if (Peek() == '+' || Peek() == '-') ++at_;
      if (!IsDigit(Peek())) return Wrong("expected a digit");
      while (IsDigit(Peek())) ++at_;
    }
    const std::string_view number = text_.substr(begin, at_ - begin);
    if (!is_float) {
      out += number == "-0" ? "0" : number;
      return {};
    }
    double value = 0;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), value);
    if (read.ec == std::errc::result_out_of_range) {  // too small is 0, as Python reads it
      value = std::strtod(std::string(number).c_str(), nullptr);
    }
    if (!std::isfinite(value)) return Wrong("a number too large");
    out += PythonFloat(value);
    return {};
  }

  Result<unsigned> Hex4() {
    unsigned value = 0;
    if (text_.size() - at_ < 4) return Wrong("expected four hexadecimal digits");
    const char* begin = text_.data() + at_;
    const auto read = std::from_chars(begin, begin + 4, value, 16);
    if (read.ec != std::errc{} || read.ptr != begin + 4) {
      return Wrong("expected four hexadecimal digits");
    }
    at_ += 4;
    return value;
  }

  Status Escape(std::string& out) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
    const char c = Peek();
    ++at_;
    if (c != 'u') {
      const size_t which = c == '\0' ? kNames.npos : kNames.find(c);
      if (which == kNames.npos) return Wrong("an unknown escape");
      out += kValues[which];
      return {};
    }
    HADAL_TRY(unsigned code, Hex4());
    if (code >= 0xDC00 && code < 0xE000) return Wrong("half a surrogate pair");
    if (code >= 0xD800 && code < 0xDC00) {
      if (!TakeWord("\\u")) return Wrong("half a surrogate pair");
      HADAL_TRY(const unsigned low, Hex4());
      if (low < 0xDC00 || low >= 0xE000) return Wrong("half a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    AppendUtf8(code, out);
    return {};
  }

  Status String(std::string& out) {
    ++at_;
    const size_t begin = out.size();
    while (true) {
      if (at_ >= text_.size()) return Wrong("a string without end");
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) < 0x20) return Wrong("a control character in a string");
      ++at_;
      if (c == '"') break;
      if (c == '\\') {
        HADAL_OK(Escape(out));
      } else {
        out += c;
      }
    }
    if (!IsValidUtf8(std::string_view(out).substr(begin))) return Wrong("a string without UTF-8");
    return {};
  }

  std::string_view text_;
  const int indent_;
  const JsonTextLimits limits_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Result<std::string> RewriteJson(std::string_view text, int indent, const JsonTextLimits& limits) {
  std::string out;
  HADAL_OK(Rewriter(text, indent, limits).Whole(out));
  return out;
}

Result<std::vector<JsonMember>> JsonMembers(std::string_view text, const JsonTextLimits& limits) {
  std::vector<JsonMember> members;
  HADAL_OK(Rewriter(text, 0, limits).Members(members));
  return members;
}

void AppendJsonEscaped(std::string_view text, std::string& out) {
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
}

std::string QuoteJson(std::string_view text) {
  std::string out = "\"";
  AppendJsonEscaped(text, out);
  out += '"';
  return out;
}

}  // namespace hadal
