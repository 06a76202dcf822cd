// Guessed tokens: the same answers with fewer steps, and nothing taken from anybody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/scheduler_rig.h"

namespace hadal {
namespace {

using testing::ElementsAre;

const RunnerInfo kInfo{
    .vocab = 3, .n_blocks = 64, .block_tokens = 4, .max_logit_rows = 16, .drafts = true};

EngineOptions Options() {
  EngineOptions options{.max_sequences = 4,
                        .max_queued = 100,
                        .max_step_tokens = 24,
                        .prefill_chunk = 16,
                        .context = 512};
  options.speculation = Speculation::kNgram;
  return options;
}

// Greedy answers over three tokens soon run in runs that came before.
EngineRequest Request(uint64_t seed, int64_t max_tokens, double temperature = 0) {
  EngineRequest r;
  for (int i = 0; i < 9; ++i) r.prompt.push_back(static_cast<TokenId>(Mix(seed + i) % 3));
  r.max_tokens = max_tokens;
  r.sampling.seed = seed;
  r.sampling.temperature = temperature;
  return r;
}

EngineOptions MtpOptions() {
  EngineOptions options = Options();
  options.speculation = Speculation::kMtp;
  return options;
}

// Pushes the answer towards one token, so that guesses come true.
EngineRequest Loop(uint64_t seed, int64_t max_tokens) {
  EngineRequest r = Request(seed, max_tokens);
  r.sampling.logit_bias = {{1, 100.0f}};
  return r;
}

int64_t StepsOf(SchedulerRig& rig) {
  int64_t steps = 0;
  while (rig.Step()) ++steps;
  return steps;
}

TEST(SchedulerDrafts, ALoopIsWrittenInAFewSteps) {
  SchedulerRig rig(Options(), kInfo);
  const RequestId id = rig.Submit(Loop(1, 200));
  EXPECT_LT(StepsOf(rig), 40);  // 200 without guesses
  EXPECT_EQ(rig.AnswerOf(id), rig.Alone(id));
  EXPECT_EQ(rig.outcomes[id].last->usage.completion_tokens, 200);
  const EngineStats stats = rig.stats();
  EXPECT_EQ(stats.generated_tokens, 200);
  EXPECT_GT(stats.accepted_tokens, 160);
  EXPECT_LE(stats.accepted_tokens, stats.drafted_tokens);
}

TEST(SchedulerDrafts, WithoutSpeculationEveryStepIsOneToken) {
  EngineOptions options = Options();
  options.speculation = Speculation::kOff;
  SchedulerRig rig(options, kInfo);
  rig.Submit(Loop(1, 50));
  EXPECT_EQ(StepsOf(rig), 50);
  EXPECT_EQ(rig.stats().drafted_tokens, 0);
}

TEST(SchedulerDrafts, PenaltiesLogprobsAndStopsAreThoseOfTheRequestAlone) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SchedulerRig rig(Options(), kInfo);
    EngineRequest r = Request(seed, 60, seed % 2 == 0 ? 0.0 : 0.8);
    r.sampling.frequency_penalty = seed % 3 == 0 ? 0.4 : 0;
    r.sampling.repetition_penalty = seed % 5 == 0 ? 1.2 : 1;
    r.sampling.logprobs = true;
    r.sampling.top_logprobs = 2;
    if (seed % 4 == 0) r.stop_tokens = {2};
    r.n = seed % 7 == 0 ? 3 : 1;
    const RequestId id = rig.Submit(r);
    SchedulerRig plain(
        [] {
          EngineOptions options = Options();
          options.speculation = Speculation::kOff;
          return options;
        }(),
        kInfo);
    plain.Submit(r);
    std::map<int, std::vector<std::pair<float, std::vector<std::pair<TokenId, float>>>>> got, want;
    const auto collect = [](SchedulerRig& from, auto& into) {
      while (from.Step()) {
        for (const EngineEvent& e : from.events) {
          if (e.kind == EngineEvent::Kind::kToken) into[e.choice].emplace_back(e.logprob, e.top);
        }
      }
    };
    collect(rig, got);
    collect(plain, want);
    EXPECT_EQ(got, want) << seed;
    for (int c = 0; c < r.n; ++c) EXPECT_EQ(rig.AnswerOf(id, c), rig.Alone(id, c)) << seed;
  }
}

