#include "server/http/completion_timer.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace hadal::server {

CompletionTimer::CompletionTimer() : thread_([this] { Run(); }) {}

void CompletionTimer::Watch(const std::shared_ptr<Completion>& completion) {
  std::lock_guard lock(mutex_);
  live_.push_back(completion);
}

void CompletionTimer::Retire(std::unique_ptr<ChatService::Session> session) {
  {
    std::lock_guard lock(mutex_);
    retired_.push_back(std::move(session));
  }
  wake_.notify_one();
}

std::vector<std::shared_ptr<Completion>> CompletionTimer::Live() {
  std::lock_guard lock(mutex_);
  return LiveLocked();
}

std::vector<std::shared_ptr<Completion>> CompletionTimer::LiveLocked() {
  std::vector<std::shared_ptr<Completion>> live;
  for (auto it = live_.begin(); it != live_.end();) {
    auto completion = it->lock();
    it = completion == nullptr ? live_.erase(it) : std::next(it);
    if (completion != nullptr) live.push_back(std::move(completion));
  }
  return live;
}

void CompletionTimer::Run() {
  sigset_t all;  // signals are for the main thread
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  constexpr auto kTick = std::chrono::milliseconds(250);
  TimePoint next_tick = Now() + kTick;
  std::unique_lock lock(mutex_);
  while (!stopping_ || !retired_.empty()) {
    wake_.wait_until(lock, next_tick, [this] { return stopping_ || !retired_.empty(); });
    auto dead = std::exchange(retired_, {});
    std::vector<std::shared_ptr<Completion>> live;
    if (Now() >= next_tick) {
      next_tick = Now() + kTick;
      live = LiveLocked();
    }
    lock.unlock();
    dead.clear();
    for (const auto& completion : live) completion->Tick(Now());
    live.clear();
    lock.lock();
  }
}

void CompletionTimer::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

}  // namespace hadal::server
