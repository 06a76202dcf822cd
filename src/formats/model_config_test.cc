#include "formats/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/json_text.h"
#include "formats/testing_files.h"

namespace hadal {
namespace {

using Json = nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Shaped like R1-Distill-Llama-8B.
Json Dense() {
  return Json::parse(R"({"model_type":"llama","architectures":["LlamaForCausalLM"],
    "torch_dtype":"bfloat16","vocab_size":128256,"hidden_size":4096,"intermediate_size":14336,
    "num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"hidden_act":"silu",
    "rms_norm_eps":1e-5,"max_position_embeddings":131072,"bos_token_id":128000,
    "eos_token_id":[128001,128008],"tie_word_embeddings":false,"rope_theta":500000.0,
    "rope_scaling":{"factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
    "original_max_position_embeddings":8192,"rope_type":"llama3"}})");
}

// Shaped like DeepSeek-V3.
Json Moe() {
  return Json::parse(R"({"model_type":"deepseek_v3","vocab_size":129280,"hidden_size":7168,
    "intermediate_size":18432,"moe_intermediate_size":2048,"num_hidden_layers":61,
    "num_attention_heads":128,"num_key_value_heads":128,"n_shared_experts":1,
    "n_routed_experts":256,"routed_scaling_factor":2.5,"kv_lora_rank":512,"q_lora_rank":1536,
    "qk_rope_head_dim":64,"v_head_dim":128,"qk_nope_head_dim":128,"topk_method":"noaux_tc",
    "n_group":8,"topk_group":4,"num_experts_per_tok":8,"moe_layer_freq":1,
    "first_k_dense_replace":3,"norm_topk_prob":true,"scoring_func":"sigmoid",
    "num_nextn_predict_layers":1,"rms_norm_eps":1e-6,"max_position_embeddings":163840,
    "bos_token_id":0,"eos_token_id":1,"attention_bias":false,"rope_theta":10000,
    "rope_scaling":{"beta_fast":32,"beta_slow":1,"factor":40,"mscale":1.0,"mscale_all_dim":1.0,
    "original_max_position_embeddings":4096,"type":"yarn"},
    "quantization_config":{"activation_scheme":"dynamic","fmt":"e4m3","quant_method":"fp8",
    "weight_block_size":[128,128]}})");
}

ModelConfig Accepted(const Json& json) {
  auto config = ParseModelConfig(json.dump());
  EXPECT_TRUE(config.has_value()) << config.error().message;
  return config ? *config : ModelConfig{};
}

Error Refused(const Json& json) {
  auto config = ParseModelConfig(json.dump());
  if (config) {
    ADD_FAILURE() << "accepted " << json.dump();
    return {};
  }
  return config.error();
}

// A valid config with one key changed is refused, and the error names key and value.
void ExpectRefused(Json json, const std::string& pointer, const Json& value,
                   ErrorCode code = ErrorCode::kBadFile) {
  json[Json::json_pointer(pointer)] = value;
  const Error error = Refused(json);
  EXPECT_EQ(error.code, code) << pointer << " = " << value << ": " << error.message;
  std::string key = pointer.substr(1);
  std::replace(key.begin(), key.end(), '/', '.');
  EXPECT_EQ(error.field, key) << value << ": " << error.message;
  EXPECT_THAT(error.message, HasSubstr(key + " is ")) << value;
}

TEST(ModelConfig, ReadsADenseModel) {
  const ModelConfig c = Accepted(Dense());
  EXPECT_EQ(c.model_type, "llama");
  EXPECT_THAT(c.architectures, ElementsAre("LlamaForCausalLM"));
  EXPECT_EQ(c.torch_dtype, "bfloat16");
  EXPECT_EQ(c.vocab_size, 128256);
  EXPECT_EQ(c.num_key_value_heads, 8);
  EXPECT_EQ(c.head_dim, 128);
  EXPECT_DOUBLE_EQ(c.rms_norm_eps, 1e-5);
  EXPECT_EQ(c.bos_token_id, 128000);
  EXPECT_THAT(c.eos_token_ids, ElementsAre(128001, 128008));
  EXPECT_EQ(c.rope.type, RopeType::kLlama3);
  EXPECT_EQ(c.rope.theta, 500000);
  EXPECT_EQ(c.rope.factor, 8);
  EXPECT_EQ(c.rope.original_max_position_embeddings, 8192);
  EXPECT_FALSE(c.is_mla());
  EXPECT_FALSE(c.is_moe());
  EXPECT_FALSE(c.attention_bias.has_value());
  EXPECT_FALSE(c.quantization.has_value());
}

