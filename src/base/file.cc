#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace hadal {
namespace {

tl::unexpected<Error> FailErrno(const std::filesystem::path& path, const char* what) {
  const int e = errno;
  return Fail(e == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: {} failed: {}",
              path.string(), what, std::strerror(e));
}

Status WriteAll(int fd, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FailErrno(path, "write");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  if (fsync(fd) != 0) return FailErrno(path, "fsync");
  return {};
}

}  // namespace

Result<std::string> ReadFile(const std::filesystem::path& path, size_t max_bytes) {
  // Without O_NONBLOCK a FIFO would wait for its writer before it can be refused.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return FailErrno(path, "open");
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    close(fd);
    return Fail(ErrorCode::kBadFile, "{}: not a regular file", path.string());
  }
  std::string out;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      auto failure = FailErrno(path, "read");
      close(fd);
      return failure;
    }
    if (n == 0) break;
    if (out.size() + static_cast<size_t>(n) > max_bytes) {
      close(fd);
      return Fail(ErrorCode::kBadFile, "{}: larger than the limit of {} bytes", path.string(),
                  max_bytes);
    }
    out.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  return out;
}

Status WriteFileAtomically(const std::filesystem::path& path, std::string_view bytes) {
  std::string temporary = path.string() + ".XXXXXX";
  const int fd = mkstemp(temporary.data());
  if (fd < 0) return FailErrno(path, "create");
  Status status = WriteAll(fd, bytes, path);
  fchmod(fd, 0644);
  close(fd);
  if (status && rename(temporary.c_str(), path.c_str()) != 0) status = FailErrno(path, "rename");
  if (!status) unlink(temporary.c_str());
  return status;
}

}  // namespace hadal
