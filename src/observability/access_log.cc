#include "observability/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

namespace hadal {
namespace {

// Microseconds are enough, and keep lines short.
double Rounded(double seconds) { return std::round(seconds * 1e6) / 1e6; }

bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

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

Result<std::unique_ptr<AccessLog>> AccessLog::Open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return Fail(ErrorCode::kIo, "cannot open the access log {} for appending: {}", path.string(),
                strerror(errno));
  }
  return std::unique_ptr<AccessLog>(new AccessLog(fd, /*owned=*/true));
}

AccessLog::~AccessLog() {
  if (owned_) ::close(fd_);
}

void AccessLog::Write(const AccessRecord& record) {
  const int64_t unix_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count();
  const std::string line = AccessLine(record, unix_ms) + "\n";
  std::lock_guard lock(mutex_);
  if (!WriteAll(fd_, line)) ++lost_lines_;
}

int64_t AccessLog::lost_lines() const {
  std::lock_guard lock(mutex_);
  return lost_lines_;
}

}  // namespace hadal
