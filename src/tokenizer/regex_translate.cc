#include <optional>

#include "tokenizer/regex.h"

namespace hadal {
namespace {

// Unicode White_Space; PCRE2's \s under UCP would add U+180E.
constexpr std::string_view kSpaceSet = R"(\p{Z}\x09-\x0d\x{85})";
// Unicode word characters: Alphabetic, marks, decimal digits, connectors; the ranges are the
// enclosed letters, Alphabetic though of category So. PCRE2 10.42's \w lacks the marks.
constexpr std::string_view kWordSet =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";

// Walks a pattern once, copying it to `out_`.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  Result<std::string> Run() {
    while (at_ < in_.size()) {
      switch (in_[at_]) {
        case '\\':
          HADAL_OK(Escape(/*in_set=*/false));
          break;
        case '[':
          HADAL_OK(Set());
          break;
        case '(':
          HADAL_OK(Group());
          break;
        case '{':
          HADAL_OK(Braces());
          break;
        default:
          Copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  tl::unexpected<Error> Refuse(std::string_view what) const {
    return Fail(ErrorCode::kUnsupportedModel,
                "pattern \"{}\" uses {} at offset {}, which this build does not read as the "
                "reference tokenizer does",
                in_.substr(0, 200), what, at_);
  }
  char Peek(size_t ahead) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  void Copy(size_t n) {
    out_ += in_.substr(at_, n);
    at_ += n;
  }
  void Replace(size_t n, std::string_view open, std::string_view set, std::string_view close) {
    at_ += n;
    out_.append(open).append(set).append(close);
  }

  Status Escape(bool in_set) {
    const char c = Peek(1);
    if (c == '\0') return Refuse("a backslash at its end");
    const std::optional<std::string_view> set = c == 's' || c == 'S'   ? std::optional(kSpaceSet)
                                                : c == 'w' || c == 'W' ? std::optional(kWordSet)
                                                                       : std::nullopt;
    if (set) {
      const bool negated = c == 'S' || c == 'W';
      if (in_set && negated) return Refuse("a negated class inside a set");
      if (in_set) {
        Replace(2, "", *set, "");
      } else {
        Replace(2, negated ? "[^" : "[", *set, "]");
      }
      return {};
    }
    // Digits could be back references, whose numbering and case rules differ.
    constexpr std::string_view kRefused = "hHbBRXKGgkQECcuMyY123456789";
    if (kRefused.find(c) != std::string_view::npos) return Refuse(fmt::format("\\{}", c));
    const bool braced = (c == 'p' || c == 'P' || c == 'x') && Peek(2) == '{';
    const size_t close = braced ? in_.find('}', at_) : at_ + 1;
    if (close == std::string_view::npos) return Refuse("an unclosed brace");
    Copy(close + 1 - at_);
    return {};
  }

  Status Set() {
    Copy(1);
    if (Peek(0) == '^') Copy(1);
    if (Peek(0) == ']') return Refuse("an empty set or a ']' first in a set");
    while (at_ < in_.size() && in_[at_] != ']') {
      if (in_[at_] == '\\') {
        HADAL_OK(Escape(/*in_set=*/true));
      } else if (in_[at_] == '&' && Peek(1) == '&') {
        return Refuse("a set intersection (&&)");
      } else if (in_[at_] == '[') {
        return Refuse("a set inside a set");
      } else {
        Copy(1);
      }
    }
    if (at_ == in_.size()) return Refuse("an unclosed set");
    Copy(1);
    return {};
  }

  Status Group() {
    if (Peek(1) == '*') return Refuse("a verb (*...)");
    if (Peek(1) != '?') {
      Copy(1);
      return {};
    }
    const std::string_view rest = in_.substr(at_ + 2);
    for (const std::string_view known :
         {":", "=", "!", ">", "<=", "<!", "i:", "i)", "-i:", "-i)"}) {
      if (rest.starts_with(known)) {
        Copy(2 + known.size());
        return {};
      }
    }
    return Refuse("an inline flag or group of another kind");
  }

  // A quantifier. {n,m}+ is possessive in PCRE2 and a repeated group in Oniguruma.
  Status Braces() {
    const size_t close = in_.find('}', at_);
    if (close == std::string_view::npos) return Refuse("an unclosed brace");
    const std::string_view inside = in_.substr(at_ + 1, close - at_ - 1);
    if (inside.empty() || inside.find_first_not_of("0123456789,") != std::string_view::npos ||
        inside.front() == ',') {
      return Refuse("a brace that is not {n}, {n,} or {n,m}");
    }
    Copy(close + 1 - at_);
    if (Peek(0) == '+') return Refuse("a possessive {n,m}+");
    return {};
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

Result<std::string> TranslatePattern(std::string_view pattern) { return Translator(pattern).Run(); }

}  // namespace hadal
