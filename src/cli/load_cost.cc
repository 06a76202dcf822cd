#include "cli/load_cost.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>

namespace hadal::cli {
namespace {

namespace fs = std::filesystem;

// "VmHWM:	  1234 kB" -> bytes; 0 when the line is missing.
uint64_t KilobytesOf(std::string_view status, std::string_view key) {
  size_t at = status.find(key);
  if (at == std::string_view::npos) return 0;
  at = status.find_first_of("0123456789", at + key.size());
  uint64_t value = 0;
  if (at == std::string_view::npos) return 0;
  std::from_chars(status.data() + at, status.data() + status.size(), value);
  return value * 1024;
}

Status DropFile(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return Fail(ErrorCode::kIo, "{}: {}", path.string(), std::strerror(errno));
  }
  fdatasync(fd);  // dirty pages cannot be dropped
  const int failed = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
  if (failed == 0) return {};
  return Fail(ErrorCode::kIo, "{}: its pages cannot be dropped: {}", path.string(),
              std::strerror(failed));
}

}  // namespace

Result<ProcessMemory> MemoryOfThisProcess() {
  const int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Fail(ErrorCode::kIo, "/proc/self/status: {}", std::strerror(errno));
  std::string text(16384, '\0');
  const ssize_t n = read(fd, text.data(), text.size());
  close(fd);
  if (n <= 0) return Fail(ErrorCode::kIo, "/proc/self/status cannot be read");
  text.resize(static_cast<size_t>(n));
  return ProcessMemory{KilobytesOf(text, "VmHWM:"), KilobytesOf(text, "RssAnon:")};
}

Status DropFromPageCache(const fs::path& path) {
  std::error_code ec;
  if (!fs::is_directory(path, ec)) return DropFile(path);
  for (fs::directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec)) {
    if (it->is_regular_file(ec)) HADAL_OK(DropFile(it->path()));
  }
  if (ec) return Fail(ErrorCode::kIo, "{}: {}", path.string(), ec.message());
  return {};
}

}  // namespace hadal::cli
