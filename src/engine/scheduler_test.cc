#include "engine/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "engine/scheduler_rig.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using Kind = EngineEvent::Kind;

const RunnerInfo kInfo{.vocab = 50, .n_blocks = 32, .block_tokens = 4, .max_logit_rows = 16};
const EngineOptions kOptions{.max_sequences = 8,
                             .max_queued = 100,
                             .max_step_tokens = 16,
                             .prefill_chunk = 10,
                             .context = 128};

RunnerInfo WithBlocks(int32_t n) {
  RunnerInfo info = kInfo;
  info.n_blocks = n;
  return info;
}

// A prompt of n tokens counting up from `first`.
EngineRequest Request(TokenId first, int n, int64_t max_tokens) {
  EngineRequest r;
  r.prompt.resize(static_cast<size_t>(n));
  std::iota(r.prompt.begin(), r.prompt.end(), first);
  r.max_tokens = max_tokens;
  r.sampling.seed = static_cast<uint64_t>(first);
  return r;
}

std::vector<Kind> KindsOf(const std::vector<EngineEvent>& events) {
  std::vector<Kind> kinds;
  for (const EngineEvent& e : events) kinds.push_back(e.kind);
  return kinds;
}

TEST(Scheduler, DecodesEveryoneFirstAndPrefillsInChunksWithWhatIsLeft) {
  SchedulerRig rig(kOptions, kInfo);
  rig.Submit(Request(0, 3, 20));
  rig.Step();
  EXPECT_THAT(rig.rows, ElementsAre(3));
  rig.Submit(Request(10, 25, 5));
  rig.Submit(Request(5, 12, 5));
  rig.Step();  // 1 + 10 + the 5 that are left of 16
  EXPECT_THAT(rig.rows, ElementsAre(1, 10, 5));
  rig.Step();
  EXPECT_THAT(rig.rows, ElementsAre(1, 10, 5));
  EXPECT_THAT(rig.contexts, ElementsAre(4, 10, 5));
  rig.Step();
  EXPECT_THAT(rig.rows, ElementsAre(1, 5, 2));
  rig.Step();
  EXPECT_THAT(rig.rows, ElementsAre(1, 1, 1));
  rig.Finish();
  for (const auto& [id, spec] : rig.specs) EXPECT_EQ(rig.AnswerOf(id), rig.Alone(id));
}

TEST(Scheduler, PromptsThatGainFromRowsFillAStepWithoutAnswers) {
  RunnerInfo info = kInfo;
  info.rounds_prompts = true;
  SchedulerRig rig(kOptions, info);
  rig.Submit(Request(0, 35, 20));
  rig.Step();
  EXPECT_THAT(rig.rows, ElementsAre(16));
  rig.Step();
  EXPECT_THAT(rig.rows, ElementsAre(16));
  rig.Step();
  EXPECT_THAT(rig.rows, ElementsAre(3));
  rig.Submit(Request(10, 25, 5));
  rig.Step();  // beside an answer
  EXPECT_THAT(rig.rows, ElementsAre(1, 10));
  rig.Finish();
  for (const auto& [id, spec] : rig.specs) EXPECT_EQ(rig.AnswerOf(id), rig.Alone(id));
}

TEST(Scheduler, PreemptsYoungestWhenPoolIsEmpty) {
  SchedulerRig rig(kOptions, WithBlocks(6));
  const RequestId old = rig.Submit(Request(0, 6, 15));  // 5 blocks in the end
  rig.Step();
  const RequestId young = rig.Submit(Request(20, 4, 15));
  while (rig.stats().preemptions == 0) ASSERT_TRUE(rig.Step());
  EXPECT_FALSE(rig.outcomes[old].last.has_value());
  EXPECT_EQ(rig.stats().running, 1);
  EXPECT_EQ(rig.rows.size(), 1u);
  const size_t had = rig.outcomes[young].tokens[0].size();
  EXPECT_GT(had, 0u) << "the young one had begun to answer";
  rig.Finish();
  EXPECT_EQ(rig.AnswerOf(old), rig.Alone(old));
  EXPECT_EQ(rig.AnswerOf(young), rig.Alone(young)) << "preemption changes no token";
  EXPECT_EQ(rig.stats().blocks_held, 0);
  EXPECT_EQ(rig.outcomes[young].last->usage.completion_tokens, 15);
  EXPECT_EQ(rig.outcomes[young].last->usage.cached_tokens, 0) << "recomputing is not a cache hit";
}

