#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <condition_variable>
#include <memory>
#include <mutex>

#include "base/clock.h"

namespace hadal::cli {
namespace {

struct Waiting {
  std::mutex mutex;
  std::condition_variable changed;
  Answer answer;
  bool done = false;
  Error error;
  bool failed = false;
};

}  // namespace

Result<Answer> Ask(ChatService& service, const api::Request& request,
                   const std::function<void(const api::Delta&)>& on_delta,
                   const std::atomic<bool>* interrupt) {
  auto waiting = std::make_shared<Waiting>();
  const TimePoint start = Now();
  auto on_event = [waiting, on_delta, start](api::Event event) {
    const std::scoped_lock lock(waiting->mutex);
    if (const auto* delta = std::get_if<api::Delta>(&event)) {
      if (waiting->answer.first_token_seconds == 0) {
        waiting->answer.first_token_seconds = Seconds(Now() - start);
      }
      waiting->answer.content += delta->content;
      waiting->answer.reasoning += delta->reasoning;
      if (on_delta) on_delta(*delta);
    } else if (const auto* finished = std::get_if<api::Finished>(&event)) {
      waiting->answer.reason = finished->reason;
    } else if (const auto* done = std::get_if<api::Done>(&event)) {
      waiting->answer.usage = done->usage;
      waiting->done = true;
    } else if (auto* failed = std::get_if<api::Failed>(&event)) {
      waiting->error = std::move(failed->error);
      waiting->failed = waiting->done = true;
    }
    waiting->changed.notify_all();
  };
  HADAL_TRY(auto session, service.Submit(request, on_event));
  bool interrupted = false;
  {
    std::unique_lock lock(waiting->mutex);
    while (!waiting->done && !interrupted) {
      waiting->changed.wait_for(lock, std::chrono::milliseconds(50));
      interrupted = interrupt != nullptr && interrupt->load() && !waiting->done;
    }
  }
  session.reset();  // cancels what is left
  const std::scoped_lock lock(waiting->mutex);
  if (waiting->failed) return tl::make_unexpected(waiting->error);
  waiting->answer.interrupted = interrupted;
  waiting->answer.seconds = Seconds(Now() - start);
  return waiting->answer;
}

std::function<void(size_t, size_t)> ProgressBar(std::string label) {
  if (!isatty(STDERR_FILENO)) return {};
  struct State {
    std::mutex mutex;
    TimePoint start = Now(), last = start;
    bool shown = false;
  };
  auto state = std::make_shared<State>();
  return [state, label = std::move(label)](size_t done, size_t all) {
    const std::scoped_lock lock(state->mutex);
    const TimePoint now = Now();
    const bool last = done >= all;
    if (last && state->shown) {
      fmt::print(stderr, "\r\033[K");
      state->shown = false;
    }
    if (last || Seconds(now - state->last) < 0.1) return;
    state->last = now;
    state->shown = true;
    const double elapsed = Seconds(now - state->start), rate = static_cast<double>(done) / elapsed;
    fmt::print(stderr, "\r\033[K{} {:.0f} %  {:.2f} GB/s, {:.0f} s left", label,
               100.0 * static_cast<double>(done) / static_cast<double>(all), rate / 1e9,
               static_cast<double>(all - done) / rate);
  };
}

}  // namespace hadal::cli
