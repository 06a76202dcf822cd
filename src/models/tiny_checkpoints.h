// Owns: two checkpoints that tests of models/ make on the spot. Tests only.
// Thread rule: free functions.
#pragma once

#include <string>

#include "models/testing_model.h"

namespace hadal {

// 2 layers, hidden 24, 4 heads over 2 of 8, ffn 20, vocab 37.
inline TinyCheckpoint TinyDense() {
  TinyCheckpoint t;
  t.config = R"({"model_type": "llama", "vocab_size": 37, "hidden_size": 24,
    "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0, "eos_token_id": [3, 5]})";
  t.Add("model.embed_tokens.weight", {37, 24});
  t.Add("model.norm.weight", {24});
  t.Add("lm_head.weight", {37, 24});
  for (int l = 0; l < 2; ++l) {
    const std::string p = fmt::format("model.layers.{}.", l);
    t.Add(p + "input_layernorm.weight", {24});
    t.Add(p + "post_attention_layernorm.weight", {24});
    t.Add(p + "self_attn.q_proj.weight", {32, 24});
    t.Add(p + "self_attn.k_proj.weight", {16, 24});
    t.Add(p + "self_attn.v_proj.weight", {16, 24});
    t.Add(p + "self_attn.o_proj.weight", {24, 32});
    t.Add(p + "mlp.gate_proj.weight", {20, 24});
    t.Add(p + "mlp.up_proj.weight", {20, 24});
    t.Add(p + "mlp.down_proj.weight", {24, 20});
  }
  return t;
}

inline void AddFfn(TinyCheckpoint& t, const std::string& prefix, int64_t ffn) {
  t.Add(prefix + "gate_proj.weight", {ffn, 24});
  t.Add(prefix + "up_proj.weight", {ffn, 24});
  t.Add(prefix + "down_proj.weight", {24, ffn});
}

// 2 layers (the first dense), hidden 24, 3 heads of 6 + 4, v 5, latent 7, 6 experts of 10, top 2.
inline TinyCheckpoint TinyLatent() {
  TinyCheckpoint t;
  t.config = R"({"model_type": "deepseek_v3", "vocab_size": 37, "hidden_size": 24,
    "intermediate_size": 20, "moe_intermediate_size": 10, "num_hidden_layers": 2,
    "num_attention_heads": 3, "q_lora_rank": null, "kv_lora_rank": 7, "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4, "v_head_dim": 5, "n_routed_experts": 6, "n_shared_experts": 1,
    "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1,
    "norm_topk_prob": true, "routed_scaling_factor": 2.5, "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "num_nextn_predict_layers": 1})";
  t.Add("model.embed_tokens.weight", {37, 24});
  t.Add("model.norm.weight", {24});
  t.Add("lm_head.weight", {37, 24});
  for (int l = 0; l < 2; ++l) {
    const std::string p = fmt::format("model.layers.{}.", l);
    t.Add(p + "input_layernorm.weight", {24});
    t.Add(p + "post_attention_layernorm.weight", {24});
    t.Add(p + "self_attn.q_proj.weight", {30, 24});
    t.Add(p + "self_attn.kv_a_proj_with_mqa.weight", {11, 24});
    t.Add(p + "self_attn.kv_a_layernorm.weight", {7});
    t.Add(p + "self_attn.kv_b_proj.weight", {33, 7});
    t.Add(p + "self_attn.o_proj.weight", {24, 15});
  }
  AddFfn(t, "model.layers.0.mlp.", 20);
  AddFfn(t, "model.layers.1.mlp.shared_experts.", 10);
  t.Add("model.layers.1.mlp.gate.weight", {6, 24});
  t.Add("model.layers.1.mlp.gate.e_score_correction_bias", {6});
  for (int e = 0; e < 6; ++e) AddFfn(t, fmt::format("model.layers.1.mlp.experts.{}.", e), 10);
  return t;
}

// TinyLatent with its layer of multi-token prediction, and the copies that published files hold.
inline TinyCheckpoint TinyLatentWithDraft() {
  TinyCheckpoint t = TinyLatent();
  const std::string p = "model.layers.2.";
  t.Add(p + "embed_tokens.weight", {37, 24});
  t.Add(p + "enorm.weight", {24});
  t.Add(p + "hnorm.weight", {24});
  t.Add(p + "eh_proj.weight", {24, 48});
  t.Add(p + "shared_head.norm.weight", {24});
  t.Add(p + "shared_head.head.weight", {37, 24});
  t.Add(p + "input_layernorm.weight", {24});
  t.Add(p + "post_attention_layernorm.weight", {24});
  t.Add(p + "self_attn.q_proj.weight", {30, 24});
  t.Add(p + "self_attn.kv_a_proj_with_mqa.weight", {11, 24});
  t.Add(p + "self_attn.kv_a_layernorm.weight", {7});
  t.Add(p + "self_attn.kv_b_proj.weight", {33, 7});
  t.Add(p + "self_attn.o_proj.weight", {24, 15});
  AddFfn(t, p + "mlp.shared_experts.", 10);
  t.Add(p + "mlp.gate.weight", {6, 24});
  t.Add(p + "mlp.gate.e_score_correction_bias", {6});
  for (int e = 0; e < 6; ++e) AddFfn(t, fmt::format("{}mlp.experts.{}.", p, e), 10);
  return t;
}

}  // namespace hadal