TEST(ModelConfig, ReadsAMixtureOfExpertsWithLatentAttentionAndFp8) {
  const ModelConfig c = Accepted(Moe());
  EXPECT_TRUE(c.is_mla());
  EXPECT_TRUE(c.is_moe());
  EXPECT_EQ(c.q_lora_rank, 1536);
  EXPECT_EQ(c.qk_rope_head_dim, 64);
  EXPECT_EQ(c.n_routed_experts, 256);
  EXPECT_EQ(c.first_k_dense_replace, 3);
  EXPECT_EQ(c.topk_group, 4);
  EXPECT_EQ(c.scoring_func, ScoringFunc::kSigmoid);
  EXPECT_EQ(c.topk_method, TopkMethod::kNoauxTc);
  EXPECT_EQ(c.routed_scaling_factor, 2.5);
  EXPECT_EQ(c.norm_topk_prob, true);
  EXPECT_EQ(c.num_nextn_predict_layers, 1);
  EXPECT_EQ(c.attention_bias, false);
  ASSERT_TRUE(c.quantization.has_value());
  EXPECT_EQ(c.quantization->weight_block_size, (ScaleBlock{128, 128}));
  EXPECT_EQ(c.rope.type, RopeType::kYarn);
}

TEST(ModelConfig, NullMeansAbsent) {
  Json json = Moe();
  json["q_lora_rank"] = nullptr;
  json["rope_scaling"] = nullptr;
  json["scoring_func"] = nullptr;
  json["eos_token_id"] = nullptr;
  json["num_key_value_heads"] = nullptr;
  json["quantization_config"] = nullptr;
  const ModelConfig c = Accepted(json);
  EXPECT_EQ(c.q_lora_rank, 0);
  EXPECT_EQ(c.rope.type, RopeType::kDefault);
  EXPECT_FALSE(c.scoring_func.has_value());
  EXPECT_THAT(c.eos_token_ids, IsEmpty());
  EXPECT_EQ(c.num_key_value_heads, 128);
}

TEST(ModelConfig, RefusesZeroHeadsZeroExpertsAndTopKAboveExperts) {
  ExpectRefused(Dense(), "/num_attention_heads", 0);
  ExpectRefused(Dense(), "/num_key_value_heads", 0);
  ExpectRefused(Moe(), "/n_routed_experts", 0);
  ExpectRefused(Moe(), "/num_experts_per_tok", 257);
  ExpectRefused(Moe(), "/num_experts_per_tok", 0);
  Json json = Moe();
  json["num_experts_per_tok"] = 300;
  EXPECT_THAT(Refused(json).message, AllOf(HasSubstr("num_experts_per_tok is 300"),
                                           HasSubstr("at most n_routed_experts = 256")));
}

TEST(ModelConfig, RefusesSizesThatAreZeroNegativeHugeFractionsOrOfAnotherType) {
  const char* required[] = {"vocab_size",        "hidden_size",         "intermediate_size",
                            "num_hidden_layers", "num_attention_heads", "max_position_embeddings"};
  const char* in_moe[] = {"moe_intermediate_size",
                          "kv_lora_rank",
                          "qk_nope_head_dim",
                          "qk_rope_head_dim",
                          "v_head_dim",
                          "num_experts_per_tok",
                          "n_group",
                          "topk_group",
                          "moe_layer_freq",
                          "q_lora_rank"};
  const Json bad[] = {
      0,     -1,   1.5,  int64_t{1} << 31,  (int64_t{1} << 31) + 1, INT64_MIN, UINT64_MAX,
      1e300, "32", true, Json::array({32}), Json::object()};
  for (const Json& value : bad) {
    for (const char* key : required) ExpectRefused(Dense(), std::string("/") + key, value);
    for (const char* key : in_moe) ExpectRefused(Moe(), std::string("/") + key, value);
  }
}

