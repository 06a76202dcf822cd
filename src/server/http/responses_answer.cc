// What a Responses request asks of the answer: how much it thinks, and its form.
#include <array>
#include <utility>

#include "server/http/dialect_fields.h"
#include "server/http/responses_draft.h"

namespace hadal::server {
namespace {

using api::Limits;

Status ReadTextFormat(const Json& value, const std::string& field, ResponsesDraft& draft) {
  using Kind = api::AnswerFormat::Kind;
  static constexpr std::string_view kMustBe = "\"text\", \"json_object\" or \"json_schema\"";
  HADAL_OK(ExpectObject(value, field));
  draft.out.echo["text"]["format"] = value;
  auto& format = draft.out.request.format;
  const auto type = value.find("type");
  if (type == value.end()) return Missing(field + ".type", kMustBe);
  if (*type == "text") return {};
  if (*type == "json_object") {
    format.kind = Kind::kJsonObject;
    return {};
  }
  if (*type != "json_schema") return Invalid(field + ".type", *type, kMustBe);
  const auto schema = value.find("schema");
  if (schema == value.end()) return Missing(field + ".schema", "a JSON Schema object");
  HADAL_OK(ExpectObject(*schema, field + ".schema"));
  format.kind = Kind::kJsonSchema;
  HADAL_TRY(format.text, JsonText(*schema, field + ".schema", Limits::kMaxFormatBytes));
  return {};
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
                                         Level{"max", Effort::kMax}};
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
                 "\"none\", \"minimal\", \"low\", \"medium\", \"high\", \"xhigh\" or \"max\"");
}

Status ReadResponsesText(Json& value, const std::string& field, ResponsesDraft& draft) {
  HADAL_OK(ExpectObject(value, field));
  for (const auto& [name, member] : value.items()) {
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
