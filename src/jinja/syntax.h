// Owns: the syntax tree of a template. Long chains (a + b + c ..., x.y.z, a|f|g, if/elif) are one
// node with a list, so that the depth of the tree is the depth of the source's brackets and blocks.
// Knows nothing of how it is run. Thread rule: immutable once parsed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "jinja/lexer.h"
#include "jinja/value.h"

namespace hadal::jinja {

struct Filter;     // of template_library.h
struct ValueTest;  // of template_library.h
struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Arguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
};

// What follows a value: .name, [i], [a:b:c], (...), |filter, is test.
struct Suffix {
  enum class Kind { kAttribute, kSubscript, kSlice, kCall, kFilter, kTest };
  Kind kind = Kind::kAttribute;
  Position position;
  std::string name;
  bool negated = false;             // is not
  const Filter* filter = nullptr;   // null: unknown, refused when it is reached
  const ValueTest* test = nullptr;  // likewise
  ExpressionPtr index;              // kSubscript
  ExpressionPtr start, stop, step;  // kSlice; each may be null
  Arguments arguments;
};

enum class Operator {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kConcatenate,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Expression {
  enum class Kind {
    kLiteral,
    kName,
    kList,
    kTuple,
    kDict,  // items: key, value, key, value, ...
    kNot,
    kNegate,
    kPositive,
    kArithmetic,  // items with operators between, from the left
    kCompare,     // likewise, chained as in Python
    kAnd,
    kOr,
    kConditional,  // value, condition, otherwise (may be null)
    kSuffixes,     // items[0] with suffixes, from the left
  };
  Kind kind = Kind::kLiteral;
  Position position;
  Value literal;
  std::string name;
  std::vector<ExpressionPtr> items;
  std::vector<Operator> operators;
  std::vector<Suffix> suffixes;
};

// What set and for assign to: a name, namespace.attribute, or several targets.
struct Target {
  Position position;
  std::string name;
  std::string attribute;        // of the namespace `name`; "" = the variable itself
  std::vector<Target> targets;  // not empty: unpacks
};

struct Statement;
using StatementPtr = std::unique_ptr<Statement>;
using Body = std::vector<StatementPtr>;

struct Statement {
  enum class Kind {
    kText,
    kPrint,
    kIf,
    kFor,
    kSet,
    kSetBlock,
    kMacro,
    kWith,
    kFilterBlock,
    kScope,  // {% generation %}: its body
    kBreak,
    kContinue,
  };
  struct Branch {
    ExpressionPtr condition;
    Body body;
  };
  struct Assignment {
    Target target;
    ExpressionPtr value;  // macro parameters: the default, may be null
  };
  Kind kind = Kind::kText;
  Position position;
  std::string name;                     // macro
  Value text;                           // kText
  ExpressionPtr expression;             // printed, assigned or iterated over
  ExpressionPtr condition;              // for ... if
  std::vector<Branch> branches;         // if, elif
  std::vector<Assignment> assignments;  // set, for (target only), with, macro (parameters)
  std::vector<Suffix> filters;          // of set and filter blocks
  Body body, otherwise;
};

}  // namespace hadal::jinja
