// Multi-token prediction against its formulas in double precision, written as plain loops (arXiv
// 2412.19437 section 2.2; attention of 2405.04434 section 2.1, decompressed).
#include "models/draft_layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "models/testing_gguf_model.h"
#include "models/testing_model.h"
#include "models/tiny_checkpoints.h"

namespace hadal {
namespace {

using Row = std::vector<double>;
constexpr int kHeads = 3, kNope = 6, kRope = 4, kValue = 5, kLora = 7, kExperts = 6;
constexpr int32_t kBlockTokens = 8;
constexpr size_t kVocab = 37;

// The formulas, fed row by row.
class PlainDraft {
 public:
  explicit PlainDraft(const TinyCheckpoint& t) : t_(t) {}

  // The next position: the token that follows, and the normed hidden state. Returns this layer's.
  Row Next(TokenId token, const Row& state) {
    const auto& table = t_.tensors.at("model.embed_tokens.weight").values;
    const Row embedding(table.begin() + token * 24, table.begin() + (token + 1) * 24);
    Row both = Norm(kLayer + "enorm", embedding);
    const Row normed = Norm(kLayer + "hnorm", state);
    both.insert(both.end(), normed.begin(), normed.end());
    Row x = Times(kLayer + "eh_proj", both);
    AddTo(x, Attend(Norm(kLayer + "input_layernorm", x)));
    AddTo(x, Experts(Norm(kLayer + "post_attention_layernorm", x)));
    return Norm(kLayer + "shared_head.norm", x);
  }
  Row Logits(const Row& state) const { return Times("lm_head", state); }
  Row Norm(const std::string& name, const Row& x) const {
    double sum = 0;
    for (const double v : x) sum += v * v;
    const double scale = 1 / std::sqrt(sum / static_cast<double>(x.size()) + 1e-6);
    Row y;
    for (size_t i = 0; i < x.size(); ++i) {
      y.push_back(x[i] * scale * double{t_.tensors.at(name + ".weight").values[i]});
    }
    return y;
  }

 private:
  const std::string kLayer = "model.layers.2.";

