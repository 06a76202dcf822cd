// The engine over real models: two small checkpoints made on the spot, one with plain and one with
// latent attention, on the reference kernels.
#include "engine/model_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>

#include "engine/engine.h"
#include "models/testing_model.h"
#include "models/tiny_checkpoints.h"

namespace hadal {
namespace {

using namespace std::chrono_literals;

class TokenSink final : public EventSink {
 public:
  void OnStep(std::span<EngineEvent> events) override {
    const std::lock_guard lock(mutex);
    for (const EngineEvent& e : events) {
      if (e.kind == EngineEvent::Kind::kToken) tokens[e.request].push_back(e.token);
      if (e.kind == EngineEvent::Kind::kFailed) ADD_FAILURE() << e.error.message;
      if (e.kind == EngineEvent::Kind::kDone) cached += e.usage.cached_tokens;
    }
  }
  std::mutex mutex;
  std::map<RequestId, std::vector<TokenId>> tokens;
  int64_t cached = 0;
};

struct Served {
  std::vector<std::vector<TokenId>> answers;  // in the order of the requests
  EngineStats stats;
  int64_t cached = 0;
};

// A model whose next token follows from the last one alone, and a draft layer that knows it: its
// answers soon repeat, too.
TinyCheckpoint Foreseen() {
  TinyCheckpoint t = TinyLatentWithDraft();
  for (auto& [name, tensor] : t.tensors) {
    if (name.find("o_proj") == std::string::npos && name.find("down_proj") == std::string::npos)
      continue;
    for (float& v : tensor.values) v *= 0.01f;
  }
  auto& join = t.tensors.at("model.layers.2.eh_proj.weight").values;  // [24, 48]
  std::fill(join.begin(), join.end(), 0.0f);
  for (size_t i = 0; i < 24; ++i) join[i * 48 + i] = 1.0f;
  return t;
}

class ModelRunnerTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string_view kind = GetParam();
    const TinyCheckpoint checkpoint = kind == "plain"    ? TinyDense()
                                      : kind == "latent" ? TinyLatentWithDraft()
                                                         : Foreseen();
    checkpoint.Write(directory_);
    backend_ = NewBackend();
    LoadOptions load;
    load.max_step_tokens = 64;
    load.max_logit_rows = 64;  // AllLogits asks for every row
    load.draft_layer = DraftLayerUse::kIfPresent;
    auto model = LoadModel(directory_.path(), *backend_, load);
    ASSERT_TRUE(model.has_value()) << model.error().message;
    model_ = std::move(*model);
  }

  // Five requests over two prefixes, greedy and drawn; sent twice, the second time warm.
  static std::vector<EngineRequest> Requests() {
    std::vector<EngineRequest> requests;
    for (int i = 0; i < 10; ++i) {
      EngineRequest r;
      const int k = i % 5;
      for (int t = 0; t < 14 + 2 * k; ++t) r.prompt.push_back((t * t + (k % 2) * 5) % 37);
      r.max_tokens = 30 + k;
      r.sampling.temperature = k % 3 * 0.8;
      r.sampling.seed = static_cast<uint64_t>(k);
      requests.push_back(std::move(r));
    }
    return requests;
  }

  Served Serve(const EngineOptions& options, int32_t n_blocks) {
    TokenSink sink;
    Served served;
    auto runner = NewModelRunner(*model_, *backend_, n_blocks, 4, 16);
    EXPECT_TRUE(runner.has_value());
    auto engine = Engine::Start(std::move(*runner), options, sink);
    EXPECT_TRUE(engine.has_value()) << engine.error().message;
    for (const EngineRequest& r : Requests()) EXPECT_TRUE((*engine)->Submit(r).has_value());
    EXPECT_TRUE((*engine)->WaitIdle(60s));
    served.stats = (*engine)->stats();
    const std::lock_guard lock(sink.mutex);
    served.cached = sink.cached;
    for (auto& [id, tokens] : sink.tokens) served.answers.push_back(tokens);
    return served;
  }

  static EngineOptions Options() {
    EngineOptions options;
    options.max_sequences = 8;
    options.max_step_tokens = 24;
    options.prefill_chunk = 7;
    options.context = 64;
    return options;
  }
  static EngineOptions Alone() {
    EngineOptions options = Options();
    options.max_sequences = 1;
    options.prefill_chunk = 64;
    options.max_step_tokens = 64;
    options.prefix_cache = false;
    return options;
  }

  ModelDirectory directory_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
};

TEST_P(ModelRunnerTest, GreedyTokensAreTheModelsMostLikely) {
  const Served alone = Serve(Alone(), 16);
  std::vector<TokenId> tokens = Requests()[0].prompt;
  const size_t n_prompt = tokens.size();
  tokens.insert(tokens.end(), alone.answers.at(0).begin(), alone.answers.at(0).end());
  const std::vector<float> logits = AllLogits(*model_, *backend_, tokens, 64);
  ASSERT_EQ(logits.size(), tokens.size() * 37);
  for (size_t t = n_prompt; t < tokens.size(); ++t) {
    const auto row = std::span(logits).subspan((t - 1) * 37, 37);
    EXPECT_EQ(tokens[t], std::max_element(row.begin(), row.end()) - row.begin()) << t;
  }
}

