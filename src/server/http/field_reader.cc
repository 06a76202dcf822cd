#include "server/http/field_reader.h"

#include <cmath>

namespace hadal::server {
namespace {

constexpr size_t kShownBytes = 48;

}  // namespace

std::string Shown(const Json& value) {
  switch (value.type()) {
    case Json::value_t::object:
      return fmt::format("an object with {} members", value.size());
    case Json::value_t::array:
      return fmt::format("an array of {} elements", value.size());
    case Json::value_t::string: {
      const auto& text = value.get_ref<const std::string&>();
      if (text.size() > kShownBytes) return fmt::format("a string of {} bytes", text.size());
      return value.dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    default:
      return value.dump();
  }
}

tl::unexpected<Error> Invalid(const std::string& field, const Json& value,
                              std::string_view must_be) {
  return FailField(ErrorCode::kInvalidArgument, field, "{} is {}; it must be {}", field,
                   Shown(value), must_be);
}

tl::unexpected<Error> Missing(const std::string& field, std::string_view must_be) {
  return FailField(ErrorCode::kInvalidArgument, field, "{} is missing; it must be {}", field,
                   must_be);
}

tl::unexpected<Error> NotSupportedYet(const std::string& field, std::string_view instead) {
  return FailField(ErrorCode::kInvalidArgument, field, "{} is not supported yet{}{}", field,
                   instead.empty() ? "; leave it out" : "; ", instead);
}

Status ExpectObject(const Json& value, const std::string& field) {
  if (!value.is_object()) return Invalid(field, value, "an object");
  return {};
}

Result<bool> ReadBool(const Json& value, const std::string& field) {
  if (!value.is_boolean()) return Invalid(field, value, "true or false");
  return value.get<bool>();
}

Result<double> ReadNumber(const Json& value, const std::string& field, NumberRange range) {
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  const bool above_min = range.min_open ? number > range.min : number >= range.min;
  if (!above_min || !(number <= range.max)) {  // NaN fails both
    return Invalid(field, value,
                   range.min_open
                       ? fmt::format("a number above {} and at most {}", range.min, range.max)
                       : fmt::format("a number from {} to {}", range.min, range.max));
  }
  return number;
}

Result<int64_t> ReadInteger(const Json& value, const std::string& field, int64_t min, int64_t max) {
  const auto refuse = [&] {
    return Invalid(field, value,
                   max == std::numeric_limits<int64_t>::max()
                       ? fmt::format("an integer, {} or more", min)
                       : fmt::format("an integer from {} to {}", min, max));
  };
  int64_t number = 0;
  if (value.is_number_unsigned()) {
    const auto wide = value.get<uint64_t>();
    if (wide > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return refuse();
    number = static_cast<int64_t>(wide);
  } else if (value.is_number_integer()) {
    number = value.get<int64_t>();
  } else if (value.is_number_float()) {
    const double real = value.get<double>();
    constexpr double kExact = 9007199254740992.0;  // 2^53: beyond it a double skips integers
    if (!(std::abs(real) <= kExact) || std::trunc(real) != real) return refuse();
    number = static_cast<int64_t>(real);
  } else {
    return refuse();
  }
  if (number < min || number > max) return refuse();
  return number;
}

Result<std::string> TakeString(Json& value, const std::string& field) {
  if (!value.is_string()) return Invalid(field, value, "a string");
  return std::move(value.get_ref<std::string&>());
}

}  // namespace hadal::server
