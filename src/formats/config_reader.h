// Owns: taking typed, range-checked values out of one JSON object; the first problem is kept.
// Must not know which keys a config has. Private to formats/.
// Use: ConfigReader r(json, ""); int64_t n = r.Int("hidden_size", 1, 1 << 20); ... r.status();
// null counts as absent. Thread rule: one thread.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace hadal {

class ConfigReader {
 public:
  // object must outlive the reader. `prefix` stands before keys in messages ("rope_scaling.").
  ConfigReader(const nlohmann::json& object, std::string prefix);

  // Required: 0 / empty with a problem noted when absent, of the wrong type or out of range.
  int64_t Int(const char* key, int64_t min, int64_t max);
  std::string Text(const char* key);
  double Real(const char* key, double min, double max);
  // Optional.
  int64_t IntOr(const char* key, int64_t min, int64_t max, int64_t otherwise);
  double RealOr(const char* key, double min, double max, double otherwise);
  std::optional<double> MaybeReal(const char* key, double min, double max);
  std::optional<int64_t> MaybeInt(const char* key, int64_t min, int64_t max);
  std::optional<bool> MaybeBool(const char* key);
  std::optional<std::string> MaybeText(const char* key);
  std::vector<int64_t> Ints(const char* key, int64_t min, int64_t max);  // a number or a list
  std::vector<std::string> Texts(const char* key);                       // a list

  const nlohmann::json* Get(const char* key) const;  // nullptr when absent or null
  std::string Name(const char* key) const { return prefix_ + key; }

  // "<key> is <value>; <what would be right>".
  void Problem(ErrorCode code, const char* key, std::string_view right);
  void Adopt(Status other);  // a problem of a nested reader
  bool ok() const { return status_.has_value(); }
  Status status() const { return status_; }

 private:
  bool Present(const char* key);  // notes a problem when absent
  int64_t CheckedInt(const char* key, const nlohmann::json& value, int64_t min, int64_t max);

  const nlohmann::json& object_;
  std::string prefix_;
  Status status_;
};

}  // namespace hadal
