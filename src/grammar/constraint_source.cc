#include "grammar/constraint_source.h"

#include "grammar/gbnf.h"
#include "grammar/pattern.h"

namespace hadal::grammar {

Result<uint32_t> EmitSource(const ConstraintSource& source, AutomatonBuilder& builder) {
  JsonRules json(builder, source.schema.space);
  switch (source.kind) {
    case ConstraintKind::kJsonObject:
      return json.Object();
    case ConstraintKind::kJsonSchema:
      return EmitSchema(source.text, source.schema, json);
    case ConstraintKind::kRegex: {
      HADAL_TRY(const Dfa dfa, CompilePattern(source.text, PatternUse::kWhole, builder.budget()));
      return builder.DefineBytes("the pattern", dfa);
    }
    case ConstraintKind::kGbnf:
      return EmitGbnf(source.text, builder);
    case ConstraintKind::kText: {
      HADAL_TRY(const Dfa dfa, AnyText(builder.budget()));
      return builder.DefineBytes("any text", dfa);
    }
  }
  return Fail(ErrorCode::kInternal, "an unknown kind of constraint");
}

Result<std::shared_ptr<const Automaton>> Compile(const ConstraintSource& source,
                                                 const Limits& limits) {
  Budget budget(limits);
  AutomatonBuilder builder(budget);
  HADAL_TRY(const uint32_t rule, EmitSource(source, builder));
  auto built = builder.Build(rule);
  const bool schema = source.kind == ConstraintKind::kJsonSchema;
  if (!built && schema && built.error().field.empty()) built.error().field = "#";
  return built;
}

}  // namespace hadal::grammar