  static void AddTo(Row& x, const Row& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }
  Row Times(const std::string& name, const Row& x) const {
    const auto& w = t_.tensors.at(name + ".weight");
    Row y(static_cast<size_t>(w.shape[0]), 0.0);
    for (size_t r = 0; r < y.size(); ++r) {
      for (size_t c = 0; c < x.size(); ++c) y[r] += double{w.values[r * x.size() + c]} * x[c];
    }
    return y;
  }
  // Neighbours turn together.
  static void Turn(double* x, size_t position) {
    for (int i = 0; i < kRope; i += 2) {
      const double angle = static_cast<double>(position) * std::pow(10000.0, -i / double{kRope});
      const double a = x[i], b = x[i + 1];
      x[i] = a * std::cos(angle) - b * std::sin(angle);
      x[i + 1] = b * std::cos(angle) + a * std::sin(angle);
    }
  }
  Row Attend(const Row& x) {
    const std::string p = kLayer + "self_attn.";
    const size_t position = keys_.size();
    Row q = Times(p + "q_proj", x);
    const Row latent = Times(p + "kv_a_proj_with_mqa", x);
    const Row c = Norm(p + "kv_a_layernorm", Row(latent.begin(), latent.begin() + kLora));
    Row shared(latent.begin() + kLora, latent.end());
    Turn(shared.data(), position);
    const Row up = Times(p + "kv_b_proj", c);  // per head: keys, then values
    keys_.push_back(shared);
    ups_.push_back(up);
    Row mixed(kHeads * kValue, 0.0);
    for (int h = 0; h < kHeads; ++h) {
      double* qh = q.data() + h * (kNope + kRope);
      Turn(qh + kNope, position);
      Row scores;
      for (size_t j = 0; j <= position; ++j) {
        double s = 0;
        for (int d = 0; d < kNope; ++d) s += qh[d] * ups_[j][h * (kNope + kValue) + d];
        for (int d = 0; d < kRope; ++d) s += qh[kNope + d] * keys_[j][d];
        scores.push_back(std::exp(s / std::sqrt(kNope + kRope)));
      }
      const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
      for (size_t j = 0; j <= position; ++j) {
        for (int d = 0; d < kValue; ++d) {
          mixed[h * kValue + d] += scores[j] / sum * ups_[j][h * (kNope + kValue) + kNope + d];
        }
      }
    }
    return Times(p + "o_proj", mixed);
  }
  Row Ffn(const std::string& p, const Row& x) const {
    Row gate = Times(p + "gate_proj", x);
    const Row up = Times(p + "up_proj", x);
    for (size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
    return Times(p + "down_proj", gate);
  }
  // Two groups of three experts; the best two of the better group.
  Row Experts(const Row& x) const {
    const std::string p = kLayer + "mlp.";
    Row s = Times(p + "gate", x), biased(kExperts);
    for (int e = 0; e < kExperts; ++e) {
      s[e] = 1 / (1 + std::exp(-s[e]));
      biased[e] = s[e] + t_.tensors.at(p + "gate.e_score_correction_bias").values[e];
    }
    double best[2] = {};
    for (int g = 0; g < 2; ++g) {
      Row of(biased.begin() + 3 * g, biased.begin() + 3 * g + 3);
      std::sort(of.rbegin(), of.rend());
      best[g] = of[0] + of[1];
    }
    const int first = best[0] >= best[1] ? 0 : 3;
    std::vector<int> order = {first, first + 1, first + 2};
    std::sort(order.begin(), order.end(), [&](int a, int b) { return biased[a] > biased[b]; });
    Row out = Ffn(p + "shared_experts.", x);
    for (int i = 0; i < 2; ++i) {
      const double weight = 2.5 * s[order[i]] / (s[order[0]] + s[order[1]]);
      const Row one = Ffn(fmt::format("{}experts.{}.", p, order[i]), x);
      for (size_t d = 0; d < out.size(); ++d) out[d] += weight * one[d];
    }
    return out;
  }

  const TinyCheckpoint& t_;
  std::vector<Row> keys_, ups_;
};

std::vector<TokenId> Ids(int n, int first) {
  std::vector<TokenId> ids;
  for (int i = 0; i < n; ++i) ids.push_back((i * i * 5 + 3 * i + first) % 37);
  return ids;
}

class DraftLayerTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    checkpoint_.Write(directory_);
    Load(directory_.path());
  }
  void Load(const std::filesystem::path& path) {
    backend_ = NewBackend(GetParam(), MlaForm::kAuto, DType::kF32, WeightFormat::kF32);
    LoadOptions options;
    options.draft_layer = DraftLayerUse::kRequired;
    auto model = LoadModel(path, *backend_, options);
    ASSERT_TRUE(model.has_value()) << model.error().message;
    model_ = std::move(*model);
    kv_ = std::move(*KvStorage::Allocate(*backend_, model_->kv_layout(), 16, kBlockTokens));
  }
  // Hidden states after the final norm, by tap and formula.
  std::vector<Row> StatesOf(const std::vector<TokenId>& ids) {
    std::vector<Row> states;
    const PlainDraft plain(checkpoint_);
    model_->set_hidden_tap([&](int layer, const float* hidden, int64_t n) {
      if (layer != 1) return;
      for (int64_t t = 0; t < n; ++t) {
        states.push_back(plain.Norm("model.norm", Row(hidden + t * 24, hidden + (t + 1) * 24)));
      }
    });
    Forward(ids, 0, static_cast<int32_t>(ids.size()), 7);
    model_->set_hidden_tap({});
    return states;
  }
  // Rows [first, end) of the sequence whose blocks go down from last_block.
  void Forward(const std::vector<TokenId>& ids, int32_t first, int32_t end, int32_t last_block) {
    TestSequence sequence(ids, kBlockTokens, last_block);
    sequence.done = first;
    TestStep step;
    step.Add(sequence, end - first, kBlockTokens);
    std::vector<float> logits(step.rows() * kVocab);
    const Status status = model_->Forward(step.input(), *kv_, logits.data());
    ASSERT_TRUE(status.has_value()) << status.error().message;
  }
  // Logits after tokens [first, end); ids[end] is the last one's next. Follows a Forward of them.
  std::vector<float> Draft(const std::vector<TokenId>& ids, int32_t first, int32_t end,
                           int32_t last_block, bool chained = false) {
    TestSequence sequence({ids.begin() + 1, ids.end()}, kBlockTokens, last_block);
    sequence.done = first;
    TestStep step;
    step.Add(sequence, end - first, kBlockTokens);
    std::vector<int32_t> after(step.rows());
    std::iota(after.begin(), after.end(), chained ? chain_from_ : 0);
    std::vector<float> logits(step.rows() * kVocab);
    const Status status = model_->Draft(step.input(), after, chained, *kv_, logits.data());
    EXPECT_TRUE(status.has_value()) << status.error().message;
    return logits;
  }

