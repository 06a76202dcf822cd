#include <algorithm>
#include <array>

#include "formats/gguf_config.h"
#include "formats/gguf_model.h"
#include "formats/gguf_names.h"

namespace hadal {
namespace {

constexpr size_t kMaxEntries = 250'000;  // the largest published models have 70 000

// Plain types of GGUF in the spelling of safetensors.
const StoredDType* StoredOf(DType dtype) {
  static constexpr std::array<StoredDType, 8> kStored = {{
      {"F32", 4, DType::kF32},
      {"F16", 2, DType::kF16},
      {"BF16", 2, DType::kBf16},
      {"F8_E4M3", 1, DType::kF8E4M3},
      {"I8", 1, DType::kI8},
      {"I32", 4, DType::kI32},
      {"I64", 8, DType::kI64},
      {"U8", 1, DType::kU8},
  }};
  const auto it = std::ranges::find_if(kStored, [&](const auto& s) { return s.weight == dtype; });
  return it == kStored.end() ? nullptr : &*it;
}

TensorEntry EntryOf(const GgufFile& file, const GgufTensor& tensor) {
  TensorEntry entry;
  entry.name = tensor.name;
  entry.shape = tensor.shape;
  entry.bytes = file.bytes(tensor);
  entry.file = &file.path();
  entry.mapping = file.mapping(tensor);
  if (const auto* quant = std::get_if<QuantType>(&tensor.type)) {
    entry.quant = *quant;
  } else {
    entry.dtype = std::get<DType>(tensor.type);
    entry.stored = StoredOf(entry.dtype);
  }
  return entry;
}

class EntryList {
 public:
  EntryList(const GgufFile& file, const ModelConfig& config)
      : file_(file), config_(config), permuted_(PermutesRope(config.model_type)) {}

  Result<std::vector<TensorEntry>> Make() {
    for (const GgufTensor& tensor : file_.tensors()) {
      HADAL_OK(Add(tensor));
      if (entries_.size() > kMaxEntries) {
        return Fail(ErrorCode::kBadFile, "{}: more than {} tensors, experts counted one by one",
                    file_.path().string(), kMaxEntries);
      }
    }
    return std::move(entries_);
  }

 private:
  Status Add(const GgufTensor& tensor) {
    // Its numbers are in the config; rot_embd is what old exports computed from it.
    if (tensor.name == "rope_freqs.weight") return {};
    const auto layer = ParseLayerName(tensor.name);
    TensorEntry entry = EntryOf(file_, tensor);
    if (!layer) {
      const std::string_view hub = HubNameIn(ModelNames(), tensor.name);
      if (!hub.empty()) entry.name = hub;
      entries_.push_back(std::move(entry));
      return {};
    }
    if (layer->rest == "attn_rot_embd.weight") return {};
    const std::string prefix = fmt::format("model.layers.{}.", layer->layer);
    if (const auto hub = HubNameIn(ExpertNames(), layer->rest); !hub.empty()) {
      return AddExperts(tensor, std::move(entry), prefix + "mlp.experts.", hub);
    }
    if (const auto hub = HubNameIn(LayerNames(), layer->rest); !hub.empty()) {
      entry.name = prefix + std::string(hub);
      const bool turned = layer->rest.starts_with("attn_q.") || layer->rest.starts_with("attn_k.");
      if (permuted_ && turned) HADAL_OK(SetRowOrder(tensor, entry));
    }
    entries_.push_back(std::move(entry));
    return {};
  }

  Status SetRowOrder(const GgufTensor& tensor, TensorEntry& entry) const {
    const int64_t rows = entry.shape.rank() == 1 ? entry.cols() : entry.rows();
    if (config_.head_dim < 2 || rows % config_.head_dim != 0) {
      return FailField(ErrorCode::kBadFile, tensor.name,
                       "{}: {} is {}; its rows must be whole heads of {}", file_.path().string(),
                       tensor.name, tensor.shape.ToString(), config_.head_dim);
    }
    entry.row_order.head_dim = config_.head_dim;
    return {};
  }

  Status AddExperts(const GgufTensor& tensor, TensorEntry whole, const std::string& prefix,
                    std::string_view hub) {
    if (tensor.shape.rank() != 3 || tensor.shape[0] < 1 ||
        entries_.size() + static_cast<uint64_t>(tensor.shape[0]) > kMaxEntries) {
      return FailField(ErrorCode::kBadFile, tensor.name,
                       "{}: {} is {}; it must be [experts, rows, columns] with at most {} experts "
                       "in the whole file",
                       file_.path().string(), tensor.name, tensor.shape.ToString(), kMaxEntries);
    }
    const int64_t experts = tensor.shape[0];
    // Rows are whole blocks, so experts are whole bytes.
    const size_t bytes = whole.bytes.size() / static_cast<size_t>(experts);
    for (int64_t e = 0; e < experts; ++e) {
      TensorEntry& entry = entries_.emplace_back(whole);
      entry.name = fmt::format("{}{}.{}", prefix, e, hub);
      entry.shape = {tensor.shape[1], tensor.shape[2]};
      entry.bytes = whole.bytes.subspan(static_cast<size_t>(e) * bytes, bytes);
    }
    return {};
  }

  const GgufFile& file_;
  const ModelConfig& config_;
  const bool permuted_;
  std::vector<TensorEntry> entries_;
};

}  // namespace

Result<std::vector<TensorEntry>> EntriesOfGguf(const GgufFile& file, const ModelConfig& config) {
  return EntryList(file, config).Make();
}

}  // namespace hadal
