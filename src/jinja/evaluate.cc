// Expressions.
#include "jinja/interpreter.h"
#include "jinja/loop_state.h"

namespace hadal::jinja {

using Kind = Expression::Kind;

Result<Value> Interpreter::Evaluate(const Expression& e, Scope& scope) {
  HADAL_OK(budget_.Spend(1));
  if (e.kind == Kind::kLiteral) return e.literal;
  HADAL_TRY(const Entered entered, Located(Enter(), e.position));
  return Located(EvaluateNode(e, scope), e.position);
}

Result<Value> Interpreter::EvaluateNode(const Expression& e, Scope& scope) {
  switch (e.kind) {
    case Kind::kLiteral:
      return e.literal;
    case Kind::kName:
      return Lookup(e.name, scope);
    case Kind::kList:
      return EvaluateList(e, ListObject::Form::kList, scope);
    case Kind::kTuple:
      return EvaluateList(e, ListObject::Form::kTuple, scope);
    case Kind::kDict:
      return EvaluateDict(e, scope);
    case Kind::kNot: {
      HADAL_TRY(const Value value, Evaluate(*e.items[0], scope));
      return Value(!IsTrue(value));
    }
    case Kind::kNegate: {
      HADAL_TRY(const Value value, Evaluate(*e.items[0], scope));
      return Negate(value);
    }
    case Kind::kPositive: {
      HADAL_TRY(const Value value, Evaluate(*e.items[0], scope));
      return Calculate(Operator::kAdd, int64_t{0}, value, budget_);
    }
    case Kind::kArithmetic:
      return EvaluateArithmetic(e, scope);
    case Kind::kCompare:
      return EvaluateCompare(e, scope);
    case Kind::kAnd:
    case Kind::kOr:
      return EvaluateLogic(e, scope);
    case Kind::kConditional:
      return EvaluateConditional(e, scope);
    case Kind::kSuffixes:
      return EvaluateSuffixes(e, scope);
  }
  return Value();
}

Result<Value> Interpreter::Lookup(std::string_view name, const Scope& scope) {
  for (const Scope* s = &scope; s != nullptr; s = s->parent) {
    HADAL_OK(budget_.Spend(static_cast<int64_t>(s->variables.size() / 16)));
    for (const auto& [known, value] : s->variables) {
      if (known == name) return value;
    }
  }
  if (const Value* value = globals_.Get(name)) return *value;
  if (const auto builtin = FindBuiltin(name)) return Value(*builtin);
  return MakeUndefined(Quote(name) + " is undefined");
}

Result<Value> Interpreter::EvaluateList(const Expression& e, ListObject::Form form, Scope& scope) {
  std::vector<Value> items;
  items.reserve(e.items.size());
  for (const ExpressionPtr& item : e.items) {
    HADAL_TRY(Value value, Evaluate(*item, scope));
    items.push_back(std::move(value));
  }
  return budget_.NewList(std::move(items), form);
}

Result<Value> Interpreter::EvaluateDict(const Expression& e, Scope& scope) {
  std::vector<DictObject::Entry> entries;
  for (size_t i = 0; i + 1 < e.items.size(); i += 2) {
    HADAL_TRY(const Value key, Evaluate(*e.items[i], scope));
    const String* name = As<String>(key);
    if (name == nullptr) {
      return FailAt(e.items[i]->position, "the keys of mappings must be strings, not {}",
                    TypeName(key));
    }
    HADAL_TRY(Value value, Evaluate(*e.items[i + 1], scope));
    entries.emplace_back(*name, std::move(value));
  }
  return budget_.NewDict(std::move(entries));
}

Result<Value> Interpreter::EvaluateArithmetic(const Expression& e, Scope& scope) {
  HADAL_TRY(Value left, Evaluate(*e.items[0], scope));
  for (size_t i = 0; i < e.operators.size(); ++i) {
    HADAL_TRY(const Value right, Evaluate(*e.items[i + 1], scope));
    HADAL_TRY(left,
              Located(Calculate(e.operators[i], left, right, budget_), e.items[i + 1]->position));
  }
  return left;
}

Result<Value> Interpreter::EvaluateCompare(const Expression& e, Scope& scope) {
  HADAL_TRY(Value left, Evaluate(*e.items[0], scope));
  for (size_t i = 0; i < e.operators.size(); ++i) {
    HADAL_TRY(Value right, Evaluate(*e.items[i + 1], scope));
    HADAL_TRY(const bool holds, Compare(e.operators[i], left, right, budget_));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Value> Interpreter::EvaluateLogic(const Expression& e, Scope& scope) {
  HADAL_TRY(Value value, Evaluate(*e.items[0], scope));
  for (size_t i = 1; i < e.items.size() && IsTrue(value) == (e.kind == Kind::kAnd); ++i) {
    HADAL_TRY(value, Evaluate(*e.items[i], scope));
  }
  return value;
}

Result<Value> Interpreter::EvaluateConditional(const Expression& e, Scope& scope) {
  HADAL_TRY(const Value condition, Evaluate(*e.items[1], scope));
  if (IsTrue(condition)) return Evaluate(*e.items[0], scope);
  if (e.items[2] != nullptr) return Evaluate(*e.items[2], scope);
  return MakeUndefined("an 'if' without 'else' is false, so the value is undefined");
}

Result<Value> Interpreter::EvaluateSuffixes(const Expression& e, Scope& scope) {
  HADAL_TRY(Value value, Evaluate(*e.items[0], scope));
  for (size_t i = 0; i < e.suffixes.size(); ++i) {
    const Suffix& suffix = e.suffixes[i];
    HADAL_OK(budget_.Spend(1));
    const bool is_method = suffix.kind == Suffix::Kind::kAttribute && i + 1 < e.suffixes.size() &&
                           e.suffixes[i + 1].kind == Suffix::Kind::kCall;
    if (is_method) ++i;
    HADAL_TRY(value, Located(is_method ? CallAttribute(suffix, e.suffixes[i], value, scope)
                                       : ApplySuffix(suffix, value, scope),
                             suffix.position));
  }
  return value;
}

Result<Value> Interpreter::ApplySuffix(const Suffix& suffix, const Value& value, Scope& scope) {
  switch (suffix.kind) {
    case Suffix::Kind::kAttribute:
      return Attribute(value, suffix.name, budget_);
    case Suffix::Kind::kSubscript: {
      HADAL_TRY(const Value index, Evaluate(*suffix.index, scope));
      return Subscript(value, index, budget_);
    }
    case Suffix::Kind::kSlice:
      return ApplySlice(suffix, value, scope);
    case Suffix::Kind::kCall: {
      HADAL_TRY(const CallArguments arguments, EvaluateArguments(suffix.arguments, scope));
      return CallValue(value, arguments);
    }
    case Suffix::Kind::kFilter: {
      if (suffix.filter == nullptr) {
        return FailAt(suffix.position, "there is no filter {}", Quote(suffix.name));
      }
      HADAL_TRY(const CallArguments arguments, EvaluateArguments(suffix.arguments, scope));
      return Located(suffix.filter->run({suffix.name, value, arguments, budget_}), suffix.position);
    }
    case Suffix::Kind::kTest:
      return ApplyTest(suffix, value, scope);
  }
  return Value();
}

Result<Value> Interpreter::ApplySlice(const Suffix& suffix, const Value& value, Scope& scope) {
  SliceRange range;
  const std::pair<const ExpressionPtr*, std::optional<int64_t>*> parts[] = {
      {&suffix.start, &range.start}, {&suffix.stop, &range.stop}, {&suffix.step, &range.step}};
  for (const auto& [expression, number] : parts) {
    if (*expression == nullptr) continue;
    HADAL_TRY(const Value part, Evaluate(**expression, scope));
    *number = AsInteger(part);
    if (!*number && !As<None>(part)) {
      return FailAt(suffix.position, "a slice needs whole numbers, not {}", TypeName(part));
    }
  }
  return Slice(value, range, budget_);
}

Result<Value> Interpreter::ApplyTest(const Suffix& suffix, const Value& value, Scope& scope) {
  if (suffix.test == nullptr) {
    return FailAt(suffix.position, "there is no test {}", Quote(suffix.name));
  }
  HADAL_TRY(const CallArguments arguments, EvaluateArguments(suffix.arguments, scope));
  if (!arguments.named.empty()) {
    return FailAt(suffix.position, "the test {} takes no named arguments", Quote(suffix.name));
  }
  HADAL_TRY(const bool passes, RunTest(*suffix.test, value, arguments.positional, budget_));
  return Value(passes != suffix.negated);
}

Result<Value> Interpreter::CallAttribute(const Suffix& attribute, const Suffix& call,
                                         const Value& value, Scope& scope) {
  HADAL_TRY(const CallArguments arguments, EvaluateArguments(call.arguments, scope));
  return CallMethod({attribute.name, value, arguments, budget_});
}

Result<Value> Interpreter::CallValue(const Value& callee, const CallArguments& arguments) {
  if (const Builtin* builtin = As<Builtin>(callee)) {
    return CallBuiltin(*builtin, arguments, budget_);
  }
  if (const Macro* macro = As<Macro>(callee)) return CallMacro(*macro, arguments);
  if (const Undefined* undefined = As<Undefined>(callee)) {
    return Fail(ErrorCode::kBadFile, "{}, so it cannot be called",
                undefined->what ? *undefined->what : "the value is undefined");
  }
  return Fail(ErrorCode::kBadFile, "a {} cannot be called", TypeName(callee));
}

Result<CallArguments> Interpreter::EvaluateArguments(const Arguments& arguments, Scope& scope) {
  CallArguments out;
  for (const ExpressionPtr& argument : arguments.positional) {
    HADAL_TRY(Value value, Evaluate(*argument, scope));
    out.positional.push_back(std::move(value));
  }
  for (const auto& [name, argument] : arguments.named) {
    HADAL_TRY(Value value, Evaluate(*argument, scope));
    out.named.emplace_back(name, std::move(value));
  }
  return out;
}

Result<Value> Interpreter::CallMacro(const Macro& macro, const CallArguments& arguments) {
  const Statement& definition = *macro.definition;
  const size_t n_given = arguments.positional.size();
  if (n_given > definition.assignments.size()) {
    return Fail(ErrorCode::kBadFile, "the macro {} takes at most {} arguments, not {}",
                Quote(definition.name), definition.assignments.size(), n_given);
  }
  size_t n_used = 0;
  Scope inner{macro.scope, {}};
  for (size_t i = 0; i < definition.assignments.size(); ++i) {
    const Statement::Assignment& parameter = definition.assignments[i];
    const std::string& name = parameter.target.name;
    const Value* given = i < n_given ? &arguments.positional[i] : nullptr;
    HADAL_OK(budget_.Spend(1 + static_cast<int64_t>(arguments.named.size())));
    for (const auto& [key, value] : arguments.named) {
      if (key != name) continue;
      if (given != nullptr) {
        return Fail(ErrorCode::kBadFile, "the macro {} is given {} twice", Quote(definition.name),
                    Quote(name));
      }
      given = &value;
      ++n_used;
    }
    Value value = MakeUndefined("the argument " + Quote(name) + " was not given");
    if (given != nullptr) {
      value = *given;
    } else if (parameter.value != nullptr) {
      HADAL_TRY(value, Evaluate(*parameter.value, inner));
    }
    inner.Set(name, std::move(value));
  }
  if (n_used != arguments.named.size()) {
    return Fail(ErrorCode::kBadFile, "the macro {} is given a named argument that it does not have",
                Quote(definition.name));
  }
  return Capture(definition.body, inner);
}

}  // namespace hadal::jinja