// Of three tokens after a prompt in which every run that can come first is followed by something:
// all but the first are drawn at rows that were guessed before. Compared with the exact
// probabilities, so a fault that both paths have would show, too.
TEST(SchedulerDrafts, DrawnTokensHaveTheModelsDistribution) {
  const std::vector<TokenId> prompt = {0, 1, 0, 2, 2, 0, 1, 1, 0, 0, 0, 1, 2, 1, 1, 0, 1};
  constexpr double kTemperature = 2;
  double expected[27];
  for (int cell = 0; cell < 27; ++cell) {
    FakeModel model;
    uint64_t value = 0;
    int64_t position = 0;
    for (const TokenId t : prompt) value = model.Next(t, position++);
    expected[cell] = 1;
    for (const TokenId t : {cell / 9, cell / 3 % 3, cell % 3}) {
      float logits[3];
      FakeModel::Logits(value, logits);
      double sum = 0;
      for (const float l : logits) sum += std::exp(l / kTemperature);
      expected[cell] *= std::exp(logits[t] / kTemperature) / sum;
      value = model.Next(t, position++);
    }
  }
  constexpr int kDraws = 20000;
  int counts[27] = {};
  int64_t drafted = 0, accepted = 0;
  for (int i = 0; i < kDraws; ++i) {
    SchedulerRig rig(Options(), kInfo);
    EngineRequest r;
    r.prompt = prompt;
    r.max_tokens = 4;
    r.sampling.temperature = kTemperature;
    r.sampling.seed = Mix(static_cast<uint64_t>(i));
    const RequestId id = rig.Submit(std::move(r));
    StepsOf(rig);
    const auto& t = rig.outcomes[id].tokens[0];
    ++counts[t[0] * 9 + t[1] * 3 + t[2]];
    drafted += rig.stats().drafted_tokens;
    accepted += rig.stats().accepted_tokens;
  }
  double chi_square = 0;
  for (int cell = 0; cell < 27; ++cell) {
    const double want = expected[cell] * kDraws;
    EXPECT_GT(want, 5) << cell;
    chi_square += (counts[cell] - want) * (counts[cell] - want) / want;
  }
  EXPECT_LT(chi_square, 54.05) << "26 degrees of freedom: 1 in 1000 is above";
  EXPECT_GT(drafted, kDraws);
  EXPECT_GT(accepted, kDraws / 4);
  EXPECT_LT(accepted, drafted * 3 / 4);
}

// Allows a fixed cycle of tokens only, and notes what it is told.
class CycleGuide final : public TokenGuide {
 public:
  Result<bool> Fill(std::span<uint64_t> mask) override {
    EXPECT_FALSE(filled_) << "two rows without a token between them";
    filled_ = true;
    mask[0] = uint64_t{1} << (accepted.size() % 3);
    return true;
  }
  Status Accept(TokenId id) override {
    EXPECT_TRUE(std::exchange(filled_, false));
    accepted.push_back(id);
    return {};
  }
  std::vector<TokenId> accepted;

 private:
  bool filled_ = false;
};

TEST(SchedulerDrafts, AGuideIsAskedForWhatIsDrawnAndNothingElse) {
  SchedulerRig rig(Options(), kInfo);
  auto guide = std::make_shared<CycleGuide>();
  EngineRequest r = Request(3, 50, 0.7);
  r.guides = {guide};
  const RequestId id = rig.Submit(r);
  EXPECT_LT(StepsOf(rig), 25);
  EXPECT_EQ(rig.outcomes[id].tokens[0], guide->accepted);
  EXPECT_EQ(guide->accepted.size(), 50u);
  for (size_t i = 0; i < 50; ++i) EXPECT_EQ(guide->accepted[i], static_cast<TokenId>(i % 3));
}

