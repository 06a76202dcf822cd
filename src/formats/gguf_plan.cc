// The tensors of a GGUF file, and of a hub checkpoint made of one, out of any checkpoint.
#include <algorithm>
#include <cstring>

#include "formats/gguf_config.h"
#include "formats/gguf_model.h"
#include "formats/gguf_names.h"
#include "formats/llama3_rope.h"

namespace hadal {
namespace {

using Decode = std::function<void(int64_t row0, int64_t n, float* out)>;

// Rows of the hub's half-split order written as adjacent pairs: the inverse of RowOrder.
int64_t HubRow(int64_t head_dim, int64_t stored) {
  const int64_t in_head = stored % head_dim;
  return stored - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
}

Decode DecodeOf(const TensorEntry* entry) {
  return [entry](int64_t row0, int64_t n, float* out) { DecodeRows(*entry, row0, n, out); };
}

Decode DecodePermuted(const TensorEntry* entry, int64_t head_dim) {
  if (entry->shape.rank() == 1) {
    return [entry, head_dim](int64_t, int64_t, float* out) {
      std::vector<float> hub(static_cast<size_t>(entry->cols()));
      DecodeRows(*entry, 0, 1, hub.data());
      for (int64_t r = 0; r < entry->cols(); ++r) {
        out[r] = hub[static_cast<size_t>(HubRow(head_dim, r))];
      }
    };
  }
  return [entry, head_dim](int64_t row0, int64_t n, float* out) {
    for (int64_t r = row0; r < row0 + n; ++r, out += entry->cols()) {
      DecodeRows(*entry, HubRow(head_dim, r), 1, out);
    }
  };
}

// One expert below the other.
Decode DecodeStack(std::vector<const TensorEntry*> experts) {
  return [experts = std::move(experts)](int64_t row0, int64_t n, float* out) {
    const int64_t rows = experts.front()->rows(), cols = experts.front()->cols();
    while (n > 0) {
      const int64_t row = row0 % rows, here = std::min(n, rows - row);
      DecodeRows(*experts[static_cast<size_t>(row0 / rows)], row, here, out);
      row0 += here;
      n -= here;
      out += here * cols;
    }
  };
}

// kv_b [n_heads * (nope + v), kv_lora], per head K rows, then V rows.
struct KvB {
  const TensorEntry* entry = nullptr;
  int64_t nope = 0, v = 0;

  // Rows of [n_heads, kv_lora, nope]: K transposed, per head.
  void K(int64_t row0, int64_t n, float* out) const {
    const int64_t lora = entry->cols();
    std::vector<float> head(static_cast<size_t>(nope * lora));
    for (int64_t h = -1; n > 0; ++row0, --n) {
      if (row0 / lora != h) {
        h = row0 / lora;
        DecodeRows(*entry, h * (nope + v), nope, head.data());
      }
      for (int64_t c = 0; c < nope; ++c) {
        *out++ = head[static_cast<size_t>(c * lora + row0 % lora)];
      }
    }
  }
  // Rows of [n_heads, v, kv_lora].
  void V(int64_t row0, int64_t n, float* out) const {
    for (; n > 0; ++row0, --n, out += entry->cols()) {
      DecodeRows(*entry, row0 / v * (nope + v) + nope + row0 % v, 1, out);
    }
  }
};

// Rows of kv_b out of k_b [n_heads, kv_lora, nope] and v_b [n_heads, v, kv_lora].
void JoinKvB(const TensorEntry& k, const TensorEntry& v, int64_t row0, int64_t n, float* out) {
  const int64_t lora = k.shape[1], nope = k.shape[2], v_dim = v.shape[1];
  std::vector<float> head(static_cast<size_t>(lora * nope));
  for (int64_t loaded = -1; n > 0; ++row0, --n, out += lora) {
    const int64_t h = row0 / (nope + v_dim), r = row0 % (nope + v_dim);
    if (r >= nope) {
      DecodeRows(v, h * v_dim + r - nope, 1, out);
      continue;
    }
    if (loaded != h) DecodeRows(k, h * lora, lora, head.data());
    loaded = h;
    for (int64_t c = 0; c < lora; ++c) out[c] = head[static_cast<size_t>(c * nope + r)];
  }
}

GgufTensorPlan PlanOf(std::string name, const Shape& shape, int64_t layer, Decode decode) {
  GgufTensorPlan plan;
  plan.name = std::move(name);
  plan.shape = shape;
  plan.vector = shape.rank() == 1;
  plan.layer = layer;
  plan.decode = std::move(decode);
  return plan;
}

class GgufPlan {
 public:
  GgufPlan(const ModelConfig& config, const Checkpoint& checkpoint)
      : c_(config), checkpoint_(checkpoint), permuted_(PermutesRope(config.model_type)) {}

