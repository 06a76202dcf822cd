#include "convert/hub_plan.h"

#include <cstring>
#include <mutex>
#include <string>

#include "convert/weight_encoder.h"

namespace hadal {
namespace {

using DecodeFn = std::function<void(int64_t row0, int64_t n, float* out)>;

struct Source {
  std::string name;
  Shape shape;
  bool stored_f32 = false;
  int64_t row_step = 1;
  DecodeFn decode;
};

// Rows of kv_b_proj from its halves: per head nope rows of K, then v_dim rows of V. k_b holds K
// transposed: [n_heads, kv_lora, nope].
class LatentHalves {
 public:
  LatentHalves(const TensorEntry& k_b, const TensorEntry& v_b)
      : k_b_(k_b), v_b_(v_b), nope_(k_b.cols()), v_dim_(v_b.shape[1]), lora_(v_b.cols()) {}

  Shape shape() const { return {v_b_.shape[0] * head_rows(), lora_}; }
  int64_t head_rows() const { return nope_ + v_dim_; }

  void Decode(int64_t row0, int64_t n, float* out) const {
    std::vector<float> k(static_cast<size_t>(lora_ * nope_));
    int64_t decoded = -1;  // head in k
    for (int64_t row = row0; row < row0 + n; ++row, out += lora_) {
      const int64_t head = row / head_rows(), at = row % head_rows();
      if (at >= nope_) {
        DecodeRows(v_b_, head * v_dim_ + at - nope_, 1, out);
        continue;
      }
      if (head != decoded) DecodeRows(k_b_, head * lora_, lora_, k.data());
      decoded = head;
      for (int64_t c = 0; c < lora_; ++c) out[c] = k[static_cast<size_t>(c * nope_ + at)];
    }
  }

 private:
  const TensorEntry& k_b_;
  const TensorEntry& v_b_;
  int64_t nope_, v_dim_, lora_;
};

constexpr std::string_view kKeyHalf = ".self_attn.k_b_proj.weight";
constexpr std::string_view kValueHalf = ".self_attn.v_b_proj.weight";

// Not weights of their own: scales come out of decoding, frequencies are computed.
bool IsLeftOut(const TensorEntry& entry, const Checkpoint& checkpoint) {
  constexpr std::string_view kScale = "_scale_inv";
  const std::string_view name = entry.name;
  if (name.ends_with(".rotary_emb.inv_freq") || name.ends_with(kValueHalf)) return true;
  if (!name.ends_with(kScale)) return false;
  const TensorEntry* of = checkpoint.Find(name.substr(0, name.size() - kScale.size()));
  return of != nullptr && of->scale_inv == &entry;
}

Result<Source> SourceOf(const TensorEntry& entry, const Checkpoint& checkpoint) {
  if (!IsDecodable(entry)) {
    return FailField(ErrorCode::kUnsupportedModel, entry.name,
                     "tensor {} of type {} holds no weights that can be converted", entry.name,
                     entry.stored != nullptr ? entry.stored->name : "unknown");
  }
  const bool f32 = !entry.quant && !entry.int4 && entry.dtype == DType::kF32;
  if (!entry.name.ends_with(kKeyHalf)) {
    return Source{entry.name, entry.shape, f32, 1, [&entry](int64_t row0, int64_t n, float* out) {
                    DecodeRows(entry, row0, n, out);
                  }};
  }
  const std::string layer = entry.name.substr(0, entry.name.size() - kKeyHalf.size());
  const TensorEntry* v_b = checkpoint.Find(layer + std::string(kValueHalf));
  const bool fits = v_b != nullptr && IsDecodable(*v_b) && v_b->shape.rank() == 3 &&
                    entry.shape.rank() == 3 && v_b->shape[0] == entry.shape[0] &&
                    v_b->cols() == entry.shape[1];
  if (!fits) {
    return FailField(ErrorCode::kBadFile, entry.name,
                     "{} has shape {}, which needs a v_b_proj.weight of the same heads and latent",
                     entry.name, entry.shape.ToString());
  }
  const LatentHalves halves(entry, *v_b);
  return Source{layer + ".self_attn.kv_b_proj.weight", halves.shape(), f32, halves.head_rows(),
                [halves](int64_t row0, int64_t n, float* out) { halves.Decode(row0, n, out); }};
}

bool IsRouter(std::string_view name) { return name.ends_with(".mlp.gate.weight"); }

// Linear layers, as published FP8 checkpoints have them.
bool IsLinear(const Source& s) {
  const std::string_view name = s.name;
  const auto has = [&](std::string_view part) { return name.find(part) != name.npos; };
  return s.shape.rank() == 2 && name.starts_with("model.layers.") &&
         name.ends_with("_proj.weight") && !has("eh_proj") && !IsRouter(name);
}

TensorType TypeOf(const Source& s, const TypeChoice& type) {
  const bool small = s.shape.rank() <= 1 || IsRouter(s.name);
  if (small && s.stored_f32) return DType::kF32;
  if (type.base != TensorType(DType::kF8E4M3)) return type.base;
  return IsLinear(s) ? DType::kF8E4M3 : DType::kBf16;
}

StreamedTensor Plain(const Source& s, const TensorType& type) {
  StreamedTensor t{{s.name, type, s.shape}, s.row_step, {}};
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
void AddFp8(const Source& s, std::vector<StreamedTensor>& out) {
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

}  // namespace

Result<std::vector<StreamedTensor>> PlanHubTensors(const ModelConfig& config,
                                                   const Checkpoint& checkpoint,
                                                   const TypeChoice& type) {
  std::vector<StreamedTensor> out;
  for (const TensorEntry& entry : checkpoint.entries()) {
    if (IsLeftOut(entry, checkpoint)) continue;
    if (config.tie_word_embeddings && entry.name == "lm_head.weight") continue;
    HADAL_TRY(const Source source, SourceOf(entry, checkpoint));
    const TensorType stored = TypeOf(source, type);
    if (stored == TensorType(DType::kF8E4M3)) {
      AddFp8(source, out);
    } else {
      out.push_back(Plain(source, stored));
    }
  }
  return out;
}

}  // namespace hadal
