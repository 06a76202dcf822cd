#include "formats/model_config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "formats/config_limits.h"
#include "formats/config_reader.h"
#include "formats/json_text.h"
#include "formats/rope_config.h"

namespace hadal {
namespace {

void ReadSizes(ConfigReader& r, ModelConfig& c) {
  c.vocab_size = r.Int("vocab_size", 1, kMaxVocab);
  c.hidden_size = r.Int("hidden_size", 1, kMaxSize);
  c.num_hidden_layers = r.Int("num_hidden_layers", 1, kMaxCount);
  c.num_attention_heads = r.Int("num_attention_heads", 1, kMaxCount);
  c.num_key_value_heads =
      r.IntOr("num_key_value_heads", 1, kMaxCount, std::max<int64_t>(c.num_attention_heads, 1));
  c.rms_norm_eps = r.RealOr("rms_norm_eps", kMinEps, 1.0, 1e-6);
  c.max_position_embeddings = r.Int("max_position_embeddings", 1, kMaxTokens);
  if (!r.ok()) return;
  if (c.num_attention_heads % c.num_key_value_heads != 0) {
    r.Problem(ErrorCode::kBadFile, "num_key_value_heads",
              fmt::format("it must divide num_attention_heads = {}", c.num_attention_heads));
  }
}

void ReadTokens(ConfigReader& r, ModelConfig& c) {
  if (!r.ok()) return;
  const int64_t last = c.vocab_size - 1;
  if (const auto bos = r.MaybeInt("bos_token_id", 0, last)) {
    c.bos_token_id = static_cast<TokenId>(*bos);
  }
  for (int64_t id : r.Ints("eos_token_id", 0, last)) {
    c.eos_token_ids.push_back(static_cast<TokenId>(id));
  }
}

void ReadArchitecture(ConfigReader& r, ModelConfig& c) {
  c.architectures = r.Texts("architectures");
  c.torch_dtype = r.MaybeText("torch_dtype").value_or(r.MaybeText("dtype").value_or(""));
  c.tie_word_embeddings = r.MaybeBool("tie_word_embeddings").value_or(false);
  c.attention_bias = r.MaybeBool("attention_bias");
  c.mlp_bias = r.MaybeBool("mlp_bias");
  c.num_nextn_predict_layers = r.IntOr("num_nextn_predict_layers", 0, kMaxCount, 0);
  if (r.MaybeText("hidden_act").value_or("silu") != "silu") {
    r.Problem(ErrorCode::kUnsupportedModel, "hidden_act", "only 'silu' is supported");
  }
}

// Windows narrower than the context change every layer that has one.
void ReadSlidingWindow(ConfigReader& r, ModelConfig& c) {
  const auto use = r.MaybeBool("use_sliding_window");
  if (use.value_or(true)) c.sliding_window = r.MaybeInt("sliding_window", 1, kMaxTokens);
  if (use.value_or(false)) {
    r.Problem(ErrorCode::kUnsupportedModel, "use_sliding_window",
              "attention over a sliding window is not supported; only false can be run");
  }
  for (const auto& type : r.Texts("layer_types")) {
    if (type != "sliding_attention") continue;
    r.Problem(ErrorCode::kUnsupportedModel, "layer_types",
              "'sliding_attention' layers are not supported");
  }
}

void ReadMla(ConfigReader& r, ModelConfig& c) {
  c.q_lora_rank = r.IntOr("q_lora_rank", 1, kMaxSize, 0);
  c.kv_lora_rank = r.IntOr("kv_lora_rank", 1, kMaxSize, 0);
  if (!c.is_mla()) return;
  c.qk_nope_head_dim = r.Int("qk_nope_head_dim", 1, kMaxSize);
  c.qk_rope_head_dim = r.Int("qk_rope_head_dim", 2, kMaxSize);
  c.v_head_dim = r.Int("v_head_dim", 1, kMaxSize);
  if (r.ok() && c.qk_rope_head_dim % 2 != 0) {
    r.Problem(ErrorCode::kBadFile, "qk_rope_head_dim",
              "it must be even: rotary embedding turns pairs");
  }
}

// Needs ReadSizes and ReadMla.
void ReadHeadDim(ConfigReader& r, ModelConfig& c) {
  if (!r.ok()) return;
  c.head_dim = r.IntOr("head_dim", 1, kMaxSize, 0);
  if (!r.ok() || c.is_mla()) return;
  if (c.head_dim == 0) {
    if (c.hidden_size % c.num_attention_heads != 0) {
      return r.Problem(
          ErrorCode::kBadFile, "hidden_size",
          fmt::format("without head_dim it must be a multiple of num_attention_heads = {}",
                      c.num_attention_heads));
    }
    c.head_dim = c.hidden_size / c.num_attention_heads;
  }
  if (c.head_dim % 2 == 0) return;
  const bool given = r.Get("head_dim") != nullptr;
  r.Problem(
      ErrorCode::kBadFile, given ? "head_dim" : "hidden_size",
      fmt::format("the head dimension {} must be even: rotary embedding turns pairs", c.head_dim));
}

void ReadRouting(ConfigReader& r, ModelConfig& c) {
  c.norm_topk_prob = r.MaybeBool("norm_topk_prob");
  c.routed_scaling_factor = r.MaybeReal("routed_scaling_factor", 1e-6, 1e6);
  if (const auto name = r.MaybeText("scoring_func")) {
    if (*name == "softmax") {
      c.scoring_func = ScoringFunc::kSoftmax;
    } else if (*name == "sigmoid") {
      c.scoring_func = ScoringFunc::kSigmoid;
    } else {
      r.Problem(ErrorCode::kUnsupportedModel, "scoring_func",
                "'softmax' and 'sigmoid' are supported");
    }
  }
  if (const auto name = r.MaybeText("topk_method")) {
    if (*name == "greedy") {
      c.topk_method = TopkMethod::kGreedy;
    } else if (*name == "group_limited_greedy") {
      c.topk_method = TopkMethod::kGroupLimitedGreedy;
    } else if (*name == "noaux_tc") {
      c.topk_method = TopkMethod::kNoauxTc;
    } else {
      r.Problem(ErrorCode::kUnsupportedModel, "topk_method",
                "'greedy', 'group_limited_greedy' and 'noaux_tc' are supported");
    }
  }
}

void CheckGroups(ConfigReader& r, const ModelConfig& c) {
  if (!r.ok()) return;
  if (c.num_experts_per_tok > c.n_routed_experts) {
    return r.Problem(ErrorCode::kBadFile, "num_experts_per_tok",
                     fmt::format("it must be at most n_routed_experts = {}", c.n_routed_experts));
  }
  if (c.n_routed_experts % c.n_group != 0) {
    return r.Problem(ErrorCode::kBadFile, "n_group",
                     fmt::format("it must divide n_routed_experts = {}", c.n_routed_experts));
  }
  if (c.n_group > 1 && c.n_routed_experts / c.n_group < 2) {
    return r.Problem(
        ErrorCode::kBadFile, "n_group",
        fmt::format("it must leave at least 2 of the {} experts in a group", c.n_routed_experts));
  }
  if (c.topk_group > c.n_group) {
    return r.Problem(ErrorCode::kBadFile, "topk_group",
                     fmt::format("it must be at most n_group = {}", c.n_group));
  }
  const int64_t reachable = c.n_routed_experts / c.n_group * c.topk_group;
  if (c.num_experts_per_tok > reachable) {
    r.Problem(ErrorCode::kBadFile, "num_experts_per_tok",
              fmt::format("it must be at most {}, the experts in topk_group = {} of {} groups",
                          reachable, c.topk_group, c.n_group));
  }
}

void ReadMoe(ConfigReader& r, ModelConfig& c) {
  c.n_routed_experts = r.IntOr("n_routed_experts", 1, kMaxCount, 0);
  if (!r.ok() || !c.is_moe()) return;
  c.n_shared_experts = r.IntOr("n_shared_experts", 0, kMaxCount, 0);
  c.num_experts_per_tok = r.Int("num_experts_per_tok", 1, kMaxCount);
  c.moe_intermediate_size = r.Int("moe_intermediate_size", 1, kMaxSize);
  c.first_k_dense_replace = r.IntOr("first_k_dense_replace", 0, c.num_hidden_layers, 0);
  c.moe_layer_freq = r.IntOr("moe_layer_freq", 1, kMaxCount, 1);
  c.n_group = r.IntOr("n_group", 1, kMaxCount, 1);
  c.topk_group = r.IntOr("topk_group", 1, kMaxCount, c.n_group);
  ReadRouting(r, c);
  CheckGroups(r, c);
}

// Only a model without one dense layer may leave the dense width out.
void ReadIntermediateSize(ConfigReader& r, ModelConfig& c) {
  const bool all_sparse = c.is_moe() && c.first_k_dense_replace == 0 && c.moe_layer_freq == 1;
  c.intermediate_size = all_sparse ? r.IntOr("intermediate_size", 1, kMaxSize, 0)
                                   : r.Int("intermediate_size", 1, kMaxSize);
}

void ReadFp8(ConfigReader& r, ModelConfig& c) {
  const auto unsupported = [&](const char* key, std::string_view right) {
    r.Problem(ErrorCode::kUnsupportedModel, key, right);
  };
  if (r.MaybeText("fmt").value_or("e4m3") != "e4m3") unsupported("fmt", "only 'e4m3' is supported");
  if (r.MaybeText("activation_scheme").value_or("dynamic") != "dynamic") {
    unsupported("activation_scheme", "only 'dynamic' is supported");
  }
  const auto blocks = r.Ints("weight_block_size", 1, kMaxSize);
  if (r.ok() && blocks.size() != 2) {
    unsupported("weight_block_size", "only two sizes, such as [128, 128], are supported");
  }
  if (r.ok()) {
    c.quantization = QuantizationConfig{.weight_block_size = {blocks[0], blocks[1]}};
  }
}

// AWQ as AutoAWQ writes it, GPTQ as AutoGPTQ and GPTQModel do.
void ReadInt4(ConfigReader& r, Int4Kind kind, ModelConfig& c) {
  const auto unsupported = [&](const char* key, std::string_view right) {
    r.Problem(ErrorCode::kUnsupportedModel, key, right);
  };
  Int4Config int4{.kind = kind};
  const char* bits = r.Get("w_bit") != nullptr ? "w_bit" : "bits";
  if (r.Int(bits, 1, 64) != 4) unsupported(bits, "only 4 bits are supported");
  const char* group = r.Get("q_group_size") != nullptr ? "q_group_size" : "group_size";
  int4.group_size = r.Int(group, -1, kMaxSize);
  if (int4.group_size < 32 || int4.group_size % 32 != 0) {
    unsupported(group, "groups of a multiple of 32 columns are supported");
  }
  if (kind == Int4Kind::kAwq) {
    std::string version = r.MaybeText("version").value_or("gemm");
    if (version != "gemm" && version != "GEMM") unsupported("version", "only 'gemm' is supported");
    if (!r.MaybeBool("zero_point").value_or(true)) {
      unsupported("zero_point", "only true is supported");
    }
  } else {
    const std::string format = r.MaybeText("checkpoint_format").value_or("gptq");
    if (format == "gptq") {
      int4.zero_offset = 1;
    } else if (format != "gptq_v2") {
      unsupported("checkpoint_format", "'gptq' and 'gptq_v2' are supported");
    }
  }
  if (r.ok()) c.int4 = int4;
}

void ReadQuantization(ConfigReader& top, ModelConfig& c) {
  const nlohmann::json* object = top.Get("quantization_config");
  if (object == nullptr) return;
  if (!object->is_object()) {
    return top.Problem(ErrorCode::kBadFile, "quantization_config", "it must be an object");
  }
  ConfigReader r(*object, "quantization_config.");
  const std::string method = r.Text("quant_method");
  if (method == "fp8") {
    ReadFp8(r, c);
  } else if (method == "awq") {
    ReadInt4(r, Int4Kind::kAwq, c);
  } else if (method == "gptq") {
    ReadInt4(r, Int4Kind::kGptq, c);
  } else {
    r.Problem(ErrorCode::kUnsupportedModel, "quant_method",
              "'fp8' in blocks, 'awq' and 'gptq' are supported");
  }
  top.Adopt(r.status());
}

template <class Config>
Result<Config> LoadFrom(const std::filesystem::path& path, const ConfigLimits& limits,
                        Result<Config> (*parse)(std::string_view, const ConfigLimits&)) {
  HADAL_TRY(const std::string text, ReadFile(path, limits.max_bytes));
  auto config = parse(text, limits);
  if (!config) return tl::make_unexpected(config.error().In(path.string()));
  return config;
}

Result<nlohmann::json> ParseObject(std::string_view text, const ConfigLimits& limits) {
  HADAL_TRY(nlohmann::json json,
            ParseJson(text, {.max_bytes = limits.max_bytes, .max_depth = limits.max_depth}));
  if (json.is_object()) return json;
  return Fail(ErrorCode::kBadFile, "it holds {}; it must be a JSON object", json.type_name());
}

}  // namespace

Result<ModelConfig> ParseModelConfig(std::string_view text, const ConfigLimits& limits) {
  HADAL_TRY(const nlohmann::json json, ParseObject(text, limits));
  ConfigReader r(json, "");
  ModelConfig c;
  c.model_type = r.Text("model_type");
  ReadSizes(r, c);
  ReadTokens(r, c);
  ReadArchitecture(r, c);
  ReadSlidingWindow(r, c);
  ReadMla(r, c);
  ReadHeadDim(r, c);
  ReadMoe(r, c);
  ReadIntermediateSize(r, c);
  ReadQuantization(r, c);
  c.rope_interleave = r.MaybeBool("rope_interleave");
  if (r.ok()) c.rope = ReadRope(r, c.max_position_embeddings);
  if (r.ok()) return c;
  const Status failed = r.status();
  if (failed.error().code != ErrorCode::kUnsupportedModel) {
    return tl::make_unexpected(failed.error());
  }
  return tl::make_unexpected(failed.error().In("model_type " + Quoted(c.model_type)));
}

Result<GenerationConfig> ParseGenerationConfig(std::string_view text, const ConfigLimits& limits) {
  HADAL_TRY(const nlohmann::json json, ParseObject(text, limits));
  ConfigReader r(json, "");
  GenerationConfig c;
  c.temperature = r.MaybeReal("temperature", 0, 100);
  c.top_p = r.MaybeReal("top_p", 1e-9, 1);
  c.top_k = r.MaybeInt("top_k", 0, kMaxVocab);
  c.repetition_penalty = r.MaybeReal("repetition_penalty", 1e-9, 100);
  c.do_sample = r.MaybeBool("do_sample");
  if (const auto bos = r.MaybeInt("bos_token_id", 0, kMaxVocab)) {
    c.bos_token_id = static_cast<TokenId>(*bos);
  }
  for (int64_t id : r.Ints("eos_token_id", 0, kMaxVocab)) {
    c.eos_token_ids.push_back(static_cast<TokenId>(id));
  }
  HADAL_OK(r.status());
  return c;
}

Result<ModelConfig> LoadModelConfig(const std::filesystem::path& directory,
                                    const ConfigLimits& limits) {
  return LoadFrom<ModelConfig>(directory / "config.json", limits, ParseModelConfig);
}

Result<GenerationConfig> LoadGenerationConfig(const std::filesystem::path& directory,
                                              const ConfigLimits& limits) {
  auto config = LoadFrom<GenerationConfig>(directory / "generation_config.json", limits,
                                           ParseGenerationConfig);
  if (!config && config.error().code == ErrorCode::kNotFound) return GenerationConfig{};
  return config;
}

}  // namespace hadal
