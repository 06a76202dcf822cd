#include "cli/answer_tasks.h"

#include <condition_variable>
#include <deque>
#include <mutex>

#include "cli/assemble.h"

namespace hadal::cli {
namespace {

class Answering {
 public:
  Answering(ChatService& service, std::string model, std::span<const Task> tasks,
            int64_t max_tokens, const std::atomic<bool>* stop)
      : service_(service),
        model_(std::move(model)),
        tasks_(tasks),
        max_tokens_(max_tokens),
        stop_(stop),
        answers_(tasks.size()),
        sessions_(tasks.size()) {}
  // Sessions go first: no event comes after that.
  ~Answering() { sessions_.clear(); }
  Answering(const Answering&) = delete;
  Answering& operator=(const Answering&) = delete;

  Result<std::vector<TaskAnswer>> Run(size_t at_a_time, const Progress& progress) {
    for (size_t i = 0; i < tasks_.size(); ++i) {
      HADAL_OK(WaitUntilRunning(at_a_time - 1, progress));
      HADAL_OK(Submit(i));
    }
    HADAL_OK(WaitUntilRunning(0, progress));
    return std::move(answers_);
  }

 private:
  Status Submit(size_t i) {
    api::Request request = tasks_[i].request;
    request.request_id = fmt::format("task-{}", i);
    request.model = model_;
    request.max_tokens = max_tokens_;
    request.sampling.temperature = 0;
    const auto on_event = [this, i](const api::Event& event) { Take(i, event); };
    {
      const std::scoped_lock lock(mutex_);
      ++running_;
    }
    auto session = service_.Submit(request, on_event);
    if (!session && session.error().field == "max_tokens") {  // longer than what is left
      request.max_tokens.reset();
      session = service_.Submit(request, on_event);
    }
    if (!session) {
      return tl::make_unexpected(
          session.error().In(fmt::format("task of line {}", tasks_[i].line)));
    }
    sessions_[i] = std::move(*session);
    return {};
  }

  void Take(size_t i, const api::Event& event) {
    const std::scoped_lock lock(mutex_);
    if (const auto* delta = std::get_if<api::Delta>(&event)) {
      answers_[i].content += delta->content;
    } else if (const auto* finished = std::get_if<api::Finished>(&event)) {
      answers_[i].cut = finished->reason == api::FinishReason::kLength;
    } else {
      if (const auto* failed = std::get_if<api::Failed>(&event)) {
        error_ = failed->error.In(fmt::format("task of line {}", tasks_[i].line));
      }
      --running_;
      finished_.push_back(i);
      changed_.notify_one();
    }
  }

  // Waits for all but so many; finished sessions are destroyed on the way.
  Status WaitUntilRunning(size_t at_most, const Progress& progress) {
    std::unique_lock lock(mutex_);
    for (;;) {
      // A signal handler cannot notify: the flag is looked at now and then.
      changed_.wait_for(lock, std::chrono::milliseconds(50),
                        [&] { return running_ <= at_most || !finished_.empty() || error_; });
      if (error_) return tl::make_unexpected(*error_);
      if (stop_ != nullptr && *stop_) {
        return Fail(ErrorCode::kCancelled, "stopped while tasks were answered");
      }
      std::deque<size_t> finished;
      finished.swap(finished_);
      const bool enough = running_ <= at_most;
      lock.unlock();
      for (const size_t i : finished) sessions_[i].reset();
      done_ += finished.size();
      if (progress && !finished.empty()) {
        progress(static_cast<double>(done_) / static_cast<double>(tasks_.size()));
      }
      if (enough) return {};
      lock.lock();
    }
  }

  ChatService& service_;
  const std::string model_;
  const std::span<const Task> tasks_;
  const int64_t max_tokens_;
  const std::atomic<bool>* stop_;
  size_t done_ = 0;

  std::mutex mutex_;  // guards the five below
  std::condition_variable changed_;
  std::vector<TaskAnswer> answers_;
  std::deque<size_t> finished_;
  size_t running_ = 0;
  std::optional<Error> error_;

  std::vector<std::unique_ptr<ChatService::Session>> sessions_;
};

}  // namespace

AnswerTasks AnswersOf(const Config& config, int64_t max_tokens, const std::atomic<bool>* stop) {
  return [config, max_tokens, stop](const std::filesystem::path& model, std::span<const Task> tasks,
                                    const Progress& progress) -> Result<std::vector<TaskAnswer>> {
    Config one = config;
    one.model.path = model.string();
    one.model.name = "measured";
    HADAL_TRY(const auto assembly, Assemble(one, false));
    Answering answering(*assembly->service, one.model.name, tasks, max_tokens, stop);
    return answering.Run(static_cast<size_t>(one.engine.max_sequences), progress);
  };
}

}  // namespace hadal::cli