  const TinyCheckpoint checkpoint_ = TinyLatentWithDraft();
  ModelDirectory directory_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvStorage> kv_;
  int32_t chain_from_ = 0;
};

TEST_P(DraftLayerTest, LogitsAreThoseOfTheFormulas) {
  const auto ids = Ids(20, 4);
  const std::vector<Row> states = StatesOf(ids);
  const auto logits = Draft(ids, 0, 19, 7);
  PlainDraft plain(checkpoint_);
  Row state;
  for (size_t t = 0; t < 19; ++t) {
    state = plain.Next(ids[t + 1], states[t]);
    const Row want = plain.Logits(state);
    for (size_t i = 0; i < kVocab; ++i) ASSERT_NEAR(logits[t * kVocab + i], want[i], 2e-4) << t;
  }
  // Two guesses further, each from the state behind the one before.
  std::vector<TokenId> guessed = ids;
  chain_from_ = 18;
  for (const TokenId guess : {11, 30}) {
    guessed.push_back(guess);
    const auto n = static_cast<int32_t>(guessed.size());
    const auto further = Draft(guessed, n - 2, n - 1, 7, /*chained=*/true);
    state = plain.Next(guess, state);
    const Row want = plain.Logits(state);
    for (size_t i = 0; i < kVocab; ++i) ASSERT_NEAR(further[i], want[i], 2e-4) << guess;
    chain_from_ = 0;
  }
}

TEST_P(DraftLayerTest, ChunksAndOtherSequencesChangeNoBit) {
  const auto ids = Ids(20, 4), other = Ids(9, 17);
  Forward(ids, 0, 20, 7);
  const auto whole = Draft(ids, 0, 19, 7);
  std::vector<float> parts;
  for (const auto& [first, end] : {std::pair(0, 9), std::pair(9, 10), std::pair(10, 19)}) {
    Forward(ids, first, end, 12);
    const auto part = Draft(ids, first, end, 12);
    parts.insert(parts.end(), part.begin(), part.end());
  }
  EXPECT_EQ(parts, whole);

  // Both in one step; the hidden states of the second stand first.
  Forward(other, 0, 8, 15);
  const auto alone = Draft(other, 0, 8, 15);
  TestSequence a(ids, kBlockTokens, 7), b(other, kBlockTokens, 12);
  TestStep forward;
  forward.Add(b, 9, kBlockTokens);
  forward.Add(a, 20, kBlockTokens);
  std::vector<float> logits(29 * kVocab);
  ASSERT_TRUE(model_->Forward(forward.input(), *kv_, logits.data()).has_value());
  TestSequence next_a({ids.begin() + 1, ids.end()}, kBlockTokens, 7);
  TestSequence next_b({other.begin() + 1, other.end()}, kBlockTokens, 12);
  TestStep draft;
  draft.Add(next_a, 19, kBlockTokens);
  draft.Add(next_b, 8, kBlockTokens);
  std::vector<int32_t> after(27);
  std::iota(after.begin(), after.begin() + 19, 9);
  std::iota(after.begin() + 19, after.end(), 0);
  ASSERT_TRUE(model_->Draft(draft.input(), after, false, *kv_, logits.data()).has_value());
  EXPECT_TRUE(std::equal(whole.begin(), whole.end(), logits.begin()));
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), logits.begin() + 19 * kVocab));
}

TEST_P(DraftLayerTest, HiddenStatesOutOfRangeAreRefused) {
  const auto ids = Ids(6, 1);
  Forward(ids, 0, 6, 7);
  TestSequence sequence(ids, kBlockTokens, 7);
  TestStep step;
  step.Add(sequence, 2, kBlockTokens);
  std::vector<float> logits(2 * kVocab);
  for (const std::vector<int32_t>& after : {std::vector<int32_t>{0, 6}, {-1, 0}, {0}, {0, 1, 2}}) {
    const Status status = model_->Draft(step.input(), after, false, *kv_, logits.data());
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  }
  const std::vector<int32_t> after = {0, 1};
  EXPECT_FALSE(model_->Draft(step.input(), after, true, *kv_, logits.data()).has_value())
      << "nothing was drafted to go on from";
}

