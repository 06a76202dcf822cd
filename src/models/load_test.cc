#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "models/testing_model.h"
#include "models/tiny_checkpoints.h"

namespace hadal {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class LoadTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Model>> Load(const TinyCheckpoint& t, const LoadOptions& options = {}) {
    t.Write(directory_);
    return LoadModel(directory_.path(), *backend_, options);
  }
  std::string ErrorOf(const TinyCheckpoint& t, ErrorCode code, const LoadOptions& options = {}) {
    const auto model = Load(t, options);
    if (model) {
      ADD_FAILURE() << "it loaded";
      return "";
    }
    EXPECT_EQ(model.error().code, code) << model.error().message;
    return model.error().message;
  }
  std::vector<float> Logits(const TinyCheckpoint& t) {
    auto model = Load(t);
    EXPECT_TRUE(model.has_value()) << model.error().message;
    if (!model) return {};
    return AllLogits(**model, *backend_, {1, 7, 36, 0, 12, 9, 9, 30, 2}, 4);
  }

  std::unique_ptr<Backend> backend_ = NewBackend();
  ModelDirectory directory_;
};

TinyCheckpoint WithConfig(TinyCheckpoint t, const std::string& from, const std::string& to) {
  const size_t at = t.config.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  t.config.replace(at, from.size(), to);
  return t;
}

TEST_F(LoadTest, MissingExtraAndMisshapenTensorsAreReportedTogether) {
  TinyCheckpoint t = TinyDense();
  t.tensors.erase("model.layers.0.self_attn.q_proj.weight");
  t.tensors.erase("model.layers.1.mlp.up_proj.weight");
  t.Add("model.layers.1.self_attn.o_proj.weight", {24, 31});
  t.Add("model.layers.0.self_attn.q_proj.bias", {32});
  EXPECT_THAT(ErrorOf(t, ErrorCode::kBadFile),
              AllOf(HasSubstr("missing: 'model.layers.0.self_attn.q_proj.weight' [32, 24]"),
                    HasSubstr("missing: 'model.layers.1.mlp.up_proj.weight' [20, 24]"),
                    HasSubstr("'model.layers.1.self_attn.o_proj.weight' is [24, 31]"),
                    HasSubstr("unexpected: 'model.layers.0.self_attn.q_proj.bias'")));
}

TEST_F(LoadTest, AMatrixThatIsSplitIsReportedOnce) {
  TinyCheckpoint t = TinyLatent();
  t.Add("model.layers.0.self_attn.kv_a_proj_with_mqa.weight", {12, 24});
  const std::string message = ErrorOf(t, ErrorCode::kBadFile);
  EXPECT_THAT(message, HasSubstr("is [12, 24], expected [11, 24]"));
  EXPECT_THAT(message, HasSubstr(" 1 problem"));
}

TEST_F(LoadTest, NanAndInfinityAreRefusedByTensorName) {
  TinyCheckpoint t = TinyLatent();
  t.tensors["model.layers.1.mlp.experts.4.up_proj.weight"].values[17] =
      std::numeric_limits<float>::quiet_NaN();
  t.tensors["model.layers.0.self_attn.kv_b_proj.weight"].values[3] =
      -std::numeric_limits<float>::infinity();
  t.tensors["model.norm.weight"].values[23] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(
      ErrorOf(t, ErrorCode::kBadFile),
      AllOf(HasSubstr("NaN or infinity"), HasSubstr("model.layers.1.mlp.experts.4.up_proj.weight"),
            HasSubstr("model.layers.0.self_attn.kv_b_proj.weight"), HasSubstr("model.norm.weight"),
            Not(HasSubstr("down_proj"))));
}

// The cut comes between two tensors, and the backend's threads go on reading a mapping that ends in
// the middle of the first one in the file. Without the signal handler the process would die.
TEST_F(LoadTest, AFileThatIsCutWhileItIsReadIsRefused) {
  TinyCheckpoint t = WithConfig(TinyDense(), "\"vocab_size\": 37", "\"vocab_size\": 40000");
  t.Add("model.embed_tokens.weight", {40000, 24});
  t.Add("lm_head.weight", {40000, 24});
  for (const int cut_at_call : {1, 2, 5}) {
    SCOPED_TRACE(cut_at_call);
    int calls = 0;
    LoadOptions options;
    options.progress = [&](size_t, size_t) {
      if (++calls == cut_at_call) std::filesystem::resize_file(directory_.checkpoint(), 8192);
    };
    EXPECT_THAT(ErrorOf(t, ErrorCode::kBadFile, options), HasSubstr("became shorter"));
    EXPECT_GT(calls, cut_at_call) << "nothing was read after the cut";
  }
}

