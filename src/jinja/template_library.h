// Owns: everything a template can call: the tables of filters, tests, methods and functions, and
// how arguments are bound to parameters. Errors lack a position; the evaluator adds it.
// Knows nothing of syntax. Thread rule: free functions over constant tables.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/budget.h"
#include "jinja/value.h"

namespace hadal::jinja {

struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Arguments in the order of the parameters; what was not given is missing.
class BoundArguments {
 public:
  BoundArguments(std::string_view callee, std::vector<std::string_view> names)
      : callee_(callee), names_(std::move(names)), values_(names_.size()) {}

  bool Has(size_t i) const { return values_[i].has_value(); }
  const Value& operator[](size_t i) const { return *values_[i]; }
  Result<Value> Required(size_t i) const;
  Result<int64_t> Integer(size_t i, int64_t otherwise) const;
  Result<bool> Flag(size_t i, bool otherwise) const;
  // null when it was not given or is none.
  Result<const Text*> OptionalText(size_t i) const;
  Result<const Text*> RequiredText(size_t i) const;

 private:
  friend struct Call;
  std::string_view callee_;
  std::vector<std::string_view> names_;
  std::vector<std::optional<Value>> values_;
};

struct Call {
  std::string_view name;
  const Value& subject;  // what stands before '|' or '.'
  const CallArguments& arguments;
  Budget& budget;

  Result<BoundArguments> Bind(std::initializer_list<std::string_view> parameters) const;
};

using Callable = Result<Value> (*)(const Call&);
struct Filter {
  std::string_view name;
  Callable run = nullptr;
};
struct ValueTest {
  std::string_view name;
  bool takes_argument = false;
  // argument: null when takes_argument is false.
  Result<bool> (*run)(const Value& value, const Value* argument, Budget& budget) = nullptr;
};
struct Method {
  std::string_view name;
  Callable run = nullptr;
};

const Filter* FindFilter(std::string_view name);   // null: there is none
const ValueTest* FindTest(std::string_view name);  // null: there is none
std::optional<Builtin> FindBuiltin(std::string_view name);

Result<bool> RunTest(const ValueTest& test, const Value& value, std::span<const Value> arguments,
                     Budget& budget);
// subject.name(...) of strings, mappings and loops; any other name is refused.
Result<Value> CallMethod(const Call& call);
Result<Value> CallBuiltin(Builtin builtin, const CallArguments& arguments, Budget& budget);

// The parts of the tables.
std::span<const Filter> TextFilters();
std::span<const Filter> ListFilters();
std::span<const Method> StringMethods();
// Shared by filters and methods of the same name.
Result<Value> ReplaceText(const Text& text, const Text& old, const Text& fresh, int64_t count,
                          Budget& budget);
Result<Value> JoinTexts(const Value& items, const Text& separator, Budget& budget);
Result<Value> ItemsOf(const DictObject& dict, ListObject::Form form, Budget& budget);

}  // namespace hadal::jinja
