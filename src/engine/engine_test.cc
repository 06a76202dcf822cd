// The engine thread, with a fake runner: many callers, bounds, ends, fairness.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>

#include "engine/fake_runner.h"

namespace hadal {
namespace {

using namespace std::chrono_literals;
using Kind = EngineEvent::Kind;

constexpr RunnerInfo kInfo{
    .vocab = 50, .n_blocks = 4096, .block_tokens = 4, .max_logit_rows = 64, .drafts = true};

// Keeps what every request got. OnStep may also be given a reaction, called on the engine thread.
class RecordingSink final : public EventSink {
 public:
  struct Record {
    std::map<int, std::vector<TokenId>> tokens;
    std::map<int, api::FinishReason> finished;
    std::vector<EngineEvent> last;  // must be one
  };

  void OnStep(std::span<EngineEvent> events) override {
    const std::lock_guard lock(mutex_);
    for (EngineEvent& e : events) {
      Record& r = records_[e.request];
      if (e.kind == Kind::kToken) r.tokens[e.choice].push_back(e.token);
      if (e.kind == Kind::kFinished) r.finished[e.choice] = e.reason;
      if (e.kind == Kind::kDone || e.kind == Kind::kFailed) r.last.push_back(std::move(e));
    }
    changed_.notify_all();
  }
  // Waits until the predicate over a snapshot of all records holds; false after ten seconds.
  template <class P>
  bool WaitFor(P&& predicate) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 10s, [&] { return predicate(records_); });
  }
  std::map<RequestId, Record> records() const {
    const std::lock_guard lock(mutex_);
    return records_;
  }
  bool WaitForEnd(RequestId id) {
    return WaitFor([&](auto& records) { return !records[id].last.empty(); });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<RequestId, Record> records_;
};

EngineRequest Request(TokenId first, int n, int64_t max_tokens) {
  EngineRequest r;
  r.prompt.resize(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) r.prompt[static_cast<size_t>(i)] = (first + i) % 50;
  r.max_tokens = max_tokens;
  r.sampling.seed = static_cast<uint64_t>(first);
  return r;
}

struct Rig {
  explicit Rig(EngineOptions options = {}, RunnerInfo info = kInfo, int delay_us = 0) {
    auto fake = std::make_unique<FakeRunner>(info);
    fake->delay_us = delay_us;
    runner = fake.get();
    auto started = Engine::Start(std::move(fake), options, sink);
    EXPECT_TRUE(started.has_value());
    engine = std::move(*started);
  }
  RecordingSink sink;
  FakeRunner* runner = nullptr;
  std::unique_ptr<Engine> engine;
};

TEST(Engine, RefusesToStartWithOptionsTheRunnerCannotMeet) {
  RecordingSink sink;
  EngineOptions options;
  options.max_sequences = 65;
  const auto engine = Engine::Start(std::make_unique<FakeRunner>(kInfo), options, sink);
  ASSERT_FALSE(engine.has_value());
  EXPECT_EQ(engine.error().code, ErrorCode::kBadConfig);
}

// With every way to guess tokens, and without.
class EngineGuesses : public testing::TestWithParam<Speculation> {
 protected:
  static EngineOptions Options() {
    EngineOptions options;
    options.speculation = GetParam();
    return options;
  }
  // Some answers fall into a loop.
  static EngineRequest Request(TokenId first, int n, int64_t max_tokens) {
    EngineRequest r = hadal::Request(first, n, max_tokens);
    if (first % 2 == 0) r.sampling.logit_bias = {{5, 5.0f}};
    return r;
  }
};

TEST_P(EngineGuesses, GivesTheTokensOfTheRequestAlone) {
  Rig rig(Options());
  std::vector<std::pair<RequestId, EngineRequest>> sent;
  for (int i = 0; i < 100; ++i) {
    EngineRequest r = Request(i, 3 + i % 40, 1 + i % 17);
    r.n = 1 + i % 3;
    const auto id = rig.engine->Submit(r);
    ASSERT_TRUE(id.has_value());
    sent.emplace_back(*id, r);
  }
  ASSERT_TRUE(rig.engine->WaitIdle(10s));
  const auto records = rig.sink.records();
  for (const auto& [id, r] : sent) {
    const auto& record = records.at(id);
    ASSERT_EQ(record.last.size(), 1u);
    EXPECT_EQ(record.last[0].kind, Kind::kDone);
    for (int c = 0; c < r.n; ++c) {
      const Answer alone = AnswerAlone(r, c, kInfo.vocab);
      EXPECT_EQ(record.tokens.at(c), alone.tokens);
      EXPECT_EQ(record.finished.at(c), alone.reason);
    }
  }
}

// Allows one token after the other of a list, then fails.
class ListGuide final : public TokenGuide {
 public:
  explicit ListGuide(std::vector<TokenId> list) : list_(std::move(list)) {}
  Result<bool> Fill(std::span<uint64_t> mask) override {
    if (next_ == list_.size())
      return ::hadal::Fail(ErrorCode::kInvalidArgument, "the list is over");
    std::fill(mask.begin(), mask.end(), 0);
    mask[0] = uint64_t{1} << list_[next_];
    return true;
  }
  Status Accept(TokenId id) override {
    EXPECT_EQ(id, list_[next_++]);
    return {};
  }