TEST(SchedulerDrafts, AStopTokenThatWasGuessedEndsTheAnswer) {
  SchedulerRig rig(Options(), kInfo);
  auto guide = std::make_shared<CycleGuide>();
  EngineRequest r = Request(3, 60);
  r.prompt = {0, 1, 2, 0, 1, 2, 0, 1, 2};
  r.guides = {guide};
  r.stop_tokens = {2};
  const RequestId id = rig.Submit(r);
  StepsOf(rig);
  EXPECT_THAT(rig.outcomes[id].tokens[0], ElementsAre(0, 1, 2));
  EXPECT_EQ(rig.outcomes[id].finished[0], api::FinishReason::kStop);
  EXPECT_THAT(guide->accepted, ElementsAre(0, 1, 2));
}

TEST(SchedulerDrafts, GuessesTakeOnlyRowsThatAreLeft) {
  EngineOptions options = Options();
  options.max_step_tokens = 5;
  options.prefill_chunk = 5;
  SchedulerRig rig(options, kInfo);
  rig.Submit(Loop(1, 300));
  for (int i = 0; i < 12; ++i) rig.Step();
  EXPECT_THAT(rig.rows, ElementsAre(5)) << "alone it fills the step";
  EngineRequest longer = Loop(2, 10);
  longer.prompt.resize(60, 2);
  rig.Submit(longer);
  for (int i = 0; i < 14; ++i) {
    rig.Step();
    EXPECT_THAT(rig.rows, ElementsAre(1, 4)) << "the other's prompt has all but one row";
  }
}

TEST(SchedulerDrafts, GuessesAreSharedAndBounded) {
  EngineOptions options = Options();
  options.max_draft = 6;
  SchedulerRig rig(options, kInfo);
  for (uint64_t seed = 1; seed <= 4; ++seed) rig.Submit(Loop(seed, 200));
  for (int i = 0; i < 20; ++i) rig.Step();
  EXPECT_THAT(rig.rows, ElementsAre(2, 2, 2, 1)) << "6, less 3 for three others";
}

TEST(SchedulerDrafts, GuessesTakeOnlyLogitRowsThatAreLeft) {
  RunnerInfo info = kInfo;
  info.max_logit_rows = 4;
  SchedulerRig rig(Options(), info);
  for (uint64_t seed = 1; seed <= 3; ++seed) rig.Submit(Loop(seed, 100));
  for (int i = 0; i < 20; ++i) rig.Step();
  EXPECT_THAT(rig.rows, ElementsAre(2, 1, 1));
}

TEST(SchedulerDrafts, GuessesPreemptNobodyAndHoldNoBlockBetweenSteps) {
  RunnerInfo info = kInfo;
  info.n_blocks = 30;
  EngineOptions plain = Options();
  plain.speculation = Speculation::kOff;
  plain.prefix_cache = false;
  EngineOptions options = Options();
  options.prefix_cache = false;
  SchedulerRig with(options, info), without(plain, info);
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    with.Submit(Request(seed, 50));
    without.Submit(Request(seed, 50));
  }
  StepsOf(without);
  ASSERT_EQ(without.stats().preemptions, 0);
  while (with.Step()) {
    int64_t needed = 0;
    for (const auto& [id, outcome] : with.outcomes) {
      if (outcome.last) continue;
      const auto answer = static_cast<int64_t>(outcome.tokens.at(0).size());
      needed += (9 + answer - 1 + 3) / 4;
    }
    EXPECT_EQ(with.stats().blocks_held, needed);
  }
  EXPECT_EQ(with.stats().preemptions, 0);
  EXPECT_GT(with.stats().drafted_tokens, with.stats().accepted_tokens);
}

TEST(SchedulerDrafts, WhatWasGuessedWrongIsNotInThePrefixCache) {
  SchedulerRig rig(Options(), kInfo);
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const RequestId first = rig.Submit(Request(seed, 80));
    StepsOf(rig);
    // The answer so far as a prompt: its blocks are found, and hold what they say.
    EngineRequest next = Request(seed, 20);
    const auto& answer = rig.outcomes[first].tokens[0];
    next.prompt.insert(next.prompt.end(), answer.begin(), answer.end() - 8);
    const RequestId second = rig.Submit(next);
    StepsOf(rig);
    EXPECT_GT(rig.outcomes[second].last->usage.cached_tokens, 60);
    EXPECT_EQ(rig.AnswerOf(second), rig.Alone(second)) << seed;
  }
}

