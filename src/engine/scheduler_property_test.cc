// Random worlds: tiny pools, shared prefixes, tenants, several choices, cancels, deadlines, failing
// steps. SchedulerRig checks the invariants around every step; here every token is compared with
// what the request gives alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "engine/scheduler_rig.h"

namespace hadal {
namespace {

constexpr int kWorlds = 800, kStepsPerWorld = 260;

struct Reached {
  int64_t steps = 0, preemptions = 0, cached_tokens = 0, compared = 0, cancelled = 0, timed_out = 0,
          failed = 0, drafted = 0, accepted = 0;
};

class World {
 public:
  explicit World(uint32_t seed) : rng_(seed) {
    // Few different tokens: runs of them come again, and what is guessed is often right.
    info_ = {.vocab = Between(0, 1) == 0 ? 12 : 3,
             .n_blocks = Between(2, 24),
             .block_tokens = Between(1, 6),
             .max_logit_rows = Between(8, 24),
             .rounds_prompts = seed % 2 == 1,
             .drafts = true};
    options_.speculation = static_cast<Speculation>(Between(0, 2));
    options_.max_draft = Between(1, 24);
    options_.max_sequences = Between(1, 8);
    options_.max_step_tokens = options_.max_sequences + Between(0, 20);
    options_.prefill_chunk = Between(1, 12);
    options_.context = 60;
    options_.prefix_cache = Between(0, 4) > 0;
    for (auto& tokens : prefixes_) tokens = RandomTokens(Between(1, 20));
    rig_.emplace(options_, info_);
    rig_->runner.whole_drafts = !options_.prefix_cache;
    rig_->runner.keeps_logits = seed % 3 == 0;
  }

  void Run(Reached& reached) {
    for (int i = 0; i < kStepsPerWorld && !testing::Test::HasFailure(); ++i) {
      rig_->now += std::chrono::milliseconds(1);
      if (Between(0, 2) == 0) Arrive();
      if (Between(0, 14) == 0) CancelSomething(reached);
      if (Between(0, 60) == 0) rig_->runner.fail_next = true;
      rig_->Step();
      ++reached.steps;
    }
    rig_->runner.fail_next = false;
    rig_->Finish(20000);
    Compare(reached);
    const EngineStats stats = rig_->stats();
    EXPECT_EQ(stats.blocks_held, 0);
    EXPECT_EQ(rig_->scheduler.not_started(), 0);
    if (!options_.prefix_cache) EXPECT_EQ(stats.blocks_cached, 0);
    reached.preemptions += stats.preemptions;
    reached.cached_tokens += stats.cached_tokens;
    reached.drafted += stats.drafted_tokens;
    reached.accepted += stats.accepted_tokens;
  }
  uint64_t plan_hash() const { return rig_->plan_hash; }

 private:
  int32_t Between(int32_t low, int32_t high) {
    return low + static_cast<int32_t>(rng_() % static_cast<uint32_t>(high - low + 1));
  }
  std::vector<TokenId> RandomTokens(int n) {
    std::vector<TokenId> tokens(static_cast<size_t>(n));
    for (TokenId& t : tokens) t = Between(0, static_cast<int32_t>(info_.vocab) - 1);
    return tokens;
  }

  void Arrive() {
    EngineRequest r;
    r.prompt = prefixes_[static_cast<size_t>(Between(0, 2))];
    const auto more = RandomTokens(Between(0, 8));
    if (Between(0, 3) > 0) r.prompt.insert(r.prompt.end(), more.begin(), more.end());
    r.max_tokens = Between(1, 24);
    r.n = Between(0, 3) == 0 ? Between(2, 4) : 1;
    r.tenant = Between(0, 1) == 0 ? "a" : "b";
    r.sampling.seed = rng_();
    r.sampling.temperature = Between(0, 2) * 0.7;
    if (Between(0, 3) == 0) r.sampling.top_k = Between(1, 12);
    if (Between(0, 3) == 0) r.sampling.top_p = 0.7;
    if (Between(0, 3) == 0) r.sampling.frequency_penalty = 0.5;
    if (Between(0, 3) == 0) r.sampling.repetition_penalty = 1.3;
    if (Between(0, 2) == 0) r.stop_tokens = RandomTokens(1);
    if (Between(0, 9) == 0) r.deadline = rig_->now + std::chrono::milliseconds(Between(0, 40));
    const Status fits = CheckRequest(r, options_, info_);
    if (!fits) {
      EXPECT_TRUE(fits.error().code == ErrorCode::kRequestTooLarge) << fits.error().message;
      return;
    }
    rig_->Submit(std::move(r));
  }

