// Owns: taking typed, range-checked values out of GGUF metadata; the first problem is kept.
// Must not know which keys an architecture has. Private to formats/.
// Use: GgufKeys k(metadata, "qwen2."); int64_t n = k.Int("block_count", 1, 100); ... k.status();
// Thread rule: one thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "formats/gguf.h"

namespace hadal {

class GgufKeys {
 public:
  // metadata must outlive the reader. `prefix` stands before every key.
  GgufKeys(const GgufMetadata& metadata, std::string prefix)
      : metadata_(metadata), prefix_(std::move(prefix)) {}

  // Required: 0 with a problem noted when absent, of the wrong type or out of range. An array of
  // equal integers, one per layer, stands for one integer.
  int64_t Int(const char* key, int64_t min, int64_t max);
  // Optional.
  std::optional<int64_t> MaybeInt(const char* key, int64_t min, int64_t max);
  int64_t IntOr(const char* key, int64_t min, int64_t max, int64_t otherwise) {
    return MaybeInt(key, min, max).value_or(otherwise);
  }
  // A float32 is given as the shortest decimal number that rounds to it: 1e-6 comes out as 1e-6,
  // not as 9.99999997e-07.
  std::optional<double> MaybeReal(const char* key, double min, double max);
  std::optional<bool> MaybeBool(const char* key);
  std::optional<std::string> MaybeText(const char* key);

  std::string Name(const char* key) const { return prefix_ + key; }
  bool Has(const char* key) const { return metadata_.Find(Name(key)) != nullptr; }
  // "<key> is <value>; <what would be right>".
  void Problem(ErrorCode code, const char* key, std::string_view right);
  bool ok() const { return status_.has_value(); }
  Status status() const { return status_; }

 private:
  const GgufMetadata& metadata_;
  std::string prefix_;
  Status status_;
};

double ShortestDecimal(float value);

}  // namespace hadal
