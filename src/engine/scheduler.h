// Owns: who computes what in each step, and every block of the cache. Pure and deterministic: no
// device, no I/O, no clock, no randomness; the same calls give the same plans.
//
// Each step: Accept (new requests, cancels, deadlines), Plan, run the plan, Commit or Fail.
// A plan holds one row of every sequence that is decoding, then chunks of prompts, oldest first, up
// to max_step_tokens rows; so long prompts never hold up those who are reading. While nothing is
// being decoded a chunk may take the whole step, for models whose prompts gain from many rows.
// Blocks are taken when a plan needs them. When none is left, the youngest running sequence gives
// its blocks back and waits; it computes prompt and answer again later, and because draws depend on
// (seed, choice, position) only, goes on with the tokens it would have had. The oldest sequence is
// never preempted, and a request that could not run alone is never admitted (engine/admission.h),
// so every request ends.
//
// Guessed tokens (options.speculation) are rows of the sequence they may belong to, planned after
// everything else, in what is left of rows, logit rows and blocks: they displace nothing. Only
// those that are drawn become tokens; the slots of the others are written again, and their blocks
// given back. Nothing of a guess outlives its step.
//
// Thread rule: one thread (the engine's).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/batch_plan.h"
#include "engine/engine.h"
#include "engine/runner.h"
#include "engine/sequence.h"
#include "engine/step_cost.h"
#include "kv/block_pool.h"
#include "kv/prefix_cache.h"

namespace hadal {

// What callers ask for between steps, in order.
struct EngineCommand {
  enum class Kind { kSubmit, kCancel };
  Kind kind = Kind::kSubmit;
  RequestId request{};
  int choice = -1;     // kCancel; -1: all
  EngineRequest spec;  // kSubmit: passed CheckRequest, has a seed
};

class Scheduler {
 public:
  // Options and runner passed CheckOptions.
  Scheduler(const EngineOptions& options, const RunnerInfo& runner);

  // Takes the commands and ends what is past its deadline. Requests come in ascending order of id.
  void Accept(std::span<EngineCommand> commands, TimePoint now, std::vector<EngineEvent>& events);
  // The next step; empty when there is nothing to do.
  const BatchPlan& Plan();
  // What the runner is to guess first, for the plan just made; when it is not empty, TakeDrafts
  // comes before the plan is run.
  const DraftPlan& drafts() const { return drafts_; }
  void TakeDrafts(std::span<const TokenId> guesses);
  // The plan was run; samples: one per logit row. The only place where sequences advance.
  // sums: [plan.summed.size(), hidden].
  void Commit(std::span<StepSample> samples, std::span<const double> sums,
              std::vector<EngineEvent>& events);
  // The plan could not be run: its requests end with this error.
  void Fail(const Error& error, std::vector<EngineEvent>& events);
  // Every request ends with this error.
  void FailAll(const Error& error, std::vector<EngineEvent>& events);

  // What guesses cost: as many rows as cost what a step costs before its first row.
  void set_rows_of_a_step(double rows) { rows_of_a_step_ = rows; }

  bool has_work() const { return !requests_.empty(); }
  int64_t not_started() const { return not_started_; }  // requests
  int64_t ended() const { return ended_total_; }        // requests, since the start
  // The scheduler's part of the numbers.
  void FillStats(EngineStats& stats) const;

  // The first violation of an invariant, of the state or of the current plan.
  std::optional<std::string> CheckIntegrity() const;

 private:
  size_t BlocksFor(int64_t slots) const {
    return static_cast<size_t>((slots + block_tokens_ - 1) / block_tokens_);
  }
  int64_t SlotsSoon(const Sequence& s) const;

  void Submit(EngineCommand& command);
  void CancelChoice(RequestState& request, int choice, std::vector<EngineEvent>& events);
  void StartOtherChoices(RequestState& request);

  void PlanRunning(bool decoding);
  void AdmitWaiting();
  bool CanStart(const Sequence& s) const;
  std::span<const PrefixKey> UsableKeys(const Sequence& s) const;
  void Start(Sequence& s);
  void PlanRows(Sequence& s);
  static int64_t PromptTokens(const Sequence& s);
  bool IsPrompt(const Sequence& s) const;  // its next row is one that the backend rounds
  bool Reserve(Sequence& s, int64_t slots);
  void PreemptYoungest();
  void BuildPlan();
  void AddChunk(Sequence& s);
  void PlanDrafts();
  int32_t Guess(Sequence& s, double worth) const;
  void BuildDraftPlan();
  void AddStates(Sequence& s);
  void ShareDraftRoom(int32_t room);
  void FitDraft(Sequence& s, int32_t granted);
  void TakeAccepted(const BatchPlan::Part& part, int32_t accepted);

  void ExtendKeys(Sequence& s) const;
  void OfferBlocks(Sequence& s);
  void ReleaseBlocks(Sequence& s);
  void AddSum(Sequence& s, std::span<const double> sum) const;
  void Embed(Sequence& s, std::vector<EngineEvent>& events);
  void Draw(const BatchPlan::Part& part, std::span<StepSample> samples, int32_t accepted,
            std::vector<EngineEvent>& events);
  void EmitToken(Sequence& s, SampledToken& token, std::vector<EngineEvent>& events);
  void FinishIfLast(Sequence& s, std::vector<EngineEvent>& events);
  void FinishChoice(Sequence& s, api::FinishReason reason, std::vector<EngineEvent>& events);
  void Leave(Sequence& s);
  void EndRequest(RequestState& request, EngineEvent last, std::vector<EngineEvent>& events);
  void FailRequest(RequestState& request, const Error& error, std::vector<EngineEvent>& events);
  void DropEnded();

  std::optional<std::string> CheckBlocks() const;
  std::optional<std::string> CheckPlan() const;

  const EngineOptions options_;
  const int32_t block_tokens_;
  const bool rounds_prompts_;
  const int32_t max_logit_rows_;
  BlockPool pool_;
  PrefixCache cache_;

  std::map<RequestId, std::unique_ptr<RequestState>> requests_;
  std::set<Sequence*, Older> waiting_;
  std::vector<Sequence*> running_;  // oldest first
  std::vector<RequestId> ended_;    // to be dropped at the end of the call

  BatchPlan plan_;
  DraftPlan drafts_;
  std::vector<Sequence*> chosen_;  // in the order of the plan; preempted ones have no rows
  int32_t rows_left_ = 0;          // of the step being planned
  int32_t chunk_ = 0;              // most prompt rows of a sequence in it
  bool preempted_ = false;         // in the step being planned
  double rows_of_a_step_ = StepCost::kDefault;
  std::vector<Sequence*> drafting_;
  std::vector<int32_t> granted_;  // guesses of each

  int64_t not_started_ = 0, ended_total_ = 0;
  int64_t prompt_tokens_ = 0, generated_tokens_ = 0, cached_tokens_ = 0, preemptions_ = 0;
  int64_t drafted_tokens_ = 0, accepted_tokens_ = 0;
};

}  // namespace hadal
