// Statements. Expressions are in evaluate.cc.
#include "jinja/interpreter.h"

#include "jinja/loop_state.h"

namespace hadal::jinja {

using Kind = Statement::Kind;

void Scope::Set(std::string_view name, Value value) {
  for (auto& [known, old] : variables) {
    if (known != name) continue;
    old = std::move(value);
    return;
  }
  variables.emplace_back(name, std::move(value));
}

Result<Text> Interpreter::Run(const Body& body) {
  Text out;
  output_ = &out;
  Scope scope;
  HADAL_TRY(const Flow flow, Execute(body, scope));
  (void)flow;
  return out;
}

Result<Interpreter::Entered> Interpreter::Enter() {
  if (depth_ >= budget_.limits().max_run_depth) {
    return Fail(ErrorCode::kInvalidArgument,
                "the template runs more than {} blocks, expressions and macros inside each other",
                budget_.limits().max_run_depth);
  }
  return Entered(depth_);
}

Result<Interpreter::Flow> Interpreter::Execute(const Body& body, Scope& scope) {
  HADAL_TRY(const Entered entered, Enter());
  for (const StatementPtr& statement : body) {
    HADAL_OK(budget_.Spend(1));
    HADAL_TRY(const Flow flow, Located(ExecuteOne(*statement, scope), statement->position));
    if (flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

Result<Interpreter::Flow> Interpreter::ExecuteOne(const Statement& statement, Scope& scope) {
  switch (statement.kind) {
    case Kind::kText:
      HADAL_OK(Write(*AsText(statement.text)));
      return Flow::kOn;
    case Kind::kPrint: {
      HADAL_TRY(const Value value, Evaluate(*statement.expression, scope));
      HADAL_OK(Print(value));
      return Flow::kOn;
    }
    case Kind::kIf:
      return ExecuteIf(statement, scope);
    case Kind::kFor:
      return ExecuteFor(statement, scope);
    case Kind::kSet: {
      HADAL_TRY(const Value value, Evaluate(*statement.expression, scope));
      HADAL_OK(Assign(statement.assignments.front().target, value, scope));
      return Flow::kOn;
    }
    case Kind::kSetBlock:
      HADAL_OK(ExecuteSetBlock(statement, scope));
      return Flow::kOn;
    case Kind::kMacro:
      scope.Set(statement.name, Macro{&statement, &scope});
      return Flow::kOn;
    case Kind::kWith:
      return ExecuteWith(statement, scope);
    case Kind::kFilterBlock:
      HADAL_OK(ExecuteFilterBlock(statement, scope));
      return Flow::kOn;
    case Kind::kScope: {
      Scope inner{&scope, {}};
      return Execute(statement.body, inner);
    }
    case Kind::kBreak:
      return Flow::kBreak;
    case Kind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kOn;
}

Result<Interpreter::Flow> Interpreter::ExecuteIf(const Statement& statement, Scope& scope) {
  for (const Statement::Branch& branch : statement.branches) {
    HADAL_TRY(const Value condition, Evaluate(*branch.condition, scope));
    if (IsTrue(condition)) return Execute(branch.body, scope);
  }
  return Execute(statement.otherwise, scope);
}

Result<List> Interpreter::LoopItems(const Statement& statement, Scope& scope) {
  HADAL_TRY(const Value iterated, Evaluate(*statement.expression, scope));
  HADAL_TRY(List items, Located(Iterate(iterated, budget_), statement.expression->position));
  if (statement.condition == nullptr) return items;
  std::vector<Value> chosen;
  for (const Value& item : items->items) {
    Scope inner{&scope, {}};
    HADAL_OK(Assign(statement.assignments.front().target, item, inner));
    HADAL_TRY(const Value condition, Evaluate(*statement.condition, inner));
    if (IsTrue(condition)) chosen.push_back(item);
  }
  HADAL_TRY(const Value list, budget_.NewList(std::move(chosen), ListObject::Form::kList));
  return *As<List>(list);
}

Result<Interpreter::Flow> Interpreter::ExecuteFor(const Statement& statement, Scope& scope) {
  HADAL_TRY(List items, LoopItems(statement, scope));
  if (items->items.empty()) {
    Scope inner{&scope, {}};
    return Execute(statement.otherwise, inner);
  }
  LoopState state{.items = std::move(items), .index = 0};
  for (; state.index < state.items->items.size(); ++state.index) {
    HADAL_OK(budget_.Spend(1));
    Scope inner{&scope, {}};
    inner.Set("loop", Loop(&state));
    HADAL_OK(Assign(statement.assignments.front().target, state.items->items[state.index], inner));
    HADAL_TRY(const Flow flow, Execute(statement.body, inner));
    if (flow == Flow::kBreak) break;
  }
  return Flow::kOn;
}

Status Interpreter::ExecuteSetBlock(const Statement& statement, Scope& scope) {
  Scope inner{&scope, {}};
  HADAL_TRY(Value value, Capture(statement.body, inner));
  for (const Suffix& filter : statement.filters) {
    HADAL_TRY(value, ApplySuffix(filter, value, scope));
  }
  return Assign(statement.assignments.front().target, value, scope);
}

Result<Interpreter::Flow> Interpreter::ExecuteWith(const Statement& statement, Scope& scope) {
  Scope inner{&scope, {}};
  for (const Statement::Assignment& assignment : statement.assignments) {
    HADAL_TRY(const Value value, Evaluate(*assignment.value, scope));
    HADAL_OK(Assign(assignment.target, value, inner));
  }
  return Execute(statement.body, inner);
}

Status Interpreter::ExecuteFilterBlock(const Statement& statement, Scope& scope) {
  Scope inner{&scope, {}};
  HADAL_TRY(Value value, Capture(statement.body, inner));
  for (const Suffix& filter : statement.filters) {
    HADAL_TRY(value, ApplySuffix(filter, value, scope));
  }
  return Print(value);
}

Status Interpreter::Assign(const Target& target, const Value& value, Scope& scope) {
  HADAL_OK(budget_.Spend(1 + static_cast<int64_t>(scope.variables.size() / 16)));
  if (!target.attribute.empty()) {
    HADAL_TRY(const Value owner, Lookup(target.name, scope));
    const Namespace* space = As<Namespace>(owner);
    if (space == nullptr) {
      return FailAt(target.position, "{} is not a namespace, so {} cannot be set",
                    Quote(target.name), Quote(target.attribute));
    }
    HADAL_OK(Located(budget_.CheckStorable(value), target.position));
    (*space)->values.insert_or_assign(target.attribute, value);
    return {};
  }
  if (target.targets.empty()) {
    scope.Set(target.name, value);
    return {};
  }
  HADAL_TRY(const List items, Located(Iterate(value, budget_), target.position));
  if (items->items.size() != target.targets.size()) {
    return FailAt(target.position, "{} values are unpacked into {} names", items->items.size(),
                  target.targets.size());
  }
  for (size_t i = 0; i < target.targets.size(); ++i) {
    HADAL_OK(Assign(target.targets[i], items->items[i], scope));
  }
  return {};
}

Status Interpreter::Print(const Value& value) {
  HADAL_TRY(const String text, ToString(value, budget_));
  return Write(text->text);
}

Status Interpreter::Write(const Text& text) {
  HADAL_OK(budget_.SpendBytes(text.size()));
  if (text.size() > budget_.limits().max_output_bytes - live_output_) {
    return Fail(ErrorCode::kInvalidArgument,
                "the template writes more than {} bytes with these messages",
                budget_.limits().max_output_bytes);
  }
  live_output_ += text.size();
  output_->Append(text);
  return {};
}

Result<Value> Interpreter::Capture(const Body& body, Scope& scope) {
  Text text;
  Text* const outer = std::exchange(output_, &text);
  auto flow = Execute(body, scope);
  output_ = outer;
  live_output_ -= text.size();
  if (!flow) return tl::make_unexpected(std::move(flow).error());
  // A `break` inside a captured block ends the block, not the loop around it.
  return budget_.NewString(std::move(text));
}

}  // namespace hadal::jinja