 private:
  std::vector<TokenId> list_;
  size_t next_ = 0;
};

TEST(Engine, AGuideDecidesWhichTokensComeAndItsErrorEndsOnlyItsRequest) {
  Rig rig;
  EngineRequest guided = Request(3, 5, 4);
  guided.n = 2;
  guided.guides = {std::make_shared<ListGuide>(std::vector<TokenId>{7, 49, 0, 7}), nullptr};
  EngineRequest failing = Request(4, 5, 4);
  failing.guides = {std::make_shared<ListGuide>(std::vector<TokenId>{7})};
  const EngineRequest plain = Request(5, 5, 30);
  const auto a = rig.engine->Submit(guided), b = rig.engine->Submit(failing),
             c = rig.engine->Submit(plain);
  ASSERT_TRUE(a && b && c);
  ASSERT_TRUE(rig.engine->WaitIdle(10s));
  const auto records = rig.sink.records();
  EXPECT_EQ(records.at(*a).tokens.at(0), (std::vector<TokenId>{7, 49, 0, 7}));
  EXPECT_EQ(records.at(*a).tokens.at(1), AnswerAlone(guided, 1, kInfo.vocab).tokens);
  EXPECT_EQ(records.at(*b).last[0].kind, Kind::kFailed);
  EXPECT_EQ(records.at(*b).last[0].error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(records.at(*c).tokens.at(0), AnswerAlone(plain, 0, kInfo.vocab).tokens);
}

TEST(Engine, AnEmbeddingIsTheMeanOverThePromptWhateverElseRuns) {
  class EmbedSink final : public EventSink {
   public:
    void OnStep(std::span<EngineEvent> events) override {
      const std::lock_guard lock(mutex);
      for (EngineEvent& e : events) {
        if (e.kind == Kind::kEmbedding) values[e.request] = e.embedding;
      }
    }
    std::mutex mutex;
    std::map<RequestId, std::vector<float>> values;
  };
  EngineOptions options;
  options.prefill_chunk = 7;
  EmbedSink sink;
  auto engine = Engine::Start(std::make_unique<FakeRunner>(kInfo), options, sink);
  ASSERT_TRUE(engine);
  EngineRequest embed = Request(9, 40, 1);
  embed.embed = true;
  ASSERT_TRUE((*engine)->Submit(Request(9, 40, 3)));  // leaves its blocks in the cache
  ASSERT_TRUE((*engine)->WaitIdle(10s));
  const auto alone = (*engine)->Submit(embed);
  ASSERT_TRUE((*engine)->WaitIdle(10s));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE((*engine)->Submit(Request(i, 30, 9)));
  const auto crowd = (*engine)->Submit(embed);
  ASSERT_TRUE((*engine)->WaitIdle(10s));
  ASSERT_TRUE(alone && crowd);
  const std::lock_guard lock(sink.mutex);
  ASSERT_EQ(sink.values[*alone].size(), 2u);
  EXPECT_EQ(sink.values[*alone][0], 1.0f) << "every token counts once, cached or not";
  EXPECT_EQ(sink.values[*alone], sink.values[*crowd]);
}

TEST(Engine, DrawsASeedWhenNoneIsGiven) {
  Rig rig;
  for (int i = 0; i < 2; ++i) {
    EngineRequest r = Request(0, 5, 40);
    r.sampling.seed.reset();
    ASSERT_TRUE(rig.engine->Submit(r).has_value());
  }
  ASSERT_TRUE(rig.engine->WaitIdle(10s));
  const auto records = rig.sink.records();
  EXPECT_NE(records.at(RequestId(1)).tokens.at(0), records.at(RequestId(2)).tokens.at(0));
}

TEST(Engine, SendsLogprobsWhenAsked) {
  class LogprobSink final : public EventSink {
   public:
    void OnStep(std::span<EngineEvent> events) override {
      for (const EngineEvent& e : events) {
        if (e.kind != Kind::kToken) continue;
        const std::lock_guard lock(mutex);
        ++tokens;
        sorted += e.top.size() == 20 &&
                  std::is_sorted(e.top.begin(), e.top.end(),
                                 [](auto& a, auto& b) { return a.second > b.second; }) &&
                  e.logprob <= e.top[0].second && e.logprob < 0;
      }
    }
    std::mutex mutex;
    int tokens = 0, sorted = 0;
  } sink;
  auto engine = Engine::Start(std::make_unique<FakeRunner>(kInfo), {}, sink);
  ASSERT_TRUE(engine.has_value());
  EngineRequest r = Request(0, 5, 12);
  r.sampling.logprobs = true;
  r.sampling.top_logprobs = 20;
  ASSERT_TRUE((*engine)->Submit(r).has_value());
  ASSERT_TRUE((*engine)->WaitIdle(10s));
  const std::lock_guard lock(sink.mutex);
  EXPECT_EQ(sink.tokens, 12);
  EXPECT_EQ(sink.sorted, 12);
}

TEST(Engine, AFullQueueOfOneIsNamedInTheSingular) {
  EngineOptions options;
  options.max_sequences = 1;
  options.max_queued = 1;
  Rig rig(options, kInfo, 500);
  std::vector<RequestId> accepted;
  Error refusal;
  for (int i = 0; i < 100 && refusal.message.empty(); ++i) {
    const auto id = rig.engine->Submit(Request(i, 4, 4000));
    if (id) {
      accepted.push_back(*id);
    } else {
      refusal = id.error();
    }
  }
  EXPECT_EQ(refusal.message, "1 request is waiting; at most 1 may");
  for (const RequestId id : accepted) rig.engine->Cancel(id);
}

TEST(Engine, AFullQueueIsRefusedWithATimeToRetry) {
  EngineOptions options;
  options.max_sequences = 2;
  options.max_queued = 3;
  Rig rig(options, kInfo, 500);
  std::vector<RequestId> accepted;
  Error refusal;
  for (int i = 0; i < 100; ++i) {
    const auto id = rig.engine->Submit(Request(i, 4, 4000));
    if (id) {
      accepted.push_back(*id);
    } else {
      refusal = id.error();
    }
  }
  EXPECT_EQ(refusal.code, ErrorCode::kQueueFull);
  EXPECT_THAT(refusal.message, testing::HasSubstr("3 requests are waiting; at most 3"));
  EXPECT_GE(rig.engine->RetryAfterSeconds(), 1.0);
  EXPECT_LE(accepted.size(), 5u);
  EXPECT_GE(accepted.size(), 3u);
  for (const RequestId id : accepted) rig.engine->Cancel(id);
  ASSERT_TRUE(rig.engine->WaitIdle(10s));
  EXPECT_TRUE(rig.engine->Submit(Request(1, 4, 1)).has_value()) << "there is room again";
}

TEST(Engine, CancelFreesTheBlocksAndSendsOneLastEvent) {
  Rig rig({}, kInfo, 200);
  std::vector<RequestId> ids;
  for (int i = 0; i < 40; ++i) ids.push_back(*rig.engine->Submit(Request(i, 8, 4000)));
  ASSERT_TRUE(rig.sink.WaitFor([&](auto& records) {
    return std::all_of(ids.begin(), ids.end(),
                       [&](RequestId id) { return !records[id].tokens.empty(); });
  }));
  EXPECT_GT(rig.engine->stats().blocks_held, 0);
  for (const RequestId id : ids) rig.engine->Cancel(id);
  ASSERT_TRUE(rig.engine->WaitIdle(10s));
  const EngineStats stats = rig.engine->stats();
  EXPECT_EQ(stats.blocks_held, 0);
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.blocks_free + stats.blocks_cached, stats.blocks_total);
  for (const auto& [id, record] : rig.sink.records()) {
    ASSERT_EQ(record.last.size(), 1u);
    EXPECT_EQ(record.last[0].kind, Kind::kDone);
    EXPECT_TRUE(record.finished.empty());
  }
  rig.engine->Cancel(ids[0]);  // long gone
  rig.engine->Cancel(RequestId(999));
  EXPECT_TRUE(rig.engine->WaitIdle(10s));
}

TEST(Engine, ADeadlineEndsTheRequestWithTimeout) {
  Rig rig({}, kInfo, 500);
  EngineRequest r = Request(0, 8, 4000);
  r.deadline = Now() + 50ms;
  const RequestId id = *rig.engine->Submit(r);
  ASSERT_TRUE(rig.sink.WaitForEnd(id));
  const auto last = rig.sink.records().at(id).last;
  EXPECT_EQ(last[0].kind, Kind::kFailed);
  EXPECT_EQ(last[0].error.code, ErrorCode::kTimeout);
}

TEST(Engine, AFailedStepFailsItsRequestsAndTheEngineGoesOn) {
  Rig rig({}, kInfo, 200);
  const RequestId hit = *rig.engine->Submit(Request(0, 8, 4000));
  ASSERT_TRUE(rig.sink.WaitFor([&](auto& records) { return !records[hit].tokens.empty(); }));
  rig.runner->fail_next = true;
  ASSERT_TRUE(rig.sink.WaitForEnd(hit));
  EXPECT_EQ(rig.sink.records().at(hit).last[0].error.code, ErrorCode::kUnavailable);
  const EngineRequest r = Request(0, 8, 20);
  const RequestId next = *rig.engine->Submit(r);
  ASSERT_TRUE(rig.sink.WaitForEnd(next));
  EXPECT_EQ(rig.sink.records().at(next).tokens.at(0), AnswerAlone(r, 0, kInfo.vocab).tokens);
}

TEST(Engine, ALostGpuFailsEveryRequestAndRefusesNewOnes) {
  Rig rig({.max_sequences = 1, .max_step_tokens = 64}, kInfo, 200);
  const RequestId running = *rig.engine->Submit(Request(0, 8, 4000));
  const RequestId waiting = *rig.engine->Submit(Request(1, 8, 4000));
  ASSERT_TRUE(rig.sink.WaitFor([&](auto& records) { return !records[running].tokens.empty(); }));
  EXPECT_FALSE(rig.engine->failure().has_value());
  rig.runner->lose_gpu = true;
  for (const RequestId id : {running, waiting}) {
    ASSERT_TRUE(rig.sink.WaitForEnd(id));
    EXPECT_EQ(rig.sink.records().at(id).last[0].error.code, ErrorCode::kGpuLost);
  }
  EXPECT_TRUE(rig.sink.records().at(waiting).tokens.empty());
  ASSERT_TRUE(rig.engine->failure().has_value());
  EXPECT_EQ(rig.engine->failure()->code, ErrorCode::kGpuLost);
  const auto refused = rig.engine->Submit(Request(2, 8, 50));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kGpuLost);
  EXPECT_TRUE(rig.engine->WaitIdle(10s));
}

