// Any bytes as config.json and generation_config.json: refused, or the promises of model_config.h
// hold, so that a family may multiply and divide without looking again.
#include <cmath>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "formats/model_config.h"

namespace {

void CheckPromises(const hadal::ModelConfig& c) {
  CHECK(c.model_type.size() <= 256);
  CHECK(c.vocab_size > 0 && c.hidden_size > 0 && c.num_hidden_layers > 0);
  CHECK(c.num_attention_heads > 0 && c.num_key_value_heads > 0);
  CHECK(c.num_attention_heads % c.num_key_value_heads == 0);
  CHECK(c.is_mla() || (c.head_dim > 0 && c.head_dim % 2 == 0));
  CHECK(!c.is_mla() || (c.qk_nope_head_dim > 0 && c.v_head_dim > 0 && c.qk_rope_head_dim >= 2));
  CHECK(c.rms_norm_eps > 0 && c.rms_norm_eps <= 1);
  CHECK(std::isfinite(c.rope.theta) && c.rope.theta >= 1 && c.rope.factor >= 1);
  CHECK(std::isfinite(c.rope.CosSinFactor()) && c.rope.CosSinFactor() > 0);
  for (hadal::TokenId id : c.eos_token_ids) CHECK(id >= 0 && id < c.vocab_size);
  if (c.quantization) {
    CHECK(c.quantization->weight_block_size.rows > 0 && c.quantization->weight_block_size.cols > 0);
  }
  if (!c.is_moe()) return;
  CHECK(c.n_routed_experts % c.n_group == 0 && c.topk_group <= c.n_group);
  CHECK(c.num_experts_per_tok > 0 && c.num_experts_per_tok <= c.n_routed_experts);
  CHECK(c.moe_intermediate_size > 0 && c.moe_layer_freq > 0);
  CHECK(c.first_k_dense_replace >= 0 && c.first_k_dense_replace <= c.num_hidden_layers);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = hadal::ParseModelConfig(text);
  if (config) CheckPromises(*config);
  if (!config) CHECK(!config.error().message.empty());
  const auto generation = hadal::ParseGenerationConfig(text);
  if (generation && generation->temperature) CHECK(*generation->temperature >= 0);
  return 0;
}