  Result<std::vector<GgufTensorPlan>> Make() {
    AddModelTensor("token_embd.weight", "model.embed_tokens.weight");
    AddRopeFreqs();
    for (int64_t l = 0; l < c_.num_hidden_layers; ++l) HADAL_OK(AddLayer(l));
    AddModelTensor("output_norm.weight", "model.norm.weight");
    if (!c_.tie_word_embeddings) AddModelTensor("output.weight", "lm_head.weight");
    if (missing_.empty()) return std::move(plan_);
    return FailField(ErrorCode::kBadFile, missing_, "{}: missing: '{}'",
                     checkpoint_.path().string(), missing_);
  }

 private:
  const TensorEntry* Find(const std::string& name) const {
    const TensorEntry* entry = checkpoint_.Find(name);
    return entry != nullptr && IsDecodable(*entry) ? entry : nullptr;
  }

  void AddModelTensor(const char* gguf, const char* hub) {
    const TensorEntry* entry = Find(hub);
    if (entry == nullptr) {
      missing_ = hub;
    } else {
      plan_.push_back(PlanOf(gguf, entry->shape, -1, DecodeOf(entry)));
    }
  }

  void AddRopeFreqs() {
    std::vector<double> divisors = c_.rope.frequency_divisors;
    if (c_.rope.type == RopeType::kLlama3) divisors = Llama3Divisors(c_.rope, c_.head_dim);
    if (divisors.empty()) return;
    const auto n = static_cast<int64_t>(divisors.size());
    plan_.push_back(PlanOf("rope_freqs.weight", {n}, -1,
                           [divisors = std::move(divisors)](int64_t, int64_t, float* out) {
                             for (const double d : divisors) *out++ = static_cast<float>(d);
                           }));
  }

  Status AddLayer(int64_t l) {
    const std::string gguf = fmt::format("blk.{}.", l), hub = fmt::format("model.layers.{}.", l);
    const size_t before = plan_.size();
    for (const TensorNames& names : LayerNames()) {
      const TensorEntry* entry = Find(hub + std::string(names.hub));
      if (entry == nullptr || names.gguf.starts_with("nextn.")) continue;
      const std::string name = gguf + std::string(names.gguf);
      if (names.gguf == "attn_kv_b.weight") {
        HADAL_OK(AddLatent(l, gguf, entry));
        continue;
      }
      const bool turned = names.gguf.starts_with("attn_q.") || names.gguf.starts_with("attn_k.");
      const bool permute = permuted_ && turned;
      if (permute) HADAL_OK(CheckHeads(*entry));
      plan_.push_back(PlanOf(name, entry->shape, l,
                             permute ? DecodePermuted(entry, c_.head_dim) : DecodeOf(entry)));
      plan_.back().router = names.gguf == "ffn_gate_inp.weight";
    }
    HADAL_OK(AddExperts(l, gguf, hub));
    if (plan_.size() == before) missing_ = hub + "input_layernorm.weight";
    return {};
  }

  Status CheckHeads(const TensorEntry& entry) const {
    const int64_t rows = entry.shape.rank() == 1 ? entry.cols() : entry.rows();
    if (c_.head_dim >= 2 && rows % c_.head_dim == 0) return {};
    return FailField(ErrorCode::kBadFile, entry.name,
                     "{} is {}; its rows must be whole heads of {}", entry.name,
                     entry.shape.ToString(), c_.head_dim);
  }

