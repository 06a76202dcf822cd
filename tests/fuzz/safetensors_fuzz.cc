// Any bytes as a safetensors file: refused, or every range lies inside and the ranges tile the
// data.
#include <cstdint>
#include <span>

#include "base/check.h"
#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  hadal::SafetensorsLimits limits;
  limits.max_tensors = 64;  // small, so that the limit itself is reached
  const auto header = hadal::ParseSafetensorsHeader(file, limits);
  if (!header) {
    CHECK(header.error().code == hadal::ErrorCode::kBadFile && !header.error().message.empty());
    return 0;
  }
  uint64_t at = header->data_begin;
  for (const auto& t : header->tensors) {
    CHECK(t.begin == at && t.end >= t.begin && t.end <= size);
    CHECK(static_cast<uint64_t>(t.shape.elements()) * t.dtype->bytes == t.end - t.begin);
    CHECK(!t.name.empty() && t.name.size() <= limits.max_name_bytes);
    at = t.end;
  }
  CHECK(at == size && header->tensors.size() <= limits.max_tensors);
  return 0;
}
