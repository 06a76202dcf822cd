// What GGUF metadata and tensor names mean, against the published models' own config.json.
#include "formats/gguf_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "formats/binder.h"
#include "formats/finite_blocks.h"
#include "formats/gguf_config.h"
#include "formats/llama3_rope.h"
#include "formats/testing_files.h"
#include "formats/weight_writer.h"
#include "quant/codec.h"

namespace hadal {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

ModelConfig Parsed(std::string_view json) {
  const auto config = ParseModelConfig(json);
  EXPECT_TRUE(config.has_value()) << config.error().message;
  return config.value_or(ModelConfig{});
}

struct Published {
  const char* name;
  const char* json;
};

// As the hub's files spell them.
constexpr Published kPublished[] = {
    {"r1-distill-qwen-1.5b",
     R"({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 151936,
     "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
     "num_attention_heads": 12, "num_key_value_heads": 2, "max_position_embeddings": 131072,
     "rms_norm_eps": 1e-06, "rope_theta": 10000, "sliding_window": 4096,
     "use_sliding_window": false, "bos_token_id": 151646, "eos_token_id": 151643,
     "tie_word_embeddings": false, "torch_dtype": "bfloat16"})"},
    {"r1-distill-llama-70b",
     R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256,
     "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
     "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
     "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
     "rope_scaling": {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
     "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "attention_bias": false,
     "mlp_bias": false, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009]})"},
    {"r1-0528-qwen3-8b",
     R"({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": 151936,
     "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
     "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
     "max_position_embeddings": 131072, "rms_norm_eps": 1e-06, "rope_theta": 1000000,
     "rope_scaling": {"attn_factor": 0.8782488562869419, "factor": 4.0,
     "original_max_position_embeddings": 32768, "rope_type": "yarn"}, "attention_bias": false,
     "bos_token_id": 151643, "eos_token_id": 151645})"},
    {"deepseek-coder-1.3b",
     R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32256,
     "hidden_size": 2048, "intermediate_size": 5504, "num_hidden_layers": 24,
     "num_attention_heads": 16, "num_key_value_heads": 16, "max_position_embeddings": 16384,
     "rms_norm_eps": 1e-06, "rope_theta": 100000, "rope_scaling": {"type": "linear", "factor": 4.0},
     "bos_token_id": 32013, "eos_token_id": 32021})"},
    {"deepseek-moe-16b",
     R"({"architectures": ["DeepseekForCausalLM"], "model_type": "deepseek", "vocab_size": 102400,
     "hidden_size": 2048, "intermediate_size": 10944, "num_hidden_layers": 28,
     "num_attention_heads": 16, "num_key_value_heads": 16, "max_position_embeddings": 4096,
     "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "n_routed_experts": 64, "n_shared_experts": 2,
     "num_experts_per_tok": 6, "moe_intermediate_size": 1408, "first_k_dense_replace": 1,
     "norm_topk_prob": false, "scoring_func": "softmax", "topk_method": "greedy",
     "routed_scaling_factor": 1.0, "bos_token_id": 100000, "eos_token_id": 100001})"},
    {"deepseek-v2-lite",
     R"({"architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2",
     "vocab_size": 102400, "hidden_size": 2048, "intermediate_size": 10944,
     "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16,
     "max_position_embeddings": 163840, "rms_norm_eps": 1e-06, "rope_theta": 10000,
     "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707,
     "mscale_all_dim": 0.707, "original_max_position_embeddings": 4096, "type": "yarn"},
     "q_lora_rank": null, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
     "v_head_dim": 128, "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6,
     "moe_intermediate_size": 1408, "first_k_dense_replace": 1, "norm_topk_prob": false,
     "scoring_func": "softmax", "topk_method": "greedy", "n_group": 1, "topk_group": 1,
     "routed_scaling_factor": 1.0, "bos_token_id": 100000, "eos_token_id": 100001})"},
    {"deepseek-v2.5",
     R"({"architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2",
     "vocab_size": 102400, "hidden_size": 5120, "intermediate_size": 12288,
     "num_hidden_layers": 60, "num_attention_heads": 128, "num_key_value_heads": 128,
     "max_position_embeddings": 163840, "rms_norm_eps": 1e-06, "rope_theta": 10000,
     "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0,
     "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096, "type": "yarn"},
     "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
     "v_head_dim": 128, "n_routed_experts": 160, "n_shared_experts": 2, "num_experts_per_tok": 6,
     "moe_intermediate_size": 1536, "first_k_dense_replace": 1, "norm_topk_prob": false,
     "scoring_func": "softmax", "topk_method": "group_limited_greedy", "n_group": 8,
     "topk_group": 3, "routed_scaling_factor": 16.0, "bos_token_id": 100000,
     "eos_token_id": 100001})"},
    {"deepseek-v3",
     R"({"architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
     "vocab_size": 129280, "hidden_size": 7168, "intermediate_size": 18432,
     "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128,
     "max_position_embeddings": 163840, "rms_norm_eps": 1e-06, "rope_theta": 10000,
     "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0,
     "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096, "type": "yarn"},
     "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
     "v_head_dim": 128, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8,
     "moe_intermediate_size": 2048, "first_k_dense_replace": 3, "norm_topk_prob": true,
     "scoring_func": "sigmoid", "topk_method": "noaux_tc", "n_group": 8, "topk_group": 4,
     "routed_scaling_factor": 2.5, "num_nextn_predict_layers": 1, "quantization_config":
     {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128],
     "activation_scheme": "dynamic"}, "bos_token_id": 0, "eos_token_id": 1})"},
};

