#include "formats/config_reader.h"

#include <cmath>

#include "formats/json_text.h"

namespace hadal {
namespace {

using Json = nlohmann::json;
constexpr size_t kMaxListLength = 1024;

// A value as it may stand in a message: short, one line.
std::string Shown(const Json& value) {
  if (value.is_string()) return Quoted(value.get_ref<const std::string&>());
  if (value.is_structured()) {
    return fmt::format("{} of {}", value.is_array() ? "an array" : "an object", value.size());
  }
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

ConfigReader::ConfigReader(const Json& object, std::string prefix)
    : object_(object), prefix_(std::move(prefix)) {}

const Json* ConfigReader::Get(const char* key) const {
  if (!object_.is_object()) return nullptr;
  const auto it = object_.find(key);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

void ConfigReader::Problem(ErrorCode code, const char* key, std::string_view right) {
  if (!ok()) return;
  const bool has = object_.is_object() && object_.contains(key);
  status_ =
      has ? FailField(code, Name(key), "{} is {}; {}", Name(key), Shown(object_.at(key)), right)
          : FailField(code, Name(key), "{} is missing; {}", Name(key), right);
}

void ConfigReader::Adopt(Status other) {
  if (ok()) status_ = std::move(other);
}

int64_t ConfigReader::CheckedInt(const char* key, const Json& value, int64_t min, int64_t max) {
  // Some exporters write whole numbers as 40.0; nothing else with a fraction is taken.
  if (value.is_number_unsigned() && value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)) {
    const auto n = static_cast<int64_t>(value.get<uint64_t>());
    if (n >= min && n <= max) return n;
  } else if (value.is_number_integer() && !value.is_number_unsigned()) {
    const auto n = value.get<int64_t>();
    if (n >= min && n <= max) return n;
  } else if (value.is_number_float()) {
    const double d = value.get<double>();
    if (d == std::floor(d) && d >= static_cast<double>(min) && d <= static_cast<double>(max) &&
        std::fabs(d) <= 0x1p53) {
      return static_cast<int64_t>(d);
    }
  }
  Problem(ErrorCode::kBadFile, key, fmt::format("it must be an integer from {} to {}", min, max));
  return 0;
}

bool ConfigReader::Present(const char* key) {
  if (Get(key) != nullptr) return true;
  Problem(ErrorCode::kBadFile, key, "it must be given");
  return false;
}

int64_t ConfigReader::Int(const char* key, int64_t min, int64_t max) {
  const Json* value = Get(key);
  if (value != nullptr) return CheckedInt(key, *value, min, max);
  Problem(ErrorCode::kBadFile, key, fmt::format("it must be an integer from {} to {}", min, max));
  return 0;
}

int64_t ConfigReader::IntOr(const char* key, int64_t min, int64_t max, int64_t otherwise) {
  return MaybeInt(key, min, max).value_or(otherwise);
}

std::optional<int64_t> ConfigReader::MaybeInt(const char* key, int64_t min, int64_t max) {
  const Json* value = Get(key);
  if (value == nullptr) return std::nullopt;
  return CheckedInt(key, *value, min, max);
}

double ConfigReader::Real(const char* key, double min, double max) {
  return Present(key) ? MaybeReal(key, min, max).value_or(0) : 0;
}

double ConfigReader::RealOr(const char* key, double min, double max, double otherwise) {
  return MaybeReal(key, min, max).value_or(otherwise);
}

std::optional<double> ConfigReader::MaybeReal(const char* key, double min, double max) {
  const Json* value = Get(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_number()) {
    const double d = value->get<double>();
    if (d >= min && d <= max) return d;  // false for NaN
  }
  Problem(ErrorCode::kBadFile, key, fmt::format("it must be a number from {} to {}", min, max));
  return std::nullopt;
}

std::optional<bool> ConfigReader::MaybeBool(const char* key) {
  const Json* value = Get(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  Problem(ErrorCode::kBadFile, key, "it must be true or false");
  return std::nullopt;
}

std::string ConfigReader::Text(const char* key) {
  return Present(key) ? MaybeText(key).value_or("") : "";
}

std::optional<std::string> ConfigReader::MaybeText(const char* key) {
  const Json* value = Get(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_string() && value->get_ref<const std::string&>().size() <= 256) {
    return value->get<std::string>();
  }
  Problem(ErrorCode::kBadFile, key, "it must be a string of at most 256 bytes");
  return std::nullopt;
}

std::vector<int64_t> ConfigReader::Ints(const char* key, int64_t min, int64_t max) {
  const Json* value = Get(key);
  if (value == nullptr) return {};
  if (!value->is_array()) return {CheckedInt(key, *value, min, max)};
  if (value->size() > kMaxListLength) {
    Problem(ErrorCode::kBadFile, key, fmt::format("at most {} may be listed", kMaxListLength));
    return {};
  }
  std::vector<int64_t> out;
  for (const auto& item : *value) out.push_back(CheckedInt(key, item, min, max));
  return out;
}

std::vector<std::string> ConfigReader::Texts(const char* key) {
  const Json* value = Get(key);
  if (value == nullptr) return {};
  std::vector<std::string> out;
  bool good = value->is_array() && value->size() <= kMaxListLength;
  if (good) {
    for (const auto& item : *value) {
      good = good && item.is_string() && item.get_ref<const std::string&>().size() <= 256;
      if (good) out.push_back(item.get<std::string>());
    }
  }
  if (!good) {
    Problem(ErrorCode::kBadFile, key,
            fmt::format("it must be a list of at most {} short strings", kMaxListLength));
    return {};
  }
  return out;
}

}  // namespace hadal
