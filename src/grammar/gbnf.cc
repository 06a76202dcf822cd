#include "grammar/gbnf.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "grammar/expression.h"
#include "tokenizer/utf8.h"

namespace hadal::grammar {
namespace {

bool IsNameByte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '_';
}

class Parser {
 public:
  Parser(std::string_view text, AutomatonBuilder& builder)
      : text_(text), builder_(builder), budget_(builder.budget()) {}

  Result<uint32_t> Run() {
    SkipSpace(true);
    while (!AtEnd()) {
      HADAL_OK(Rule());
      SkipSpace(true);
    }
    for (const auto& [name, rule] : rules_) {
      if (rule.root) continue;
      return Fail(ErrorCode::kInvalidArgument, "rule \"{}\", used at byte {}, is not defined", name,
                  rule.used_at);
    }
    const auto root = rules_.find(std::string_view("root"));
    if (root == rules_.end()) {
      return Fail(ErrorCode::kInvalidArgument, "the grammar has no rule \"root\"");
    }
    for (const auto& [name, rule] : rules_) {
      Nfa nfa = builder_.NewNfa();
      nfa.Epsilon(expressions_.Emit(*rule.root, nfa, nfa.start()), nfa.accept());
      HADAL_OK(budget_.Spend(nfa.size()));
      if (nfa.overflowed()) {
        return Fail(ErrorCode::kInvalidArgument,
                    "rule \"{}\" needs more than {} states; make its repetitions smaller", name,
                    budget_.limits().max_states);
      }
      builder_.Define(rule.id, std::move(nfa));
    }
    return root->second.id;
  }

