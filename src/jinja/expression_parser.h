// Owns: the grammar of expressions. Knows nothing of statements.
// Thread rule: one parser, one thread.
#pragma once

#include "jinja/syntax.h"
#include "jinja/token_reader.h"

namespace hadal::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenReader& reader) : reader_(reader) {}

  // With `a if b else c`.
  Result<ExpressionPtr> Parse();
  // Without: what `for x in` takes, whose `if` is a filter.
  Result<ExpressionPtr> ParseOr() { return ParseBinary(0); }
  // One expression, or several with commas: a tuple.
  Result<ExpressionPtr> ParseTuple(bool with_condition);
  // |filter|filter(...), also none.
  Result<std::vector<Suffix>> ParseFilters();
  // name or name(arguments), after '|'.
  Result<Suffix> ParseFilter();
  Result<std::string> ParseName(std::string_view what);

  // Inside {% if %}: an unknown filter or test is refused only when it is reached.
  void set_lenient(bool lenient) { lenient_ = lenient; }
  bool lenient() const { return lenient_; }

 private:
  Result<ExpressionPtr> ParseBinary(int level);
  Result<ExpressionPtr> ParseNot();
  Result<ExpressionPtr> ParseUnary(bool with_filters);
  Result<ExpressionPtr> ParsePrimary();
  Result<ExpressionPtr> ParseLiteral();
  Result<ExpressionPtr> ParseItems(Expression::Kind kind, std::string_view end);
  Result<ExpressionPtr> ParseParentheses();
  Status ParseSuffixes(ExpressionPtr& value, bool with_filters);
  Result<Suffix> ParseAttribute();
  Result<Suffix> ParseSubscript();
  Result<Suffix> ParseTest();
  Result<Arguments> ParseArguments();
  bool AtTestArgument() const;
  bool AtTupleEnd() const;

  TokenReader& reader_;
  bool lenient_ = false;
};

}  // namespace hadal::jinja
