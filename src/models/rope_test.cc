#include "models/rope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "models/mla.h"
#include "models/testing_model.h"

namespace hadal {
namespace {

RopeConfig Yarn(double factor, int64_t original, double theta) {
  RopeConfig rope;
  rope.type = RopeType::kYarn;
  rope.theta = theta;
  rope.factor = factor;
  rope.original_max_position_embeddings = original;
  return rope;
}

// config.json of DeepSeek-V3: theta 1e4, factor 40, original 4096, beta 32 and 1, mscale 1 and 1.
RopeConfig DeepseekV3Rope() {
  RopeConfig rope = Yarn(40, 4096, 10000);
  rope.mscale = rope.mscale_all_dim = 1.0;
  return rope;
}

TEST(RopeFrequencies, WithoutScalingArePowersOfTheta) {
  RopeConfig rope;
  rope.theta = 10000;
  const auto inv = InverseFrequencies(rope, 8);
  ASSERT_EQ(inv.size(), 4u);
  EXPECT_DOUBLE_EQ(inv[0], 1.0);
  EXPECT_NEAR(inv[1], 0.1, 1e-15);
  EXPECT_NEAR(inv[2], 0.01, 1e-16);
  EXPECT_NEAR(inv[3], 0.001, 1e-17);
}

TEST(RopeFrequencies, LinearScalingDividesEveryFrequency) {
  RopeConfig rope;  // deepseek-coder
  rope.type = RopeType::kLinear;
  rope.theta = 100000;
  rope.factor = 4;
  const auto inv = InverseFrequencies(rope, 128);
  EXPECT_DOUBLE_EQ(inv[0], 0.25);
  EXPECT_NEAR(inv[32], std::pow(100000, -0.5) / 4, 1e-15);
}

TEST(RopeFrequencies, YarnOfDeepseekV3RampsBetweenPairs10And23) {
  const auto inv = InverseFrequencies(DeepseekV3Rope(), 64);
  const auto plain = [](int i) { return std::pow(10000.0, -2.0 * i / 64); };
  for (int i = 0; i <= 10; ++i) EXPECT_DOUBLE_EQ(inv[static_cast<size_t>(i)], plain(i)) << i;
  for (int i = 11; i < 23; ++i) {
    const double ramp = (i - 10) / 13.0;
    const double want = plain(i) / 40 * ramp + plain(i) * (1 - ramp);
    EXPECT_NEAR(inv[static_cast<size_t>(i)], want, 1e-12 * want) << i;
    EXPECT_LT(inv[static_cast<size_t>(i)], plain(i)) << i;
  }
  for (int i = 23; i < 32; ++i) {
    EXPECT_NEAR(inv[static_cast<size_t>(i)], plain(i) / 40, 1e-12 * plain(i)) << i;
  }
}

TEST(RopeFrequencies, Llama3KeepsShortWavelengthsAndDividesLongOnes) {
  RopeConfig rope;  // R1-Distill-Llama
  rope.type = RopeType::kLlama3;
  rope.theta = 500000;
  rope.factor = 8;
  rope.low_freq_factor = 1;
  rope.high_freq_factor = 4;
  rope.original_max_position_embeddings = 8192;
  const auto inv = InverseFrequencies(rope, 128);
  int kept = 0, divided = 0, between = 0;
  for (size_t i = 0; i < inv.size(); ++i) {
    const double plain = std::pow(500000.0, -2.0 * static_cast<double>(i) / 128);
    const double wavelength = 2 * std::numbers::pi / plain;
    if (wavelength < 8192.0 / 4) {
      EXPECT_DOUBLE_EQ(inv[i], plain) << i;
      ++kept;
    } else if (wavelength > 8192.0) {
      EXPECT_NEAR(inv[i], plain / 8, 1e-12 * plain) << i;
      ++divided;
    } else {
      const double smooth = (8192 / wavelength - 1) / 3;
      EXPECT_NEAR(inv[i], (1 - smooth) * plain / 8 + smooth * plain, 1e-12 * plain) << i;
      ++between;
    }
  }
  // theta^(-i/64) * 8192 / 2 pi crosses 4 after i = 28 and 1 after i = 34.
  EXPECT_EQ(kept, 29);
  EXPECT_EQ(between, 6);
  EXPECT_EQ(divided, 29);
}

TEST(Rope, TablesHoldScaledCosAndSinOfEveryPosition) {
  const auto backend = NewBackend();
  RopeConfig config = Yarn(4, 32768, 1e6);  // cos and sin times 0.1 ln 4 + 1
  const auto rope = Rope::Build(config, 8, RopePairing::kHalfSplit, 100, *backend);
  ASSERT_TRUE(rope.has_value()) << rope.error().message;
  EXPECT_EQ(rope->positions(), 100);
  EXPECT_EQ(rope->table().dims, 8);
  const auto inv = InverseFrequencies(config, 8);
  const double scale = 0.1 * std::log(4) + 1;
  for (size_t p : {0u, 1u, 99u}) {
    for (size_t i = 0; i < 4; ++i) {
      const double angle = static_cast<double>(p) * inv[i];
      EXPECT_FLOAT_EQ(rope->table().cos[p * 4 + i], static_cast<float>(scale * std::cos(angle)));
      EXPECT_FLOAT_EQ(rope->table().sin[p * 4 + i], static_cast<float>(scale * std::sin(angle)));
    }
  }
}

TEST(Rope, AttnFactorUndoesTheYarnFactor) {
  RopeConfig config = Yarn(4, 32768, 1e6);  // R1-0528-Qwen3-8B
  config.attn_factor = 0.8782488562869419;
  const auto backend = NewBackend();
  const auto rope = Rope::Build(config, 128, RopePairing::kHalfSplit, 4, *backend);
  ASSERT_TRUE(rope.has_value());
  EXPECT_FLOAT_EQ(rope->table().cos[0], 1.0f);
}

TEST(Rope, EqualMscalesLeaveCosAndSinUnscaled) {
  const auto backend = NewBackend();
  const auto rope = Rope::Build(DeepseekV3Rope(), 64, RopePairing::kAdjacent, 4, *backend);
  ASSERT_TRUE(rope.has_value());
  EXPECT_FLOAT_EQ(rope->table().cos[0], 1.0f);
}

TEST(Rope, TablesAreCappedWhateverTheConfigClaims) {
  const auto backend = NewBackend();
  const auto rope =
      Rope::Build(RopeConfig{}, 8192, RopePairing::kHalfSplit, int64_t{1} << 31, *backend);
  ASSERT_TRUE(rope.has_value());
  EXPECT_EQ(rope->positions(), (256 << 20) / (8192 * 4));
}

TEST(Rope, RowsAreMadeWhenTheyAreNeededAndNotForWhatAConfigClaims) {
  const auto backend = NewBackend();
  const int64_t claimed = 100'000;
  auto lazy = Rope::Build(RopeConfig{}, 128, RopePairing::kHalfSplit, claimed, *backend);
  auto all = Rope::Build(RopeConfig{}, 128, RopePairing::kHalfSplit, 20'000, *backend);
  ASSERT_TRUE(lazy.has_value() && all.has_value());
  EXPECT_EQ(lazy->positions(), claimed);
  EXPECT_EQ(lazy->ready(), 4096);
  ASSERT_TRUE(all->Reserve(20'000).has_value());
  EXPECT_EQ(all->ready(), 20'000);
  for (const int64_t n : {int64_t{1}, lazy->ready(), lazy->ready() + 1, int64_t{15'000}}) {
    const int64_t before = lazy->ready();
    ASSERT_TRUE(lazy->Reserve(n).has_value());
    EXPECT_GE(lazy->ready(), n);
    if (n <= before) EXPECT_EQ(lazy->ready(), before);
    EXPECT_LE(lazy->ready(), std::max(n, 2 * before));
    const auto values = static_cast<size_t>(n * 64);
    EXPECT_EQ(std::memcmp(lazy->table().cos, all->table().cos, values * sizeof(float)), 0);
    EXPECT_EQ(std::memcmp(lazy->table().sin, all->table().sin, values * sizeof(float)), 0);
  }
  ASSERT_TRUE(lazy->Reserve(claimed).has_value());
  EXPECT_EQ(lazy->ready(), claimed);
}

TEST(Rope, RefusesNumbersThatRotateNothing) {
  const auto backend = NewBackend();
  RopeConfig flat;
  flat.theta = 1.0;
  EXPECT_FALSE(Rope::Build(flat, 64, RopePairing::kAdjacent, 4, *backend).has_value());
  EXPECT_FALSE(Rope::Build(RopeConfig{}, 7, RopePairing::kAdjacent, 4, *backend).has_value());
  EXPECT_FALSE(Rope::Build(RopeConfig{}, 0, RopePairing::kAdjacent, 4, *backend).has_value());
}

ModelConfig LatentConfig(double mscale) {
  ModelConfig c;
  c.model_type = "x";
  c.hidden_size = 7168;
  c.num_attention_heads = 128;
  c.q_lora_rank = 1536;
  c.kv_lora_rank = 512;
  c.qk_nope_head_dim = 128;
  c.qk_rope_head_dim = 64;
  c.v_head_dim = 128;
  c.rope = DeepseekV3Rope();
  c.rope.mscale = c.rope.mscale_all_dim = mscale;
  return c;
}

// m = 0.1 * mscale_all_dim * ln 40 + 1 is 1.36889 for V3 and 1.26080 for V2-Lite.
TEST(MlaScale, IsOf192DimensionsTimesTheSquareOfTheYarnFactor) {
  const auto v3 = MlaOptionsOf(LatentConfig(1.0));
  ASSERT_TRUE(v3.has_value());
  EXPECT_NEAR(v3->scale, 1.87385 / std::sqrt(192.0), 1e-6);
  const auto lite = MlaOptionsOf(LatentConfig(0.707));
  ASSERT_TRUE(lite.has_value());
  EXPECT_NEAR(lite->scale, 1.58962 / std::sqrt(192.0), 1e-6);
}

TEST(MlaScale, IsPlainWithoutYarn) {
  ModelConfig c = LatentConfig(1.0);
  c.rope = RopeConfig{};
  const auto options = MlaOptionsOf(c);
  ASSERT_TRUE(options.has_value());
  EXPECT_FLOAT_EQ(options->scale, 1 / std::sqrt(192.0f));
}

TEST(MlaOptions, BiasesAndMissingLatentsAreRefusedByField) {
  ModelConfig biased = LatentConfig(1.0);
  biased.attention_bias = true;
  const auto with_bias = MlaOptionsOf(biased);
  ASSERT_FALSE(with_bias.has_value());
  EXPECT_EQ(with_bias.error().field, "attention_bias");
  ModelConfig plain = LatentConfig(1.0);
  plain.kv_lora_rank = 0;
  const auto without = MlaOptionsOf(plain);
  ASSERT_FALSE(without.has_value());
  EXPECT_EQ(without.error().field, "kv_lora_rank");
}

}  // namespace
}  // namespace hadal