  void CancelSomething(Reached& reached) {
    if (rig_->specs.empty()) return;
    const auto back = std::min<int64_t>(std::ssize(rig_->specs), 8);
    const auto it = std::prev(rig_->specs.end(), Between(1, static_cast<int32_t>(back)));
    rig_->Cancel(it->first, Between(-1, 3));
    ++reached.cancelled;
    cancelled_.insert(it->first);
  }

  void Compare(Reached& reached) {
    for (const auto& [id, spec] : rig_->specs) {
      const Outcome& o = rig_->outcomes[id];
      ASSERT_TRUE(o.last.has_value()) << "request " << id.value << " has no last event";
      const bool failed = o.last->kind == EngineEvent::Kind::kFailed;
      reached.timed_out += failed && o.last->error.code == ErrorCode::kTimeout;
      reached.failed += failed;
      int64_t tokens = 0;
      for (int c = 0; c < spec.n; ++c) {
        const Answer alone = AnswerAlone(spec, c, info_.vocab, info_.rounds_prompts);
        const std::vector<TokenId> got =
            o.tokens.contains(c) ? o.tokens.at(c) : std::vector<TokenId>();
        tokens += std::ssize(got);
        ASSERT_LE(got.size(), alone.tokens.size());
        ASSERT_TRUE(std::equal(got.begin(), got.end(), alone.tokens.begin()))
            << "request " << id.value << " choice " << c << " differs from the same alone";
        if (failed || cancelled_.contains(id)) continue;
        ASSERT_EQ(got.size(), alone.tokens.size());
        ASSERT_EQ(o.finished.at(c), alone.reason);
        ++reached.compared;
      }
      ASSERT_EQ(o.last->usage.completion_tokens, tokens);
    }
  }

  std::mt19937 rng_;
  RunnerInfo info_;
  EngineOptions options_;
  std::vector<TokenId> prefixes_[3];
  std::optional<SchedulerRig> rig_;
  std::set<RequestId> cancelled_;
};

TEST(SchedulerProperty, InvariantsHoldAndEveryTokenIsThatOfTheRequestAlone) {
  Reached reached;
  for (uint32_t seed = 0; seed < kWorlds; ++seed) {
    SCOPED_TRACE(seed);
    World(seed).Run(reached);
    if (HasFailure()) return;
  }
  EXPECT_GE(reached.steps, 100000);
  // The worlds must lead where it is difficult.
  EXPECT_GT(reached.preemptions, 1000);
  EXPECT_GT(reached.cached_tokens, 10000);
  EXPECT_GT(reached.compared, 5000);
  EXPECT_GT(reached.cancelled, 1000);
  EXPECT_GT(reached.timed_out, 100);
  EXPECT_GT(reached.failed, 500);
  EXPECT_GT(reached.accepted, 10000);
  EXPECT_GT(reached.drafted - reached.accepted, 10000);
  fmt::print(
      "{} steps, {} preemptions, {} cached tokens, {} answers compared, {} failed, {} of {} "
      "guesses right\n",
      reached.steps, reached.preemptions, reached.cached_tokens, reached.compared, reached.failed,
      reached.accepted, reached.drafted);
}

TEST(SchedulerProperty, TheSameCallsGiveTheSamePlans) {
  std::set<uint64_t> hashes;
  for (uint32_t seed = 1000; seed < 1020; ++seed) {
    Reached reached;
    World a(seed), b(seed);
    a.Run(reached);
    b.Run(reached);
    EXPECT_EQ(a.plan_hash(), b.plan_hash()) << seed;
    hashes.insert(a.plan_hash());
  }
  EXPECT_EQ(hashes.size(), 20u);
}

}  // namespace
}  // namespace hadal
