// Owns: rendering a template in a test. Test code only.
#pragma once

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "jinja/template.h"

namespace hadal::jinja {

using Json = nlohmann::ordered_json;

inline Result<Rendered> TryRender(std::string_view source, const Json& data = Json::object(),
                                  const Limits& limits = {}, const Json& trusted = Json::object()) {
  HADAL_TRY(const Template parsed, Template::Parse(source, limits));
  // A clock that stands still: no test depends on how fast the machine is.
  return parsed.Render(data, trusted,
                       {.milliseconds = [] { return int64_t{0}; }, .unix_seconds = 1'700'000'000});
}
inline std::string Render(std::string_view source, const Json& data = Json::object()) {
  const auto rendered = TryRender(source, data);
  return rendered ? rendered->text : "error: " + rendered.error().message;
}
inline std::string ErrorOf(std::string_view source, const Json& data = Json::object(),
                           const Limits& limits = {}) {
  const auto rendered = TryRender(source, data, limits);
  return rendered ? "no error: " + rendered->text.substr(0, 200) : rendered.error().message;
}

}  // namespace hadal::jinja
