// Any bytes as a GGUF file: refused with a place and a reason, or every tensor lies inside the
// file, apart from the others, with as many bytes as its type and shape need.
#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "formats/gguf.h"

namespace {

hadal::GgufLimits SmallLimits() {  // so that the limits themselves are reached
  hadal::GgufLimits limits;
  limits.max_pairs = 64;
  limits.max_tensors = 64;
  limits.max_string_bytes = 1024;
  limits.max_key_bytes = 128;
  limits.max_array_elements = 1024;
  limits.max_metadata_bytes = 16 << 10;
  limits.max_splits = 4;
  return limits;
}

void CheckTensors(const hadal::GgufFile& file, size_t size, const hadal::GgufLimits& limits) {
  uint64_t total = 0;
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const auto& t : file.tensors()) {
    CHECK(t.begin <= t.end && t.end <= size && file.bytes(t).size() == t.end - t.begin);
    const int64_t columns = t.shape[t.shape.rank() - 1];
    const int64_t bytes = hadal::BytesOf(t.type, t.shape.elements() / columns, columns);
    CHECK(bytes > 0 && static_cast<uint64_t>(bytes) == t.end - t.begin);
    CHECK(!t.name.empty() && t.name.size() <= limits.max_name_bytes);
    CHECK(file.Find(t.name) == &t);
    ranges.emplace_back(t.begin, t.end);
    total += t.end - t.begin;
  }
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i) CHECK(ranges[i - 1].second <= ranges[i].first);
  CHECK(total == file.total_bytes() && total <= size);
  CHECK(ranges.size() <= limits.max_tensors);
}

void CheckMetadata(const hadal::GgufMetadata& metadata, const hadal::GgufLimits& limits) {
  CHECK(metadata.pairs().size() <= limits.max_pairs);
  for (const auto& [key, value] : metadata.pairs()) {
    CHECK(metadata.Find(key) == &value && !key.empty() && key.size() <= limits.max_key_bytes);
    if (const auto* text = metadata.Text(key)) CHECK(text->size() <= limits.max_string_bytes);
    if (const auto* texts = metadata.Texts(key)) CHECK(texts->size() <= limits.max_array_elements);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto limits = SmallLimits();
  const auto file = hadal::GgufFile::FromMemory({bytes.begin(), bytes.end()}, limits);
  if (!file) {
    const auto& error = file.error();
    CHECK(error.code == hadal::ErrorCode::kBadFile ||
          error.code == hadal::ErrorCode::kUnsupportedModel);
    CHECK(error.message.starts_with("byte ") || error.field.starts_with("split."));
    return 0;
  }
  CheckTensors(**file, size, limits);
  CheckMetadata((*file)->metadata(), limits);
  return 0;
}
