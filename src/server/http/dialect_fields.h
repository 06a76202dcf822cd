// Owns: what the parsers of several dialects share: members that are set, fields that nobody knows,
// and an error in the words of the client. What OpenAI's fields say in another form is brought into
// OpenAI's form and read by its rows (openai_draft.h): one place has the ranges and limits.
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

api::Message MessageOf(api::Role role, std::string content);

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
