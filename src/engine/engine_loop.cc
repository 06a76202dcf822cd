// The engine thread: inbox -> Accept -> Plan -> run -> sample -> Commit -> sink. One lock to take
// the inbox, one to publish the numbers; no other lock, and no allocation per token beyond the
// events.
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "base/check.h"
#include "engine/admission.h"
#include "engine/engine.h"
#include "engine/runner.h"
#include "engine/scheduler.h"
#include "engine/step_cost.h"

namespace hadal {
namespace {

class EngineLoop final : public Engine {
 public:
  EngineLoop(std::unique_ptr<Runner> runner, const EngineOptions& options, EventSink& sink)
      : options_(options),
        runner_(std::move(runner)),
        info_(runner_->info()),
        sink_(sink),
        scheduler_(options, info_),
        sampler_(info_.vocab) {
    scheduler_.FillStats(stats_);
    thread_ = std::thread([this] { Loop(); });
  }
  ~EngineLoop() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  Result<RequestId> Submit(EngineRequest request) override;
  void Cancel(RequestId request, int choice) override;
  EngineStats stats() const override;
  std::optional<Error> failure() const override;
  double RetryAfterSeconds() const override;
  void Drain() override;
  bool WaitIdle(std::chrono::milliseconds timeout) override;

 private:
  void Loop();
  bool TakeInbox();  // false: stop
  void Step();
  void RunPlan(const BatchPlan& plan);
  void FailStep(const Error& error);
  void Publish();

  const EngineOptions options_;
  const std::unique_ptr<Runner> runner_;
  const RunnerInfo info_;
  EventSink& sink_;

  // Shared, under mutex_.
  mutable std::mutex mutex_;
  std::condition_variable wake_;  // the engine thread: something to do
  std::condition_variable idle_changed_;
  std::vector<EngineCommand> inbox_;
  int64_t inbox_requests_ = 0;  // kSubmit in inbox_
  int64_t not_started_ = 0;     // requests taken from the inbox, as of the last step
  uint64_t last_id_ = 0;
  bool draining_ = false, stopping_ = false;
  bool idle_ = true;
  std::optional<Error> failure_;
  EngineStats stats_;
  double seconds_per_request_ = 0;  // of busy time, smoothed; 0: none has ended yet

  // Of the engine thread.
  Scheduler scheduler_;
  Sampler sampler_;
  std::vector<EngineCommand> commands_;
  std::vector<EngineEvent> events_;
  StepScratch scratch_;
  StepCost step_cost_;
  EngineStats step_stats_;       // running totals
  double busy_since_ended_ = 0;  // seconds of steps since the last request ended
  int64_t ended_ = 0;

  std::thread thread_;
};

Result<RequestId> EngineLoop::Submit(EngineRequest request) {
  HADAL_OK(CheckRequest(request, options_, info_));
  if (!request.sampling.seed) {
    std::random_device device;
    request.sampling.seed = uint64_t{device()} << 32 | device();
  }
  EngineCommand command;
  command.kind = EngineCommand::Kind::kSubmit;
  command.spec = std::move(request);
  {
    const std::lock_guard lock(mutex_);
    if (draining_ || stopping_) {
      return ::hadal::Fail(ErrorCode::kUnavailable,
                           "the engine is shutting down and takes no new requests");
    }
    if (failure_) return tl::make_unexpected(*failure_);
    const int64_t queued = not_started_ + inbox_requests_;
    if (queued >= options_.max_queued) {
      return ::hadal::Fail(ErrorCode::kQueueFull, "{} {} waiting; at most {} may", queued,
                           queued == 1 ? "request is" : "requests are", options_.max_queued);
    }
    command.request = RequestId(++last_id_);
    inbox_.push_back(std::move(command));
    ++inbox_requests_;
    idle_ = false;
    wake_.notify_one();
    return RequestId(last_id_);
  }
}

void EngineLoop::Cancel(RequestId request, int choice) {
  const std::lock_guard lock(mutex_);
  if (request.value == 0 || request.value > last_id_ || idle_) return;
  EngineCommand command;
  command.kind = EngineCommand::Kind::kCancel;
  command.request = request;
  command.choice = choice;
  inbox_.push_back(std::move(command));
  wake_.notify_one();
}

EngineStats EngineLoop::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.queued = not_started_ + inbox_requests_;
  return stats;
}

std::optional<Error> EngineLoop::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

// The time in which what waits now will have started, at the recent rate of endings.
double EngineLoop::RetryAfterSeconds() const {
  const std::lock_guard lock(mutex_);
  const auto queued = static_cast<double>(not_started_ + inbox_requests_);
  return std::clamp(queued * seconds_per_request_, 1.0, 120.0);
}

void EngineLoop::Drain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
}

