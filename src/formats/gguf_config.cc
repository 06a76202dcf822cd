#include "formats/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "formats/config_limits.h"
#include "formats/gguf_keys.h"
#include "formats/gguf_model.h"
#include "formats/json_text.h"

namespace hadal {
namespace {

struct Architecture {
  std::string_view gguf, model_type, hub_class;
};
constexpr Architecture kArchitectures[] = {
    {"llama", "llama", "LlamaForCausalLM"},
    {"qwen2", "qwen2", "Qwen2ForCausalLM"},
    {"qwen3", "qwen3", "Qwen3ForCausalLM"},
    {"deepseek", "deepseek", "DeepseekForCausalLM"},
    {"deepseek2", "deepseek_v2", "DeepseekV2ForCausalLM"},
    {"deepseek2", "deepseek_v3", "DeepseekV3ForCausalLM"},
};

class ConfigOfGguf {
 public:
  ConfigOfGguf(const GgufMetadata& metadata, const GgufTensors& tensors, std::string_view arch)
      : metadata_(metadata),
        tensors_(tensors),
        arch_(arch),
        k_(metadata, std::string(arch) + ".") {}

  Result<ModelConfig> Read() {
    ReadSizes();
    ReadVocabulary();
    if (arch_ == "deepseek2") {
      ReadMla();
    } else {
      ReadHeads();
    }
    ReadExperts();
    RefuseOtherFeatures();
    ReadRope();
    HADAL_OK(k_.status());
    HADAL_OK(tensor_status_);
    NameTheFamily();
    return c_;
  }

 private:
  bool HasTensor(std::string_view name) const { return tensors_.shape(name).has_value(); }
  bool ok() const { return k_.ok() && tensor_status_.has_value(); }

  void ReadSizes() {
    c_.num_hidden_layers = k_.Int("block_count", 1, kMaxCount);
    c_.hidden_size = k_.Int("embedding_length", 1, kMaxSize);
    c_.num_attention_heads = k_.Int("attention.head_count", 1, kMaxCount);
    c_.num_key_value_heads = k_.IntOr("attention.head_count_kv", 1, kMaxCount,
                                      std::max<int64_t>(c_.num_attention_heads, 1));
    c_.max_position_embeddings = k_.Int("context_length", 1, kMaxTokens);
    c_.intermediate_size = k_.Int("feed_forward_length", 0, kMaxSize);
    const auto eps = k_.MaybeReal("attention.layer_norm_rms_epsilon", kMinEps, 1.0);
    if (!eps) {
      k_.Problem(ErrorCode::kBadFile, "attention.layer_norm_rms_epsilon", "it must be given");
    }
    c_.rms_norm_eps = eps.value_or(1e-6);
    if (!ok()) return;
    // Layers of multi-token prediction stand after the others and may be counted with them, or
    // counted and left out of the file.
    const int64_t nextn = k_.IntOr("nextn_predict_layers", 0, c_.num_hidden_layers - 1, 0);
    for (int64_t i = 0; i < nextn && NotALayer(c_.num_hidden_layers - 1); ++i) {
      --c_.num_hidden_layers;
    }
    c_.num_nextn_predict_layers = nextn;
  }

  bool NotALayer(int64_t i) const {
    return HasTensor(fmt::format("blk.{}.nextn.eh_proj.weight", i)) ||
           !HasTensor(fmt::format("blk.{}.attn_norm.weight", i));
  }

  void ReadVocabulary() {
    const auto table = tensors_.shape("token_embd.weight");
    if (!ok()) return;
    if (!table || table->rank() != 2 || (*table)[0] < 1 || (*table)[0] > kMaxVocab) {
      tensor_status_ = FailField(ErrorCode::kBadFile, "token_embd.weight",
                                 "token_embd.weight is {}; it must be a matrix of 1 to {} rows",
                                 table ? table->ToString() : "missing", kMaxVocab);
      return;
    }
    c_.vocab_size = (*table)[0];
    c_.tie_word_embeddings = !HasTensor("output.weight");
    GgufKeys tokens(metadata_, "tokenizer.ggml.");
    const int64_t last = c_.vocab_size - 1;
    if (const auto id = tokens.MaybeInt("bos_token_id", 0, last)) {
      c_.bos_token_id = static_cast<TokenId>(*id);
    }
    // What ends a turn where it differs from what ends a text.
    for (const char* key : {"eos_token_id", "eot_token_id"}) {
      const auto id = tokens.MaybeInt(key, 0, last);
      if (id && std::ranges::find(c_.eos_token_ids, *id) == c_.eos_token_ids.end()) {
        c_.eos_token_ids.push_back(static_cast<TokenId>(*id));
      }
    }
    if (const auto* ids = metadata_.Ints(kEosTokensKey)) {
      c_.eos_token_ids.clear();
      for (const int64_t id : *ids) {
        if (id >= 0 && id <= last) c_.eos_token_ids.push_back(static_cast<TokenId>(id));
      }
    }
    tensor_status_ = tokens.status();
  }