TEST(Scheduler, ComputesOneTokenOfAPromptThatIsCachedWhole) {
  SchedulerRig rig(kOptions, kInfo);
  const RequestId cold = rig.Submit(Request(0, 8, 4));
  rig.Finish();
  const RequestId warm = rig.Submit(Request(0, 8, 4));
  rig.Step();
  EXPECT_THAT(rig.contexts, ElementsAre(4));
  EXPECT_THAT(rig.rows, ElementsAre(4)) << "the last block is computed again";
  rig.Finish();
  EXPECT_EQ(rig.AnswerOf(warm), rig.AnswerOf(cold));
  EXPECT_EQ(rig.outcomes[warm].last->usage.cached_tokens, 4);
}

TEST(Scheduler, ColdEqualsWarmAndUsageTellsWhatWasCached) {
  SchedulerRig rig(kOptions, kInfo);
  const RequestId first = rig.Submit(Request(0, 21, 9));
  rig.Finish();
  const RequestId second = rig.Submit(Request(0, 23, 9));
  rig.Finish();
  EXPECT_EQ(rig.AnswerOf(first), rig.Alone(first));
  EXPECT_EQ(rig.AnswerOf(second), rig.Alone(second));
  const api::Usage usage = rig.outcomes[second].last->usage;
  EXPECT_EQ(usage.cached_tokens, 20);
  EXPECT_EQ(usage.prompt_tokens, 23);
  EXPECT_EQ(usage.completion_tokens, 9);
}

TEST(Scheduler, ReusesTheAnswerInTheNextTurn) {
  SchedulerRig rig(kOptions, kInfo);
  const RequestId first = rig.Submit(Request(0, 6, 11));
  rig.Finish();
  EngineRequest next = Request(0, 6, 5);
  const std::vector<TokenId>& answer = rig.outcomes[first].tokens[0];
  next.prompt.insert(next.prompt.end(), answer.begin(), answer.end());
  const RequestId second = rig.Submit(next);
  rig.Finish();
  EXPECT_EQ(rig.outcomes[second].last->usage.cached_tokens, 16);  // of 6 + 11
  EXPECT_EQ(rig.AnswerOf(second), rig.Alone(second));
}

TEST(Scheduler, TenantsNeverShareBlocks) {
  SchedulerRig rig(kOptions, kInfo);
  for (const char* tenant : {"a", "b", "a"}) {
    EngineRequest r = Request(0, 17, 3);
    r.tenant = tenant;
    rig.Submit(r);
    rig.Finish();
  }
  EXPECT_EQ(rig.outcomes[RequestId(2)].last->usage.cached_tokens, 0);
  EXPECT_EQ(rig.outcomes[RequestId(3)].last->usage.cached_tokens, 16);
}

TEST(Scheduler, WithoutPrefixCacheNothingStaysAndNothingIsFound) {
  EngineOptions options = kOptions;
  options.prefix_cache = false;
  SchedulerRig rig(options, kInfo);
  for (int i = 0; i < 2; ++i) {
    EngineRequest r = Request(0, 17, 3);
    r.n = 3;
    rig.Submit(r);
    rig.Finish();
  }
  EXPECT_EQ(rig.stats().blocks_free, 32);
  for (const auto& [id, outcome] : rig.outcomes) {
    EXPECT_EQ(outcome.last->usage.cached_tokens, 0);
    for (int c = 0; c < 3; ++c) EXPECT_EQ(rig.AnswerOf(id, c), rig.Alone(id, c));
  }
}

TEST(Scheduler, TwoThatComputeTheSameBlocksAtOnceDoNotDisturbEachOther) {
  SchedulerRig rig(kOptions, kInfo);
  const RequestId a = rig.Submit(Request(0, 8, 12));
  const RequestId b = rig.Submit(Request(0, 8, 12));
  rig.Step();
  EXPECT_THAT(rig.contexts, ElementsAre(0, 0));
  rig.Finish();
  EXPECT_EQ(rig.AnswerOf(a), rig.Alone(a));
  EXPECT_EQ(rig.AnswerOf(b), rig.AnswerOf(a));
}