TEST_F(LoadTest, AFileThatIsCutAfterLoadingChangesNothing) {
  const TinyCheckpoint t = TinyDense();
  auto model = Load(t);
  ASSERT_TRUE(model.has_value()) << model.error().message;
  const auto before = AllLogits(**model, *backend_, {1, 2, 3}, 4);
  std::filesystem::resize_file(directory_.checkpoint(), 16);
  EXPECT_EQ(AllLogits(**model, *backend_, {1, 2, 3}, 4), before);
}

TEST_F(LoadTest, AnUnknownArchitectureIsRefusedWithTheListOfSupportedOnes) {
  const TinyCheckpoint t = WithConfig(TinyDense(), "\"llama\"", "\"mamba\"");
  EXPECT_THAT(ErrorOf(t, ErrorCode::kUnsupportedModel),
              AllOf(HasSubstr("'mamba'"), HasSubstr("deepseek_v3"), HasSubstr("qwen2")));
}

TEST_F(LoadTest, OneFileBesideItsConfigLoadsLikeTheDirectory) {
  TinyDense().Write(directory_);
  const auto model = LoadModel(directory_.checkpoint(), *backend_, {});
  EXPECT_TRUE(model.has_value()) << model.error().message;
}

TEST_F(LoadTest, MultiTokenPredictionLayersAreIgnored) {
  TinyCheckpoint t = TinyLatent();
  const auto without = Logits(t);
  t.Add("model.layers.2.eh_proj.weight", {24, 48});
  t.Add("model.layers.2.shared_head.norm.weight", {24});
  EXPECT_EQ(Logits(t), without);
  t.Add("model.layers.3.eh_proj.weight", {24, 48});
  EXPECT_THAT(ErrorOf(t, ErrorCode::kBadFile), HasSubstr("model.layers.3.eh_proj.weight"));
}

TEST_F(LoadTest, ATiedHeadMultipliesTheEmbedding) {
  TinyCheckpoint t = TinyDense();
  t.tensors["lm_head.weight"] = t.tensors["model.embed_tokens.weight"];
  const auto untied = Logits(t);
  t = WithConfig(t, "\"rope_theta\"", "\"tie_word_embeddings\": true, \"rope_theta\"");
  t.tensors.erase("lm_head.weight");
  EXPECT_EQ(Logits(t), untied);
}

// Rows of the rotated parts in the order (0, 2, .., 1, 3, ..) turn adjacent pairs into halves.
TEST_F(LoadTest, RopeInterleaveFalsePairsHalvesOfThePermutedRows) {
  TinyCheckpoint t = TinyLatent();
  const auto adjacent = Logits(t);
  const auto permute = [](TinyCheckpoint::Values& v, size_t row0) {
    const auto source = v.values;
    constexpr size_t kOrder[] = {0, 2, 1, 3}, kCols = 24;
    for (size_t r = 0; r < 4; ++r) {
      std::copy_n(source.begin() + static_cast<std::ptrdiff_t>((row0 + kOrder[r]) * kCols), kCols,
                  v.values.begin() + static_cast<std::ptrdiff_t>((row0 + r) * kCols));
    }
  };
  for (int l = 0; l < 2; ++l) {
    const std::string p = fmt::format("model.layers.{}.self_attn.", l);
    permute(t.tensors[p + "kv_a_proj_with_mqa.weight"], 7);
    for (size_t h = 0; h < 3; ++h) permute(t.tensors[p + "q_proj.weight"], h * 10 + 6);
  }
  EXPECT_GT(MaxDifference(Logits(t), adjacent), 1e-4f);
  t = WithConfig(t, "\"n_group\"", "\"rope_interleave\": false, \"n_group\"");
  EXPECT_LE(MaxDifference(Logits(t), adjacent), 1e-5f);
}