TEST(ModelConfig, NamesRequiredKeysThatAreMissingOrNull) {
  for (const char* key : {"model_type", "vocab_size", "hidden_size", "intermediate_size",
                          "num_hidden_layers", "num_attention_heads", "max_position_embeddings"}) {
    Json json = Dense();
    json.erase(key);
    EXPECT_THAT(Refused(json).message, HasSubstr(std::string(key) + " is missing"));
    EXPECT_EQ(Refused(json).field, key);
    ExpectRefused(Dense(), std::string("/") + key, nullptr);
  }
}

TEST(ModelConfig, RefusesNumbersThatDoNotFitEachOther) {
  ExpectRefused(Dense(), "/num_key_value_heads", 5);
  ExpectRefused(Dense(), "/num_key_value_heads", 64);
  ExpectRefused(Dense(), "/hidden_size", 4100);    // not a multiple of 32 heads
  ExpectRefused(Dense(), "/hidden_size", 32 * 5);  // odd head dimension
  ExpectRefused(Dense(), "/head_dim", 127);
  ExpectRefused(Moe(), "/qk_rope_head_dim", 63);
  ExpectRefused(Moe(), "/n_group", 7);
  ExpectRefused(Moe(), "/n_group", 256);
  ExpectRefused(Moe(), "/topk_group", 9);
  ExpectRefused(Moe(), "/first_k_dense_replace", 62);
  Json json = Moe();
  json["topk_group"] = 1;
  ExpectRefused(json, "/num_experts_per_tok", 33);  // one group has 32
  ExpectRefused(Dense(), "/eos_token_id", 128256);
  ExpectRefused(Dense(), "/bos_token_id", -1);
  ExpectRefused(Dense(), "/eos_token_id", Json::array({1, "2"}));
}

TEST(ModelConfig, AnExplicitHeadDimNeedNotDivideTheHiddenSize) {
  Json json = Dense();
  json["hidden_size"] = 4100;
  json["head_dim"] = 64;
  EXPECT_EQ(Accepted(json).head_dim, 64);
}

TEST(ModelConfig, RefusesEpsilonsThatAreNoNumberZeroOrTooLarge) {
  for (const Json& value : {Json(0), Json(-1e-6), Json(2), Json("1e-6"), Json(1e-60), Json(true)}) {
    ExpectRefused(Dense(), "/rms_norm_eps", value);
  }
  std::string text = Dense().dump();
  for (const char* literal : {"NaN", "Infinity", "1e999", "-"}) {
    const std::string key = "\"rms_norm_eps\":";
    const size_t at = text.find(key) + key.size();
    const std::string bad = text.substr(0, at) + literal + text.substr(text.find(',', at));
    const auto config = ParseModelConfig(bad);
    ASSERT_FALSE(config.has_value()) << literal;
    EXPECT_THAT(config.error().message, HasSubstr("not valid JSON")) << literal;
  }
}

TEST(ModelConfig, ModelsItDoesNotRunAreUnsupportedNotBroken) {
  const auto unsupported = [](const Json& json, const char* pointer, const Json& value) {
    Json changed = json;
    changed[Json::json_pointer(pointer)] = value;
    const Error error = Refused(changed);
    EXPECT_EQ(error.code, ErrorCode::kUnsupportedModel) << error.message;
    EXPECT_THAT(error.message, AllOf(HasSubstr("model_type '"), HasSubstr("supported"))) << pointer;
  };
  unsupported(Dense(), "/hidden_act", "gelu");
  unsupported(Dense(), "/use_sliding_window", true);
  unsupported(Dense(), "/layer_types", {"full_attention", "sliding_attention"});
  unsupported(Dense(), "/rope_scaling/rope_type", "dynamic");
  unsupported(Dense(), "/rope_scaling/rope_type", "longrope");
  unsupported(Dense(), "/partial_rotary_factor", 0.5);
  unsupported(Moe(), "/scoring_func", "sqrtsoftplus");
  unsupported(Moe(), "/topk_method", "hash");
  unsupported(Moe(), "/quantization_config/quant_method", "bitsandbytes");
  unsupported(Moe(), "/quantization_config/fmt", "e5m2");
  unsupported(Moe(), "/quantization_config/activation_scheme", "static");
  unsupported(Moe(), "/quantization_config/weight_block_size", nullptr);
  unsupported(Moe(), "/quantization_config/weight_block_size", {128});
}

