// What a Responses request asks of the answer: how much it thinks, and its form.
#include <array>
#include <utility>

#include "server/http/dialect_fields.h"
#include "server/http/responses_draft.h"

namespace hadal::server {
namespace {

// The schema stands in the format itself here, not in a json_schema beside its type.
Status ReadTextFormat(Json& value, const std::string& field, ResponsesDraft& draft) {
  draft.out.echo["text"]["format"] = value;
  if (value.is_object() && value.contains("type") && value["type"] == "json_schema") {
    const auto schema = value.find("schema");
    if (schema != value.end() && !schema->is_object()) {
      return Invalid(field + ".schema", *schema, "a JSON Schema object");
    }
    Json inner = Json::object();
    if (schema != value.end()) inner["schema"] = std::move(*schema);
    value["json_schema"] = std::move(inner);
  }
  return InResponsesWords(ReadResponseFormat(value, field, draft.openai));
}

}  // namespace

Status ReadResponsesReasoning(Json& value, const std::string& field, ResponsesDraft& draft) {
  struct Level {
    std::string_view name;
    std::optional<api::Effort> effort;  // unset: no thinking
  };
  using api::Effort;
  static constexpr std::array kLevels = {Level{"none", {}},
                                         Level{"minimal", Effort::kLow},
                                         Level{"low", Effort::kLow},
                                         Level{"medium", Effort::kHigh},
                                         Level{"high", Effort::kHigh},
                                         Level{"xhigh", Effort::kHigh},
                                         Level{"max", Effort::kMax},
                                         Level{"ultra", Effort::kMax}};
  // The reasoning is shown whole, and whether a later turn sees it is the chat format's to know.
  static constexpr std::array<std::string_view, 4> kWithoutEffect = {"context", "generate_summary",
                                                                     "mode", "summary"};
  HADAL_OK(ExpectObject(value, field));
  for (const auto& [name, member] : value.items()) {
    const std::string path = PathOf(field, name);
    bool known = member.is_null() || name == "effort";
    for (const std::string_view other : kWithoutEffect) known |= name == other;
    if (!known) HADAL_OK(RefuseUnknownField(path, draft.rules));
  }
  const Json* effort = FindSet(value, "effort");
  if (effort == nullptr) return {};
  for (const Level& level : kLevels) {
    if (*effort != level.name) continue;
    draft.chat().thinking = level.effort.has_value();
    draft.chat().effort = level.effort;
    draft.out.echo[field]["effort"] = level.name;
    return {};
  }
  return Invalid(field + ".effort", *effort,
                 "\"none\", \"minimal\", \"low\", \"medium\", \"high\", \"xhigh\", \"max\" "
                 "or \"ultra\"");
}

Status ReadResponsesText(Json& value, const std::string& field, ResponsesDraft& draft) {
  HADAL_OK(ExpectObject(value, field));
  for (auto& [name, member] : value.items()) {
    if (member.is_null() || name == "verbosity") continue;
    if (name == "format") {
      HADAL_OK(ReadTextFormat(member, field + ".format", draft));
    } else {
      HADAL_OK(RefuseUnknownField(PathOf(field, name), draft.rules));
    }
  }
  return {};
}

}  // namespace hadal::server