const char* JsonOf(std::string_view name) {
  for (const Published& p : kPublished) {
    if (p.name == name) return p.json;
  }
  ADD_FAILURE() << name;
  return "";
}

// The shapes that a whole file of this model would have, as far as they are asked for.
GgufTensors TensorsOf(const ModelConfig& c) {
  GgufTensors tensors;
  tensors.shape = [c](std::string_view name) -> std::optional<Shape> {
    if (name == "token_embd.weight") return Shape{c.vocab_size, c.hidden_size};
    if (name == "output.weight" && !c.tie_word_embeddings) {
      return Shape{c.vocab_size, c.hidden_size};
    }
    if (name == "blk.0.attn_q.bias" && c.model_type == "qwen2") return Shape{c.hidden_size};
    if (name.ends_with(".attn_norm.weight")) return Shape{c.hidden_size};
    if (name.ends_with(".exp_probs_b.bias") && c.model_type == "deepseek_v3") {
      return Shape{c.n_routed_experts};
    }
    return std::nullopt;
  };
  if (c.rope.type == RopeType::kLlama3) {
    for (const double d : Llama3Divisors(c.rope, c.head_dim)) {
      tensors.rope_freqs.push_back(double{static_cast<float>(d)});
    }
  }
  return tensors;
}

GgufMetadata MetadataOf(const ModelConfig& c) {
  auto m = GgufMetadataOf(c, {}, "published");
  EXPECT_TRUE(m.has_value()) << m.error().message;
  if (!m) return {};
  GgufMetadata out = std::move(*m);
  // What the vocabulary adds.
  if (c.bos_token_id) out.Add("tokenizer.ggml.bos_token_id", GgufValue::U32(*c.bos_token_id));
  return out;
}

GgufMetadata With(const GgufMetadata& from, const std::string& key,
                  const std::optional<GgufValue>& value) {
  GgufMetadata out;
  for (const auto& [k, v] : from.pairs()) {
    if (k != key) out.Add(k, v);
  }
  if (value) out.Add(key, *value);
  return out;
}

ModelConfig Read(const GgufMetadata& m, const GgufTensors& tensors) {
  const auto config = ModelConfigOf(m, tensors);
  EXPECT_TRUE(config.has_value()) << config.error().message;
  return config.value_or(ModelConfig{});
}

