// What Forward, the cache and the routing options refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/moe.h"
#include "models/step_check.h"
#include "models/testing_model.h"
#include "models/tiny_checkpoints.h"

namespace hadal {
namespace {

using testing::HasSubstr;

// A right step of two chunks, 2 + 1 rows, in a cache of 4 blocks of 2 tokens.
struct Arrays {
  std::vector<TokenId> tokens = {4, 5, 6};
  std::vector<int32_t> positions = {0, 1, 2}, slots = {6, 7, 0}, logit_rows = {1, 2};
  std::vector<int32_t> first_blocks = {3}, second_blocks = {1, 0};
  std::vector<SeqChunk> chunks = {{0, 2, 0, first_blocks.data()}, {2, 1, 2, second_blocks.data()}};

  std::string Error() const {
    const StepInput step{tokens, positions, slots, chunks, logit_rows};
    const StepLimits limits{.max_rows = 4, .max_logit_rows = 2, .vocab = 10, .context = 8};
    const Status status = CheckStep(step, limits, 4, 2);
    if (!status) EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    return status ? "" : status.error().message;
  }
};

TEST(StepCheck, ARightStepPasses) { EXPECT_EQ(Arrays{}.Error(), ""); }

TEST(StepCheck, SizesBeyondTheWorkspaceAreRefused) {
  Arrays a;
  a.tokens = {1, 2, 3, 4, 5};
  EXPECT_THAT(a.Error(), HasSubstr("has 5 tokens; it must be 1 .. 4"));
  a = Arrays{};
  a.tokens.clear();
  EXPECT_THAT(a.Error(), HasSubstr("has 0 tokens"));
  Arrays b;
  b.logit_rows = {0, 1, 2};
  EXPECT_THAT(b.Error(), HasSubstr("logits of 3 rows; at most 2"));
}

TEST(StepCheck, ValuesOutOfRangeAreRefusedByName) {
  Arrays token, negative, position, slot, row, block;
  token.tokens[1] = 10;
  EXPECT_THAT(token.Error(), HasSubstr("token 10; it must be in 0 .. 9"));
  negative.tokens[1] = -1;
  EXPECT_THAT(negative.Error(), HasSubstr("token -1"));
  position.positions[2] = 8;
  EXPECT_THAT(position.Error(), HasSubstr("position 8"));
  slot.slots[0] = 8;
  EXPECT_THAT(slot.Error(), HasSubstr("slot 8"));
  row.logit_rows[0] = 3;
  EXPECT_THAT(row.Error(), HasSubstr("logit row 3"));
  block.second_blocks[1] = 4;
  EXPECT_THAT(block.Error(), HasSubstr("block 4"));
}

TEST(StepCheck, ChunksMustCoverTheRowsInOrder) {
  Arrays gap, shorter, none;
  gap.chunks[1].first_row = 1;
  EXPECT_THAT(gap.Error(), HasSubstr("the next row is 2"));
  shorter.chunks.pop_back();
  EXPECT_THAT(shorter.Error(), HasSubstr("cover 2 of its 3 rows"));
  none.chunks[0].n_rows = 0;
  EXPECT_THAT(none.Error(), HasSubstr("0 rows"));
}

TEST(StepCheck, LengthsMustAgree) {
  Arrays a;
  a.slots.pop_back();
  EXPECT_THAT(a.Error(), HasSubstr("3 positions and 2 slots"));
}

TEST(Forward, ComputesTheLargestStepAndRefusesALargerOne) {
  const ModelDirectory directory;
  TinyLatent().Write(directory);
  const auto backend = NewBackend();
  LoadOptions options;
  options.max_step_tokens = options.max_logit_rows = 5;
  auto model = LoadModel(directory.path(), *backend, options);
  ASSERT_TRUE(model.has_value()) << model.error().message;
  auto kv = KvStorage::Allocate(*backend, (*model)->kv_layout(), 4, 8);
  ASSERT_TRUE(kv.has_value());
  std::vector<float> logits(6 * 37);
  for (const int32_t n : {5, 6}) {
    TestSequence sequence({1, 2, 3, 4, 5, 6}, 8, 0);
    TestStep step;
    step.Add(sequence, n, 8);
    EXPECT_EQ((*model)->Forward(step.input(), **kv, logits.data()).has_value(), n == 5) << n;
  }
}

TEST(Forward, WithoutLogitRowsOnlyFillsTheCache) {
  const ModelDirectory directory;
  TinyDense().Write(directory);
  const auto backend = NewBackend();
  auto model = LoadModel(directory.path(), *backend, {});
  ASSERT_TRUE(model.has_value()) << model.error().message;
  auto kv = KvStorage::Allocate(*backend, (*model)->kv_layout(), 4, 8);
  ASSERT_TRUE(kv.has_value());
  TestSequence sequence({1, 2, 3, 4}, 8, 0);
  TestStep prompt, last;
  prompt.Add(sequence, 3, 8);
  StepInput silent = prompt.input();
  silent.logit_rows = {};
  ASSERT_TRUE((*model)->Forward(silent, **kv, nullptr).has_value());
  last.Add(sequence, 1, 8);
  std::vector<float> logits(37);
  ASSERT_TRUE((*model)->Forward(last.input(), **kv, logits.data()).has_value());
  const auto whole = AllLogits(**model, *backend, {1, 2, 3, 4}, 4);
  EXPECT_LE(MaxDifference(logits, std::span(whole).last(37)), 1e-5f);
}

// The rotation of far positions is made when the first of them comes, in whatever order.
TEST(Forward, FarPositionsGiveTheSameWhenTheyComeFirst) {
  constexpr int32_t kBlockTokens = 256, kFar = 70'000, kFarther = 150'000;
  const ModelDirectory directory;
  TinyCheckpoint tiny = TinyDense();
  const std::string claim = "\"max_position_embeddings\": 64";
  tiny.config.replace(tiny.config.find(claim), claim.size(), "\"max_position_embeddings\": 200000");
  tiny.Write(directory);
  const auto backend = NewBackend();
  std::vector<std::vector<float>> results;
  for (const bool farther_first : {false, true}) {
    auto model = LoadModel(directory.path(), *backend, {});
    ASSERT_TRUE(model.has_value()) << model.error().message;
    std::vector<float> logits(37);
    for (const int32_t at : {kFarther, kFar}) {
      if (at == kFarther && !farther_first) continue;
      const int32_t blocks = at / kBlockTokens + 1;
      auto kv = KvStorage::Allocate(*backend, (*model)->kv_layout(), blocks, kBlockTokens);
      ASSERT_TRUE(kv.has_value());
      TestSequence sequence(std::vector<TokenId>(static_cast<size_t>(at) + 1, 7), kBlockTokens,
                            blocks - 1);
      sequence.done = at;
      TestStep step;
      step.Add(sequence, 1, kBlockTokens);
      ASSERT_TRUE((*model)->Forward(step.input(), **kv, logits.data()).has_value());
    }
    results.push_back(logits);
  }
  EXPECT_EQ(MaxDifference(results[0], results[1]), 0);
}

TEST(KvStorage, HoldsEveryStreamOfTheLayout) {
  const auto backend = NewBackend();  // float32 cache
  const KvLayout layout{{{"k", 0, KvKind::kPerToken, {6}}, {"v", 0, KvKind::kPerToken, {10}}}};
  const auto kv = KvStorage::Allocate(*backend, layout, 3, 4);
  ASSERT_TRUE(kv.has_value());
  EXPECT_EQ((*kv)->bytes(), 3u * 4 * (6 + 10) * 4);
  EXPECT_EQ((*kv)->view(1).width, 10);
  EXPECT_EQ((*kv)->view(1).block_tokens, 4);
  EXPECT_NE((*kv)->view(0).data, (*kv)->view(1).data);
}

TEST(KvStorage, SizesThatOverflowAreRefused) {
  const auto backend = NewBackend();
  const KvLayout layout{{{"k", 0, KvKind::kPerToken, {6}}}};
  EXPECT_FALSE(KvStorage::Allocate(*backend, layout, 1 << 20, 1 << 12).has_value());
  EXPECT_FALSE(KvStorage::Allocate(*backend, layout, 0, 16).has_value());
  const KvLayout wide{{{"k", 0, KvKind::kPerToken, {int64_t{1} << 60}}}};
  const auto kv = KvStorage::Allocate(*backend, wide, 1 << 10, 16);
  ASSERT_FALSE(kv.has_value());
  EXPECT_EQ(kv.error().code, ErrorCode::kOutOfMemory);
}

ModelConfig ExpertsConfig() {
  ModelConfig c;
  c.num_hidden_layers = 6;
  c.n_routed_experts = 8;
  c.n_shared_experts = 2;
  c.num_experts_per_tok = 2;
  c.moe_intermediate_size = 16;
  c.first_k_dense_replace = 1;
  c.n_group = 4;
  c.topk_group = 2;
  return c;
}

TEST(MoeOptions, FollowTheFamilyUntilTheConfigSaysOtherwise) {
  ModelConfig c = ExpertsConfig();
  const RoutingDefaults sigmoid{ScoringFunc::kSigmoid, TopkMethod::kNoauxTc, 2.5};
  const auto by_family = MoeOptionsOf(c, sigmoid);
  ASSERT_TRUE(by_family.has_value());
  EXPECT_EQ(by_family->score, GateScore::kSigmoid);
  EXPECT_EQ(by_family->group_score, GroupScore::kTopTwoSum);
  EXPECT_TRUE(by_family->choice_bias);
  EXPECT_EQ(by_family->scale, 2.5f);
  c.scoring_func = ScoringFunc::kSoftmax;
  c.topk_method = TopkMethod::kGroupLimitedGreedy;
  c.routed_scaling_factor = 16.0;
  const auto by_config = MoeOptionsOf(c, sigmoid);
  ASSERT_TRUE(by_config.has_value());
  EXPECT_EQ(by_config->score, GateScore::kSoftmax);
  EXPECT_EQ(by_config->group_score, GroupScore::kMax);
  EXPECT_FALSE(by_config->choice_bias);
  EXPECT_EQ(by_config->scale, 16.0f);
  c.topk_method = TopkMethod::kGreedy;
  EXPECT_EQ(MoeOptionsOf(c, sigmoid)->n_groups, 1);
}

TEST(MoeOptions, WhatCannotBeRoutedIsRefusedByField) {
  const RoutingDefaults top_two{ScoringFunc::kSigmoid, TopkMethod::kNoauxTc, 1};
  ModelConfig lonely = ExpertsConfig(), none = ExpertsConfig(), huge = ExpertsConfig();
  lonely.n_group = 8;
  EXPECT_EQ(MoeOptionsOf(lonely, top_two).error().field, "n_group");
  none.n_shared_experts = 0;
  EXPECT_EQ(MoeOptionsOf(none, top_two).error().field, "n_shared_experts");
  huge.n_routed_experts = 16384;
  huge.num_hidden_layers = 16384;
  EXPECT_EQ(MoeOptionsOf(huge, top_two).error().field, "n_routed_experts");
}

TEST(MoeLayers, StartAfterTheDenseOnesAtTheGivenFrequency) {
  ModelConfig c = ExpertsConfig();
  EXPECT_FALSE(HasExperts(c, 0));
  EXPECT_TRUE(HasExperts(c, 1));
  c.moe_layer_freq = 2;
  EXPECT_FALSE(HasExperts(c, 1));
  EXPECT_TRUE(HasExperts(c, 2));
}

}  // namespace
}  // namespace hadal
