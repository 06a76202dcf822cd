#include "convert/synth.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cmath>

#include "convert/testing_convert.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

void ExpectRuns(const fs::path& path) {
  const std::vector<float> logits = LogitsOfIds(path, {1, 2, 3, 4, 5, 6, 7, 8});
  ASSERT_FALSE(logits.empty());
  double largest = 0;
  for (const float v : logits) {
    ASSERT_TRUE(std::isfinite(v)) << path;
    largest = std::max<double>(largest, std::fabs(v));
  }
  EXPECT_GT(largest, 0.5) << path;  // not constant
  EXPECT_LT(largest, 50) << path;
}

// Shapes of every family, cut down to be quick; the names and the rules are the published ones.
PublishedShape Small(std::string_view name) {
  PublishedShape s = *FindShape(name);
  ModelConfig& c = s.config;
  c.hidden_size = 256;
  c.intermediate_size = 544;  // no whole number of 256
  c.head_dim = 64;
  if (c.model_type == "deepseek") c.head_dim = 128;
  c.num_attention_heads = c.is_mla() ? 4 : 8;
  const bool grouped = c.num_key_value_heads < FindShape(name)->config.num_attention_heads;
  c.num_key_value_heads = grouped ? 2 : c.num_attention_heads;
  c.num_hidden_layers = std::min<int64_t>(c.num_hidden_layers, c.first_k_dense_replace + 2);
  if (c.is_moe()) {
    c.n_routed_experts = 16;
    c.moe_intermediate_size = 96;
    if (c.n_group > 1) c.n_group = 4, c.topk_group = 2;
  }
  if (c.q_lora_rank > 0) c.q_lora_rank = 192;
  return s;
}

class Synthesis : public testing::TestWithParam<const char*> {};

TEST_P(Synthesis, RunsInBothFormats) {
  const ConvertDirectory dir;
  const PublishedShape shape = Small(GetParam());
  for (const char* name : {"q4_k_m", "f16", "fp8"}) {
    const TypeChoice type = *ParseTypeChoice(name);
    const bool gguf = !type.both_formats && type.only == FileFormat::kGguf;
    const fs::path out = dir / (type.name + (gguf ? ".gguf" : ""));
    SynthOptions options{.type = type,
                         .format = gguf ? FileFormat::kGguf : FileFormat::kSafetensors};
    options.threads = 2;
    const Status made = Synthesise(shape, out, options);
    ASSERT_TRUE(made.has_value()) << out << ": " << made.error().message;
    ExpectRuns(out);
    EXPECT_TRUE(Tokenizer::Load(out).has_value());
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Synthesis,
                         testing::Values("r1-distill-qwen-1.5b", "r1-distill-llama-8b",
                                         "r1-0528-qwen3-8b", "deepseek-coder-1.3b", "v2-lite",
                                         "v2.5", "r1"),
                         [](const auto& shape) {
                           std::string name = shape.param;
                           for (char& c : name) c = std::isalnum(c) ? c : '_';
                           return name;
                         });

TEST(Synthesis, GivesTheSameBytesForAnyNumberOfThreadsAndOthersForAnotherSeed) {
  const ConvertDirectory dir;
  const PublishedShape shape = Small("v2-lite");
  const auto make = [&](const char* name, int threads, uint64_t seed) {
    SynthOptions options{.type = *ParseTypeChoice("q4_k_m")};
    options.threads = threads;
    options.seed = seed;
    EXPECT_TRUE(Synthesise(shape, dir / name, options).has_value());
    return BytesOfFile(dir / name);
  };
  const std::string one = make("a.gguf", 1, 1), four = make("b.gguf", 4, 1);
  EXPECT_EQ(one, four);
  EXPECT_NE(one, make("c.gguf", 1, 2));
}

TEST(Synthesis, StopsWhenAskedToAndLeavesNothing) {
  const ConvertDirectory dir;
  std::atomic<bool> stop{false};
  SynthOptions options;
  options.type = *ParseTypeChoice("q8_0");
  options.stop = &stop;
  options.progress = [&](uint64_t, uint64_t) { stop = true; };
  const Status made = Synthesise(Small("r1-distill-qwen-1.5b"), dir / "x.gguf", options);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(dir.Names().empty());
}

TEST(Synthesis, RefusesANameThatSaysTheOtherForm) {
  const ConvertDirectory dir;
  SynthOptions options;
  for (const auto& [name, type, format] :
       {std::tuple("x.safetensors", "q8_0", FileFormat::kGguf),
        std::tuple("x.gguf", "fp8", FileFormat::kSafetensors),
        std::tuple("x.safetensors", "fp8", FileFormat::kSafetensors)}) {
    options.type = *ParseTypeChoice(type);
    options.format = format;
    const Status made = Synthesise(Small("v3"), dir / name, options);
    ASSERT_FALSE(made.has_value()) << name;
    EXPECT_EQ(made.error().field, "out");
  }
  EXPECT_TRUE(dir.Names().empty());
}

TEST(Synthesis, RefusesMoreLayersThanPublished) {
  const ConvertDirectory dir;
  SynthOptions options{.type = *ParseTypeChoice("q4_k_m")};
  options.layers = 29;
  const Status made = Synthesise(*FindShape("r1-distill-qwen-1.5b"), dir / "x.gguf", options);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().field, "layers");
  EXPECT_TRUE(dir.Names().empty());
}

}  // namespace
}  // namespace hadal
