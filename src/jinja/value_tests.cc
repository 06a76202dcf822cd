// The table of tests: what may stand after `is`.
#include "jinja/operations.h"
#include "jinja/template_library.h"

namespace hadal::jinja {
namespace {

template <class T>
Result<bool> IsA(const Value& value, const Value*, Budget&) {
  return As<T>(value) != nullptr;
}
template <bool defined>
Result<bool> IsDefined(const Value& value, const Value*, Budget&) {
  return IsUndefined(value) != defined;
}
template <bool wanted>
Result<bool> IsBool(const Value& value, const Value*, Budget&) {
  const bool* b = As<bool>(value);
  return b != nullptr && *b == wanted;
}
Result<bool> IsANumber(const Value& value, const Value*, Budget&) { return IsNumber(value); }
Result<bool> IsSequence(const Value& value, const Value*, Budget&) {
  const List* list = As<List>(value);
  if (list != nullptr) {
    return (*list)->form != ListObject::Form::kView &&
           (*list)->form != ListObject::Form::kGenerator;
  }
  return AsText(value) || As<Dict>(value) || IsUndefined(value);
}
Result<bool> IsIterable(const Value& value, const Value*, Budget&) {
  return AsText(value) || As<Dict>(value) || As<List>(value) || As<Loop>(value) ||
         IsUndefined(value);
}
Result<bool> IsCallable(const Value& value, const Value*, Budget&) {
  return As<Macro>(value) || As<Builtin>(value);
}
template <Operator op>
Result<bool> Holds(const Value& value, const Value* argument, Budget& budget) {
  return Compare(op, value, *argument, budget);
}
Result<bool> IsSameAs(const Value& value, const Value* argument, Budget& budget) {
  if (value.index() != argument->index()) return false;
  return AreEqual(value, *argument, budget);
}
Result<bool> IsDivisibleBy(const Value& value, const Value* argument, Budget& budget) {
  HADAL_TRY(const Value rest, Calculate(Operator::kModulo, value, *argument, budget));
  return !IsTrue(rest);
}
template <int64_t rest>
Result<bool> IsParity(const Value& value, const Value*, Budget&) {
  const auto integer = AsInteger(value);
  if (!integer) {
    return Fail(ErrorCode::kBadFile, "{} needs a whole number, not {}", rest == 0 ? "even" : "odd",
                TypeName(value));
  }
  return (*integer % 2 != 0) == (rest != 0);
}
template <Case wanted>
Result<bool> IsInCase(const Value& value, const Value*, Budget& budget) {
  HADAL_TRY(const String string, ToString(value, budget));
  const Text& text = string->text;
  HADAL_OK(budget.SpendBytes(text.size()));
  constexpr Case kOther = wanted == Case::kUpper ? Case::kLower : Case::kUpper;
  return WithCase(text, wanted).bytes == text.bytes && WithCase(text, kOther).bytes != text.bytes;
}

constexpr ValueTest kTests[] = {
    {"!=", true, Holds<Operator::kNotEqual>},
    {"<", true, Holds<Operator::kLess>},
    {"<=", true, Holds<Operator::kLessEqual>},
    {"==", true, Holds<Operator::kEqual>},
    {">", true, Holds<Operator::kGreater>},
    {">=", true, Holds<Operator::kGreaterEqual>},
    {"boolean", false, IsA<bool>},
    {"callable", false, IsCallable},
    {"defined", false, IsDefined<true>},
    {"divisibleby", true, IsDivisibleBy},
    {"eq", true, Holds<Operator::kEqual>},
    {"equalto", true, Holds<Operator::kEqual>},
    {"even", false, IsParity<0>},
    {"false", false, IsBool<false>},
    {"float", false, IsA<double>},
    {"ge", true, Holds<Operator::kGreaterEqual>},
    {"greaterthan", true, Holds<Operator::kGreater>},
    {"gt", true, Holds<Operator::kGreater>},
    {"in", true, Holds<Operator::kIn>},
    {"integer", false, IsA<int64_t>},
    {"iterable", false, IsIterable},
    {"le", true, Holds<Operator::kLessEqual>},
    {"lessthan", true, Holds<Operator::kLess>},
    {"lower", false, IsInCase<Case::kLower>},
    {"lt", true, Holds<Operator::kLess>},
    {"mapping", false, IsA<Dict>},
    {"ne", true, Holds<Operator::kNotEqual>},
    {"none", false, IsA<None>},
    {"number", false, IsANumber},
    {"odd", false, IsParity<1>},
    {"sameas", true, IsSameAs},
    {"sequence", false, IsSequence},
    {"string", false, IsA<String>},
    {"true", false, IsBool<true>},
    {"undefined", false, IsDefined<false>},
    {"upper", false, IsInCase<Case::kUpper>},
};

}  // namespace

const ValueTest* FindTest(std::string_view name) {
  for (const ValueTest& test : kTests) {
    if (test.name == name) return &test;
  }
  return nullptr;
}

Result<bool> RunTest(const ValueTest& test, const Value& value, std::span<const Value> arguments,
                     Budget& budget) {
  if (arguments.size() != (test.takes_argument ? 1 : 0)) {
    return Fail(ErrorCode::kBadFile, "the test '{}' takes {}, not {} arguments", test.name,
                test.takes_argument ? "one argument" : "no argument", arguments.size());
  }
  HADAL_OK(budget.Spend(1));
  return test.run(value, arguments.empty() ? nullptr : &arguments.front(), budget);
}

}  // namespace hadal::jinja