  Status AddLatent(int64_t l, const std::string& gguf, const TensorEntry* entry) {
    const int64_t heads = c_.num_attention_heads, nope = c_.qk_nope_head_dim, v = c_.v_head_dim;
    const Shape right = {heads * (nope + v), c_.kv_lora_rank};
    if (entry->shape != right) {
      return FailField(ErrorCode::kBadFile, entry->name, "{} is {}, expected {}", entry->name,
                       entry->shape.ToString(), right.ToString());
    }
    const KvB kv{entry, nope, v};
    plan_.push_back(PlanOf(gguf + "attn_k_b.weight", {heads, c_.kv_lora_rank, nope}, l,
                           [kv](int64_t row0, int64_t n, float* out) { kv.K(row0, n, out); }));
    plan_.push_back(PlanOf(gguf + "attn_v_b.weight", {heads, v, c_.kv_lora_rank}, l,
                           [kv](int64_t row0, int64_t n, float* out) { kv.V(row0, n, out); }));
    return {};
  }

  Status AddExperts(int64_t l, const std::string& gguf, const std::string& hub) {
    if (!c_.is_moe() || l < c_.first_k_dense_replace) return {};
    for (const TensorNames& names : ExpertNames()) {
      std::vector<const TensorEntry*> experts;
      for (int64_t e = 0; e < c_.n_routed_experts; ++e) {
        const std::string name = fmt::format("{}mlp.experts.{}.{}", hub, e, names.hub);
        const TensorEntry* entry = Find(name);
        if (entry == nullptr || entry->shape.rank() != 2 ||
            (e > 0 && entry->shape != experts.front()->shape)) {
          return FailField(ErrorCode::kBadFile, name, "{}: '{}' is missing or misshapen",
                           checkpoint_.path().string(), name);
        }
        experts.push_back(entry);
      }
      const Shape one = experts.front()->shape;
      plan_.push_back(PlanOf(gguf + std::string(names.gguf), {c_.n_routed_experts, one[0], one[1]},
                             l, DecodeStack(std::move(experts))));
    }
    return {};
  }

  const ModelConfig& c_;
  const Checkpoint& checkpoint_;
  const bool permuted_;
  std::vector<GgufTensorPlan> plan_;
  std::string missing_;
};

}  // namespace

Result<std::vector<GgufTensorPlan>> PlanGgufTensors(const ModelConfig& config,
                                                    const Checkpoint& checkpoint) {
  return GgufPlan(config, checkpoint).Make();
}

Result<std::vector<GgufTensorPlan>> PlanHubTensors(const ModelConfig& config,
                                                   const Checkpoint& checkpoint) {
  // With the dot: "kv_b_proj.weight" is neither.
  constexpr std::string_view kK = ".k_b_proj.weight", kV = ".v_b_proj.weight";
  std::vector<GgufTensorPlan> plan;
  for (const TensorEntry& entry : checkpoint.entries()) {
    if (!IsDecodable(entry) || entry.name.ends_with("_scale_inv")) continue;
    if (entry.name.ends_with(kV)) continue;  // with its k_b_proj
    if (!entry.name.ends_with(kK)) {
      plan.push_back(PlanOf(entry.name, entry.shape, -1, DecodeOf(&entry)));
      plan.back().router = entry.name.ends_with(".mlp.gate.weight");
      continue;
    }
    const std::string prefix = entry.name.substr(0, entry.name.size() - kK.size());
    const std::string name = prefix + ".kv_b_proj.weight";
    if (checkpoint.Find(name) != nullptr) continue;
    const TensorEntry* v = checkpoint.Find(prefix + std::string(kV));
    const int64_t heads = config.num_attention_heads;
    const Shape k_right = {heads, config.kv_lora_rank, config.qk_nope_head_dim};
    const Shape v_right = {heads, config.v_head_dim, config.kv_lora_rank};
    if (v == nullptr || !IsDecodable(*v) || entry.shape != k_right || v->shape != v_right) {
      return FailField(ErrorCode::kBadFile, entry.name,
                       "{} is {} and its v_b_proj {}; expected {} and {}", entry.name,
                       entry.shape.ToString(), v == nullptr ? "missing" : v->shape.ToString(),
                       k_right.ToString(), v_right.ToString());
    }
    const TensorEntry* k = &entry;
    plan.push_back(
        PlanOf(name, {heads * (config.qk_nope_head_dim + config.v_head_dim), config.kv_lora_rank},
               -1, [k, v](int64_t row0, int64_t n, float* out) { JoinKvB(*k, *v, row0, n, out); }));
  }
  return plan;
}

}  // namespace hadal