TEST(ModelConfig, RefusesBrokenQuantisationAndRope) {
  ExpectRefused(Moe(), "/quantization_config", 8);
  ExpectRefused(Moe(), "/quantization_config/weight_block_size", {128, 0});
  ExpectRefused(Moe(), "/rope_scaling", "yarn");
  ExpectRefused(Moe(), "/rope_scaling/factor", 0.5);
  ExpectRefused(Moe(), "/rope_scaling/factor", nullptr);
  ExpectRefused(Moe(), "/rope_scaling/beta_fast", 1);
  ExpectRefused(Moe(), "/rope_theta", 0);
  ExpectRefused(Moe(), "/rope_theta", -10000);
  ExpectRefused(Dense(), "/rope_scaling/high_freq_factor", 1.0);
  ExpectRefused(Dense(), "/rope_scaling/original_max_position_embeddings", 0);
}

TEST(ModelConfig, ASlidingWindowThatIsSwitchedOffIsNotReported) {
  Json json = Dense();
  json["sliding_window"] = 4096;
  EXPECT_EQ(Accepted(json).sliding_window, 4096);
  json["use_sliding_window"] = false;
  EXPECT_FALSE(Accepted(json).sliding_window.has_value());
}

TEST(ModelConfig, OnlyAModelWithoutDenseLayersMayLeaveTheirWidthOut) {
  Json json = Moe();
  json.erase("intermediate_size");
  EXPECT_EQ(Refused(json).field, "intermediate_size");
  json["first_k_dense_replace"] = 0;
  EXPECT_EQ(Accepted(json).intermediate_size, 0);
}

TEST(ModelConfig, RefusesTextThatIsNotOneJsonObject) {
  for (const char* text : {"", "null", "[]", "7", "{", "{} {}", "{\"a\":1,\"a\":2}", "\xff"}) {
    const auto config = ParseModelConfig(text);
    ASSERT_FALSE(config.has_value()) << text;
    EXPECT_EQ(config.error().code, ErrorCode::kBadFile) << text;
  }
}