TEST(Engine, DrainRefusesNewRequestsAndFinishesTheAcceptedOnes) {
  Rig rig({}, kInfo, 200);
  const RequestId id = *rig.engine->Submit(Request(0, 8, 50));
  rig.engine->Drain();
  const auto refused = rig.engine->Submit(Request(1, 8, 50));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  ASSERT_TRUE(rig.engine->WaitIdle(10s));
  EXPECT_EQ(rig.sink.records().at(id).tokens.at(0).size(), 50u);
  EXPECT_EQ(rig.sink.records().at(id).last[0].kind, Kind::kDone);
}

TEST(Engine, WaitIdleGivesUpAfterItsTimeout) {
  Rig rig({}, kInfo, 1000);
  ASSERT_TRUE(rig.engine->Submit(Request(0, 8, 4000)).has_value());
  EXPECT_FALSE(rig.engine->WaitIdle(20ms));
}

TEST(Engine, DestroyingItGivesEveryRequestItsLastEvent) {
  Rig rig({.max_sequences = 2}, kInfo, 200);
  std::vector<RequestId> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(*rig.engine->Submit(Request(i, 8, 4000)));
  rig.engine.reset();
  const auto records = rig.sink.records();
  for (const RequestId id : ids) {
    ASSERT_EQ(records.at(id).last.size(), 1u);
    EXPECT_EQ(records.at(id).last[0].error.code, ErrorCode::kUnavailable);
  }
}