TEST(Scheduler, FurtherChoicesStartOnTheBlocksOfTheFirst) {
  SchedulerRig rig(kOptions, kInfo);
  EngineRequest r = Request(0, 9, 6);
  r.n = 4;
  const RequestId id = rig.Submit(r);
  rig.Step();
  EXPECT_THAT(rig.rows, ElementsAre(9));
  rig.Step();
  EXPECT_THAT(rig.rows, ElementsAre(1, 1, 1, 1)) << "8 of 9 tokens are found, one is computed";
  EXPECT_THAT(rig.contexts, ElementsAre(9, 8, 8, 8));
  rig.Finish();
  std::set<std::vector<TokenId>> different;
  for (int c = 0; c < 4; ++c) {
    EXPECT_EQ(rig.AnswerOf(id, c), rig.Alone(id, c));
    different.insert(rig.outcomes[id].tokens[c]);
  }
  EXPECT_EQ(different.size(), 4u) << "each choice draws its own numbers";
  const api::Usage usage = rig.outcomes[id].last->usage;
  EXPECT_EQ(usage.prompt_tokens, 9) << "the prompt is counted once";
  EXPECT_EQ(usage.completion_tokens, 24);
  EXPECT_EQ(usage.cached_tokens, 0) << "nothing was there when the request came";
}

TEST(Scheduler, EndsAtAStopTokenAndReportsIt) {
  SchedulerRig probe(kOptions, kInfo);
  const RequestId p = probe.Submit(Request(0, 5, 20));
  probe.Finish();
  const std::vector<TokenId> tokens = probe.outcomes[p].tokens[0];
  for (const bool in_sampling : {false, true}) {
    EngineRequest r = Request(0, 5, 20);
    (in_sampling ? r.sampling.stop_token_ids : r.stop_tokens) = {tokens[7]};
    SchedulerRig rig(kOptions, kInfo);
    const RequestId id = rig.Submit(r);
    while (!rig.outcomes[id].last) ASSERT_TRUE(rig.Step());
    const auto length = std::find(tokens.begin(), tokens.end(), tokens[7]) - tokens.begin() + 1;
    EXPECT_EQ(std::ssize(rig.outcomes[id].tokens[0]), length);
    EXPECT_EQ(rig.outcomes[id].finished[0], api::FinishReason::kStop);
    EXPECT_THAT(KindsOf(rig.events), ElementsAre(Kind::kToken, Kind::kFinished, Kind::kDone));
    EXPECT_TRUE(rig.events[0].is_stop_token);
    EXPECT_EQ(rig.outcomes[id].last->usage.completion_tokens, length);
  }
}

TEST(Scheduler, CancelTakesEffectBeforeTheNextStepWithOneLastEvent) {
  SchedulerRig rig(kOptions, kInfo);
  EngineRequest r = Request(0, 9, 50);
  r.n = 2;
  const RequestId running = rig.Submit(r);
  rig.Step();
  rig.Step();
  rig.Cancel(running);
  const RequestId waiting = rig.Submit(Request(0, 5, 5));
  rig.Cancel(waiting);
  rig.Cancel(RequestId(77));  // unknown
  EXPECT_FALSE(rig.Step());
  EXPECT_THAT(KindsOf(rig.events), ElementsAre(Kind::kDone, Kind::kDone));
  EXPECT_EQ(rig.events[0].usage.completion_tokens, 3);
  EXPECT_EQ(rig.stats().blocks_held, 0);
  EXPECT_EQ(rig.scheduler.not_started(), 0);
}

TEST(Scheduler, CancellingOneChoiceEndsItWithStopAndLeavesTheOthers) {
  SchedulerRig rig(kOptions, kInfo);
  EngineRequest r = Request(0, 30, 6);
  r.n = 3;
  const RequestId id = rig.Submit(r);
  rig.Step();
  rig.Cancel(id, 0);  // before its prompt is computed
  rig.Cancel(id, 1);
  rig.Cancel(id, 5);  // there is none
  rig.Step();
  EXPECT_THAT(KindsOf(rig.events), ElementsAre(Kind::kFinished, Kind::kFinished));
  rig.Finish();
  EXPECT_EQ(rig.outcomes[id].finished[0], api::FinishReason::kStop);
  EXPECT_EQ(rig.AnswerOf(id, 2), rig.Alone(id, 2));
  EXPECT_EQ(rig.outcomes[id].last->kind, Kind::kDone);
}