TEST(ModelConfig, LimitsDepthAndSize) {
  const auto nested = [](int depth) {
    Json json = Dense();
    std::string text = json.dump();
    text.back() = ',';
    const auto n = static_cast<size_t>(depth - 1);  // the object itself is level 1
    return text + "\"x\":" + std::string(n, '[') + std::string(n, ']') + "}";
  };
  EXPECT_TRUE(ParseModelConfig(nested(64)).has_value());
  const auto deep = ParseModelConfig(nested(65));
  ASSERT_FALSE(deep.has_value());
  EXPECT_THAT(deep.error().message, HasSubstr("deeper than 64"));
  EXPECT_FALSE(ParseModelConfig(nested(100'000)).has_value());
  std::string objects;
  for (int i = 0; i < 10'000; ++i) objects += "{\"a\":";
  EXPECT_FALSE(ParseModelConfig(objects + "1" + std::string(10'000, '}')).has_value());
  const auto large = ParseModelConfig(std::string((1 << 20) + 1, ' '));
  ASSERT_FALSE(large.has_value());
  EXPECT_THAT(large.error().message, HasSubstr("limit of 1048576"));
}

TEST(ModelConfig, ReadsBothSpellingsOfRopeAlike) {
  Json json = Moe();
  json["rope_parameters"] = json["rope_scaling"];
  json["rope_parameters"]["rope_type"] = "yarn";
  json["rope_parameters"].erase("type");
  json["rope_parameters"]["rope_theta"] = 12345.0;
  json.erase("rope_scaling");
  json.erase("rope_theta");
  const RopeConfig rope = Accepted(json).rope;
  EXPECT_EQ(rope.type, RopeType::kYarn);
  EXPECT_EQ(rope.theta, 12345);
  EXPECT_EQ(rope.factor, 40);
  EXPECT_EQ(rope.original_max_position_embeddings, 4096);
  EXPECT_EQ(rope.mscale_all_dim, 1.0);
}

TEST(ModelConfig, ReadsLinearScaling) {
  Json json = Dense();
  json["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  const RopeConfig rope = Accepted(json).rope;
  EXPECT_EQ(rope.type, RopeType::kLinear);
  EXPECT_EQ(rope.factor, 4);
  EXPECT_EQ(rope.CosSinFactor(), 1);
}

TEST(RopeConfig, AttnFactorMultipliesTheYarnFactor) {
  Json json = Dense();  // R1-0528-Qwen3-8B: the net factor must be exactly 1
  json["rope_scaling"] = {{"rope_type", "yarn"},
                          {"factor", 4.0},
                          {"original_max_position_embeddings", 32768},
                          {"attn_factor", 0.8782488562869419}};
  const RopeConfig rope = Accepted(json).rope;
  EXPECT_NEAR(rope.CosSinFactor(), 1.0, 1e-12);
}

TEST(RopeConfig, AttentionFactorReplacesTheYarnFactor) {
  Json json = Dense();
  json["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 4.0}};
  EXPECT_NEAR(Accepted(json).rope.CosSinFactor(), 0.1 * std::log(4.0) + 1, 1e-12);
  EXPECT_EQ(Accepted(json).rope.original_max_position_embeddings, 131072);
  json["rope_scaling"]["attention_factor"] = 1.25;
  EXPECT_EQ(Accepted(json).rope.CosSinFactor(), 1.25);
}

TEST(RopeConfig, EqualMscalesLeaveCosAndSinAloneAndGoToTheSoftmaxScale) {
  const RopeConfig rope = Accepted(Moe()).rope;
  EXPECT_EQ(rope.CosSinFactor(), 1);
  EXPECT_NEAR(rope.YarnMscale(*rope.mscale_all_dim), 1.36889, 1e-5);
  EXPECT_NEAR(rope.YarnMscale(0.707), 1.26080, 1e-5);
}

TEST(GenerationConfig, ReadsWhatIsGivenAndLeavesTheRestOpen) {
  const auto c = ParseGenerationConfig(
      R"({"temperature":0.6,"top_p":0.95,"do_sample":true,"eos_token_id":151643,"x":1})");
  ASSERT_TRUE(c.has_value()) << c.error().message;
  EXPECT_EQ(c->temperature, 0.6);
  EXPECT_EQ(c->top_p, 0.95);
  EXPECT_EQ(c->do_sample, true);
  EXPECT_THAT(c->eos_token_ids, ElementsAre(151643));
  EXPECT_FALSE(c->top_k.has_value());
  EXPECT_FALSE(c->repetition_penalty.has_value());
}

TEST(GenerationConfig, RefusesValuesOutOfRange) {
  for (const char* text :
       {R"({"temperature":-0.1})", R"({"top_p":0})", R"({"top_p":1.1})", R"({"top_k":-1})",
        R"({"repetition_penalty":0})", R"({"do_sample":1})", R"({"eos_token_id":"1"})", "[]"}) {
    const auto c = ParseGenerationConfig(text);
    ASSERT_FALSE(c.has_value()) << text;
    EXPECT_EQ(c.error().code, ErrorCode::kBadFile);
  }
}

TEST(GenerationConfig, AnAbsentFileIsAnEmptyConfig) {
  const TestDirectory dir;
  const auto c = LoadGenerationConfig(dir.path());
  ASSERT_TRUE(c.has_value());
  EXPECT_FALSE(c->temperature.has_value());
  dir.Write("generation_config.json", "{");
  const auto broken = LoadGenerationConfig(dir.path());
  ASSERT_FALSE(broken.has_value());
  EXPECT_THAT(broken.error().message, HasSubstr("generation_config.json: not valid JSON at byte"));
  EXPECT_EQ(LoadModelConfig(dir.path()).error().code, ErrorCode::kNotFound);
}

TEST(Quoted, CutsLongTextBetweenCharacters) {
  std::string text(118, 'a');
  text += "｜｜｜";  // three bytes each; the cut at 120 falls into the first
  EXPECT_EQ(Quoted(text), "'" + std::string(118, 'a') + "...'");
}

}  // namespace
}  // namespace hadal