// The fake's draft layer knows the model's greedy choice, and errs in one of five guesses. With
// whole_drafts it also checks that it saw the hidden state of every token before.
TEST(SchedulerDrafts, ADraftLayerSeesEveryHiddenStateAndItsGuessesAreChecked) {
  for (const int32_t chunk : {16, 3}) {
    EngineOptions options = MtpOptions();
    options.prefix_cache = false;
    options.prefill_chunk = chunk;
    RunnerInfo info = kInfo;
    info.vocab = 40;
    SchedulerRig rig(options, info);
    rig.runner.whole_drafts = true;
    std::vector<RequestId> ids;
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      EngineRequest r = Request(seed, 60);
      r.n = 1 + static_cast<int>(seed % 2);
      ids.push_back(rig.Submit(r));
    }
    const int64_t steps = StepsOf(rig);
    for (const RequestId id : ids) EXPECT_EQ(rig.AnswerOf(id), rig.Alone(id));
    EXPECT_LT(steps, 120) << "9 answers of 60 tokens, 4 at a time";
    EXPECT_GT(rig.stats().accepted_tokens, rig.stats().drafted_tokens / 2);
    EXPECT_EQ(rig.runner.violation(), std::nullopt);
  }
}

TEST(SchedulerDrafts, ADraftLayerStartsAgainAfterPreemption) {
  RunnerInfo info = kInfo;
  info.n_blocks = 12;
  EngineOptions options = MtpOptions();
  options.prefix_cache = false;
  SchedulerRig rig(options, info);
  rig.runner.whole_drafts = true;
  const RequestId a = rig.Submit(Request(1, 38)), b = rig.Submit(Request(2, 38));
  StepsOf(rig);
  EXPECT_GT(rig.stats().preemptions, 0);
  EXPECT_EQ(rig.AnswerOf(a), rig.Alone(a));
  EXPECT_EQ(rig.AnswerOf(b), rig.Alone(b));
  EXPECT_GT(rig.stats().accepted_tokens, 20);
}

TEST(SchedulerDrafts, DrawnTokensAreTheSameWithEveryKind) {
  std::map<Speculation, int64_t> accepted;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    std::vector<Answer> answers;
    for (const Speculation kind : {Speculation::kOff, Speculation::kNgram, Speculation::kMtp}) {
      EngineOptions options = Options();
      options.speculation = kind;
      SchedulerRig rig(options, kInfo);
      const RequestId id = rig.Submit(Request(seed, 60, 0.5 + 0.05 * static_cast<double>(seed)));
      StepsOf(rig);
      accepted[kind] += rig.stats().accepted_tokens;
      answers.push_back(rig.AnswerOf(id));
    }
    EXPECT_EQ(answers[1], answers[0]) << seed;
    EXPECT_EQ(answers[2], answers[0]) << seed;
  }
  EXPECT_EQ(accepted[Speculation::kOff], 0);
  EXPECT_GT(accepted[Speculation::kNgram], 100);
  EXPECT_GT(accepted[Speculation::kMtp], 100);
}

TEST(SchedulerDrafts, AModelWithoutALayerIsRefused) {
  RunnerInfo info = kInfo;
  info.drafts = false;
  EXPECT_EQ(CheckOptions(MtpOptions(), info).error().field, "speculation");
  EXPECT_TRUE(CheckOptions(Options(), info).has_value());
  EngineOptions none = Options();
  none.max_draft = 0;
  EXPECT_EQ(CheckOptions(none, kInfo).error().field, "max_draft");
}

// Guesses made in so many steps, of which this share is right.
int32_t GuessesOf(double right, int steps, double worth) {
  DraftPace pace;
  int32_t rows = 0;
  uint64_t state = 1;
  for (int step = 0; step < steps; ++step) {
    const int32_t n = pace.Next(16, worth);
    if (n == 0) continue;
    int32_t hits = 0;
    while (hits < n && static_cast<double>((state = Mix(state)) >> 11) * 0x1p-53 < right) ++hits;
    pace.Learn(n, hits);
    rows += n;
  }
  return rows;
}