bool EngineLoop::WaitIdle(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return idle_changed_.wait_for(lock, timeout, [&] { return idle_; });
}

void EngineLoop::Loop() {
  while (TakeInbox()) Step();
  scheduler_.FailAll({ErrorCode::kUnavailable, "the engine was stopped", {}}, events_);
  Publish();
  if (!events_.empty()) sink_.OnStep(events_);
  const std::lock_guard lock(mutex_);
  idle_ = true;
  idle_changed_.notify_all();
}

bool EngineLoop::TakeInbox() {
  std::unique_lock lock(mutex_);
  if (inbox_.empty() && !scheduler_.has_work()) {
    idle_ = true;
    idle_changed_.notify_all();
    wake_.wait(lock, [&] { return stopping_ || !inbox_.empty(); });
  }
  std::swap(commands_, inbox_);
  not_started_ += std::exchange(inbox_requests_, 0);
  if (!stopping_) return true;
  lock.unlock();
  events_.clear();
  scheduler_.Accept(commands_, Now(), events_);  // so that these get their last event, too
  return false;
}

void EngineLoop::Step() {
  const TimePoint start = Now();
  events_.clear();
  scheduler_.Accept(commands_, start, events_);
  commands_.clear();
  const BatchPlan& plan = scheduler_.Plan();
  CHECK(!plan.empty() || !scheduler_.has_work());
  if (!plan.empty()) {
    step_stats_.last_batch_rows = static_cast<int64_t>(plan.tokens.size());
    step_stats_.last_batch_sequences = static_cast<int64_t>(plan.chunks.size());
    const bool decodes = plan.tokens.size() == plan.logit_rows.size();
    RunPlan(plan);
    ++step_stats_.steps;
    const double seconds = Seconds(Now() - start);
    if (decodes) {
      step_cost_.Note(static_cast<double>(step_stats_.last_batch_rows), seconds);
      scheduler_.set_rows_of_a_step(step_cost_.RowsOfAStep());
    }
    step_stats_.step_seconds_total += seconds;
    busy_since_ended_ += seconds;
  }
  Publish();
  if (!events_.empty()) sink_.OnStep(events_);
}

void EngineLoop::RunPlan(const BatchPlan& plan) {
  if (const DraftPlan& drafts = scheduler_.drafts(); !drafts.empty()) {
    const auto guesses = runner_->Draft(drafts.input());
    if (!guesses) {
      FailStep(guesses.error());
      return;
    }
    scheduler_.TakeDrafts(*guesses);
  }
  if (!plan.summed.empty()) runner_->WantSums(plan.summed, &scratch_.sums);
  FillTemperatures(plan, scratch_.temperatures);
  const Result<StepLogits> logits = runner_->Run(plan.input(), scratch_.temperatures);
  if (!logits) {
    FailStep(logits.error());
    return;
  }
  SampleStep(plan, *logits, *runner_, sampler_, scratch_);
  scheduler_.Commit(scratch_.samples, scratch_.sums, events_);
}

void EngineLoop::FailStep(const Error& error) {
  scheduler_.Fail(error, events_);
  if (error.code != ErrorCode::kGpuLost) return;
  scheduler_.FailAll(error, events_);
  const std::lock_guard lock(mutex_);
  failure_ = error;
}

// Before the sink, so that who sees a request end also sees its blocks given back.
void EngineLoop::Publish() {
  scheduler_.FillStats(step_stats_);
  const int64_t ended = scheduler_.ended() - std::exchange(ended_, scheduler_.ended());
  const std::lock_guard lock(mutex_);
  stats_ = step_stats_;
  not_started_ = scheduler_.not_started();
  if (ended == 0) return;
  const double each = std::exchange(busy_since_ended_, 0) / static_cast<double>(ended);
  seconds_per_request_ = seconds_per_request_ == 0 ? each : 0.8 * seconds_per_request_ + 0.2 * each;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Start(std::unique_ptr<Runner> runner,
                                              const EngineOptions& options, EventSink& sink) {
  HADAL_OK(CheckOptions(options, runner->info()));
  return std::make_unique<EngineLoop>(std::move(runner), options, sink);
}

}  // namespace hadal
