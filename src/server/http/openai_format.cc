// What an answer must look like: response_format, and the fields by which other servers ask for it.
#include <array>
#include <string>
#include <utility>

#include "server/http/field_reader.h"
#include "server/http/openai_draft.h"
#include "server/http/openai_response.h"

namespace hadal::server {
namespace {

using Kind = api::AnswerFormat::Kind;

Status SetFormat(OpenAiDraft& draft, const std::string& field, Kind kind, std::string text = {}) {
  if (!draft.format_field.empty()) {
    return FailField(ErrorCode::kInvalidArgument, field,
                     "{} and {} both say what the answer must look like; send one of them", field,
                     draft.format_field);
  }
  if (text.size() > api::Limits::kMaxFormatBytes) {
    return FailField(ErrorCode::kInvalidArgument, field, "{} has {} bytes; at most {} are accepted",
                     field, text.size(), api::Limits::kMaxFormatBytes);
  }
  draft.format_field = field;
  draft.out.request.format = {kind, std::move(text)};
  return {};
}

Status SetSchema(OpenAiDraft& draft, const std::string& field, const Json& schema) {
  if (!schema.is_object() && !schema.is_boolean()) {
    return Invalid(field, schema, "a JSON Schema: an object");
  }
  return SetFormat(draft, field, Kind::kJsonSchema, ToLine(schema));
}

Status SetText(OpenAiDraft& draft, const std::string& field, Kind kind, Json& value) {
  HADAL_TRY(std::string text, TakeString(value, field));
  if (text.empty()) return Invalid(field, Json(""), "a string that is not empty");
  return SetFormat(draft, field, kind, std::move(text));
}

// One of the texts, as a grammar.
Status SetChoice(OpenAiDraft& draft, const std::string& field, Json& value) {
  constexpr size_t kMaxChoices = 1024;
  if (!value.is_array() || value.empty() || value.size() > kMaxChoices) {
    return Invalid(field, value, fmt::format("an array of 1 to {} strings", kMaxChoices));
  }
  std::string grammar = "root ::= ";
  for (size_t i = 0; i < value.size(); ++i) {
    HADAL_TRY(const std::string text, TakeString(value[i], fmt::format("{}[{}]", field, i)));
    if (i > 0) grammar += " | ";
    grammar += '"';
    for (const char c : text) {
      const auto byte = static_cast<uint8_t>(c);
      if (c == '"' || c == '\\') {
        grammar += std::string("\\") + c;
      } else if (byte < 0x20 || byte == 0x7f) {
        grammar += fmt::format("\\x{:02x}", byte);
      } else {
        grammar += c;
      }
    }
    grammar += '"';
  }
  return SetFormat(draft, field, Kind::kGrammar, std::move(grammar));
}

Status ReadJsonSchemaFormat(Json& value, const std::string& field, OpenAiDraft& draft) {
  const std::string in = field + ".json_schema";
  const auto wrapper = value.find("json_schema");
  if (wrapper == value.end()) return Missing(in, "an object with a schema");
  HADAL_OK(ExpectObject(*wrapper, in));
  const auto schema = wrapper->find("schema");
  if (schema == wrapper->end()) return Missing(in + ".schema", "a JSON Schema");
  return SetSchema(draft, field, *schema);
}

}  // namespace

Status ReadResponseFormat(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_OK(ExpectObject(value, field));
  const auto type = value.find("type");
  static constexpr std::string_view kTypes =
      "\"text\", \"json_object\", \"json_schema\", \"regex\" or \"grammar\"";
  if (type == value.end()) return Missing(field + ".type", kTypes);
  if (*type == "text") return {};
  if (*type == "json_object") {
    const auto schema = value.find("schema");  // as some clients send it
    if (schema != value.end() && !schema->is_null()) return SetSchema(draft, field, *schema);
    return SetFormat(draft, field, Kind::kJsonObject);
  }
  if (*type == "json_schema") return ReadJsonSchemaFormat(value, field, draft);
  if (*type == "regex" || *type == "grammar") {
    const bool regex = *type == "regex";
    const char* member = regex ? "pattern" : "grammar";
    const auto text = value.find(member);
    if (text == value.end()) return Missing(field + "." + member, "a string");
    return SetText(draft, field + "." + member, regex ? Kind::kRegex : Kind::kGrammar, *text);
  }
  return Invalid(field + ".type", *type, kTypes);
}

Status ReadGrammar(Json& value, const std::string& field, OpenAiDraft& draft) {
  return SetText(draft, field, Kind::kGrammar, value);
}
Status ReadGuidedRegex(Json& value, const std::string& field, OpenAiDraft& draft) {
  return SetText(draft, field, Kind::kRegex, value);
}
Status ReadGuidedChoice(Json& value, const std::string& field, OpenAiDraft& draft) {
  return SetChoice(draft, field, value);
}
Status ReadGuidedJson(Json& value, const std::string& field, OpenAiDraft& draft) {
  if (!value.is_string()) return SetSchema(draft, field, value);
  HADAL_TRY(const std::string text, TakeString(value, field));
  return SetFormat(draft, field, Kind::kJsonSchema, text);
}

Status ReadStructuredOutputs(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_OK(ExpectObject(value, field));
  static constexpr std::array<std::pair<std::string_view, FieldReader>, 4> kMembers = {
      {{"json", ReadGuidedJson},
       {"regex", ReadGuidedRegex},
       {"choice", ReadGuidedChoice},
       {"grammar", ReadGrammar}}};
  for (auto& [name, member] : value.items()) {
    if (member.is_null()) continue;
    const std::string path = field + "." + name.substr(0, 64);
    FieldReader read = nullptr;
    for (const auto& [known, reader] : kMembers) {
      if (known == name) read = reader;
    }
    if (read == nullptr) {
      HADAL_OK(RefuseUnknown(path, draft));
    } else {
      HADAL_OK(read(member, path, draft));
    }
  }
  return {};
}

}  // namespace hadal::server
