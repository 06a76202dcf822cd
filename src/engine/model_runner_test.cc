// The engine over real models: two small checkpoints made on the spot, one with plain and one with
// latent attention, on the reference kernels.
#include "engine/model_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <mutex>

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
  int64_t cached = 0, preemptions = 0;
};

class ModelRunnerTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const bool latent = std::string_view(GetParam()) == "latent";
    (latent ? TinyLatent() : TinyDense()).Write(directory_);
    backend_ = NewBackend();
    LoadOptions load;
    load.max_step_tokens = 64;
    load.max_logit_rows = 64;  // AllLogits asks for every row
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
      r.max_tokens = 12 + k;
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
    served.preemptions = (*engine)->stats().preemptions;
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
  EXPECT_GT(crowded.preemptions, 0);
}

INSTANTIATE_TEST_SUITE_P(Attention, ModelRunnerTest, testing::Values("plain", "latent"),
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
