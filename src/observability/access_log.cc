#include "observability/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

namespace hadal {
namespace {

// Microseconds are enough, and keep lines short.
double Rounded(double seconds) { return std::round(seconds * 1e6) / 1e6; }

constexpr size_t kMaxQueuedBytes = 4u << 20;
constexpr Duration kLastWords = std::chrono::seconds(1);

}  // namespace

std::string AccessLine(const AccessRecord& r, int64_t unix_ms) {
  nlohmann::ordered_json line = {
      {"ts_ms", unix_ms},   {"request_id", r.request_id},
      {"client", r.client}, {"method", r.method},
      {"route", r.route},   {"status", r.status},
      {"key", r.key_id},    {"seconds", Rounded(r.seconds)},
  };
  if (!r.error_code.empty()) line["error"] = r.error_code;
  if (!r.input_sha256.empty()) line["input_sha256"] = r.input_sha256;
  if (!r.model.empty()) {
    line["model"] = r.model;
    line["stream"] = r.stream;
    line["finish"] = r.finish;
    line["prompt_tokens"] = r.prompt_tokens;
    line["completion_tokens"] = r.completion_tokens;
    line["cached_tokens"] = r.cached_tokens;
    line["ttft_seconds"] = Rounded(r.time_to_first_token_seconds);
  }
  return line.dump(-1, ' ', /*ensure_ascii=*/true,
                   nlohmann::ordered_json::error_handler_t::replace);
}

struct AccessLog::Writer {
  Writer(int descriptor, bool is_owned) : fd(descriptor), owned(is_owned) {}
  ~Writer() {
    if (owned) ::close(fd);
  }
  void Run();
  bool WriteLine(std::string_view line);
  bool WaitWritable();
  bool OutOfTime();

  const int fd;
  const bool owned;
  std::mutex mutex;  // guards all below
  std::condition_variable changed;
  std::deque<std::string> queue;
  size_t queued_bytes = 0;
  bool busy = false;  // with a line that has left the queue
  bool done = false;  // the thread is about to end
  int64_t lost_lines = 0;
  std::optional<TimePoint> stop_at;
};

bool AccessLog::Writer::OutOfTime() {
  std::lock_guard lock(mutex);
  return stop_at && Now() >= *stop_at;
}

// The descriptor may be shared with others and stays blocking: it is asked before it is written to.
bool AccessLog::Writer::WaitWritable() {
  constexpr int kPollMs = 50;
  pollfd entry{fd, POLLOUT, 0};
  while (!OutOfTime()) {
    const int n = ::poll(&entry, 1, kPollMs);
    if (n > 0) return true;  // errors show when writing
    if (n < 0 && errno != EINTR) return false;
  }
  return false;
}

bool AccessLog::Writer::WriteLine(std::string_view line) {
  while (!line.empty()) {
    if (!WaitWritable()) return false;
    // A pipe that is ready takes so much at once without blocking.
    const ssize_t n = ::write(fd, line.data(), std::min<size_t>(line.size(), PIPE_BUF));
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return false;
    line.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

void AccessLog::Writer::Run() {
  sigset_t all;  // signals are for the main thread; a closed pipe is an error here, not a SIGPIPE
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [this] { return stop_at || !queue.empty(); });
    if (queue.empty()) break;
    const std::string line = std::move(queue.front());
    queue.pop_front();
    queued_bytes -= line.size();
    busy = true;
    lock.unlock();
    const bool written = WriteLine(line);
    lock.lock();
    busy = false;
    if (!written) ++lost_lines;
    changed.notify_all();
  }
  done = true;
  changed.notify_all();
}

AccessLog::AccessLog(int fd, bool owned)
    : writer_(std::make_shared<Writer>(fd, owned)),
      thread_([writer = writer_] { writer->Run(); }) {}

Result<std::unique_ptr<AccessLog>> AccessLog::Open(const std::filesystem::path& path) {
  // Without O_NONBLOCK a FIFO would wait for its reader.
  const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK;
  const int fd = ::open(path.c_str(), flags, 0600);
  if (fd < 0) {
    return Fail(ErrorCode::kIo, "cannot open the access log {} for appending: {}", path.string(),
                strerror(errno));
  }
  struct stat info{};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return Fail(ErrorCode::kIo, "the access log {} is not a regular file", path.string());
  }
  return std::unique_ptr<AccessLog>(new AccessLog(fd, /*owned=*/true));
}

AccessLog::~AccessLog() {
  std::unique_lock lock(writer_->mutex);
  writer_->stop_at = Now() + kLastWords;
  writer_->changed.notify_all();
  const bool done = writer_->changed.wait_for(lock, kLastWords + std::chrono::milliseconds(200),
                                              [this] { return writer_->done; });
  lock.unlock();
  // Stuck in a write although the descriptor was ready: the thread keeps what it uses.
  done ? thread_.join() : thread_.detach();
}

void AccessLog::Write(const AccessRecord& record) {
  const int64_t unix_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count();
  std::string line = AccessLine(record, unix_ms) + "\n";
  std::lock_guard lock(writer_->mutex);
  if (writer_->queued_bytes + line.size() > kMaxQueuedBytes) {
    ++writer_->lost_lines;
    return;
  }
  writer_->queued_bytes += line.size();
  writer_->queue.push_back(std::move(line));
  writer_->changed.notify_all();
}

bool AccessLog::Flush(Duration timeout) const {
  std::unique_lock lock(writer_->mutex);
  return writer_->changed.wait_for(lock, timeout,
                                   [this] { return writer_->queue.empty() && !writer_->busy; });
}

int64_t AccessLog::lost_lines() const {
  std::lock_guard lock(writer_->mutex);
  return writer_->lost_lines;
}

}  // namespace hadal
