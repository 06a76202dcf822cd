#include "convert/weight_types.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace hadal {
namespace {

TypeChoice Choice(std::string_view name) {
  auto choice = ParseTypeChoice(name);
  EXPECT_TRUE(choice.has_value());
  return choice.value_or(TypeChoice{});
}

std::string_view TypeName(std::string_view type, TensorFacts facts) {
  return NameOf(TypeFor(Choice(type), facts));
}

TEST(WeightTypes, NamesAreReadInEitherCaseAndUnknownOnesListWhatThereIs) {
  EXPECT_EQ(Choice("Q4_K_M").name, "q4_k_m");
  const auto wrong = ParseTypeChoice("q3_k_m");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_EQ(wrong.error().code, ErrorCode::kInvalidArgument);
  for (const char* name :
       {"f32", "bf16", "f16", "fp8", "q8_0", "q4_0", "q5_0", "q4_k", "q5_k", "q6_k", "q4_k_m"}) {
    EXPECT_NE(wrong.error().message.find(name), std::string::npos) << name;
  }
}

TEST(WeightTypes, PlainTypesGoInBothFormatsBlocksInGgufAndFp8InSafetensors) {
  EXPECT_TRUE(Choice("bf16").Allows(FileFormat::kSafetensors));
  EXPECT_TRUE(Choice("bf16").Allows(FileFormat::kGguf));
  EXPECT_FALSE(Choice("q8_0").Allows(FileFormat::kSafetensors));
  EXPECT_FALSE(Choice("fp8").Allows(FileFormat::kGguf));
}

TEST(WeightTypes, VectorsAndRoutersStayFloat32InEveryType) {
  for (const TypeChoice& choice : TypeChoices()) {
    EXPECT_EQ(NameOf(TypeFor(choice, {.gguf_name = "blk.0.attn_norm.weight",
                                      .cols = 2048,
                                      .layer = 0,
                                      .n_layers = 27,
                                      .vector = true})),
              "f32");
    EXPECT_EQ(NameOf(TypeFor(choice, {.gguf_name = "blk.1.ffn_gate_inp.weight",
                                      .cols = 2048,
                                      .layer = 1,
                                      .n_layers = 27,
                                      .router = true})),
              "f32");
  }
}

TEST(WeightTypes, OutputIsQ6KUnlessTheTypeIsQ8) {
  const TensorFacts output{.gguf_name = "output.weight", .cols = 4096};
  for (const char* type : {"q4_0", "q5_0", "q4_k", "q5_k", "q6_k", "q4_k_m"}) {
    EXPECT_EQ(TypeName(type, output), "q6_k") << type;
  }
  EXPECT_EQ(TypeName("q8_0", output), "q8_0");
  const TensorFacts embedding{.gguf_name = "token_embd.weight", .cols = 4096};
  EXPECT_EQ(TypeName("q4_k_m", embedding), "q4_k");
  TensorFacts tied = embedding;
  tied.tied = true;
  EXPECT_EQ(TypeName("q4_k_m", tied), "q6_k");
}

// 28 layers: the first 3, the last 4 (24 ..), and 5, 8, 11, 14, 17, 20, 23.
TEST(WeightTypes, MixLiftsValuesAndDownProjectionsOfTheRightLayers) {
  const std::set<int64_t> lifted = {0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27};
  for (int64_t l = 0; l < 28; ++l) {
    for (const char* name : {"attn_v.weight", "ffn_down.weight"}) {
      const std::string full = "blk." + std::to_string(l) + "." + name;
      EXPECT_EQ(
          TypeName(
              "q4_k_m",
              {.gguf_name = full, .cols = 8960, .layer = l, .n_layers = 28, .grouped_query = true}),
          lifted.contains(l) ? "q6_k" : "q4_k")
          << full;
      EXPECT_EQ(TypeName("q4_k", {.gguf_name = full, .cols = 8960, .layer = l, .n_layers = 28}),
                "q4_k");
    }
    const std::string other = "blk." + std::to_string(l) + ".attn_q.weight";
    EXPECT_EQ(TypeName("q4_k_m", {.gguf_name = other, .cols = 1536, .layer = l, .n_layers = 28}),
              "q4_k");
  }
}

TEST(WeightTypes, ValuesOf70BModelsAreNeverBelowQ5K) {
  std::map<std::string_view, int> count;
  for (int64_t l = 0; l < 80; ++l) {
    const std::string name = "blk." + std::to_string(l) + ".attn_v.weight";
    ++count[TypeName(
        "q4_k_m",
        {.gguf_name = name, .cols = 8192, .layer = l, .n_layers = 80, .grouped_query = true})];
  }
  EXPECT_EQ(count["q6_k"], 40);  // 10 + 10 + 20 of the 60 between
  EXPECT_EQ(count["q5_k"], 40);
}

// V2-Lite: expert rows of 1408 = 5.5 x 256, latent rows of 512, dense rows of 10944 = 42.75 x 256.
TEST(WeightTypes, RowsThatAreNoWholeSuperBlocksFallBackToSmallBlocks) {
  const TensorFacts lifted{
      .gguf_name = "blk.1.ffn_down_exps.weight", .cols = 1408, .layer = 1, .n_layers = 27};
  EXPECT_EQ(TypeName("q4_k_m", lifted), "q8_0");
  const TensorFacts plain{
      .gguf_name = "blk.4.ffn_down_exps.weight", .cols = 1408, .layer = 4, .n_layers = 27};
  EXPECT_EQ(TypeName("q4_k_m", plain), "q5_0");
  const TensorFacts dense{
      .gguf_name = "blk.0.ffn_down.weight", .cols = 10944, .layer = 0, .n_layers = 27};
  EXPECT_EQ(TypeName("q4_k_m", dense), "q8_0");
  const TensorFacts latent{
      .gguf_name = "blk.4.attn_kv_b.weight", .cols = 512, .layer = 4, .n_layers = 27};
  EXPECT_EQ(TypeName("q4_k_m", latent), "q4_k");
  const TensorFacts k_b{
      .gguf_name = "blk.4.attn_k_b.weight", .cols = 128, .layer = 4, .n_layers = 27};
  EXPECT_EQ(TypeName("q4_k_m", k_b), "q5_0");
  EXPECT_EQ(TypeName("q4_0", plain), "q4_0");
}

TEST(WeightTypes, RowsThatAreNoWholeBlocksAtAllAreF16) {
  const TensorFacts odd{
      .gguf_name = "blk.0.ffn_down.weight", .cols = 40, .layer = 0, .n_layers = 2};
  for (const char* type : {"q8_0", "q4_0", "q5_0", "q4_k", "q5_k", "q6_k", "q4_k_m"}) {
    EXPECT_EQ(TypeName(type, odd), "f16") << type;
  }
  EXPECT_EQ(TypeName("bf16", odd), "bf16");
  EXPECT_EQ(TypeName("f32", odd), "f32");
}

TEST(WeightTypes, EveryBlockTypeThatIsChosenHasAnEncoder) {
  for (const TypeChoice& choice : TypeChoices()) {
    for (const int64_t cols : {32, 96, 256, 1408, 7168}) {
      for (const char* name : {"output.weight", "blk.0.attn_v.weight", "blk.4.ffn_up.weight"}) {
        const TensorType type =
            TypeFor(choice, {.gguf_name = name, .cols = cols, .layer = 0, .n_layers = 8});
        EXPECT_GT(BytesOf(type, 1, cols), 0);
        if (const auto* quant = std::get_if<QuantType>(&type)) {
          EXPECT_TRUE(TraitsOf(*quant).encodable) << choice.name << " " << name << " " << cols;
        }
      }
    }
  }
}

}  // namespace
}  // namespace hadal
