// config.json and generation_config.json of checked values, in the spelling that ParseModelConfig
// and transformers before version 5 read.
#include <nlohmann/json.hpp>

#include "formats/gguf_model.h"
#include "formats/llama3_rope.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
void Put(Json& j, const char* key, const std::optional<T>& value) {
  if (value) j[key] = *value;
}

void PutTokens(Json& j, const std::optional<TokenId>& bos, const std::vector<TokenId>& eos) {
  Put(j, "bos_token_id", bos);
  if (eos.size() == 1) j["eos_token_id"] = eos.front();
  if (eos.size() > 1) j["eos_token_id"] = eos;
}

void PutMla(Json& j, const ModelConfig& c) {
  if (c.q_lora_rank > 0) {
    j["q_lora_rank"] = c.q_lora_rank;
  } else {
    j["q_lora_rank"] = nullptr;
  }
  j["kv_lora_rank"] = c.kv_lora_rank;
  j["qk_nope_head_dim"] = c.qk_nope_head_dim;
  j["qk_rope_head_dim"] = c.qk_rope_head_dim;
  j["v_head_dim"] = c.v_head_dim;
}

const char* NameOf(ScoringFunc f) { return f == ScoringFunc::kSigmoid ? "sigmoid" : "softmax"; }

const char* NameOf(TopkMethod m) {
  switch (m) {
    case TopkMethod::kGreedy:
      return "greedy";
    case TopkMethod::kGroupLimitedGreedy:
      return "group_limited_greedy";
    case TopkMethod::kNoauxTc:
      return "noaux_tc";
  }
  return "";
}

void PutExperts(Json& j, const ModelConfig& c) {
  j["n_routed_experts"] = c.n_routed_experts;
  j["n_shared_experts"] = c.n_shared_experts;
  j["num_experts_per_tok"] = c.num_experts_per_tok;
  j["moe_intermediate_size"] = c.moe_intermediate_size;
  j["first_k_dense_replace"] = c.first_k_dense_replace;
  j["moe_layer_freq"] = c.moe_layer_freq;
  j["n_group"] = c.n_group;
  j["topk_group"] = c.topk_group;
  Put(j, "norm_topk_prob", c.norm_topk_prob);
  Put(j, "routed_scaling_factor", c.routed_scaling_factor);
  if (c.scoring_func) j["scoring_func"] = NameOf(*c.scoring_func);
  if (c.topk_method) j["topk_method"] = NameOf(*c.topk_method);
}

// null without scaling. kUnsupportedModel when divisors are no published rule.
Result<Json> RopeScalingOf(RopeConfig rope) {
  if (!rope.frequency_divisors.empty()) {
    const auto llama3 = Llama3OfDivisors(rope.frequency_divisors, rope.theta);
    if (!llama3 || rope.type != RopeType::kDefault) {
      return FailField(ErrorCode::kUnsupportedModel, "rope_freqs.weight",
                       "config.json cannot say these {} divisors of rope frequencies: no settings "
                       "of llama3 scaling give them",
                       rope.frequency_divisors.size());
    }
    rope = *llama3;
  }
  Json j;
  switch (rope.type) {
    case RopeType::kDefault:
      return Json(nullptr);
    case RopeType::kLinear:
      j["type"] = "linear";
      break;
    case RopeType::kLlama3:
      j["rope_type"] = "llama3";
      j["low_freq_factor"] = rope.low_freq_factor;
      j["high_freq_factor"] = rope.high_freq_factor;
      break;
    case RopeType::kYarn:
      j["type"] = "yarn";
      j["beta_fast"] = rope.beta_fast;
      j["beta_slow"] = rope.beta_slow;
      Put(j, "mscale", rope.mscale);
      Put(j, "mscale_all_dim", rope.mscale_all_dim);
      Put(j, "attention_factor", rope.attention_factor);
      Put(j, "attn_factor", rope.attn_factor);
      break;
  }
  j["factor"] = rope.factor;
  if (rope.type != RopeType::kLinear) {
    j["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  }
  return j;
}

}  // namespace

Result<std::string> ConfigJsonOf(const ModelConfig& c) {
  Json j;
  j["architectures"] = c.architectures;
  j["model_type"] = c.model_type;
  if (!c.torch_dtype.empty()) j["torch_dtype"] = c.torch_dtype;
  j["vocab_size"] = c.vocab_size;
  j["hidden_size"] = c.hidden_size;
  if (c.intermediate_size > 0) j["intermediate_size"] = c.intermediate_size;
  j["num_hidden_layers"] = c.num_hidden_layers;
  j["num_attention_heads"] = c.num_attention_heads;
  j["num_key_value_heads"] = c.num_key_value_heads;
  if (c.head_dim > 0) j["head_dim"] = c.head_dim;
  j["hidden_act"] = "silu";
  j["rms_norm_eps"] = c.rms_norm_eps;
  j["max_position_embeddings"] = c.max_position_embeddings;
  j["tie_word_embeddings"] = c.tie_word_embeddings;
  Put(j, "attention_bias", c.attention_bias);
  Put(j, "mlp_bias", c.mlp_bias);
  PutTokens(j, c.bos_token_id, c.eos_token_ids);
  Put(j, "sliding_window", c.sliding_window);
  j["rope_theta"] = c.rope.theta;
  HADAL_TRY(j["rope_scaling"], RopeScalingOf(c.rope));
  Put(j, "rope_interleave", c.rope_interleave);
  if (c.is_mla()) PutMla(j, c);
  if (c.is_moe()) PutExperts(j, c);
  if (c.num_nextn_predict_layers > 0) j["num_nextn_predict_layers"] = c.num_nextn_predict_layers;
  if (c.quantization) {
    const ScaleBlock& block = c.quantization->weight_block_size;
    j["quantization_config"] = {{"quant_method", "fp8"},
                                {"fmt", "e4m3"},
                                {"activation_scheme", "dynamic"},
                                {"weight_block_size", {block.rows, block.cols}}};
  }
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string GenerationConfigJsonOf(const GenerationConfig& c) {
  Json j = Json::object();
  PutTokens(j, c.bos_token_id, c.eos_token_ids);
  Put(j, "do_sample", c.do_sample);
  Put(j, "temperature", c.temperature);
  Put(j, "top_p", c.top_p);
  Put(j, "top_k", c.top_k);
  Put(j, "repetition_penalty", c.repetition_penalty);
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace hadal