// What GGUF does not keep: the types and layers that are not written, defaults that are spelt out.
ModelConfig Sayable(ModelConfig c) {
  c.torch_dtype = "";
  c.quantization.reset();
  c.num_nextn_predict_layers = 0;
  if (!c.attention_bias.value_or(true)) c.attention_bias.reset();
  if (!c.mlp_bias.value_or(true)) c.mlp_bias.reset();
  if (c.is_mla()) c.head_dim = 0;
  return c;
}

class PublishedTest : public testing::TestWithParam<Published> {};

TEST_P(PublishedTest, MetadataMeansTheConfigItWasMadeOf) {
  const ModelConfig config = Parsed(GetParam().json);
  const ModelConfig read = Read(MetadataOf(config), TensorsOf(config));
  ModelConfig want = Sayable(config);
  EXPECT_NEAR(read.rope.CosSinFactor(), want.rope.CosSinFactor(), 1e-15);
  if (want.rope.attn_factor) {
    EXPECT_NEAR(*read.rope.attn_factor, *want.rope.attn_factor, 1e-12);
    want.rope.attn_factor = read.rope.attn_factor;
  }
  if (want.rope.type == RopeType::kLlama3) {
    // The divisors stand for it.
    const auto divisors = Llama3Divisors(want.rope, want.head_dim);
    ASSERT_EQ(read.rope.frequency_divisors.size(), divisors.size());
    for (size_t i = 0; i < divisors.size(); ++i) {
      EXPECT_NEAR(read.rope.frequency_divisors[i], divisors[i], 1e-6 * divisors[i]);
    }
    want.rope = read.rope;
  }
  EXPECT_EQ(read.rope, want.rope);
  EXPECT_TRUE(read == want);
}

TEST_P(PublishedTest, ConfigJsonMeansTheConfigItWasMadeOf) {
  const ModelConfig config = Parsed(GetParam().json);
  const auto json = ConfigJsonOf(config);
  ASSERT_TRUE(json.has_value()) << json.error().message;
  EXPECT_TRUE(Parsed(*json) == config) << *json;
}

TEST_P(PublishedTest, AConfigReadFromGgufIsSaidAsConfigJson) {
  const ModelConfig config = Parsed(GetParam().json);
  const ModelConfig read = Read(MetadataOf(config), TensorsOf(config));
  const auto json = ConfigJsonOf(read);
  ASSERT_TRUE(json.has_value()) << json.error().message;
  ModelConfig again = Parsed(*json), want = Sayable(config);
  again.head_dim = want.head_dim;
  EXPECT_EQ(again.rope.type, want.rope.type);
  if (again.rope.attn_factor) want.rope.attn_factor = again.rope.attn_factor;
  EXPECT_TRUE(again == want) << *json;
}

