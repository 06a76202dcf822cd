#include "convert/hub_plan.h"

#include <cstring>
#include <memory>
#include <mutex>
#include <string>

#include "convert/hub_tensors.h"
#include "convert/weight_encoder.h"
#include "formats/gguf_model.h"

namespace hadal {
namespace {

// Stored exactly in float32: a lower type would lose something.
bool IsStoredF32(const Checkpoint& checkpoint, std::string_view name) {
  const TensorEntry* entry = checkpoint.Find(name);
  return entry != nullptr && !entry->quant && entry->int4 == nullptr && entry->dtype == DType::kF32;
}

// Linear layers, as published FP8 checkpoints have them.
bool IsLinear(const GgufTensorPlan& s) {
  const std::string_view name = s.name;
  const auto has = [&](std::string_view part) { return name.find(part) != name.npos; };
  return s.shape.rank() == 2 && name.starts_with("model.layers.") &&
         name.ends_with("_proj.weight") && !has("eh_proj") && !s.router;
}

TensorType TypeOf(const GgufTensorPlan& s, bool stored_f32, const TypeChoice& type) {
  const bool small = s.shape.rank() <= 1 || s.router;
  if (small && stored_f32) return DType::kF32;
  if (type.base != TensorType(DType::kF8E4M3)) return type.base;
  return IsLinear(s) ? DType::kF8E4M3 : DType::kBf16;
}

StreamedTensor Plain(const GgufTensorPlan& s, const TensorType& type) {
  StreamedTensor t{{s.name, type, s.shape}, 1, {}};
  const int64_t cols = t.cols();
  t.fill = [name = s.name, decode = s.decode, type, cols](int64_t row0, int64_t n,
                                                          std::byte* out) -> Status {
    std::vector<float> values(static_cast<size_t>(n * cols));
    decode(row0, n, values.data());
    return EncodeRows(type, values, name, out);
  };
  return t;
}

// A matrix and, after it, its scales, which are known once the matrix is written.
void AddFp8(const GgufTensorPlan& s, std::vector<StreamedTensor>& out) {
  const int64_t rows = s.shape[0], cols = s.shape[1];
  const int64_t scale_rows = (rows + kFp8Block - 1) / kFp8Block;
  const int64_t scale_cols = (cols + kFp8Block - 1) / kFp8Block;
  const auto scales = std::make_shared<std::vector<float>>();
  const auto allocated = std::make_shared<std::once_flag>();
  StreamedTensor weight{{s.name, DType::kF8E4M3, s.shape}, kFp8Block, {}};
  weight.fill = [=, name = s.name, decode = s.decode](int64_t row0, int64_t n,
                                                      std::byte* to) -> Status {
    std::call_once(*allocated,
                   [&] { scales->resize(static_cast<size_t>(scale_rows * scale_cols)); });
    std::vector<float> values(static_cast<size_t>(n * cols));
    decode(row0, n, values.data());
    return EncodeFp8({values.data(), n, cols}, name, to,
                     scales->data() + row0 / kFp8Block * scale_cols);
  };
  out.push_back(std::move(weight));
  StreamedTensor scale{
      {s.name + "_scale_inv", DType::kF32, {scale_rows, scale_cols}}, scale_rows, {}};
  scale.fill = [scales](int64_t, int64_t, std::byte* to) -> Status {  // one slice: all rows
    std::memcpy(to, scales->data(), scales->size() * sizeof(float));
    std::vector<float>().swap(*scales);
    return {};
  };
  out.push_back(std::move(scale));
}

// The entry, or the two halves of kv_b_proj that newer GGUF files keep.
bool IsThere(const HubTensor& t, const Checkpoint& checkpoint, std::string* what) {
  const TensorEntry* entry = checkpoint.Find(t.name);
  if (entry != nullptr) {
    if (entry->shape == t.shape && IsDecodable(*entry)) return true;
    *what = entry->shape == t.shape ? fmt::format("{} is of type {}, which holds no weights",
                                                  t.name, entry->type_name())
                                    : fmt::format("{} is {}; it must be {}", t.name,
                                                  entry->shape.ToString(), t.shape.ToString());
    return false;
  }
  constexpr std::string_view kWhole = "kv_b_proj.weight";
  if (t.name.ends_with(kWhole)) {
    const std::string prefix = t.name.substr(0, t.name.size() - kWhole.size());
    if (checkpoint.Find(prefix + "k_b_proj.weight") != nullptr &&
        checkpoint.Find(prefix + "v_b_proj.weight") != nullptr) {
      return true;
    }
  }
  *what = t.name + " is missing";
  return false;
}

}  // namespace

Result<std::vector<StreamedTensor>> StreamHubTensors(const ModelConfig& config,
                                                     const Checkpoint& checkpoint,
                                                     const TypeChoice& type) {
  HADAL_TRY(const std::vector<GgufTensorPlan> plans, PlanHubTensors(config, checkpoint));
  std::vector<StreamedTensor> out;
  for (const GgufTensorPlan& plan : plans) {
    if (plan.name.ends_with(".rotary_emb.inv_freq")) continue;  // computed, not learnt
    if (config.tie_word_embeddings && plan.name == "lm_head.weight") continue;
    const TensorType stored = TypeOf(plan, IsStoredF32(checkpoint, plan.name), type);
    if (stored == TensorType(DType::kF8E4M3)) {
      AddFp8(plan, out);
    } else {
      out.push_back(Plain(plan, stored));
    }
  }
  return out;
}

Status CheckComplete(const ModelConfig& config, const Checkpoint& checkpoint) {
  // Counted before any name is made: a small file may ask for billions.
  const uint64_t stored = checkpoint.entries().size();
  const uint64_t needed = static_cast<uint64_t>(ExpertTensorsOf(config));
  if (needed > stored) {
    return FailField(ErrorCode::kBadFile, "n_routed_experts",
                     "{}: {} layers of {} experts have {} tensors; the file has {}",
                     checkpoint.path().string(), config.num_hidden_layers, config.n_routed_experts,
                     needed, stored);
  }
  constexpr size_t kMaxLines = 20;
  std::string lines;
  size_t n = 0;
  for (const HubTensor& t : HubTensorsOf(config)) {
    std::string what;
    if (IsThere(t, checkpoint, &what) || ++n > kMaxLines) continue;
    lines += "\n  " + what;
  }
  if (n == 0) return {};
  if (n > kMaxLines) lines += fmt::format("\n  ... and {} more", n - kMaxLines);
  return Fail(ErrorCode::kBadFile, "{}: {} tensor(s) of a {} model are not as they must be:{}",
              checkpoint.path().string(), n, config.model_type, lines);
}

}  // namespace hadal
