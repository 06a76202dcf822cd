// Any bytes as a GGUF file: refused with a place and a reason, or every tensor lies inside the
// file, apart from the others, with as many bytes as its type and shape need. What is a model too
// must give entries under hub names that stay inside its tensors and can be decoded, and a config
// that can be written as config.json and read back.
#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "formats/checkpoint.h"
#include "formats/gguf.h"
#include "formats/gguf_model.h"

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

void CheckRefusal(const hadal::Error& error) {
  CHECK(error.code == hadal::ErrorCode::kBadFile ||
        error.code == hadal::ErrorCode::kUnsupportedModel);
  CHECK(!error.message.empty());
}

void CheckConfig(const hadal::ModelConfig& config) {
  const auto json = hadal::ConfigJsonOf(config);
  if (!json) return CheckRefusal(json.error());
  const auto again = hadal::ParseModelConfig(*json);
  if (!again) return CheckRefusal(again.error());
  CHECK(again->hidden_size == config.hidden_size && again->vocab_size == config.vocab_size);
  CHECK(again->num_hidden_layers == config.num_hidden_layers);
}

void CheckEntry(const hadal::TensorEntry& entry) {
  const int64_t bytes = entry.quant ? hadal::BytesOf(*entry.quant, entry.rows(), entry.cols())
                                    : hadal::BytesOf(entry.dtype, entry.rows(), entry.cols());
  CHECK(bytes > 0 && entry.bytes.size() == static_cast<uint64_t>(bytes));
  if (const int64_t head = entry.row_order.head_dim; head != 0) {
    const int64_t rows = entry.shape.rank() == 1 ? entry.cols() : entry.rows();
    CHECK(head > 0 && head % 2 == 0 && rows % head == 0);
  }
  if (!hadal::IsDecodable(entry)) return;
  std::vector<float> row(static_cast<size_t>(entry.cols()));
  hadal::DecodeRows(entry, entry.rows() - 1, 1, row.data());
}

void CheckModel(std::unique_ptr<hadal::GgufFile> file) {
  const auto config = hadal::ModelConfigOfGguf(*file);
  if (!config) return CheckRefusal(config.error());
  const auto generation = hadal::GenerationConfigOfGguf(*file);
  CheckConfig(*config);
  const uint64_t total = file->total_bytes();
  const auto checkpoint = hadal::Checkpoint::OfGguf(std::move(file), *config);
  if (!checkpoint) return CheckRefusal(checkpoint.error());
  uint64_t sum = 0;
  for (const auto& entry : (*checkpoint)->entries()) {
    CheckEntry(entry);  // reads its bytes: ASan sees those that lie outside the file
    sum += entry.bytes.size();
  }
  CHECK(sum <= total);
  const auto metadata = hadal::GgufMetadataOf(*config, generation, "again");
  if (!metadata) return CheckRefusal(metadata.error());
  const auto plan = hadal::PlanGgufTensors(*config, **checkpoint);
  if (!plan) return CheckRefusal(plan.error());
  for (const auto& tensor : *plan) {
    const int64_t columns = tensor.shape[tensor.shape.rank() - 1];
    CHECK(columns > 0);
    std::vector<float> row(static_cast<size_t>(columns));
    tensor.decode(tensor.shape.elements() / columns - 1, 1, row.data());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto limits = SmallLimits();
  auto file = hadal::GgufFile::FromMemory({bytes.begin(), bytes.end()}, limits);
  if (!file) {
    const auto& error = file.error();
    CHECK(error.code == hadal::ErrorCode::kBadFile ||
          error.code == hadal::ErrorCode::kUnsupportedModel);
    CHECK(error.message.starts_with("byte ") || error.field.starts_with("split."));
    return 0;
  }
  CheckTensors(**file, size, limits);
  CheckMetadata((*file)->metadata(), limits);
  CheckModel(std::move(*file));
  return 0;
}