INSTANTIATE_TEST_SUITE_P(Models, PublishedTest, testing::ValuesIn(kPublished), [](const auto& i) {
  std::string name = i.param.name;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

// ---- rope

TEST(GgufRope, LatentAttentionHasTheSoftmaxScaleOfTheHubAndUnscaledCosAndSin) {
  struct {
    const char* model;
    float log_multiplier;  // as the converter writes it: a tenth of mscale_all_dim, in float32
    double squared;        // facts of the papers' code: (0.1 * mscale_all_dim * ln 40 + 1)^2
  } const cases[] = {{"deepseek-v2-lite", 0.1f * 0.707f, 1.58962}, {"deepseek-v3", 0.1f, 1.87385}};
  for (const auto& c : cases) {
    const ModelConfig hub = Parsed(JsonOf(c.model));
    const GgufMetadata m = With(MetadataOf(hub), "deepseek2.rope.scaling.yarn_log_multiplier",
                                GgufValue::F32(double{c.log_multiplier}));
    const RopeConfig rope = Read(m, TensorsOf(hub)).rope;
    const double scale = rope.YarnMscale(rope.mscale_all_dim.value_or(0));
    EXPECT_NEAR(scale * scale, c.squared, 1e-5) << c.model;
    EXPECT_NEAR(scale, hub.rope.YarnMscale(*hub.rope.mscale_all_dim), 1e-7) << c.model;
    EXPECT_EQ(rope.CosSinFactor(), 1) << c.model;
    // Without the key neither is scaled.
    const RopeConfig plain =
        Read(With(m, "deepseek2.rope.scaling.yarn_log_multiplier", std::nullopt), TensorsOf(hub))
            .rope;
    EXPECT_EQ(plain.CosSinFactor(), 1) << c.model;
    EXPECT_EQ(plain.YarnMscale(plain.mscale_all_dim.value_or(0)), 1) << c.model;
  }
}

TEST(GgufRope, R1Qwen3HasANetFactorOfExactlyOne) {
  const ModelConfig hub = Parsed(JsonOf("r1-0528-qwen3-8b"));
  const GgufMetadata none = With(MetadataOf(hub), "qwen3.rope.scaling.attn_factor", std::nullopt);
  EXPECT_NEAR(Read(none, TensorsOf(hub)).rope.CosSinFactor(), 1.1386294361, 1e-9);
  for (const char* key : {"attn_factor", "yarn_attn_factor"}) {
    const GgufMetadata m = With(none, std::string("qwen3.rope.scaling.") + key,
                                GgufValue::F32(double{0.8782488562869419f}));
    EXPECT_EQ(Read(m, TensorsOf(hub)).rope.CosSinFactor(), 1) << key;
  }
}

TEST(GgufRope, OldSpellingsOfLinearScalingAreRead) {
  const ModelConfig hub = Parsed(JsonOf("deepseek-coder-1.3b"));
  GgufMetadata m = With(MetadataOf(hub), "llama.rope.scaling.type", std::nullopt);
  EXPECT_EQ(Read(m, TensorsOf(hub)).rope, hub.rope);
  m = With(m, "llama.rope.scaling.factor", std::nullopt);
  m = With(m, "llama.rope.scale_linear", GgufValue::F32(4));
  EXPECT_EQ(Read(m, TensorsOf(hub)).rope, hub.rope);
  m = With(m, "llama.rope.scaling.type", GgufValue::Text("none"));
  EXPECT_EQ(Read(m, TensorsOf(hub)).rope.type, RopeType::kDefault);
}

TEST(GgufRope, SettingsOfLlama3AreRecognisedByTheirDivisors) {
  const auto recognised = [](double factor, double high, int64_t original, int64_t dims) {
    RopeConfig rope;
    rope.type = RopeType::kLlama3;
    rope.theta = 500000;
    rope.factor = factor;
    rope.high_freq_factor = high;
    rope.original_max_position_embeddings = original;
    std::vector<double> stored;
    for (const double d : Llama3Divisors(rope, dims)) stored.push_back(static_cast<float>(d));
    const auto found = Llama3OfDivisors(stored, rope.theta);
    return found && *found == rope;
  };
  EXPECT_TRUE(recognised(8, 4, 8192, 128));   // Llama 3.1
  EXPECT_TRUE(recognised(32, 4, 8192, 128));  // Llama 3.2
  EXPECT_TRUE(recognised(8, 4, 32, 16));
  std::vector<double> made_up(64, 1);
  made_up[5] = 3;
  EXPECT_FALSE(Llama3OfDivisors(made_up, 500000).has_value());
  EXPECT_FALSE(Llama3OfDivisors(std::vector<double>(64, 1), 500000).has_value());
  EXPECT_FALSE(Llama3OfDivisors(std::vector<double>(64, NAN), 500000).has_value());
}

// ---- what old and new files leave out

TEST(GgufConfig, OldFilesOfV3SayNeitherScoringNorGroups) {
  const ModelConfig hub = Parsed(JsonOf("deepseek-v3"));
  GgufMetadata m = MetadataOf(hub);
  for (const char* key : {"expert_gating_func", "expert_group_count", "expert_group_used_count"}) {
    m = With(m, std::string("deepseek2.") + key, std::nullopt);
  }
  const ModelConfig read = Read(m, TensorsOf(hub));
  EXPECT_EQ(read.model_type, "deepseek_v3");
  EXPECT_EQ(read.scoring_func, ScoringFunc::kSigmoid);
  EXPECT_EQ(read.topk_method, TopkMethod::kNoauxTc);
  EXPECT_EQ(read.n_group, 8);
  EXPECT_EQ(read.topk_group, 4);
  const ModelConfig v2 = Parsed(JsonOf("deepseek-v2.5"));
  m = MetadataOf(v2);
  for (const char* key : {"expert_gating_func", "expert_group_count", "expert_group_used_count",
                          "expert_weights_norm"}) {
    m = With(m, std::string("deepseek2.") + key, std::nullopt);
  }
  EXPECT_TRUE(Read(m, TensorsOf(v2)) == Sayable(v2));
}

TEST(GgufConfig, LayersOfMultiTokenPredictionAreNotCounted) {
  const ModelConfig hub = Parsed(JsonOf("deepseek-v3"));
  const GgufMetadata m = With(MetadataOf(hub), "deepseek2.nextn_predict_layers", GgufValue::U32(1));
  const auto with_blocks = [&](int64_t n, bool nextn) {
    GgufTensors tensors = TensorsOf(hub);
    tensors.shape = [n, nextn, all = tensors.shape](std::string_view name) {
      if (name == fmt::format("blk.{}.attn_norm.weight", n)) return std::optional<Shape>();
      if (name == fmt::format("blk.{}.nextn.eh_proj.weight", n - 1)) {
        return nextn ? std::optional(Shape{7168, 14336}) : std::nullopt;
      }
      return all(name);
    };
    return tensors;
  };
  const GgufMetadata counted = With(m, "deepseek2.block_count", GgufValue::U32(62));
  EXPECT_EQ(Read(counted, with_blocks(62, true)).num_hidden_layers, 61);
  EXPECT_EQ(Read(counted, with_blocks(61, false)).num_hidden_layers, 61) << "left out of the file";
  EXPECT_EQ(Read(m, with_blocks(61, false)).num_hidden_layers, 61) << "not counted";
  EXPECT_EQ(Read(m, with_blocks(62, true)).num_nextn_predict_layers, 1);
}

TEST(GgufConfig, HeadsPerLayerAreOneNumberWhenAllAreEqual) {
  const ModelConfig hub = Parsed(JsonOf("r1-distill-llama-70b"));
  const auto heads = [&](std::vector<int64_t> v) {
    return With(MetadataOf(hub), "llama.attention.head_count_kv", GgufValue::I32s(std::move(v)));
  };
  EXPECT_EQ(Read(heads(std::vector<int64_t>(80, 8)), TensorsOf(hub)).num_key_value_heads, 8);
  const auto differ = ModelConfigOf(heads({8, 8, 4}), TensorsOf(hub));
  ASSERT_FALSE(differ.has_value());
  EXPECT_EQ(differ.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_EQ(differ.error().field, "llama.attention.head_count_kv");
}

// ---- refusals

TEST(GgufConfig, WrongAndMissingKeysAreRefusedByName) {
  const ModelConfig hub = Parsed(JsonOf("deepseek-v3"));
  const GgufMetadata m = MetadataOf(hub);
  const auto refusal = [&](const std::string& key, const std::optional<GgufValue>& value,
                           ErrorCode code = ErrorCode::kBadFile) {
    const std::string full = key.starts_with("general.") ? key : "deepseek2." + key;
    const auto config = ModelConfigOf(With(m, full, value), TensorsOf(hub));
    EXPECT_FALSE(config.has_value()) << key;
    if (config) return std::string();
    EXPECT_EQ(config.error().code, code) << config.error().message;
    EXPECT_EQ(config.error().field, full) << config.error().message;
    return config.error().message;
  };
  EXPECT_THAT(refusal("block_count", GgufValue::Text("61")),
              HasSubstr("deepseek2.block_count is '61'; it must be an integer from 1"));
  EXPECT_THAT(refusal("embedding_length", std::nullopt), HasSubstr("is missing"));
  refusal("attention.head_count", GgufValue::U32(0));
  refusal("attention.layer_norm_rms_epsilon", std::nullopt);
  refusal("attention.layer_norm_rms_epsilon", GgufValue::F32(NAN));
  refusal("attention.key_length_mla", GgufValue::U32(64));
  refusal("rope.dimension_count", GgufValue::U32(63));
  refusal("expert_used_count", GgufValue::U32(257));
  refusal("expert_group_count", GgufValue::U32(7));
  refusal("expert_group_used_count", GgufValue::U32(9));
  refusal("expert_weights_norm", GgufValue::U32(1));
  refusal("rope.scaling.factor", GgufValue::F32(0.5));
  refusal("rope.scaling.yarn_beta_fast", GgufValue::F32(0.5));
  const ErrorCode unsupported = ErrorCode::kUnsupportedModel;
  refusal("rope.scaling.type", GgufValue::Text("longrope"), unsupported);
  refusal("rope.scaling.attn_factor", GgufValue::F32(2), unsupported);
  refusal("expert_gating_func", GgufValue::U32(3), unsupported);
  refusal("attention.indexer.head_count", GgufValue::U32(64), unsupported);
  EXPECT_THAT(refusal("general.architecture", GgufValue::Text("mamba"), unsupported),
              AllOf(HasSubstr("'mamba'"), HasSubstr("llama, qwen2, qwen3, deepseek, deepseek2")));
  refusal("general.architecture", std::nullopt);
}

TEST(GgufConfig, WhatGgufCannotSayIsRefused) {
  const auto refused = [](ModelConfig c, const char* field) {
    const auto m = GgufMetadataOf(c, {}, "");
    ASSERT_FALSE(m.has_value()) << field;
    EXPECT_EQ(m.error().code, ErrorCode::kUnsupportedModel);
    EXPECT_EQ(m.error().field, field);
  };
  ModelConfig c = Parsed(JsonOf("deepseek-v3"));
  c.rope.mscale = 2;
  refused(c, "rope_scaling.mscale");
  c = Parsed(JsonOf("deepseek-v3"));
  c.rope_interleave = false;
  refused(c, "rope_interleave");
  c.model_type = "mamba";
  refused(c, "model_type");
}

// ---- tensors

class GgufEntriesTest : public testing::Test {
 protected:
  struct Item {
    std::string name;
    Shape shape;
    std::vector<float> values;
  };
  // A llama of one layer whose head has 4 dimensions.
  std::unique_ptr<Checkpoint> Open(const std::vector<Item>& items) {
    GgufMetadata m;
    m.Add("general.architecture", GgufValue::Text("llama"));
    for (const auto& [key, value] : {std::pair{"block_count", 1},
                                     {"context_length", 8},
                                     {"embedding_length", 4},
                                     {"feed_forward_length", 3},
                                     {"attention.head_count", 2},
                                     {"attention.key_length", 4}}) {
      m.Add(std::string("llama.") + key, GgufValue::U32(value));
    }
    m.Add("llama.attention.layer_norm_rms_epsilon", GgufValue::F32(1e-5));
    std::vector<DeclaredTensor> declared;
    for (const Item& i : items) declared.push_back({i.name, DType::kF32, i.shape});
    auto out = NewGgufWriter(directory_ / "m.gguf", declared, m);
    EXPECT_TRUE(out.has_value()) << out.error().message;
    for (const Item& i : items) {
      EXPECT_TRUE((*out)->Append(std::as_bytes(std::span(i.values))).has_value());
    }
    EXPECT_TRUE((*out)->Finish().has_value());
    auto checkpoint = Checkpoint::Open(directory_ / "m.gguf");
    EXPECT_TRUE(checkpoint.has_value()) << checkpoint.error().message;
    return checkpoint ? std::move(*checkpoint) : nullptr;
  }
  static Item Counting(const std::string& name, const Shape& shape) {
    Item item{name, shape, {}};
    for (int64_t i = 0; i < shape.elements(); ++i) item.values.push_back(static_cast<float>(i));
    return item;
  }

  TestDirectory directory_;
};

TEST_F(GgufEntriesTest, RowsAndBiasesOfQComeInHalfSplitOrder) {
  const auto c =
      Open({Counting("token_embd.weight", {5, 4}), Counting("blk.0.attn_q.weight", {8, 1}),
            Counting("blk.0.attn_q.bias", {8}), Counting("blk.0.attn_v.bias", {8})});
  ASSERT_NE(c, nullptr);
  std::vector<float> rows(8);
  for (const char* name : {"weight", "bias"}) {
    const TensorEntry* q = c->Find(std::string("model.layers.0.self_attn.q_proj.") + name);
    ASSERT_NE(q, nullptr);
    DecodeRows(*q, 0, q->rows(), rows.data());
    EXPECT_THAT(rows, ElementsAre(0, 2, 1, 3, 4, 6, 5, 7)) << name;
  }
  DecodeRows(*c->Find("model.layers.0.self_attn.v_proj.bias"), 0, 1, rows.data());
  EXPECT_THAT(rows, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST_F(GgufEntriesTest, ExpertsComeOneByOneAndUnknownNamesAreReported) {
  const auto c = Open({Counting("token_embd.weight", {5, 4}),
                       Counting("blk.0.ffn_down_exps.weight", {3, 2, 2}),
                       Counting("blk.00.attn_v.weight", {2, 2}), Counting("what", {1})});
  ASSERT_NE(c, nullptr);
  const TensorEntry* expert = c->Find("model.layers.0.mlp.experts.2.down_proj.weight");
  ASSERT_NE(expert, nullptr);
  std::vector<float> values(4);
  DecodeRows(*expert, 0, 2, values.data());
  EXPECT_THAT(values, ElementsAre(8, 9, 10, 11));
  EXPECT_EQ(c->total_bytes(), 4u * (20 + 12 + 4 + 1));
  Binder binder(*c);
  binder.Require("model.embed_tokens.weight", {5, 4});
  binder.Ignore("model.layers.0.mlp.*");
  const Status status = binder.Finish();
  ASSERT_FALSE(status.has_value());
  EXPECT_THAT(status.error().message, AllOf(HasSubstr("unexpected: 'blk.00.attn_v.weight'"),
                                            HasSubstr("'what'"), HasSubstr("the metadata")));
}

TEST(FiniteBlocks, AgreeWithTheDecodedValues) {
  for (int t = 0; t < kQuantTypes; ++t) {
    const auto type = static_cast<QuantType>(t);
    const QuantTraits& traits = TraitsOf(type);
    SCOPED_TRACE(traits.name);
    std::vector<std::byte> block(static_cast<size_t>(traits.bytes));
    std::vector<float> values(static_cast<size_t>(traits.elements));
    int infinite = 0;
    uint64_t state = 7;
    for (int round = 0; round < 4000; ++round) {
      for (std::byte& b : block) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        b = static_cast<std::byte>(state >> 56);
      }
      DecodeBlocks(type, block.data(), traits.elements, values.data());
      const bool finite = std::ranges::all_of(values, [](float v) { return std::isfinite(v); });
      infinite += !finite;
      // Infinity times zero is NaN, so that a scale that is not finite always shows.
      ASSERT_EQ(BlocksAreFinite(type, block.data(), traits.elements), finite) << round;
    }
    EXPECT_GT(infinite, 0);
  }
}

}  // namespace
}  // namespace hadal