  void ReadHeads() {
    if (!ok()) return;
    if (c_.num_attention_heads % c_.num_key_value_heads != 0) {
      k_.Problem(ErrorCode::kBadFile, "attention.head_count_kv",
                 fmt::format("it must divide attention.head_count = {}", c_.num_attention_heads));
    }
    c_.head_dim = k_.IntOr("attention.key_length", 2, kMaxSize, 0);
    if (c_.head_dim == 0) {
      if (c_.hidden_size % c_.num_attention_heads != 0) {
        k_.Problem(ErrorCode::kBadFile, "attention.key_length",
                   fmt::format("it may only be left out when attention.head_count = {} divides "
                               "embedding_length = {}",
                               c_.num_attention_heads, c_.hidden_size));
        return;
      }
      c_.head_dim = c_.hidden_size / c_.num_attention_heads;
    }
    if (c_.head_dim % 2 != 0) {
      const char* key =
          k_.Has("attention.key_length") ? "attention.key_length" : "embedding_length";
      k_.Problem(ErrorCode::kBadFile, key,
                 fmt::format("the head dimension {} must be even: rotary embedding turns pairs",
                             c_.head_dim));
    }
    const auto same = [&](const char* key) {
      if (k_.IntOr(key, 0, kMaxSize, c_.head_dim) == c_.head_dim) return;
      k_.Problem(ErrorCode::kUnsupportedModel, key,
                 fmt::format("only {}, the head dimension, is supported", c_.head_dim));
    };
    same("attention.value_length");
    same("rope.dimension_count");
    const bool bias = HasTensor("blk.0.attn_q.bias");
    if (bias && arch_ != "qwen2") c_.attention_bias = true;
    if (HasTensor("blk.0.ffn_gate.bias")) c_.mlp_bias = true;
  }

  // The first layout stores the decompressed heads' sizes in key_length and value_length; the
  // newer one those of the latent, as one key head, and the heads' sizes in *_mla.
  void ReadMla() {
    c_.q_lora_rank = k_.IntOr("attention.q_lora_rank", 0, kMaxSize, 0);
    c_.kv_lora_rank = k_.Int("attention.kv_lora_rank", 1, kMaxSize);
    c_.qk_rope_head_dim = k_.Int("rope.dimension_count", 2, kMaxSize);
    const bool newer = k_.Has("attention.key_length_mla");
    const char* key = newer ? "attention.key_length_mla" : "attention.key_length";
    const char* value = newer ? "attention.value_length_mla" : "attention.value_length";
    const int64_t head = k_.Int(key, 1, kMaxSize);
    c_.v_head_dim = k_.Int(value, 1, kMaxSize);
    if (!ok()) return;
    c_.qk_nope_head_dim = head - c_.qk_rope_head_dim;
    if (c_.qk_nope_head_dim < 1) {
      k_.Problem(ErrorCode::kBadFile, key,
                 fmt::format("it must be above rope.dimension_count = {}", c_.qk_rope_head_dim));
    }
    if (c_.qk_rope_head_dim % 2 != 0) {
      k_.Problem(ErrorCode::kBadFile, "rope.dimension_count",
                 "it must be even: rotary embedding turns pairs");
    }
    c_.num_key_value_heads = c_.num_attention_heads;
  }

