// Owns: grouped-query attention (multi-head and multi-query are its ends): its weights and its part
// of the step. Must not know families: biases and per-head norms are options.
// Thread rule: immutable after load; Forward is called by the engine's thread.
#pragma once

#include <cstdint>
#include <string>

#include "models/block.h"
#include "models/weight_loader.h"

namespace hadal {

struct GqaOptions {
  int64_t hidden = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0;
  bool qkv_bias = false;
  bool o_bias = false;
  bool qk_norm = false;  // RMS norm of every q and k head, one weight [head_dim], before rope
  float eps = 1e-6f;
};

class GqaBlock final : public Block {
 public:
  // prefix: "model.layers.0.self_attn."; k_stream and v_stream: index of the cache streams, both
  // n_kv_heads * head_dim wide. rope outlives the block.
  GqaBlock(const GqaOptions& options, WeightLoader& load, const std::string& prefix,
           const RopeTable& rope, size_t k_stream, size_t v_stream);

  Delta Forward(Pass& pass, Tensor x, Tensor out) const override;
  int64_t ScratchElements(int64_t rows) const override;

 private:
  const GqaOptions o_;
  const RopeTable& rope_;
  const size_t k_stream_, v_stream_;
  WeightPtr wq_, wk_, wv_, wo_;
  VectorPtr bq_, bk_, bv_, bo_;  // null without biases
  VectorPtr q_norm_, k_norm_;    // [head_dim], null without norms
};

}  // namespace hadal
