// Owns: what the parsers of several dialects share: reading a function that the model may call,
// fields that nobody knows, and an error of the service in the words of the client.
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "server/http/dialect.h"
#include "server/http/field_reader.h"

namespace hadal::server {

// The member, unless it is missing or null, which is the same for every optional field.
Json* FindSet(Json& object, std::string_view name);

// What becomes of a field that no row knows: ignored, or refused when the setting says so.
Status RefuseUnknownField(std::string field, const RequestRules& rules);
// "at.name", cut to what an error may show.
std::string PathOf(std::string_view at, std::string_view name);

// {"name","description","parameters","strict"}; other members are for the caller to check. What the
// service checks (characters of names, schemas) is left to it.
Result<api::Tool> ReadFunction(Json& function, const std::string& at);
api::Message MessageOf(api::Role role, std::string content);
// JSON text of a value, and kInvalidArgument when it is larger than `max_bytes`.
Result<std::string> JsonText(const Json& value, const std::string& field, size_t max_bytes);

// A path of the service ("messages[2].content") and what stands for it in the client's request. A
// row holds for the path itself and all below it.
struct FieldWord {
  std::string_view service, client;
};
std::string InWords(std::string_view field, std::span<const FieldWord> words);

// "messages[2].content" -> 2, ".content"
struct IndexedPath {
  size_t index = 0;
  std::string_view rest;
};
std::optional<IndexedPath> PathInList(std::string_view field, std::string_view list);

// The error with another field, also where its message says the field.
Error Renamed(Error error, const std::string& field);

}  // namespace hadal::server