  void ReadExperts() {
    const bool moe = arch_ == "deepseek" || arch_ == "deepseek2";
    c_.n_routed_experts = k_.IntOr("expert_count", 0, kMaxCount, 0);
    if (!ok()) return;
    if (!moe && c_.is_moe()) {
      k_.Problem(ErrorCode::kUnsupportedModel, "expert_count",
                 fmt::format("experts are not supported in the architecture '{}'", arch_));
    }
    if (moe && !c_.is_moe()) {
      k_.Problem(ErrorCode::kUnsupportedModel, "expert_count",
                 fmt::format("'{}' needs at least 1", arch_));
    }
    const bool all_sparse = moe && k_.IntOr("leading_dense_block_count", 0, kMaxCount, 0) == 0;
    if (c_.intermediate_size == 0 && !all_sparse) {
      k_.Problem(ErrorCode::kBadFile, "feed_forward_length", "it must be at least 1");
    }
    if (!ok() || !moe) return;
    c_.num_experts_per_tok = k_.Int("expert_used_count", 1, kMaxCount);
    c_.moe_intermediate_size = k_.Int("expert_feed_forward_length", 1, kMaxSize);
    c_.n_shared_experts = k_.IntOr("expert_shared_count", 0, kMaxCount, 0);
    c_.first_k_dense_replace = k_.IntOr("leading_dense_block_count", 0, c_.num_hidden_layers, 0);
    const double scale = k_.MaybeReal("expert_weights_scale", 0, 1e6).value_or(0);
    c_.routed_scaling_factor = scale == 0 ? 1.0 : scale;  // 0 is how some files say none
    if (ok() && c_.num_experts_per_tok > c_.n_routed_experts) {
      k_.Problem(ErrorCode::kBadFile, "expert_used_count",
                 fmt::format("it must be at most expert_count = {}", c_.n_routed_experts));
    }
    ReadRouting();
  }

  void ReadRouting() {
    const bool bias = HasTensor(fmt::format("blk.{}.exp_probs_b.bias", c_.first_k_dense_replace));
    // Files older than the key: only V3 scores by sigmoid, and only V3 has the bias.
    const int64_t gating = k_.IntOr("expert_gating_func", 0, 1000, 0);
    if (gating > 2) {
      k_.Problem(ErrorCode::kUnsupportedModel, "expert_gating_func",
                 "1 (softmax) and 2 (sigmoid) are supported");
    }
    const bool sigmoid = gating == 2 || (gating == 0 && bias);
    c_.scoring_func = sigmoid ? ScoringFunc::kSigmoid : ScoringFunc::kSoftmax;
    c_.norm_topk_prob = k_.MaybeBool("expert_weights_norm").value_or(sigmoid);
    ReadGroups(sigmoid);
    if (bias) {
      c_.topk_method = TopkMethod::kNoauxTc;
    } else {
      c_.topk_method = c_.n_group > 1 ? TopkMethod::kGroupLimitedGreedy : TopkMethod::kGreedy;
    }
  }

  // Files older than the keys do not say the groups. The two published shapes that have some are
  // recognised by their experts; every other model is taken to have one group.
  void ReadGroups(bool sigmoid) {
    int64_t groups = 1, kept = 1;
    if (arch_ == "deepseek2" && !sigmoid && c_.n_routed_experts == 160 &&
        c_.num_experts_per_tok == 6) {
      groups = 8, kept = 3;  // V2, V2.5, Coder-V2
    } else if (arch_ == "deepseek2" && sigmoid && c_.n_routed_experts == 256 &&
               c_.num_experts_per_tok == 8) {
      groups = 8, kept = 4;  // V3, R1, V3.1
    }
    if (k_.Has("expert_group_count")) {
      groups = k_.IntOr("expert_group_count", 0, kMaxCount, 1);
      kept = k_.IntOr("expert_group_used_count", 0, kMaxCount, groups);
      groups = std::max<int64_t>(groups, 1);
      kept = std::max<int64_t>(kept, 1);
    }
    if (!ok()) return;
    const int64_t size = c_.n_routed_experts / groups;
    if (c_.n_routed_experts % groups != 0 || (groups > 1 && size < 2)) {
      k_.Problem(ErrorCode::kBadFile, "expert_group_count",
                 fmt::format("it must divide expert_count = {} into groups of at least 2",
                             c_.n_routed_experts));
    } else if (kept > groups || size * kept < c_.num_experts_per_tok) {
      k_.Problem(ErrorCode::kBadFile, "expert_group_used_count",
                 fmt::format("it must be at most expert_group_count = {} and leave room for "
                             "expert_used_count = {} experts",
                             groups, c_.num_experts_per_tok));
    }
    c_.n_group = groups;
    c_.topk_group = kept;
  }

  // Keys that change the mathematics of an architecture and that Hadal does not follow.
  void RefuseOtherFeatures() {
    if (!ok()) return;
    for (const char* key :
         {"attention.sliding_window", "attention.clamp_kqv", "attention.max_alibi_bias",
          "attn_logit_softcapping", "final_logit_softcapping", "attention.scale", "logit_scale",
          "residual_scale", "embedding_scale", "attention.indexer.head_count"}) {
      if (k_.MaybeReal(key, -1e30, 1e30).value_or(0) == 0) continue;
      k_.Problem(ErrorCode::kUnsupportedModel, key, "it is not supported; only 0 can be run");
    }
  }