TEST_F(LoadTest, InfoCountsParametersAndBytes) {
  auto dense = Load(TinyDense());
  ASSERT_TRUE(dense.has_value()) << dense.error().message;
  const ModelInfo& info = (*dense)->info();
  const int64_t layer = 2 * 24 + 24 * (32 + 16 + 16 + 32) + 3 * 20 * 24;
  EXPECT_EQ(info.architecture, "llama");
  EXPECT_EQ(info.parameters, 2 * 37 * 24 + 24 + 2 * layer);
  EXPECT_EQ(info.active_parameters, 37 * 24 + 24 + 2 * layer);  // an embedding row is no product
  EXPECT_EQ(info.context, 64);
  EXPECT_THAT(info.eos_ids, ElementsAre(3, 5));
  EXPECT_EQ(info.checkpoint_bytes, static_cast<size_t>(info.parameters) * 4);
  EXPECT_GE(info.resident_bytes, info.checkpoint_bytes);
  EXPECT_GE(info.bytes_per_token, static_cast<size_t>(info.active_parameters) * 4);
  EXPECT_LT(info.bytes_per_token, info.resident_bytes);

  auto latent = Load(TinyLatent());
  ASSERT_TRUE(latent.has_value()) << latent.error().message;
  const int64_t attention = 2 * 24 + 30 * 24 + 11 * 24 + 7 + 33 * 7 + 24 * 15;
  const int64_t expert = 3 * 10 * 24;
  const int64_t fixed = 37 * 24 + 24 + 2 * attention + 3 * 20 * 24 + expert + 6 * 24 + 6;
  EXPECT_EQ((*latent)->info().parameters, 37 * 24 + fixed + 6 * expert);
  EXPECT_EQ((*latent)->info().active_parameters, fixed + 2 * expert);
}

TEST_F(LoadTest, StreamsAreDeclaredPerLayer) {
  auto dense = Load(TinyDense());
  ASSERT_TRUE(dense.has_value());
  const KvLayout& gqa = (*dense)->kv_layout();
  ASSERT_EQ(gqa.streams.size(), 4u);
  EXPECT_EQ(gqa.streams[3].name, "v");
  EXPECT_EQ(gqa.streams[3].layer, 1);
  EXPECT_EQ(gqa.BytesPerToken(DType::kBf16), 2 * 2 * 16 * 2);
  EXPECT_EQ(gqa.streams[3].row.group, 8);
  auto latent = Load(TinyLatent());
  ASSERT_TRUE(latent.has_value());
  EXPECT_EQ((*latent)->kv_layout().BytesPerToken(DType::kBf16), 2 * (7 + 4) * 2);
  // 7 codes, a scale, 4 values that stay bf16; each padded to 16 bytes.
  EXPECT_EQ((*latent)->kv_layout().BytesPerToken(DType::kF8E4M3), 2 * (16 + 16 + 16));
}

TEST_F(LoadTest, MaxContextLowersTheContext) {
  LoadOptions options;
  options.max_context = 16;
  auto model = Load(TinyDense(), options);
  ASSERT_TRUE(model.has_value());
  EXPECT_EQ((*model)->info().context, 16);
  options.max_context = 1000;
  model = Load(TinyDense(), options);
  ASSERT_TRUE(model.has_value());
  EXPECT_EQ((*model)->info().context, 64);
}

TEST_F(LoadTest, ProgressEndsWithAllBytes) {
  std::vector<std::pair<size_t, size_t>> calls;
  LoadOptions options;
  options.progress = [&](size_t done, size_t all) { calls.emplace_back(done, all); };
  ASSERT_TRUE(Load(TinyLatent(), options).has_value());
  ASSERT_FALSE(calls.empty());
  EXPECT_TRUE(std::is_sorted(calls.begin(), calls.end()));
  EXPECT_EQ(calls.back().first, calls.back().second);
}

TEST_F(LoadTest, WorkspacesOfNoRowsAreRefused) {
  LoadOptions options;
  options.max_step_tokens = 0;
  EXPECT_THAT(ErrorOf(TinyDense(), ErrorCode::kInvalidArgument, options),
              HasSubstr("max_step_tokens is 0"));
}

}  // namespace
}  // namespace hadal