// Names of GGUF: the layer stands among the others, its own tensors are nextn.*.
TEST_P(DraftLayerTest, AGgufFileGivesTheSameLogits) {
  const auto ids = Ids(20, 4);
  Forward(ids, 0, 20, 7);
  const auto want = Draft(ids, 0, 19, 7);
  TinyCheckpoint as_layer = checkpoint_;
  const auto replace = [&](const std::string& from, const std::string& to) {
    const size_t at = as_layer.config.find(from);
    ASSERT_NE(at, std::string::npos);
    as_layer.config.replace(at, from.size(), to);
  };
  replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
  replace("\"num_nextn_predict_layers\": 1", "\"num_nextn_predict_layers\": 0");
  ModelDirectory source;
  as_layer.Write(source);
  const auto path = directory_.path() / "draft.gguf";
  WriteGguf(source.path(), path, DType::kF32,
            [&](const ModelFiles&, std::vector<GgufTensorPlan>& plan, GgufMetadata& metadata) {
              for (const auto& [hub, gguf] : {std::pair("enorm", "enorm"),
                                              {"hnorm", "hnorm"},
                                              {"eh_proj", "eh_proj"},
                                              {"shared_head.norm", "shared_head_norm"},
                                              {"shared_head.head", "shared_head_head"},
                                              {"embed_tokens", "embed_tokens"}}) {
                const auto& tensor =
                    checkpoint_.tensors.at(fmt::format("model.layers.2.{}.weight", hub));
                GgufTensorPlan t;
                t.name = fmt::format("blk.2.nextn.{}.weight", gguf);
                t.shape = tensor.shape;
                t.vector = tensor.shape.rank() == 1;
                const int64_t cols = tensor.shape[tensor.shape.rank() - 1];
                t.decode = [values = tensor.values, cols](int64_t row0, int64_t n, float* out) {
                  std::copy_n(values.begin() + row0 * cols, n * cols, out);
                };
                plan.push_back(std::move(t));
              }
              metadata.Add("deepseek2.nextn_predict_layers", GgufValue::U32(1));
            });
  Load(path);
  ASSERT_TRUE(model_->info().drafts);
  Forward(ids, 0, 20, 7);
  EXPECT_LE(MaxDifference(Draft(ids, 0, 19, 7), want), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Isa, DraftLayerTest, testing::ValuesIn(SupportedIsas()),
                         [](const auto& p) { return std::string(NameOf(p.param)); });

Result<std::unique_ptr<Model>> LoadWith(const TinyCheckpoint& t, DraftLayerUse use,
                                        Backend& backend) {
  ModelDirectory directory;
  t.Write(directory);
  LoadOptions options;
  options.draft_layer = use;
  return LoadModel(directory.path(), backend, options);
}

TEST(DraftLayerLoad, ItsBytesAreCountedAndNothingElseChanges) {
  const auto backend = NewBackend();
  const TinyCheckpoint t = TinyLatentWithDraft();
  const auto without = LoadWith(t, DraftLayerUse::kNever, *backend);
  const auto with = LoadWith(t, DraftLayerUse::kIfPresent, *backend);
  ASSERT_TRUE(without.has_value() && with.has_value());
  const ModelInfo &a = (*without)->info(), &b = (*with)->info();
  EXPECT_FALSE(a.drafts);
  EXPECT_TRUE(b.drafts);
  // Norms, eh_proj, attention, shared and routed experts, router and bias.
  const int64_t layer =
      5 * 24 + 24 * 48 + 30 * 24 + 11 * 24 + 7 + 33 * 7 + 24 * 15 + 7 * 3 * 24 * 10 + 6 * 24 + 6;
  EXPECT_EQ(b.parameters - a.parameters, layer);
  EXPECT_GE(b.resident_bytes - a.resident_bytes, static_cast<size_t>(layer) * 4);
  EXPECT_EQ(b.active_parameters, a.active_parameters);
  EXPECT_EQ(b.bytes_per_token, a.bytes_per_token);
  EXPECT_EQ((*with)->kv_layout().BytesPerToken(DType::kF32) -
                (*without)->kv_layout().BytesPerToken(DType::kF32),
            4 * (kLora + kRope));
  const auto ids = Ids(20, 3);
  EXPECT_EQ(AllLogits(**with, *backend, ids, 6), AllLogits(**without, *backend, ids, 6));
}

TEST(DraftLayerLoad, IsRefusedWhereThereIsNone) {
  const auto backend = NewBackend();
  for (const TinyCheckpoint& t : {TinyLatent(), TinyDense()}) {
    const auto model = LoadWith(t, DraftLayerUse::kRequired, *backend);
    ASSERT_FALSE(model.has_value());
    EXPECT_EQ(model.error().code, ErrorCode::kUnsupportedModel);
    const auto optional = LoadWith(t, DraftLayerUse::kIfPresent, *backend);
    ASSERT_TRUE(optional.has_value());
    EXPECT_FALSE((*optional)->info().drafts);
  }
}

TEST(DraftLayerLoad, WhatIsWrongWithItIsSaidOnlyToThoseWhoUseIt) {
  const auto backend = NewBackend();
  TinyCheckpoint t = TinyLatentWithDraft();
  t.tensors.erase("model.layers.2.hnorm.weight");
  t.tensors.erase("model.layers.2.mlp.experts.4.up_proj.weight");
  const auto model = LoadWith(t, DraftLayerUse::kRequired, *backend);
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code, ErrorCode::kBadFile);
  EXPECT_THAT(model.error().message, testing::HasSubstr("hnorm"));
  EXPECT_THAT(model.error().message, testing::HasSubstr("experts.4.up_proj"));
  EXPECT_TRUE(LoadWith(t, DraftLayerUse::kNever, *backend).has_value());
}

}  // namespace
}  // namespace hadal