TEST(Engine, SixtyFourStreamsAdvanceTogether) {
  class FairSink final : public EventSink {
   public:
    void OnStep(std::span<EngineEvent> events) override {
      for (const EngineEvent& e : events) {
        if (e.kind != Kind::kToken) continue;
        ++tokens[e.request];
      }
      if (tokens.size() < 64) return;
      const auto [low, high] = std::minmax_element(
          tokens.begin(), tokens.end(), [](auto& a, auto& b) { return a.second < b.second; });
      if (high->second < 60) return;
      const std::lock_guard lock(mutex);
      if (worst == 0) worst = static_cast<double>(high->second) / static_cast<double>(low->second);
    }
    std::map<RequestId, int> tokens;
    std::mutex mutex;
    double worst = 0;  // most / least progress when the first stream has 60 tokens
  } sink;
  auto fake = std::make_unique<FakeRunner>(kInfo);
  FakeRunner& runner = *fake;
  runner.held = true;  // nobody gets a start while the others are being submitted
  auto engine = Engine::Start(std::move(fake), {}, sink);
  ASSERT_TRUE(engine.has_value());
  for (int i = 0; i < 64; ++i) {
    ASSERT_TRUE((*engine)->Submit(Request(i, 40 + i, 100)).has_value());
  }
  runner.held = false;
  runner.held.notify_all();
  ASSERT_TRUE((*engine)->WaitIdle(10s));
  const std::lock_guard lock(sink.mutex);
  EXPECT_GT(sink.worst, 0);
  EXPECT_LE(sink.worst, 1.5);
}

