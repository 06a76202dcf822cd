// Owns: running a parsed template: statements, expressions, scopes, output.
// Thread rule: one render, one thread; the tree, the budget and the variables outlive it.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "jinja/budget.h"
#include "jinja/operations.h"
#include "jinja/syntax.h"
#include "jinja/template_library.h"

namespace hadal::jinja {

// Variables of a block. Scopes live on the stack of the block that runs; what refers to one (Macro)
// cannot be stored where it would outlive it.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<std::string_view, Value>> variables;  // names of the tree

  void Set(std::string_view name, Value value);
};

class Interpreter {
 public:
  Interpreter(Budget& budget, const DictObject& globals) : budget_(budget), globals_(globals) {}

  Result<Text> Run(const Body& body);

 private:
  enum class Flow { kOn, kBreak, kContinue };

  // Statements.
  Result<Flow> Execute(const Body& body, Scope& scope);
  Result<Flow> ExecuteOne(const Statement& statement, Scope& scope);
  Result<Flow> ExecuteIf(const Statement& statement, Scope& scope);
  Result<Flow> ExecuteFor(const Statement& statement, Scope& scope);
  Result<List> LoopItems(const Statement& statement, Scope& scope);
  Status ExecuteSetBlock(const Statement& statement, Scope& scope);
  Result<Flow> ExecuteWith(const Statement& statement, Scope& scope);
  Status ExecuteFilterBlock(const Statement& statement, Scope& scope);
  Status Assign(const Target& target, const Value& value, Scope& scope);
  Status Print(const Value& value);
  Status Write(const Text& text);
  // What the body prints, as a value.
  Result<Value> Capture(const Body& body, Scope& scope);

  // Expressions.
  Result<Value> Evaluate(const Expression& e, Scope& scope);
  Result<Value> EvaluateNode(const Expression& e, Scope& scope);
  Result<Value> EvaluateList(const Expression& e, ListObject::Form form, Scope& scope);
  Result<Value> EvaluateDict(const Expression& e, Scope& scope);
  Result<Value> EvaluateArithmetic(const Expression& e, Scope& scope);
  Result<Value> EvaluateCompare(const Expression& e, Scope& scope);
  Result<Value> EvaluateLogic(const Expression& e, Scope& scope);
  Result<Value> EvaluateConditional(const Expression& e, Scope& scope);
  Result<Value> EvaluateSuffixes(const Expression& e, Scope& scope);
  Result<Value> ApplySuffix(const Suffix& suffix, const Value& value, Scope& scope);
  Result<Value> ApplySlice(const Suffix& suffix, const Value& value, Scope& scope);
  Result<Value> ApplyTest(const Suffix& suffix, const Value& value, Scope& scope);
  Result<Value> CallAttribute(const Suffix& attribute, const Suffix& call, const Value& value,
                              Scope& scope);
  Result<Value> CallValue(const Value& callee, const CallArguments& arguments);
  Result<Value> CallMacro(const Macro& macro, const CallArguments& arguments);
  Result<CallArguments> EvaluateArguments(const Arguments& arguments, Scope& scope);
  Result<Value> Lookup(std::string_view name, const Scope& scope);

  // Bounds the recursion of the interpreter itself.
  class Entered {
   public:
    explicit Entered(int& depth) : depth_(&depth) { ++depth; }
    Entered(Entered&& other) noexcept : depth_(std::exchange(other.depth_, nullptr)) {}
    Entered& operator=(Entered&&) = delete;
    ~Entered() {
      if (depth_ != nullptr) --*depth_;
    }

   private:
    int* depth_;
  };
  Result<Entered> Enter();

  Budget& budget_;
  const DictObject& globals_;
  Text* output_ = nullptr;
  size_t live_output_ = 0;  // bytes of all outputs being written
  int depth_ = 0;
};

// Gives an error the position where it arose, unless it has one.
template <class T>
Result<T> Located(Result<T> result, Position position) {
  if (!result && result.error().field.empty()) result.error().field = ToString(position);
  return result;
}

}  // namespace hadal::jinja
