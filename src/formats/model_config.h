// Owns: config.json and generation_config.json as plain checked values, in the spelling of the
// files. Must not know families: a value that only one model_type gives meaning to is passed on,
// and a family refuses what it cannot run.
// Use: HADAL_TRY(ModelConfig config, LoadModelConfig(directory));
// Thread rule: values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "core/ids.h"
#include "formats/checkpoint.h"

namespace hadal {

enum class RopeType { kDefault, kLinear, kLlama3, kYarn };
std::string_view NameOf(RopeType type);  // as config.json spells it: "llama3"

// `rope_parameters` (transformers 5) or `rope_theta` + `rope_scaling` (before it).
struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000;
  double factor = 1;                             // linear, llama3, yarn: context / original
  int64_t original_max_position_embeddings = 0;  // llama3, yarn: tokens
  double low_freq_factor = 1;                    // llama3
  double high_freq_factor = 4;                   // llama3
  double beta_fast = 32;                         // yarn: rotations
  double beta_slow = 1;                          // yarn
  std::optional<double> mscale;                  // yarn
  std::optional<double> mscale_all_dim;          // yarn
  std::optional<double> attention_factor;        // yarn: replaces the computed factor
  std::optional<double> attn_factor;             // yarn: multiplies the computed factor
  // GGUF's rope_freqs.weight: each pair's frequency is divided by its value. Empty: none. It stands
  // for llama3 scaling, of which GGUF files do not keep the parameters.
  std::vector<double> frequency_divisors;

  bool operator==(const RopeConfig&) const = default;
  // 0.1 * m * ln(factor) + 1 (YaRN paper, section 3.4); 1 without scaling. With m =
  // mscale_all_dim, its square belongs in the softmax scale of MLA.
  double YarnMscale(double m) const;
  // What cos and sin are multiplied by. yarn: attention_factor, or else
  // YarnMscale(mscale) / YarnMscale(mscale_all_dim), or else YarnMscale(1); then times attn_factor.
  // (R1-0528-Qwen3-8B says attn_factor = 1 / YarnMscale(1): its net factor is exactly 1.) Other
  // types: 1.
  double CosSinFactor() const;
};

enum class ScoringFunc { kSoftmax, kSigmoid };
enum class TopkMethod { kGreedy, kGroupLimitedGreedy, kNoauxTc };

struct QuantizationConfig {  // quant_method fp8: E4M3 with one scale per block
  ScaleBlock weight_block_size;
  bool operator==(const QuantizationConfig&) const = default;
};

// 0 or an empty optional means that the file does not say, where a default is not given here.
struct ModelConfig {
  std::string model_type;
  std::vector<std::string> architectures;
  std::string torch_dtype;  // or "dtype": "bfloat16"

  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;  // 0 only when no layer is dense
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;  // default num_attention_heads; divides it
  int64_t head_dim = 0;             // default hidden_size / heads; without meaning for MLA
  double rms_norm_eps = 1e-6;
  int64_t max_position_embeddings = 0;
  bool tie_word_embeddings = false;
  std::optional<bool> attention_bias;  // the default differs between families
  std::optional<bool> mlp_bias;
  std::optional<TokenId> bos_token_id;
  std::vector<TokenId> eos_token_ids;     // eos_token_id: a number, a list or null
  std::optional<int64_t> sliding_window;  // empty when use_sliding_window is false
  RopeConfig rope;
  std::optional<bool> rope_interleave;

  // Multi-head latent attention, when kv_lora_rank > 0.
  int64_t q_lora_rank = 0;  // 0: q is projected directly
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;

  // Mixture of experts, when n_routed_experts > 0.
  int64_t n_routed_experts = 0;
  int64_t n_shared_experts = 0;
  int64_t num_experts_per_tok = 0;
  int64_t moe_intermediate_size = 0;
  int64_t first_k_dense_replace = 0;  // layers 0 .. k-1 are dense
  int64_t moe_layer_freq = 1;         // of the others, those with index % freq == 0 have experts
  std::optional<bool> norm_topk_prob;
  std::optional<double> routed_scaling_factor;
  std::optional<ScoringFunc> scoring_func;
  std::optional<TopkMethod> topk_method;
  int64_t n_group = 1;     // divides n_routed_experts
  int64_t topk_group = 1;  // groups kept per token

  int64_t num_nextn_predict_layers = 0;  // stored after the num_hidden_layers
  std::optional<QuantizationConfig> quantization;
  std::optional<Int4Config> int4;  // quant_method awq or gptq

  bool operator==(const ModelConfig&) const = default;
  bool is_mla() const { return kv_lora_rank > 0; }
  bool is_moe() const { return n_routed_experts > 0; }
};

struct GenerationConfig {
  std::optional<double> temperature;         // 0 .. 100
  std::optional<double> top_p;               // (0, 1]
  std::optional<int64_t> top_k;              // 0 = off
  std::optional<double> repetition_penalty;  // (0, 100]
  std::optional<bool> do_sample;
  std::optional<TokenId> bos_token_id;
  std::vector<TokenId> eos_token_ids;
  bool operator==(const GenerationConfig&) const = default;
};

struct ConfigLimits {
  size_t max_bytes = 1 << 20;
  int max_depth = 64;
};

// kBadFile: not JSON, a key missing, of the wrong type or out of range; the error names the key
// (Error::field), the value and what would be right. kUnsupportedModel: a valid value that is not
// run (another activation, another quantisation, dynamic rope, sliding windows).
Result<ModelConfig> ParseModelConfig(std::string_view json, const ConfigLimits& limits = {});
Result<GenerationConfig> ParseGenerationConfig(std::string_view json,
                                               const ConfigLimits& limits = {});

// `directory`/config.json. The path stands before the message.
Result<ModelConfig> LoadModelConfig(const std::filesystem::path& directory,
                                    const ConfigLimits& limits = {});
// `directory`/generation_config.json; everything empty when there is no such file.
Result<GenerationConfig> LoadGenerationConfig(const std::filesystem::path& directory,
                                              const ConfigLimits& limits = {});

}  // namespace hadal