  void ReadRope() {
    if (!ok()) return;
    RopeConfig& rope = c_.rope;
    rope.theta = k_.MaybeReal("rope.freq_base", 1.0, kMaxTheta).value_or(10000);
    const char* key = k_.Has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
    const double factor = k_.MaybeReal(key, 0, kMaxRopeFactor).value_or(0);
    const std::string type = k_.MaybeText("rope.scaling.type").value_or("linear");
    if (type == "yarn") {
      if (factor < 1) k_.Problem(ErrorCode::kBadFile, key, "it must be at least 1");
      rope.type = RopeType::kYarn;
      rope.factor = factor;
      ReadYarn();
    } else if (type == "linear") {
      if (factor != 0 && factor < 1) k_.Problem(ErrorCode::kBadFile, key, "it must be at least 1");
      if (factor > 1) {
        rope.type = RopeType::kLinear;
        rope.factor = factor;
      }
    } else if (type != "none") {
      k_.Problem(ErrorCode::kUnsupportedModel, "rope.scaling.type",
                 "'none', 'linear' and 'yarn' are supported");
    }
    ReadDivisors();
  }

  void ReadYarn() {
    RopeConfig& rope = c_.rope;
    rope.original_max_position_embeddings =
        k_.IntOr("rope.scaling.original_context_length", 1, kMaxTokens, c_.max_position_embeddings);
    rope.beta_fast = k_.MaybeReal("rope.scaling.yarn_beta_fast", 1e-3, kMaxRopeFactor).value_or(32);
    rope.beta_slow = k_.MaybeReal("rope.scaling.yarn_beta_slow", 1e-3, kMaxRopeFactor).value_or(1);
    if (ok() && rope.beta_fast <= rope.beta_slow) {
      k_.Problem(ErrorCode::kBadFile, "rope.scaling.yarn_beta_fast",
                 fmt::format("it must be above yarn_beta_slow = {}", rope.beta_slow));
    }
    // Both keys multiply the factor 0.1 ln(factor) + 1 that every reader puts on cos and sin.
    const double attn = k_.MaybeReal("rope.scaling.attn_factor", 1e-3, 1e3).value_or(1) *
                        k_.MaybeReal("rope.scaling.yarn_attn_factor", 1e-3, 1e3).value_or(1);
    if (arch_ == "deepseek2") return ReadYarnOfMla(attn);
    if (attn == 1) return;
    // A float32 of 1 / (0.1 ln(factor) + 1) means a net factor of exactly 1.
    const double cancels = 1 / rope.YarnMscale(1);
    rope.attn_factor = std::fabs(attn / cancels - 1) < 1e-6 ? cancels : attn;
  }

  // Graphs of deepseek2 take that factor off again, so that cos and sin are not scaled, and put the
  // square of yarn_log_multiplier * ln(factor) + 1 on the scores. The hub says the same with mscale
  // = mscale_all_dim; the key holds a tenth of it.
  void ReadYarnOfMla(double attn) {
    const double log_multiplier =
        k_.MaybeReal("rope.scaling.yarn_log_multiplier", 0, 10).value_or(0);
    if (attn != 1) {
      const char* key = k_.Has("rope.scaling.attn_factor") ? "rope.scaling.attn_factor"
                                                           : "rope.scaling.yarn_attn_factor";
      k_.Problem(ErrorCode::kUnsupportedModel, key, "only 1 is supported for latent attention");
    }
    if (log_multiplier == 0) {
      c_.rope.attention_factor = 1;
    } else {
      c_.rope.mscale = ShortestDecimal(static_cast<float>(log_multiplier * 10));
      c_.rope.mscale_all_dim = c_.rope.mscale;
    }
  }

  void ReadDivisors() {
    if (tensors_.rope_freqs.empty() || !ok()) return;
    const auto pairs = static_cast<size_t>((c_.is_mla() ? c_.qk_rope_head_dim : c_.head_dim) / 2);
    const auto bad = [](double d) { return !(d >= 1e-3 && d <= kMaxRopeFactor); };
    if (tensors_.rope_freqs.size() != pairs || std::ranges::any_of(tensors_.rope_freqs, bad)) {
      tensor_status_ =
          FailField(ErrorCode::kBadFile, "rope_freqs.weight",
                    "rope_freqs.weight holds {} numbers; it must hold {} from 0.001 to {}",
                    tensors_.rope_freqs.size(), pairs, kMaxRopeFactor);
      return;
    }
    if (std::ranges::any_of(tensors_.rope_freqs, [](double d) { return d != 1; })) {
      c_.rope.frequency_divisors = tensors_.rope_freqs;
    }
  }

