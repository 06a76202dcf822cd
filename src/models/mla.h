// Owns: multi-head latent attention (DeepSeek-V2, arXiv 2405.04434 section 2.1): its weights and
// its part of the step. Must not know families. What is cached per token is the normed latent c and
// the rotated key part shared by all heads.
// Thread rule: immutable after load; Forward is called by the engine's thread.
#pragma once

#include <cstdint>
#include <string>

#include "formats/model_config.h"
#include "models/block.h"
#include "models/weight_loader.h"

namespace hadal {

struct MlaOptions {
  int64_t hidden = 0, n_heads = 0;
  int64_t q_lora = 0;  // 0: q is projected directly
  int64_t kv_lora = 0, nope = 0, rope = 0, v_dim = 0;
  float scale = 0;  // of the scores

  // In FP8 128 values of the latent share a scale; the rotated part stays bf16.
  KvRow cache_row() const { return {kv_lora + rope, 128, rope}; }
};

// The fields of config.json; the scale is (nope + rope)^-1/2 times the square of the YaRN factor
// of mscale_all_dim. kUnsupportedModel when the config is not one of latent attention.
Result<MlaOptions> MlaOptionsOf(const ModelConfig& config);

class MlaBlock final : public Block {
 public:
  // prefix: "model.layers.0.self_attn."; stream: index of the cache stream, kv_lora + rope wide.
  // rope outlives the block.
  MlaBlock(const MlaOptions& options, WeightLoader& load, const std::string& prefix,
           const RopeTable& rope, size_t stream);

  Delta Forward(Pass& pass, Tensor x, Tensor out) const override;
  int64_t ScratchElements(int64_t rows) const override;

 private:
  void Project(Pass& pass, Tensor x, Tensor q, Tensor c, Tensor k_pe) const;

  const MlaOptions o_;
  const RopeTable& rope_;
  const size_t stream_;
  WeightPtr w_q_;                // [n_heads * (nope + rope), hidden], when q_lora is 0
  WeightPtr w_q_a_, w_q_b_;      // [q_lora, hidden], [n_heads * (nope + rope), q_lora]
  VectorPtr q_norm_, kv_norm_;   // [q_lora], [kv_lora]
  WeightPtr w_c_, w_k_pe_;       // rows of kv_a_proj_with_mqa: [kv_lora, hidden], [rope, hidden]
  WeightLoader::LatentUp kv_b_;  // [n_heads * (nope + v_dim), kv_lora], whole and per head
  WeightPtr w_o_;                // [hidden, n_heads * v_dim]
};

}  // namespace hadal
