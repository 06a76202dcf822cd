#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "tokenizer/utf8.h"

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

std::string TimeLeft(double seconds) {
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

// One line of a terminal, rewritten at most 10 times a second and cleared at the end, which may
// come early: a message must not stand behind it. Elsewhere (a log) a line every 10 seconds.
class Bar {
 public:
  explicit Bar(std::string label) : label_(std::move(label)) {}
  ~Bar() { Clear(); }
  Bar(const Bar&) = delete;
  Bar& operator=(const Bar&) = delete;

  // bytes: what was done so far, for the rate; 0 shows none.
  void Show(double fraction, double bytes) {
    const std::scoped_lock lock(mutex_);
    const TimePoint now = Now();
    const bool last = fraction >= 1;
    if (last) Clear();
    if (last || Seconds(now - last_) < (terminal_ ? 0.1 : 10)) return;
    last_ = now;
    shown_ = terminal_;
    const double elapsed = Seconds(now - start_);
    fmt::print(stderr, "{}{} {:.0f} %", terminal_ ? "\r\033[K" : "", label_, 100 * fraction);
    if (bytes > 0) fmt::print(stderr, "  {:.2f} GB/s", bytes / elapsed / 1e9);
    if (fraction > 0) {
      fmt::print(stderr, ", {} left", TimeLeft(elapsed * (1 - fraction) / fraction));
    }
    if (!terminal_) fmt::print(stderr, "\n");
    std::fflush(stderr);
  }

 private:
  void Clear() {
    if (shown_) fmt::print(stderr, "\r\033[K");
    shown_ = false;
  }

  const std::string label_;
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  std::mutex mutex_;
  const TimePoint start_ = Now();
  TimePoint last_ = start_;
  bool shown_ = false;
};

}  // namespace

std::string Printable(std::string_view text, std::string_view newline) {
  std::string out;
  const std::string repaired = RepairUtf8(text);
  for (size_t i = 0; i < repaired.size(); ++i) {
    const char c = repaired[i];
    const auto byte = static_cast<unsigned char>(c);
    const auto next = static_cast<unsigned char>(i + 1 < repaired.size() ? repaired[i + 1] : 0);
    if (byte == 0xc2 && next < 0xa0) {
      out += fmt::format("\\x{:02x}", next);
      ++i;
    } else if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else if (c == '\n') {
      out += newline;
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out;
}

Status CheckChats(const ChatService& service) {
  const auto models = service.models();
  if (models.empty() || models.front().chat) return {};
  return Fail(ErrorCode::kUnsupportedModel,
              "no chat format is known for {}; --chat-template FILE gives it one, `hadal generate "
              "--raw` continues a text without, `hadal inspect` says what is missing",
              models.front().name);
}

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
  auto bar = std::make_shared<Bar>(std::move(label));
  return [bar](size_t done, size_t all) {
    bar->Show(static_cast<double>(done) / static_cast<double>(all), static_cast<double>(done));
  };
}

std::function<void(double)> FractionBar(std::string label) {
  auto bar = std::make_shared<Bar>(std::move(label));
  return [bar](double done) { bar->Show(done, 0); };
}

}  // namespace hadal::cli