TEST_P(EngineGuesses, ManyThreadsSubmitAndCancelAtOnce) {
  EngineOptions options = Options();
  options.max_queued = 20;
  RunnerInfo info = kInfo;
  info.n_blocks = 60;
  Rig rig(options, info);
  std::mutex mutex;
  std::map<RequestId, EngineRequest> kept;
  std::vector<std::thread> threads;
  std::atomic<int> accepted = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 150; ++i) {
        EngineRequest r = Request(t * 7 + i % 3, 5 + i % 30, 1 + i % 40);
        r.n = 1 + i % 2;
        const auto id = rig.engine->Submit(r);
        if (!id) {
          EXPECT_EQ(id.error().code, ErrorCode::kQueueFull);
          EXPECT_GE(rig.engine->RetryAfterSeconds(), 1.0);
          std::this_thread::sleep_for(1ms);
          continue;
        }
        ++accepted;
        if (i % 3 == 0) {
          rig.engine->Cancel(*id, i % 2 == 0 ? -1 : 0);
        } else {
          const std::lock_guard lock(mutex);
          kept.emplace(*id, r);
        }
        const EngineStats s = rig.engine->stats();
        EXPECT_EQ(s.blocks_free + s.blocks_cached + s.blocks_held, s.blocks_total);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(rig.engine->WaitIdle(30s));
  const auto records = rig.sink.records();
  EXPECT_EQ(static_cast<int>(records.size()), accepted.load());
  for (const auto& [id, record] : records) EXPECT_EQ(record.last.size(), 1u);
  for (const auto& [id, r] : kept) {
    for (int c = 0; c < r.n; ++c) {
      EXPECT_EQ(records.at(id).tokens.at(c), AnswerAlone(r, c, info.vocab).tokens);
    }
  }
  const EngineStats stats = rig.engine->stats();
  EXPECT_EQ(stats.blocks_held, 0);
  EXPECT_EQ(rig.runner->violation(), std::nullopt);
  EXPECT_EQ(stats.speculation, GetParam());
  EXPECT_EQ(stats.accepted_tokens > 0, GetParam() != Speculation::kOff);
}

INSTANTIATE_TEST_SUITE_P(Speculation, EngineGuesses,
                         testing::Values(Speculation::kOff, Speculation::kNgram, Speculation::kMtp),
                         [](const auto& p) { return std::string(NameOf(p.param)); });

}  // namespace
}  // namespace hadal
