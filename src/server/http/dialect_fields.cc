#include "server/http/dialect_fields.h"

#include <charconv>
#include <utility>

namespace hadal::server {
namespace {

constexpr size_t kShownNameBytes = 64;

bool IsWordByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Whether `path` is `base` or below it.
bool IsAtOrBelow(std::string_view path, std::string_view base) {
  if (!path.starts_with(base)) return false;
  return path.size() == base.size() || path[base.size()] == '.' || path[base.size()] == '[';
}

}  // namespace

Json* FindSet(Json& object, std::string_view name) {
  const auto member = object.find(name);
  return member == object.end() || member->is_null() ? nullptr : &*member;
}

Status RefuseUnknownField(std::string field, const RequestRules& rules) {
  if (!rules.refuse_unknown_fields) return {};
  return FailField(
      ErrorCode::kInvalidArgument, field,
      "the field {} is not known here; leave it out, or set unknown_fields = \"ignore\"", field);
}

std::string PathOf(std::string_view at, std::string_view name) {
  name = name.substr(0, kShownNameBytes);
  return at.empty() ? std::string(name) : fmt::format("{}.{}", at, name);
}

api::Message MessageOf(api::Role role, std::string content) {
  api::Message message;
  message.role = role;
  message.content = std::move(content);
  return message;
}

std::string InWords(std::string_view field, std::span<const FieldWord> words) {
  for (const FieldWord& word : words) {
    if (!IsAtOrBelow(field, word.service)) continue;
    return fmt::format("{}{}", word.client, field.substr(word.service.size()));
  }
  return std::string(field);
}

std::optional<IndexedPath> PathInList(std::string_view field, std::string_view list) {
  if (!field.starts_with(list) || field.size() == list.size() || field[list.size()] != '[') {
    return std::nullopt;
  }
  field.remove_prefix(list.size() + 1);
  IndexedPath path;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), path.index);
  const auto digits = static_cast<size_t>(end - field.data());
  if (error != std::errc() || digits == field.size() || *end != ']') return std::nullopt;
  path.rest = field.substr(digits + 1);
  return path;
}

Error Renamed(Error error, const std::string& field) {
  const std::string old = std::exchange(error.field, field);
  if (old.empty() || old == field) return error;
  for (size_t at = 0; (at = error.message.find(old, at)) != std::string::npos;) {
    const size_t end = at + old.size();
    const bool whole = (at == 0 || !IsWordByte(error.message[at - 1])) &&
                       (end == error.message.size() || !IsWordByte(error.message[end]));
    if (!whole) {
      at = end;
      continue;
    }
    error.message.replace(at, old.size(), field);
    at += field.size();
  }
  return error;
}

}  // namespace hadal::server
