// GGUF metadata of a ModelConfig: the keys that llama.cpp asks for, in its types.
#include <algorithm>
#include <cmath>

#include "formats/gguf_config.h"
#include "formats/gguf_model.h"
#include "formats/json_text.h"

namespace hadal {
namespace {

class MetadataOf {
 public:
  MetadataOf(const ModelConfig& config, std::string_view arch)
      : c_(config), arch_(std::string(arch) + ".") {}

  Result<GgufMetadata> Make(const GenerationConfig& generation, std::string_view name) {
    HADAL_OK(CheckSayable());
    m_.Add("general.architecture", GgufValue::Text(arch_.substr(0, arch_.size() - 1)));
    m_.Add("general.type", GgufValue::Text("model"));
    if (!name.empty()) m_.Add("general.name", GgufValue::Text(std::string(name)));
    AddSizes();
    if (c_.is_mla()) {
      AddMla();
    } else {
      U32("attention.key_length", c_.head_dim);
      U32("attention.value_length", c_.head_dim);
      U32("rope.dimension_count", c_.head_dim);
    }
    if (c_.is_moe()) AddExperts();
    AddRope();
    AddTokens(generation);
    AddSampling(generation);
    return std::move(m_);
  }

 private:
  void U32(const std::string& key, int64_t v) { m_.Add(arch_ + key, GgufValue::U32(v)); }
  void F32(const std::string& key, double v) { m_.Add(arch_ + key, GgufValue::F32(v)); }

  tl::unexpected<Error> Refuse(const char* field, std::string_view why) const {
    return FailField(ErrorCode::kUnsupportedModel, field,
                     "{} of this '{}' model cannot be said in a GGUF file: {}", field,
                     c_.model_type, why);
  }

  Status CheckSayable() const {
    const RopeConfig& rope = c_.rope;
    const bool mla_arch = arch_ == "deepseek2.";
    if (mla_arch && !c_.is_mla()) return Refuse("kv_lora_rank", "deepseek2 needs it");
    if (!mla_arch && c_.is_mla()) return Refuse("kv_lora_rank", "only deepseek2 has it");
    if ((mla_arch || arch_ == "deepseek.") && !c_.is_moe()) {
      return Refuse("n_routed_experts", "the architecture needs experts");
    }
    if (c_.moe_layer_freq != 1) return Refuse("moe_layer_freq", "only 1 can");
    if (!c_.rope_interleave.value_or(true)) {
      return Refuse("rope_interleave", "latent attention pairs adjacent dimensions there");
    }
    if (mla_arch && rope.type != RopeType::kDefault && rope.type != RopeType::kYarn) {
      return Refuse("rope_scaling", "latent attention has only yarn there");
    }
    if (mla_arch && rope.type == RopeType::kYarn) {
      // Readers do not scale cos and sin there and take the one multiplier for the scores.
      if (std::fabs(rope.CosSinFactor() - 1) > 1e-9) {
        return Refuse("rope_scaling.mscale", "it must equal mscale_all_dim");
      }
    }
    return {};
  }

  void AddSizes() {
    U32("block_count", c_.num_hidden_layers);
    U32("context_length", c_.max_position_embeddings);
    U32("embedding_length", c_.hidden_size);
    U32("feed_forward_length", c_.intermediate_size);
    U32("attention.head_count", c_.num_attention_heads);
    // The latent is one key head for all.
    U32("attention.head_count_kv", c_.is_mla() ? 1 : c_.num_key_value_heads);
    F32("attention.layer_norm_rms_epsilon", c_.rms_norm_eps);
    U32("vocab_size", c_.vocab_size);
  }

  void AddMla() {
    if (c_.q_lora_rank > 0) U32("attention.q_lora_rank", c_.q_lora_rank);
    U32("attention.kv_lora_rank", c_.kv_lora_rank);
    U32("attention.key_length", c_.kv_lora_rank + c_.qk_rope_head_dim);
    U32("attention.value_length", c_.kv_lora_rank);
    U32("attention.key_length_mla", c_.qk_nope_head_dim + c_.qk_rope_head_dim);
    U32("attention.value_length_mla", c_.v_head_dim);
    U32("rope.dimension_count", c_.qk_rope_head_dim);
  }

