#include "formats/gguf_keys.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "formats/json_text.h"

namespace hadal {
namespace {

// A value as it may stand in a message: short, one line.
std::string Shown(const GgufValue& value) {
  struct {
    std::string operator()(int64_t v) const { return fmt::format("{}", v); }
    std::string operator()(double v) const { return fmt::format("{}", v); }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(const std::string& v) const { return Quoted(v); }
    std::string operator()(const std::vector<int64_t>& v) const { return Array(v.size()); }
    std::string operator()(const std::vector<double>& v) const { return Array(v.size()); }
    std::string operator()(const std::vector<uint8_t>& v) const { return Array(v.size()); }
    std::string operator()(const std::vector<std::string>& v) const { return Array(v.size()); }
    static std::string Array(size_t n) { return fmt::format("an array of {}", n); }
  } show;
  return std::visit(show, value.data);
}

}  // namespace

double ShortestDecimal(float value) {
  return std::strtod(fmt::format("{}", value).c_str(), nullptr);
}

void GgufKeys::Problem(ErrorCode code, const char* key, std::string_view right) {
  if (!ok()) return;
  const GgufValue* value = metadata_.Find(Name(key));
  status_ = value != nullptr
                ? FailField(code, Name(key), "{} is {}; {}", Name(key), Shown(*value), right)
                : FailField(code, Name(key), "{} is missing; {}", Name(key), right);
}

int64_t GgufKeys::Int(const char* key, int64_t min, int64_t max) {
  if (const auto value = MaybeInt(key, min, max)) return *value;
  Problem(ErrorCode::kBadFile, key, fmt::format("it must be an integer from {} to {}", min, max));
  return 0;
}

std::optional<int64_t> GgufKeys::MaybeInt(const char* key, int64_t min, int64_t max) {
  const GgufValue* value = metadata_.Find(Name(key));
  if (value == nullptr) return std::nullopt;
  const auto in_range = [&](int64_t n) { return n >= min && n <= max; };
  if (const auto* n = std::get_if<int64_t>(&value->data); n != nullptr && in_range(*n)) return *n;
  if (const auto* list = std::get_if<std::vector<int64_t>>(&value->data)) {
    const bool equal =
        !list->empty() && std::ranges::all_of(*list, [&](int64_t n) { return n == list->front(); });
    if (equal && in_range(list->front())) return list->front();
    if (!list->empty() && !equal) {
      Problem(ErrorCode::kUnsupportedModel, key,
              "values that differ between layers are not supported");
      return std::nullopt;
    }
  }
  Problem(ErrorCode::kBadFile, key, fmt::format("it must be an integer from {} to {}", min, max));
  return std::nullopt;
}

std::optional<double> GgufKeys::MaybeReal(const char* key, double min, double max) {
  const GgufValue* value = metadata_.Find(Name(key));
  if (value == nullptr) return std::nullopt;
  if (const auto* stored = std::get_if<double>(&value->data); stored != nullptr) {
    const bool f32 = value->element == GgufType::kF32 && std::isfinite(*stored);
    const double d = f32 ? ShortestDecimal(static_cast<float>(*stored)) : *stored;
    if (d >= min && d <= max) return d;  // false for NaN
  } else if (const auto* whole = std::get_if<int64_t>(&value->data); whole != nullptr) {
    const auto d = static_cast<double>(*whole);
    if (d >= min && d <= max) return d;
  }
  Problem(ErrorCode::kBadFile, key, fmt::format("it must be a number from {} to {}", min, max));
  return std::nullopt;
}

std::optional<bool> GgufKeys::MaybeBool(const char* key) {
  const GgufValue* value = metadata_.Find(Name(key));
  if (value == nullptr) return std::nullopt;
  if (const auto* b = std::get_if<bool>(&value->data)) return *b;
  Problem(ErrorCode::kBadFile, key, "it must be a bool");
  return std::nullopt;
}

std::optional<std::string> GgufKeys::MaybeText(const char* key) {
  const GgufValue* value = metadata_.Find(Name(key));
  if (value == nullptr) return std::nullopt;
  if (const auto* text = std::get_if<std::string>(&value->data)) return *text;
  Problem(ErrorCode::kBadFile, key, "it must be a string");
  return std::nullopt;
}

}  // namespace hadal