TEST(DraftPace, GuessesFarWhatComesTrueAndHardlyWhatDoesNot) {
  EXPECT_GT(GuessesOf(1, 1000, 0.33), 15 * 980);
  EXPECT_GT(GuessesOf(0.8, 1000, 0.33), 3000);
  EXPECT_LT(GuessesOf(0.1, 1000, 0.33), 60);
  EXPECT_LT(GuessesOf(0, 1000, 0.33), 30);
}

TEST(DraftPace, WantsToBeSurerTheMoreARowCosts) {
  EXPECT_GT(GuessesOf(1, 1000, 0.8), 4 * 980);
  EXPECT_LT(GuessesOf(0.6, 1000, 0.8), GuessesOf(0.6, 1000, 0.33) / 4);
  EXPECT_GT(GuessesOf(0.6, 1000, 0.33), 1000);
}

TEST(StepCost, FindsWhatARowCosts) {
  StepCost cost;
  EXPECT_EQ(cost.RowsOfAStep(), StepCost::kDefault);
  for (int i = 0; i < 200; ++i) cost.Note(1, 0.03);
  EXPECT_EQ(cost.RowsOfAStep(), StepCost::kDefault) << "steps of one row do not tell";
  uint64_t state = 1;
  const auto run = [&](int steps, double step, double row) {
    for (int i = 0; i < steps; ++i) {
      const auto rows = static_cast<double>((state = Mix(state)) % 8 + 1);
      const double noise = static_cast<double>((state = Mix(state)) % 100) / 1e3 + 0.95;
      cost.Note(rows, (step + row * rows) * noise);
    }
  };
  run(300, 0.03, 0.005);
  EXPECT_NEAR(cost.RowsOfAStep(), 6, 1.5);
  for (int i = 0; i < 20; ++i)
    cost.Note(i % 2 == 0 ? 1 : 8, i == 9 ? 3.0 : i % 2 == 0 ? 0.035 : 0.07);
  EXPECT_NEAR(cost.RowsOfAStep(), 6, 2) << "one step of three seconds";
  run(500, 0.001, 0.01);  // another load: the old steps fade
  EXPECT_NEAR(cost.RowsOfAStep(), 0.1, 0.2);
  run(300, 0.03, 0);
  EXPECT_GT(cost.RowsOfAStep(), 30);
  for (int i = 0; i < 300; ++i) cost.Note(i % 2 == 0 ? 4 : 8, i % 2 == 0 ? 0.04 : 0.12);
  EXPECT_NEAR(cost.RowsOfAStep(), -2, 0.1) << "eight rows cost more than twice four";
  for (int i = 0; i < 300; ++i) cost.Note(4, 0.04);
  EXPECT_EQ(cost.RowsOfAStep(), StepCost::kDefault) << "forgotten while nothing is guessed";
}

TEST(SchedulerDrafts, WhatARowCostsDecidesHowFarIsGuessed) {
  int64_t drafted[2] = {};
  for (const int cheap : {0, 1}) {
    SchedulerRig rig(MtpOptions(), kInfo);
    rig.scheduler.set_rows_of_a_step(cheap == 1 ? 32 : 0.25);
    for (uint64_t seed = 1; seed <= 3; ++seed) rig.Submit(Request(seed, 100));
    StepsOf(rig);
    drafted[cheap] = rig.stats().drafted_tokens;
  }
  EXPECT_GT(2 * drafted[1], 3 * drafted[0]);
  SchedulerRig dear(MtpOptions(), kInfo);
  dear.scheduler.set_rows_of_a_step(-1);
  for (uint64_t seed = 1; seed <= 2; ++seed) dear.Submit(Request(seed, 60));
  EXPECT_EQ(StepsOf(dear), 60) << "one more row costs more than another step";
}

TEST(DraftPace, NeverGuessesMoreThanThereIsRoomFor) {
  DraftPace pace;
  for (int32_t most = 1; most < 40; ++most) {
    const int32_t n = pace.Next(most, 0.3);
    EXPECT_LE(n, most);
    EXPECT_GT(n, 0);
    pace.Learn(n, n);
  }
}

}  // namespace
}  // namespace hadal