  // deepseek2 is V3 when it routes as V2 never does.
  void NameTheFamily() {
    const bool v3 = arch_ == "deepseek2" &&
                    (c_.scoring_func == ScoringFunc::kSigmoid ||
                     c_.topk_method == TopkMethod::kNoauxTc || c_.norm_topk_prob.value_or(false));
    for (const Architecture& a : kArchitectures) {
      if (a.gguf != arch_) continue;
      c_.model_type = a.model_type;
      c_.architectures = {std::string(a.hub_class)};
      if (!v3) return;  // otherwise the next row
    }
  }

  const GgufMetadata& metadata_;
  const GgufTensors& tensors_;
  const std::string arch_;
  GgufKeys k_;
  Status tensor_status_;
  ModelConfig c_;
};

}  // namespace

std::string_view GgufArchitectureOf(std::string_view model_type) {
  for (const Architecture& a : kArchitectures) {
    if (a.model_type == model_type) return a.gguf;
  }
  return "";
}

bool PermutesRope(std::string_view model_type) {
  return model_type == "llama" || model_type == "deepseek";
}

Result<ModelConfig> ModelConfigOf(const GgufMetadata& metadata, const GgufTensors& tensors) {
  GgufKeys general(metadata, "general.");
  const auto arch = general.MaybeText("architecture");
  if (!arch) general.Problem(ErrorCode::kBadFile, "architecture", "it must be given");
  HADAL_OK(general.status());
  std::string supported;
  for (const Architecture& a : kArchitectures) {
    if (a.gguf == *arch) return ConfigOfGguf(metadata, tensors, *arch).Read();
    if (supported.ends_with(a.gguf)) continue;  // deepseek2 stands twice
    supported += (supported.empty() ? "" : ", ") + std::string(a.gguf);
  }
  general.Problem(ErrorCode::kUnsupportedModel, "architecture",
                  "the supported ones are " + supported);
  return tl::make_unexpected(general.status().error());
}

Result<ModelConfig> ModelConfigOfGguf(const GgufFile& file) {
  GgufTensors tensors;
  tensors.shape = [&file](std::string_view name) -> std::optional<Shape> {
    const GgufTensor* t = file.Find(name);
    return t == nullptr ? std::nullopt : std::optional(t->shape);
  };
  if (const GgufTensor* t = file.Find("rope_freqs.weight")) {
    if (t->type != TensorType(DType::kF32) || t->shape.rank() != 1 || t->shape[0] > kMaxSize) {
      return FailField(ErrorCode::kBadFile, "rope_freqs.weight",
                       "{}: rope_freqs.weight is {} {}; it must be a vector of F32",
                       file.path().string(), NameOf(t->type), t->shape.ToString());
    }
    std::vector<float> values(static_cast<size_t>(t->shape[0]));
    std::memcpy(values.data(), file.bytes(*t).data(), values.size() * sizeof(float));
    tensors.rope_freqs.assign(values.begin(), values.end());
  }
  auto config = ModelConfigOf(file.metadata(), tensors);
  if (!config) return tl::make_unexpected(config.error().In(file.path().string()));
  return config;
}

GenerationConfig GenerationConfigOf(const GgufMetadata& metadata) {
  GenerationConfig g;
  // Suggestions of whoever made the file: one that makes no sense is left out.
  const auto real = [&](const char* key, double min, double max) -> std::optional<double> {
    return GgufKeys(metadata, "general.sampling.").MaybeReal(key, min, max);
  };
  g.temperature = real("temp", 0, 100);
  g.top_p = real("top_p", 1e-9, 1);
  g.repetition_penalty = real("penalty_repeat", 1e-9, 100);
  g.top_k = GgufKeys(metadata, "general.sampling.").MaybeInt("top_k", 0, kMaxVocab);
  if (g.temperature) g.do_sample = *g.temperature > 0;
  return g;
}

GenerationConfig GenerationConfigOfGguf(const GgufFile& file) {
  return GenerationConfigOf(file.metadata());
}

}  // namespace hadal
