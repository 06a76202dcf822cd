#include "convert/hub_tensors.h"

#include <fmt/format.h>

namespace hadal {
namespace {

bool HasExperts(const ModelConfig& c, int64_t layer) {
  return c.is_moe() && layer >= c.first_k_dense_replace && layer % c.moe_layer_freq == 0;
}

class Lister {
 public:
  explicit Lister(const ModelConfig& config) : c_(config) {}

  std::vector<HubTensor> All() {
    Add("model.embed_tokens.weight", {c_.vocab_size, c_.hidden_size}, TensorRole::kEmbedding);
    for (int64_t l = 0; l < c_.num_hidden_layers; ++l) Layer(l);
    Norm("model.norm.weight", c_.hidden_size);
    if (!c_.tie_word_embeddings) {
      Add("lm_head.weight", {c_.vocab_size, c_.hidden_size}, TensorRole::kHead);
    }
    return std::move(out_);
  }

 private:
  void Add(std::string name, const Shape& shape, TensorRole role) {
    out_.push_back({std::move(name), shape, role});
  }
  void Norm(std::string name, int64_t n) { Add(std::move(name), {n}, TensorRole::kNorm); }

  void Layer(int64_t l) {
    const std::string layer = fmt::format("model.layers.{}.", l);
    Norm(layer + "input_layernorm.weight", c_.hidden_size);
    if (c_.is_mla()) {
      Latent(layer + "self_attn.");
    } else {
      Grouped(layer + "self_attn.");
    }
    Norm(layer + "post_attention_layernorm.weight", c_.hidden_size);
    if (HasExperts(c_, l)) {
      Experts(layer + "mlp.");
    } else {
      FeedForward(layer + "mlp.", c_.intermediate_size);
    }
  }

  void Grouped(const std::string& p) {
    const int64_t q = c_.num_attention_heads * c_.head_dim;
    const int64_t kv = c_.num_key_value_heads * c_.head_dim;
    const bool bias = c_.attention_bias.value_or(c_.model_type == "qwen2");
    Projection(p + "q_proj", q, c_.hidden_size, bias, TensorRole::kInput);
    Projection(p + "k_proj", kv, c_.hidden_size, bias, TensorRole::kInput);
    Projection(p + "v_proj", kv, c_.hidden_size, bias, TensorRole::kInput);
    Projection(p + "o_proj", c_.hidden_size, q, bias && c_.model_type != "qwen2",
               TensorRole::kOutput);
    if (c_.model_type == "qwen3") {
      Norm(p + "q_norm.weight", c_.head_dim);
      Norm(p + "k_norm.weight", c_.head_dim);
    }
  }
  void Projection(const std::string& p, int64_t rows, int64_t cols, bool bias, TensorRole role) {
    Add(p + ".weight", {rows, cols}, role);
    if (bias) Add(p + ".bias", {rows}, TensorRole::kBias);
  }

  void Latent(const std::string& p) {
    const int64_t q = c_.num_attention_heads * (c_.qk_nope_head_dim + c_.qk_rope_head_dim);
    if (c_.q_lora_rank == 0) {
      Add(p + "q_proj.weight", {q, c_.hidden_size}, TensorRole::kInput);
    } else {
      Add(p + "q_a_proj.weight", {c_.q_lora_rank, c_.hidden_size}, TensorRole::kInput);
      Norm(p + "q_a_layernorm.weight", c_.q_lora_rank);
      Add(p + "q_b_proj.weight", {q, c_.q_lora_rank}, TensorRole::kInput);
    }
    Add(p + "kv_a_proj_with_mqa.weight", {c_.kv_lora_rank + c_.qk_rope_head_dim, c_.hidden_size},
        TensorRole::kInput);
    Norm(p + "kv_a_layernorm.weight", c_.kv_lora_rank);
    Add(p + "kv_b_proj.weight",
        {c_.num_attention_heads * (c_.qk_nope_head_dim + c_.v_head_dim), c_.kv_lora_rank},
        TensorRole::kInput);
    Add(p + "o_proj.weight", {c_.hidden_size, c_.num_attention_heads * c_.v_head_dim},
        TensorRole::kOutput);
  }

  void FeedForward(const std::string& p, int64_t ffn) {
    Add(p + "gate_proj.weight", {ffn, c_.hidden_size}, TensorRole::kInput);
    Add(p + "up_proj.weight", {ffn, c_.hidden_size}, TensorRole::kInput);
    Add(p + "down_proj.weight", {c_.hidden_size, ffn}, TensorRole::kOutput);
  }
  void Experts(const std::string& p) {
    Add(p + "gate.weight", {c_.n_routed_experts, c_.hidden_size}, TensorRole::kRouter);
    if (c_.topk_method == TopkMethod::kNoauxTc) {
      Add(p + "gate.e_score_correction_bias", {c_.n_routed_experts}, TensorRole::kChoiceBias);
    }
    for (int64_t e = 0; e < c_.n_routed_experts; ++e) {
      FeedForward(fmt::format("{}experts.{}.", p, e), c_.moe_intermediate_size);
    }
    if (c_.n_shared_experts > 0) {
      FeedForward(p + "shared_experts.", c_.n_shared_experts * c_.moe_intermediate_size);
    }
  }

  const ModelConfig& c_;
  std::vector<HubTensor> out_;
};

}  // namespace

std::vector<HubTensor> HubTensorsOf(const ModelConfig& config) { return Lister(config).All(); }

int64_t ExpertTensorsOf(const ModelConfig& config) {
  int64_t layers = 0;
  for (int64_t l = 0; l < config.num_hidden_layers; ++l) layers += HasExperts(config, l) ? 1 : 0;
  return 3 * layers * config.n_routed_experts;
}

bool IsFp8Matrix(TensorRole role) {
  return role == TensorRole::kInput || role == TensorRole::kOutput;
}

}  // namespace hadal