  void AddExperts() {
    const bool v3 = c_.model_type == "deepseek_v3";
    const bool sigmoid =
        c_.scoring_func.value_or(v3 ? ScoringFunc::kSigmoid : ScoringFunc::kSoftmax) ==
        ScoringFunc::kSigmoid;
    const TopkMethod method =
        c_.topk_method.value_or(v3 ? TopkMethod::kNoauxTc : TopkMethod::kGreedy);
    const bool groups = method != TopkMethod::kGreedy;
    U32("expert_count", c_.n_routed_experts);
    U32("expert_used_count", c_.num_experts_per_tok);
    U32("expert_shared_count", c_.n_shared_experts);
    U32("expert_feed_forward_length", c_.moe_intermediate_size);
    U32("leading_dense_block_count", c_.first_k_dense_replace);
    F32("expert_weights_scale", c_.routed_scaling_factor.value_or(v3 ? 2.5 : 1.0));
    // V2 never divides by the sum, whatever its config says.
    const bool normalise = c_.model_type != "deepseek_v2" && c_.norm_topk_prob.value_or(v3);
    m_.Add(arch_ + "expert_weights_norm", GgufValue::Bool(normalise));
    if (arch_ != "deepseek2.") return;
    U32("expert_gating_func", sigmoid ? 2 : 1);
    U32("expert_group_count", groups ? c_.n_group : 1);
    U32("expert_group_used_count", groups ? c_.topk_group : 1);
  }

  void AddRope() {
    const RopeConfig& rope = c_.rope;
    F32("rope.freq_base", rope.theta);
    if (rope.type == RopeType::kLinear) {
      m_.Add(arch_ + "rope.scaling.type", GgufValue::Text("linear"));
      F32("rope.scaling.factor", rope.factor);
    }
    if (rope.type != RopeType::kYarn) return;
    m_.Add(arch_ + "rope.scaling.type", GgufValue::Text("yarn"));
    F32("rope.scaling.factor", rope.factor);
    U32("rope.scaling.original_context_length", rope.original_max_position_embeddings);
    if (rope.beta_fast != 32) F32("rope.scaling.yarn_beta_fast", rope.beta_fast);
    if (rope.beta_slow != 1) F32("rope.scaling.yarn_beta_slow", rope.beta_slow);
    if (c_.is_mla()) {
      const double all = rope.mscale_all_dim.value_or(0);
      if (all != 0) F32("rope.scaling.yarn_log_multiplier", all / 10);
      return;
    }
    // Readers put 0.1 ln(factor) + 1 on cos and sin; what is left is said.
    const double left = rope.CosSinFactor() / rope.YarnMscale(1);
    if (left != 1) F32("rope.scaling.attn_factor", left);
  }

  void AddTokens(const GenerationConfig& generation) {
    std::vector<int64_t> ids(c_.eos_token_ids.begin(), c_.eos_token_ids.end());
    for (const TokenId id : generation.eos_token_ids) {
      if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
    }
    if (!ids.empty()) m_.Add(std::string(kEosTokensKey), GgufValue::I32s(std::move(ids)));
  }

  void AddSampling(const GenerationConfig& g) {
    const auto add = [&](const char* key, GgufValue value) {
      m_.Add(std::string("general.sampling.") + key, std::move(value));
    };
    const bool greedy = !g.do_sample.value_or(true);
    if (g.temperature || greedy) add("temp", GgufValue::F32(greedy ? 0 : *g.temperature));
    if (g.top_p) add("top_p", GgufValue::F32(*g.top_p));
    if (g.top_k) add("top_k", {GgufType::kI32, false, *g.top_k});
    if (g.repetition_penalty) add("penalty_repeat", GgufValue::F32(*g.repetition_penalty));
  }

  const ModelConfig& c_;
  const std::string arch_;  // with a dot
  GgufMetadata m_;
};

}  // namespace

Result<GgufMetadata> GgufMetadataOf(const ModelConfig& config, const GenerationConfig& generation,
                                    std::string_view name) {
  const std::string_view arch = GgufArchitectureOf(config.model_type);
  if (arch.empty()) {
    return FailField(ErrorCode::kUnsupportedModel, "model_type",
                     "model_type is {}; GGUF files are made of llama, qwen2, qwen3, deepseek, "
                     "deepseek_v2 and deepseek_v3",
                     Quoted(config.model_type));
  }
  return MetadataOf(config, arch).Make(generation, name);
}

}  // namespace hadal
