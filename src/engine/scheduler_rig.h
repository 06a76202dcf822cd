// Owns: a scheduler with a fake runner, stepped by hand, for tests. Checks the invariants around
// every step and that no request gets an event after its last.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/fake_runner.h"
#include "engine/scheduler.h"

namespace hadal {

struct Outcome {
  std::map<int, std::vector<TokenId>> tokens;  // by choice
  std::map<int, api::FinishReason> finished;
  std::optional<EngineEvent> last;  // kDone or kFailed
};

class SchedulerRig {
 public:
  SchedulerRig(const EngineOptions& options, const RunnerInfo& info)
      : scheduler(options, info), runner(info), sampler_(info.vocab), info_(info) {
    owner_.resize(static_cast<size_t>(info.n_blocks));
    EXPECT_TRUE(CheckOptions(options, info).has_value());
  }

  RequestId Submit(EngineRequest spec) {
    if (!spec.sampling.seed) spec.sampling.seed = 1;
    EngineCommand command;
    command.request = RequestId(++last_id_);
    specs.emplace(command.request, spec);
    command.spec = std::move(spec);
    commands_.push_back(std::move(command));
    return RequestId(last_id_);
  }
  void Cancel(RequestId request, int choice = -1) {
    EngineCommand command;
    command.kind = EngineCommand::Kind::kCancel;
    command.request = request;
    command.choice = choice;
    commands_.push_back(std::move(command));
  }

  // One step; false when there was nothing to do. Test failures name the first violation.
  bool Step() {
    events.clear();
    scheduler.Accept(commands_, now, events);
    commands_.clear();
    Check("after Accept");
    const BatchPlan& plan = scheduler.Plan();
    Check("after Plan");
    EXPECT_EQ(plan.empty(), !scheduler.has_work()) << "a step without progress";
    rows.clear();
    for (const SeqChunk& c : plan.chunks) rows.push_back(c.n_rows);
    contexts.clear();
    for (const SeqChunk& c : plan.chunks) contexts.push_back(c.context);
    for (const int32_t slot : plan.slots) plan_hash = Mix(plan_hash ^ static_cast<uint64_t>(slot));
    for (const TokenId id : plan.tokens) plan_hash = Mix(plan_hash ^ static_cast<uint64_t>(id));
    CheckTenants(plan);
    const bool worked = !plan.empty();
    if (worked) {
      if (!plan.summed.empty()) runner.WantSums(plan.summed, &scratch_.sums);
      Guess();
      FillTemperatures(plan, scratch_.temperatures);
      const auto logits = runner.Run(plan.input(), scratch_.temperatures);
      if (logits) {
        SampleStep(plan, *logits, runner, sampler_, scratch_);
        scheduler.Commit(scratch_.samples, scratch_.sums, events);
      } else {
        scheduler.Fail(logits.error(), events);
      }
      EXPECT_EQ(runner.violation(), std::nullopt);
    }
    Check("after Commit");
    for (EngineEvent& e : events) Record(e);
    return worked;
  }
  // Steps until nothing is left.
  void Finish(int most_steps = 100000) {
    while (Step()) ASSERT_GE(--most_steps, 0) << "requests do not end";
  }

  EngineStats stats() const {
    EngineStats s;
    scheduler.FillStats(s);
    return s;
  }
  Answer AnswerOf(RequestId id, int choice = 0) {
    return {outcomes[id].tokens[choice], outcomes[id].finished[choice]};
  }
  Answer Alone(RequestId id, int choice = 0) const {
    return AnswerAlone(specs.at(id), choice, info_.vocab, info_.rounds_prompts);
  }

  Scheduler scheduler;
  FakeRunner runner;
  TimePoint now{};
  std::vector<EngineEvent> events;      // of the last step
  std::vector<int32_t> rows, contexts;  // of the last plan's chunks
  std::map<RequestId, EngineRequest> specs;
  std::map<RequestId, Outcome> outcomes;
  uint64_t plan_hash = 0;  // of all plans so far

 private:
  void Check(const char* when) {
    const auto violation = scheduler.CheckIntegrity();
    ASSERT_EQ(violation, std::nullopt) << when;
    const EngineStats s = stats();
    ASSERT_EQ(s.blocks_free + s.blocks_cached + s.blocks_held, s.blocks_total) << when;
  }
  void Guess() {
    const DraftPlan& drafts = scheduler.drafts();
    if (drafts.empty()) return;
    const auto guesses = runner.Draft(drafts.input());
    ASSERT_TRUE(guesses.has_value());
    scheduler.TakeDrafts(*guesses);
    Check("after TakeDrafts");
  }
  // Every block read was written for the same tenant.
  void CheckTenants(const BatchPlan& plan) {
    for (size_t i = 0; i < plan.chunks.size(); ++i) {
      const std::string& tenant = plan.parts[i].sequence->request->spec.tenant;
      const SeqChunk& c = plan.chunks[i];
      const int32_t size = info_.block_tokens;
      for (int32_t b = 0; b * size < c.context + c.n_rows; ++b) {
        std::string& owner = owner_[static_cast<size_t>(c.blocks[b])];
        if (b * size >= c.context) owner = tenant;  // its first slot is written now
        ASSERT_EQ(owner, tenant) << "a block of another tenant is read";
      }
    }
  }
  void Record(const EngineEvent& e) {
    ASSERT_TRUE(specs.contains(e.request));
    Outcome& o = outcomes[e.request];
    ASSERT_FALSE(o.last.has_value()) << "an event after the last one";
    switch (e.kind) {
      case EngineEvent::Kind::kToken:
        ASSERT_FALSE(o.finished.contains(e.choice)) << "a token after the end of its choice";
        o.tokens[e.choice].push_back(e.token);
        break;
      case EngineEvent::Kind::kFinished:
        ASSERT_TRUE(o.finished.emplace(e.choice, e.reason).second) << "a choice ends twice";
        break;
      default:
        o.last = e;
    }
  }

  Sampler sampler_;
  const RunnerInfo info_;
  uint64_t last_id_ = 0;
  std::vector<EngineCommand> commands_;
  StepScratch scratch_;
  std::vector<std::string> owner_;  // tenant whose tokens a block holds
};

}  // namespace hadal
