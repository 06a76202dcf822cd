// Owns: reading one JSON value as a type with a range, and saying in one sentence what is wrong.
// Every failure is kInvalidArgument with the field's path ("messages[2].role"), the value,
// shortened, and what would be right. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/error.h"
#include "server/json_body.h"

namespace hadal::server {

struct NumberRange {
  double min = 0;
  double max = 0;
  bool min_open = false;  // (min, max] instead of [min, max]
};

Result<bool> ReadBool(const Json& value, const std::string& field);
Result<double> ReadNumber(const Json& value, const std::string& field, NumberRange range);
// 3.0 is an integer; 3.5, "3" and what does not fit are not.
Result<int64_t> ReadInteger(const Json& value, const std::string& field, int64_t min,
                            int64_t max = std::numeric_limits<int64_t>::max());
// Moves the string out of `value`.
Result<std::string> TakeString(Json& value, const std::string& field);
Status ExpectObject(const Json& value, const std::string& field);

tl::unexpected<Error> Invalid(const std::string& field, const Json& value,
                              std::string_view must_be);
tl::unexpected<Error> Missing(const std::string& field, std::string_view must_be);
tl::unexpected<Error> NotSupportedYet(const std::string& field, std::string_view instead = {});

// At most ~60 bytes of the value's JSON text, for messages; never walks a large value.
std::string Shown(const Json& value);

}  // namespace hadal::server