 private:
  struct Named {
    uint32_t id = 0;
    size_t used_at = 0;
    std::optional<uint32_t> root;  // expression
  };

  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  bool Take(std::string_view expected) {
    if (text_.substr(at_).substr(0, expected.size()) != expected) return false;
    at_ += expected.size();
    return true;
  }
  template <class... A>
  tl::unexpected<Error> Wrong(fmt::format_string<A...> format, A&&... args) const {
    return Fail(ErrorCode::kInvalidArgument, "{} at byte {} of the grammar",
                fmt::format(format, std::forward<A>(args)...), at_);
  }
  void SkipSpace(bool newlines) {
    while (!AtEnd()) {
      if (Peek() == '#') {
        while (!AtEnd() && Peek() != '\n' && Peek() != '\r') ++at_;
      } else if (Peek() == ' ' || Peek() == '\t' ||
                 (newlines && (Peek() == '\n' || Peek() == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }
  std::string_view Name() {
    const size_t begin = at_;
    while (!AtEnd() && IsNameByte(Peek())) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  Result<Named*> NamedOf(std::string_view name) {
    const auto it = rules_.find(name);
    if (it != rules_.end()) return &it->second;
    HADAL_TRY(const uint32_t id, builder_.Declare(fmt::format("rule \"{}\"", name.substr(0, 80))));
    return &(rules_[std::string(name)] = {.id = id, .used_at = at_ - name.size(), .root = {}});
  }

  Status Rule() {
    const std::string_view name = Name();
    if (name.empty()) return Wrong("a rule's name is expected");
    HADAL_TRY(Named * rule, NamedOf(name));
    if (rule->root) return Wrong("rule \"{}\" is defined a second time", name);
    SkipSpace(false);
    if (!Take("::=")) return Wrong("\"::=\" is expected after \"{}\"", name);
    SkipSpace(true);
    HADAL_TRY(rule->root, Choice(0));
    if (!AtEnd() && Peek() != '\n' && Peek() != '\r') return Wrong("unexpected \"{}\"", Peek());
    return {};
  }

  Result<uint32_t> Choice(int depth) {
    if (depth > budget_.limits().max_depth) {
      return Wrong("groups are nested deeper than {}", budget_.limits().max_depth);
    }
    std::vector<uint32_t> children;
    do {
      SkipSpace(true);
      HADAL_TRY(children.emplace_back(), Sequence(depth));
    } while (Take("|"));
    if (children.size() == 1) return children[0];
    return expressions_.Add({.kind = Expression::Kind::kChoice, .children = std::move(children)});
  }

  Result<uint32_t> Sequence(int depth) {
    std::vector<uint32_t> children;
    while (true) {
      SkipSpace(depth > 0);
      const char c = Peek();
      if (AtEnd() || c == '|' || c == ')' || c == '\n' || c == '\r') break;
      HADAL_OK(budget_.Spend(16));
      HADAL_TRY(const uint32_t atom, Atom(depth));
      HADAL_TRY(children.emplace_back(), Quantified(atom));
    }
    if (children.size() == 1) return children[0];
    return expressions_.Add({.kind = Expression::Kind::kSequence, .children = std::move(children)});
  }

  Result<uint32_t> Atom(int depth) {
    if (Take("(")) {
      HADAL_TRY(const uint32_t inner, Choice(depth + 1));
      SkipSpace(true);
      if (!Take(")")) return Wrong("\")\" is missing");
      return inner;
    }
    if (Take("\"")) return Literal();
    if (Take("[")) return Class();
    if (Take(".")) {
      return expressions_.Add({.kind = Expression::Kind::kSet, .set = CodePointSet::All()});
    }
    if (Peek() == '<') return Wrong("references to tokens are not supported");
    if (!IsNameByte(Peek())) return Wrong("unexpected \"{}\"", Peek());
    const std::string_view name = Name();
    HADAL_TRY(const Named* rule, NamedOf(name));
    return expressions_.Add({.kind = Expression::Kind::kRule, .rule = rule->id});
  }

  Result<uint32_t> Literal() {
    std::string bytes;
    while (!Take("\"")) {
      if (AtEnd() || Peek() == '\n') return Wrong("a literal is not closed");
      HADAL_TRY(const uint32_t c, Character());
      AppendUtf8(c, bytes);
    }
    return expressions_.Add({.kind = Expression::Kind::kBytes, .bytes = std::move(bytes)});
  }

  Result<uint32_t> Class() {
    const bool negated = Take("^");
    CodePointSet set;
    while (!Take("]")) {
      if (AtEnd() || Peek() == '\n') return Wrong("a class is not closed");
      HADAL_OK(budget_.Spend(16));
      HADAL_TRY(const uint32_t lo, Character());
      uint32_t hi = lo;
      if (Peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        HADAL_TRY(hi, Character());
        if (lo > hi) return Wrong("the range U+{:04X}-U+{:04X} is upside down", lo, hi);
      }
      set.Add(lo, hi);
    }
    return expressions_.Add(
        {.kind = Expression::Kind::kSet, .set = negated ? set.Negated() : std::move(set)});
  }

  Result<uint32_t> Character() {
    if (!Take("\\")) {
      const Utf8Char c = ReadUtf8Char(text_.substr(at_));
      if (c.kind != Utf8Char::Kind::kValid) return Wrong("invalid UTF-8");
      at_ += c.length;
      return c.code_point;
    }
    if (AtEnd()) return Wrong("the grammar ends after a backslash");
    const char c = text_[at_++];
    switch (c) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'x':
        return Hex(2);
      case 'u':
        return Hex(4);
      case 'U':
        return Hex(8);
      default:
        break;
    }
    if (std::string_view("\\\"'[]-^/").find(c) != std::string_view::npos) {
      return static_cast<uint32_t>(c);
    }
    --at_;
    return Wrong("an unknown escape");
  }

  Result<uint32_t> Hex(size_t digits) {
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
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      return Wrong("U+{:X} is not a character", value);
    }
    return value;
  }

  Result<uint32_t> Number() {
    if (Peek() < '0' || Peek() > '9') return Wrong("a number is expected");
    uint64_t n = 0;
    for (; Peek() >= '0' && Peek() <= '9'; ++at_) {
      n = std::min<uint64_t>(n * 10 + static_cast<uint64_t>(Peek() - '0'), kNone - 1);
    }
    return static_cast<uint32_t>(n);
  }

  Result<uint32_t> Quantified(uint32_t atom) {
    uint32_t min = 0, max = kNone;
    if (Take("*")) {
    } else if (Take("+")) {
      min = 1;
    } else if (Take("?")) {
      max = 1;
    } else if (Take("{")) {
      SkipSpace(false);
      HADAL_TRY(min, Number());
      max = min;
      SkipSpace(false);
      if (Take(",")) {
        SkipSpace(false);
        max = kNone;
        if (Peek() != '}') {
          HADAL_TRY(max, Number());
        }
        SkipSpace(false);
      }
      if (!Take("}")) return Wrong("\"}}\" is missing");
      if (min > max) return Wrong("the repetition {{{},{}}} is upside down", min, max);
    } else {
      return atom;
    }
    if (Peek() == '*' || Peek() == '+' || Peek() == '?' || Peek() == '{') {
      return Wrong("a second quantifier follows the first");
    }
    const uint32_t limit = budget_.limits().max_states;
    if (min > limit || (max != kNone && max > limit)) {
      return Wrong("the repetition is longer than the {} states that a constraint may have", limit);
    }
    return expressions_.Add(
        {.kind = Expression::Kind::kRepeat, .children = {atom}, .min = min, .max = max});
  }

  std::string_view text_;
  AutomatonBuilder& builder_;
  Budget& budget_;
  size_t at_ = 0;
  Expressions expressions_;
  std::map<std::string, Named, std::less<>> rules_;
};

}  // namespace

Result<uint32_t> EmitGbnf(std::string_view source, AutomatonBuilder& builder) {
  const size_t max_bytes = builder.budget().limits().max_source_bytes;
  if (source.size() > max_bytes) {
    return Fail(ErrorCode::kInvalidArgument, "the grammar has {} bytes; at most {} are accepted",
                source.size(), max_bytes);
  }
  return Parser(source, builder).Run();
}

}  // namespace hadal::grammar