TEST_P(ModelRunnerTest, BatchChunksCacheAndPreemptionChangeNoToken) {
  const Served alone = Serve(Alone(), 16);
  ASSERT_EQ(alone.answers.size(), 10u);
  EXPECT_EQ(alone.cached, 0);
  const Served together = Serve(Options(), 200);
  EXPECT_EQ(together.answers, alone.answers);
  EXPECT_GT(together.cached, 0);
  const Served crowded = Serve(Options(), 14);
  EXPECT_EQ(crowded.answers, alone.answers);
  EXPECT_GT(crowded.stats.preemptions, 0);
}

TEST_P(ModelRunnerTest, GuessesChangeNoToken) {
  const Served alone = Serve(Alone(), 16);
  std::vector<Speculation> kinds = {Speculation::kNgram};
  if (model_->info().drafts) kinds.push_back(Speculation::kMtp);
  for (const Speculation kind : kinds) {
    EngineOptions options = Options();
    options.speculation = kind;
    for (const int32_t n_blocks : {200, 14}) {
      const Served served = Serve(options, n_blocks);
      EXPECT_EQ(served.answers, alone.answers) << NameOf(kind);
      if (GetParam() != std::string_view("foreseen")) continue;
      EXPECT_GT(served.stats.accepted_tokens, 0) << NameOf(kind);
      EXPECT_LE(served.stats.accepted_tokens, served.stats.drafted_tokens) << NameOf(kind);
    }
  }
}

// Three guesses in a row are those of three passes of the layer by hand.
TEST_P(ModelRunnerTest, ADraftGoesOnFromItsOwnGuesses) {
  if (!model_->info().drafts) GTEST_SKIP() << "no layer of multi-token prediction";
  auto runner = NewModelRunner(*model_, *backend_, 16, 4, 16);
  ASSERT_TRUE(runner.has_value());
  const std::vector<TokenId> ids = {3, 1, 4, 1, 5, 9, 2, 6, 5};
  const auto feed = [&](TestStep& step, int32_t last_block, size_t skip) {
    // Room for what is guessed.
    auto tokens = ids;
    tokens.resize(ids.size() + 4);
    auto sequence = std::make_unique<TestSequence>(
        std::vector<TokenId>(tokens.begin() + static_cast<ptrdiff_t>(skip), tokens.end()), 4,
        last_block);
    step.Add(*sequence, 8, 4);
    return sequence;
  };
  TestStep run, draft;
  const auto run_sequence = feed(run, 15, 0), draft_sequence = feed(draft, 15, 1);
  const StepInput all = run.input();
  const std::vector<float> temperatures(all.logit_rows.size());
  ASSERT_TRUE((*runner)->Run(all, temperatures).has_value());
  std::vector<int32_t> after(8), lengths = {3}, last = {7};
  std::iota(after.begin(), after.end(), 0);
  StepInput step = draft.input();
  step.logit_rows = last;
  const auto guesses = (*runner)->Draft({step, after, lengths});
  ASSERT_TRUE(guesses.has_value()) << guesses.error().message;
  ASSERT_EQ(guesses->size(), 3u);
  const std::vector<TokenId> got(guesses->begin(), guesses->end());

  auto kv = KvStorage::Allocate(*backend_, model_->kv_layout(), 16, 4);
  std::vector<float> logits(16 * 37);
  ASSERT_TRUE(model_->Forward(all, **kv, logits.data()).has_value());
  ASSERT_TRUE(model_->Draft(step, after, false, **kv, logits.data()).has_value());
  for (int32_t i = 0; i < 3; ++i) {
    const auto best = std::max_element(logits.begin(), logits.begin() + 37) - logits.begin();
    EXPECT_EQ(got[static_cast<size_t>(i)], best) << i;
    const std::vector<TokenId> token = {static_cast<TokenId>(best)};
    const int32_t p = 8 + i;
    const std::vector<int32_t> position = {p}, zero = {0},
                               slot = {draft_sequence->blocks[static_cast<size_t>(p / 4)] * 4 +
                                       p % 4};
    const std::vector<SeqChunk> chunk = {{0, 1, p, draft_sequence->blocks.data()}};
    ASSERT_TRUE(model_->Draft({token, position, slot, chunk, zero}, zero, true, **kv, logits.data())
                    .has_value());
  }
}

INSTANTIATE_TEST_SUITE_P(Attention, ModelRunnerTest, testing::Values("plain", "latent", "foreseen"),
                         [](const auto& p) { return std::string(p.param); });

TEST(ModelRunner, RefusesCountsBelowOne) {
  ModelDirectory directory;
  TinyDense().Write(directory);
  const auto backend = NewBackend();
  const auto model = LoadModel(directory.path(), *backend, {});
  ASSERT_TRUE(model.has_value());
  const auto runner = NewModelRunner(**model, *backend, 0, 16, 4);
  ASSERT_FALSE(runner.has_value());
  EXPECT_EQ(runner.error().code, ErrorCode::kBadConfig);
}

}  // namespace
}  // namespace hadal
