// Owns: taking numbers and texts from the front of a GGUF file in mapped memory: every read is
// checked against the end of the file, and a refusal names its byte. Must not know what the values
// mean. Use: GgufCursor in(file); HADAL_TRY(uint32_t version, in.U32("the version"));
// Thread rule: one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/error.h"
#include "formats/gguf.h"

namespace hadal {

// The value at p, which may be unaligned.
template <class T>
T LoadLittleEndian(const std::byte* p) {
  T value;  // every machine that Hadal builds for is little-endian
  std::memcpy(&value, p, sizeof value);
  return value;
}

class GgufCursor {
 public:
  explicit GgufCursor(std::span<const std::byte> file) : file_(file) {}

  uint64_t at() const { return at_; }
  uint64_t left() const { return file_.size() - at_; }

  // `what` names the value in the refusal of a file that ends before it.
  Result<const std::byte*> Take(uint64_t bytes, std::string_view what);
  Result<uint32_t> U32(std::string_view what);
  Result<uint64_t> U64(std::string_view what);
  // A u64 length and as many bytes, at most max_bytes; looks into the file.
  Result<std::string_view> Text(std::string_view what, uint64_t max_bytes);
  // The text of a key or tensor name: 1 to max_bytes bytes of printable ASCII.
  Result<std::string_view> Name(std::string_view what, uint64_t max_bytes);

 private:
  std::span<const std::byte> file_;
  uint64_t at_ = 0;
};

// One metadata value: its type and what follows. *decoded counts the bytes of memory of all values
// so far; it stays below limits.max_metadata_bytes, and nothing is allocated before that, and the
// file's length, are checked.
Result<GgufValue> ReadGgufValue(GgufCursor* in, std::string_view key, const GgufLimits& limits,
                                uint64_t* decoded);

}  // namespace hadal
