#include "jinja/expression_parser.h"

#include <charconv>
#include <optional>

#include "jinja/template_library.h"

namespace hadal::jinja {
namespace {

using Kind = Expression::Kind;

// From loosest to tightest; `not` stands between kAndLevel and kCompareLevel.
constexpr int kOrLevel = 0, kAndLevel = 1, kCompareLevel = 2, kAddLevel = 3, kConcatenateLevel = 4,
              kMultiplyLevel = 5, kPowerLevel = 6, kUnaryLevel = 7;

struct BinaryOperator {
  int level;
  std::string_view token;
  Operator op;
};
constexpr BinaryOperator kOperators[] = {
    {kCompareLevel, "==", Operator::kEqual},
    {kCompareLevel, "!=", Operator::kNotEqual},
    {kCompareLevel, "<", Operator::kLess},
    {kCompareLevel, "<=", Operator::kLessEqual},
    {kCompareLevel, ">", Operator::kGreater},
    {kCompareLevel, ">=", Operator::kGreaterEqual},
    {kAddLevel, "+", Operator::kAdd},
    {kAddLevel, "-", Operator::kSubtract},
    {kConcatenateLevel, "~", Operator::kConcatenate},
    {kMultiplyLevel, "*", Operator::kMultiply},
    {kMultiplyLevel, "/", Operator::kDivide},
    {kMultiplyLevel, "//", Operator::kFloorDivide},
    {kMultiplyLevel, "%", Operator::kModulo},
    {kPowerLevel, "**", Operator::kPower},
};

Kind KindOf(int level) {
  switch (level) {
    case kOrLevel:
      return Kind::kOr;
    case kAndLevel:
      return Kind::kAnd;
    case kCompareLevel:
      return Kind::kCompare;
    default:
      return Kind::kArithmetic;
  }
}

ExpressionPtr New(Kind kind, Position position) {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->position = position;
  return node;
}

// Takes the operator of this level that stands next, if one does.
std::optional<Operator> TakeOperator(TokenReader& reader, int level) {
  if (level == kOrLevel || level == kAndLevel) {
    if (reader.TakeIfName(level == kOrLevel ? "or" : "and")) return Operator::kAdd;  // not used
    return std::nullopt;
  }
  if (level == kCompareLevel) {
    if (reader.TakeIfName("in")) return Operator::kIn;
    if (reader.current().IsName("not") && reader.next().IsName("in")) {
      reader.Take();
      reader.Take();
      return Operator::kNotIn;
    }
  }
  for (const BinaryOperator& known : kOperators) {
    if (known.level == level && reader.TakeIf(known.token)) return known.op;
  }
  return std::nullopt;
}

}  // namespace

std::string TokenReader::Describe(const Token& token) {
  switch (token.kind) {
    case Token::Kind::kText:
    case Token::Kind::kEnd:
      return "the end of the template";
    case Token::Kind::kBlockBegin:
      return "'{%'";
    case Token::Kind::kBlockEnd:
      return "'%}'";
    case Token::Kind::kPrintBegin:
      return "'{{'";
    case Token::Kind::kPrintEnd:
      return "'}}'";
    case Token::Kind::kString:
      return "a string";
    default:
      return Quote(token.text);
  }
}

Result<ExpressionPtr> ExpressionParser::Parse() {
  HADAL_TRY(const TokenReader::Nesting nesting, reader_.Enter());
  const Position position = reader_.position();
  HADAL_TRY(ExpressionPtr value, ParseBinary(kOrLevel));
  if (!reader_.TakeIfName("if")) return value;
  const bool lenient = std::exchange(lenient_, true);
  ExpressionPtr node = New(Kind::kConditional, position);
  node->items.push_back(std::move(value));
  HADAL_TRY(ExpressionPtr condition, ParseBinary(kOrLevel));
  node->items.push_back(std::move(condition));
  if (reader_.TakeIfName("else")) {
    HADAL_TRY(ExpressionPtr otherwise, Parse());
    node->items.push_back(std::move(otherwise));
  } else {
    node->items.push_back(nullptr);
  }
  lenient_ = lenient;
  // `a if b else c if d ...`: each level is one nesting, so the chain is bounded as brackets are.
  return node;
}

Result<ExpressionPtr> ExpressionParser::ParseBinary(int level) {
  if (level == kUnaryLevel) return ParseUnary(/*with_filters=*/true);
  const Position position = reader_.position();
  const auto operand = [&]() -> Result<ExpressionPtr> {
    return level == kAndLevel ? ParseNot() : ParseBinary(level + 1);
  };
  HADAL_TRY(ExpressionPtr first, operand());
  auto op = TakeOperator(reader_, level);
  if (!op) return first;
  ExpressionPtr node = New(KindOf(level), position);
  node->items.push_back(std::move(first));
  for (; op; op = TakeOperator(reader_, level)) {
    HADAL_TRY(ExpressionPtr right, operand());
    node->operators.push_back(*op);
    node->items.push_back(std::move(right));
  }
  return node;
}

Result<ExpressionPtr> ExpressionParser::ParseNot() {
  if (!reader_.current().IsName("not")) return ParseBinary(kCompareLevel);
  HADAL_TRY(const TokenReader::Nesting nesting, reader_.Enter());
  ExpressionPtr node = New(Kind::kNot, reader_.Take().position);
  HADAL_TRY(ExpressionPtr value, ParseNot());
  node->items.push_back(std::move(value));
  return node;
}

Result<ExpressionPtr> ExpressionParser::ParseUnary(bool with_filters) {
  HADAL_TRY(const TokenReader::Nesting nesting, reader_.Enter());
  ExpressionPtr value;
  if (reader_.current().Is("-") || reader_.current().Is("+")) {
    const Token& sign = reader_.Take();
    value = New(sign.text == "-" ? Kind::kNegate : Kind::kPositive, sign.position);
    HADAL_TRY(ExpressionPtr operand, ParseUnary(/*with_filters=*/false));
    value->items.push_back(std::move(operand));
  } else {
    HADAL_TRY(value, ParsePrimary());
  }
  HADAL_OK(ParseSuffixes(value, with_filters));
  return value;
}

Result<ExpressionPtr> ExpressionParser::ParsePrimary() {
  const Token& token = reader_.current();
  if (token.Is("(")) return ParseParentheses();
  if (token.Is("[")) return ParseItems(Kind::kList, "]");
  if (token.Is("{")) return ParseItems(Kind::kDict, "}");
  if (token.kind != Token::Kind::kName) return ParseLiteral();
  reader_.Take();
  ExpressionPtr node = New(Kind::kLiteral, token.position);
  if (token.text == "true" || token.text == "True") {
    node->literal = true;
  } else if (token.text == "false" || token.text == "False") {
    node->literal = false;
  } else if (token.text == "none" || token.text == "None") {
    node->literal = None();
  } else {
    node->kind = Kind::kName;
    node->name = token.text;
  }
  return node;
}

Result<ExpressionPtr> ExpressionParser::ParseLiteral() {
  const Token& token = reader_.current();
  ExpressionPtr node = New(Kind::kLiteral, token.position);
  const char* begin = token.text.data();
  const char* end = begin + token.text.size();
  if (token.kind == Token::Kind::kString) {
    std::string text;
    while (reader_.current().kind == Token::Kind::kString) text += reader_.Take().text;
    node->literal = Literal(std::move(text));
    return node;
  }
  if (token.kind == Token::Kind::kInteger) {
    int64_t value = 0;
    if (std::from_chars(begin, end, value).ec != std::errc()) {
      return FailAt(token.position, "the number is outside the 64 bits that are supported");
    }
    node->literal = value;
  } else if (token.kind == Token::Kind::kFloat) {
    double value = 0;
    if (std::from_chars(begin, end, value).ec != std::errc()) {
      return FailAt(token.position, "the number is outside the range of a double");
    }
    node->literal = value;
  } else {
    return reader_.Unexpected("an expression");
  }
  reader_.Take();
  return node;
}

Result<ExpressionPtr> ExpressionParser::ParseItems(Kind kind, std::string_view end) {
  ExpressionPtr node = New(kind, reader_.Take().position);
  while (!reader_.current().Is(end)) {
    if (!node->items.empty()) HADAL_OK(reader_.Expect(","));
    if (reader_.current().Is(end)) break;
    HADAL_TRY(ExpressionPtr item, Parse());
    node->items.push_back(std::move(item));
    if (kind != Kind::kDict) continue;
    HADAL_OK(reader_.Expect(":"));
    HADAL_TRY(ExpressionPtr value, Parse());
    node->items.push_back(std::move(value));
  }
  HADAL_OK(reader_.Expect(end));
  return node;
}

Result<ExpressionPtr> ExpressionParser::ParseParentheses() {
  const Position position = reader_.Take().position;
  if (reader_.TakeIf(")")) return New(Kind::kTuple, position);
  HADAL_TRY(ExpressionPtr inside, ParseTuple(/*with_condition=*/true));
  HADAL_OK(reader_.Expect(")"));
  return inside;
}

bool ExpressionParser::AtTupleEnd() const {
  const Token& token = reader_.current();
  return token.kind == Token::Kind::kBlockEnd || token.kind == Token::Kind::kPrintEnd ||
         token.Is(")") || token.IsName("recursive");
}

Result<ExpressionPtr> ExpressionParser::ParseTuple(bool with_condition) {
  const Position position = reader_.position();
  const auto parse = [&] { return with_condition ? Parse() : ParseOr(); };
  HADAL_TRY(ExpressionPtr first, parse());
  if (!reader_.current().Is(",")) return first;
  ExpressionPtr node = New(Kind::kTuple, position);
  node->items.push_back(std::move(first));
  while (reader_.TakeIf(",") && !AtTupleEnd()) {
    HADAL_TRY(ExpressionPtr item, parse());
    node->items.push_back(std::move(item));
  }
  return node;
}

Status ExpressionParser::ParseSuffixes(ExpressionPtr& value, bool with_filters) {
  bool filtered = false;  // after a filter or test only further ones and calls may stand
  while (true) {
    const Token& token = reader_.current();
    const bool is_call = token.Is("(");
    const bool is_filter = with_filters && (token.Is("|") || token.IsName("is"));
    const bool is_access = !filtered && (token.Is(".") || token.Is("["));
    if (!is_call && !is_filter && !is_access) return {};
    if (is_filter) filtered = true;
    if (value->kind != Kind::kSuffixes) {
      ExpressionPtr node = New(Kind::kSuffixes, value->position);
      node->items.push_back(std::move(value));
      value = std::move(node);
    }
    Result<Suffix> suffix = Suffix();
    if (is_call) {
      suffix->kind = Suffix::Kind::kCall;
      suffix->position = token.position;
      HADAL_TRY(suffix->arguments, ParseArguments());
    } else if (token.Is("|")) {
      reader_.Take();
      suffix = ParseFilter();
    } else {
      suffix = token.Is(".") ? ParseAttribute() : token.Is("[") ? ParseSubscript() : ParseTest();
    }
    if (!suffix) return tl::make_unexpected(std::move(suffix).error());
    value->suffixes.push_back(std::move(*suffix));
  }
}

Result<Suffix> ExpressionParser::ParseAttribute() {
  Suffix suffix;
  suffix.position = reader_.Take().position;
  const Token& name = reader_.current();
  if (name.kind == Token::Kind::kInteger) {
    suffix.kind = Suffix::Kind::kSubscript;
    HADAL_TRY(suffix.index, ParseLiteral());
    return suffix;
  }
  HADAL_TRY(suffix.name, ParseName("a name"));
  if (suffix.name.starts_with("__")) {
    return FailAt(name.position, "the attribute {} is not allowed", Quote(suffix.name));
  }
  return suffix;
}

Result<Suffix> ExpressionParser::ParseSubscript() {
  Suffix suffix;
  suffix.kind = Suffix::Kind::kSubscript;
  suffix.position = reader_.Take().position;
  if (!reader_.current().Is(":")) {
    HADAL_TRY(suffix.index, Parse());
  }
  if (reader_.current().Is(":")) {
    suffix.kind = Suffix::Kind::kSlice;
    suffix.start = std::move(suffix.index);
    for (ExpressionPtr* part : {&suffix.stop, &suffix.step}) {
      if (!reader_.TakeIf(":")) break;
      if (reader_.current().Is(":") || reader_.current().Is("]")) continue;
      HADAL_TRY(*part, Parse());
    }
  }
  HADAL_OK(reader_.Expect("]"));
  return suffix;
}

Result<std::string> ExpressionParser::ParseName(std::string_view what) {
  if (reader_.current().kind != Token::Kind::kName) return reader_.Unexpected(what);
  return reader_.Take().text;
}

Result<Suffix> ExpressionParser::ParseFilter() {
  Suffix suffix;
  suffix.kind = Suffix::Kind::kFilter;
  suffix.position = reader_.position();
  HADAL_TRY(suffix.name, ParseName("the name of a filter"));
  suffix.filter = FindFilter(suffix.name);
  if (suffix.filter == nullptr && !lenient_) {
    return FailAt(suffix.position, "there is no filter {}", Quote(suffix.name));
  }
  if (reader_.current().Is("(")) {
    HADAL_TRY(suffix.arguments, ParseArguments());
  }
  return suffix;
}

Result<std::vector<Suffix>> ExpressionParser::ParseFilters() {
  std::vector<Suffix> filters;
  while (reader_.TakeIf("|")) {
    HADAL_TRY(Suffix filter, ParseFilter());
    filters.push_back(std::move(filter));
  }
  return filters;
}

bool ExpressionParser::AtTestArgument() const {
  const Token& token = reader_.current();
  switch (token.kind) {
    case Token::Kind::kName:
      return token.text != "else" && token.text != "or" && token.text != "and" &&
             token.text != "if" && token.text != "is" && token.text != "in" && token.text != "not";
    case Token::Kind::kString:
    case Token::Kind::kInteger:
    case Token::Kind::kFloat:
      return true;
    default:
      return token.Is("[") || token.Is("{");
  }
}

Result<Suffix> ExpressionParser::ParseTest() {
  Suffix suffix;
  suffix.kind = Suffix::Kind::kTest;
  reader_.Take();
  suffix.negated = reader_.TakeIfName("not");
  suffix.position = reader_.position();
  HADAL_TRY(suffix.name, ParseName("the name of a test"));
  suffix.test = FindTest(suffix.name);
  if (suffix.test == nullptr && !lenient_) {
    return FailAt(suffix.position, "there is no test {}", Quote(suffix.name));
  }
  if (reader_.current().Is("(")) {
    HADAL_TRY(suffix.arguments, ParseArguments());
  } else if (AtTestArgument()) {
    HADAL_TRY(ExpressionPtr argument, ParseUnary(/*with_filters=*/false));
    suffix.arguments.positional.push_back(std::move(argument));
  }
  return suffix;
}

Result<Arguments> ExpressionParser::ParseArguments() {
  Arguments arguments;
  HADAL_OK(reader_.Expect("("));
  bool first = true;
  while (!reader_.current().Is(")")) {
    if (!first) HADAL_OK(reader_.Expect(","));
    first = false;
    if (reader_.current().Is(")")) break;
    if (reader_.current().Is("*") || reader_.current().Is("**")) {
      return FailAt(reader_.position(), "arguments with '*' are not supported");
    }
    std::string name;
    if (reader_.current().kind == Token::Kind::kName && reader_.next().Is("=")) {
      name = reader_.Take().text;
      reader_.Take();
    } else if (!arguments.named.empty()) {
      return FailAt(reader_.position(), "an argument without a name follows one with a name");
    }
    HADAL_TRY(ExpressionPtr value, Parse());
    if (name.empty()) {
      arguments.positional.push_back(std::move(value));
    } else {
      arguments.named.emplace_back(std::move(name), std::move(value));
    }
  }
  HADAL_OK(reader_.Expect(")"));
  return arguments;
}

}  // namespace hadal::jinja
