#include "cli/load_cost.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <functional>
#include <string>

#include "base/clock.h"
#include "base/thread_pool.h"
#include "core/tensor.h"

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

Status ForFiles(const fs::path& path, const std::function<Status(const fs::path&)>& fn) {
  std::error_code ec;
  if (!fs::is_directory(path, ec)) return fn(path);
  for (fs::directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec)) {
    if (it->is_regular_file(ec)) HADAL_OK(fn(it->path()));
  }
  if (ec) return Fail(ErrorCode::kIo, "{}: {}", path.string(), ec.message());
  return {};
}

constexpr size_t kPieceBytes = 4 << 20;

// Pieces of a file into the threads' parts of `memory`; adds what was read.
Status ReadWhole(const fs::path& path, ThreadPool& pool, std::byte* memory, DiskRead& all) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return Fail(ErrorCode::kIo, "{}: {}", path.string(), std::strerror(error));
  }
  all.past_cache &= fcntl(fd, F_SETFL, O_DIRECT) == 0;
  const auto size = static_cast<size_t>(st.st_size);
  std::atomic<uint64_t> got = 0;
  pool.ForEach(static_cast<int>((size + kPieceBytes - 1) / kPieceBytes),
               [&](int piece, int thread) {
                 const auto at = static_cast<off_t>(piece) * static_cast<off_t>(kPieceBytes);
                 const ssize_t n =
                     pread(fd, memory + kPieceBytes * static_cast<size_t>(thread), kPieceBytes, at);
                 if (n > 0) got += static_cast<uint64_t>(n);
               });
  close(fd);
  all.bytes += got;
  if (got == size) return {};
  return Fail(ErrorCode::kIo, "{}: {} of its {} bytes could be read", path.string(), got.load(),
              size);
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

Status DropFromPageCache(const fs::path& path) { return ForFiles(path, DropFile); }

Result<DiskRead> ReadFromDisk(const fs::path& path) {
  DiskRead all{.past_cache = true};
  ThreadPool pool(2);
  HADAL_TRY(const Buffer memory, Buffer::Allocate(kPieceBytes * static_cast<size_t>(pool.size())));
  const TimePoint start = Now();
  HADAL_OK(ForFiles(path, [&](const fs::path& file) {
    return ReadWhole(file, pool, static_cast<std::byte*>(memory.data()), all);
  }));
  all.seconds = Seconds(Now() - start);
  return all;
}

std::string Describe(const Shared& shared, const LinkUse& link, double load_seconds) {
  const double gb = static_cast<double>(link.bytes) / 1e9;
  return fmt::format("{}: {:.2f} GB, {} {:.2f} GB/s, {} {:.2f} GB/s",
                     shared.T("copied to the GPU", "拷贝到 GPU"), gb,
                     shared.T("while copying", "拷贝期间"), gb / link.seconds,
                     shared.T("over the whole load", "整个加载期间"), gb / load_seconds);
}

}  // namespace hadal::cli