TEST(Scheduler, FailsWhatIsPastItsDeadlineWithinOneStep) {
  SchedulerRig rig(kOptions, kInfo);
  EngineRequest r = Request(0, 5, 50);
  r.deadline = rig.now + std::chrono::seconds(1);
  const RequestId id = rig.Submit(r);
  rig.Step();
  rig.now += std::chrono::milliseconds(999);
  rig.Step();
  EXPECT_FALSE(rig.outcomes[id].last.has_value());
  rig.now += std::chrono::milliseconds(1);
  EXPECT_FALSE(rig.Step());
  ASSERT_TRUE(rig.outcomes[id].last.has_value());
  EXPECT_EQ(rig.outcomes[id].last->error.code, ErrorCode::kTimeout);
  EXPECT_EQ(rig.stats().blocks_held, 0);
}

TEST(Scheduler, AFailedStepFailsItsRequestsAndSparesTheRest) {
  EngineOptions options = kOptions;
  options.max_sequences = 1;
  SchedulerRig rig(options, kInfo);
  const RequestId hit = rig.Submit(Request(0, 9, 20));
  const RequestId spared = rig.Submit(Request(0, 9, 20));
  rig.Step();
  rig.runner.fail_next = true;
  rig.Step();
  EXPECT_EQ(rig.outcomes[hit].last->kind, Kind::kFailed);
  EXPECT_EQ(rig.outcomes[hit].last->error.code, ErrorCode::kUnavailable);
  rig.Finish();
  EXPECT_EQ(rig.AnswerOf(spared), rig.Alone(spared)) << "what the failed step wrote is not used";
}

TEST(Scheduler, RefusesARowOfLogitsWithoutMeaningForThatRequestOnly) {
  SchedulerRig rig(kOptions, kInfo);
  std::vector<EngineEvent> events;
  EngineCommand commands[2];
  for (uint64_t i = 0; i < 2; ++i) {
    commands[i].request = RequestId(i + 1);
    commands[i].spec = Request(static_cast<TokenId>(i * 10), 4, 5);
  }
  rig.scheduler.Accept(commands, rig.now, events);
  rig.scheduler.Plan();
  std::vector<StepSample> samples(2);
  samples[0].status = Fail(ErrorCode::kInternal, "no logit is finite");
  rig.scheduler.Commit(samples, {}, events);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, Kind::kFailed);
  EXPECT_EQ(events[0].request, RequestId(1));
  EXPECT_EQ(events[1].kind, Kind::kToken);
  EXPECT_EQ(rig.scheduler.CheckIntegrity(), std::nullopt);
}

TEST(Scheduler, ALargeRequestIsNotOvertaken) {
  SchedulerRig rig(kOptions, WithBlocks(10));
  rig.Submit(Request(0, 16, 8));  // 5 to 6 blocks
  rig.Step();
  rig.Submit(Request(10, 30, 8));  // 10 blocks: must wait for all of the first
  rig.Submit(Request(20, 2, 2));   // would fit at once
  while (rig.outcomes[RequestId(1)].finished.empty()) {
    ASSERT_TRUE(rig.Step());
    EXPECT_EQ(rig.scheduler.not_started(), 2) << "the small one came later";
  }
  rig.Step();
  EXPECT_EQ(rig.rows.at(0), 10) << "the large one's first chunk";
  rig.Finish();
  EXPECT_EQ(rig.stats().preemptions, 0) << "it waited for memory instead of taking it";
}

TEST(Scheduler, EverySequenceThatDecodesGetsOneRowInEveryStep) {
  EngineOptions options = kOptions;
  options.max_sequences = 16;
  SchedulerRig rig(options, WithBlocks(400));
  for (int i = 0; i < 12; ++i) rig.Submit(Request(i, 3, 40));
  for (int i = 0; i < 12; ++i) rig.Step();
  rig.Submit(Request(0, 100, 4));  // a long prompt arrives
  for (int i = 0; i < 10; ++i) {
    rig.Step();
    EXPECT_EQ(std::count(rig.rows.begin(), rig.rows.end(), 1), 12);
  }
  rig.Finish();
}

}  // namespace
}  // namespace hadal
