// Owns: typed reading of optional and required JSON members, with the path in every error.
// Used only by this folder's file readers. Knows nothing of what the members mean.
// Thread rule: free functions.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace hadal::json {

using Array = simdjson::dom::array;
using Element = simdjson::dom::element;
using Object = simdjson::dom::object;

template <class T>
constexpr std::string_view kTypeName = "a value";
template <>
inline constexpr std::string_view kTypeName<bool> = "true or false";
template <>
inline constexpr std::string_view kTypeName<uint64_t> = "an integer >= 0";
template <>
inline constexpr std::string_view kTypeName<std::string_view> = "a string";
template <>
inline constexpr std::string_view kTypeName<Array> = "an array";
template <>
inline constexpr std::string_view kTypeName<Object> = "an object";

template <class T>
Result<T> As(Element element, std::string_view path) {
  T value;
  if (element.get(value) != simdjson::SUCCESS) {
    return FailField(ErrorCode::kBadFile, std::string(path), "{} is not {}", path, kTypeName<T>);
  }
  return value;
}

inline std::string Join(std::string_view path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

// Absent and null are the same.
template <class T>
Result<std::optional<T>> Optional(Object object, std::string_view key, std::string_view path) {
  Element element;
  if (object[key].get(element) != simdjson::SUCCESS || element.is_null()) return std::nullopt;
  HADAL_TRY(T value, As<T>(element, Join(path, key)));
  return std::optional<T>(value);
}

template <class T>
Result<T> Required(Object object, std::string_view key, std::string_view path) {
  HADAL_TRY(std::optional<T> value, Optional<T>(object, key, path));
  if (!value) {
    const std::string full = Join(path, key);
    return FailField(ErrorCode::kBadFile, full, "{} is missing; it must be {}", full, kTypeName<T>);
  }
  return *value;
}

template <class T>
Result<T> OptionalOr(Object object, std::string_view key, std::string_view path, T fallback) {
  HADAL_TRY(std::optional<T> value, Optional<T>(object, key, path));
  return value.value_or(fallback);
}

}  // namespace hadal::json
