#include "measure/logit_store.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/check.h"

namespace hadal {
namespace {

class MemoryStore final : public LogitStore {
 public:
  explicit MemoryStore(size_t n_values) { values_.reserve(n_values); }
  bool in_file() const override { return false; }
  Status Append(std::span<const float> values) override {
    values_.insert(values_.end(), values.begin(), values.end());
    return {};
  }
  Status ReadNext(std::span<float> values) override {
    CHECK(values.size() <= values_.size() - next_);
    std::copy_n(values_.begin() + static_cast<ptrdiff_t>(next_), values.size(), values.begin());
    next_ += values.size();
    return {};
  }

 private:
  std::vector<float> values_;
  size_t next_ = 0;
};

class FileStore final : public LogitStore {
 public:
  FileStore(int fd, std::filesystem::path directory) : fd_(fd), directory_(std::move(directory)) {}
  ~FileStore() override { close(fd_); }
  FileStore(const FileStore&) = delete;
  FileStore& operator=(const FileStore&) = delete;

  bool in_file() const override { return true; }
  Status Append(std::span<const float> values) override {
    const auto bytes = std::as_bytes(values);
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n = write(fd_, bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return Failed("writing");
      done += static_cast<size_t>(n);
    }
    return {};
  }
  Status ReadNext(std::span<float> values) override {
    const auto bytes = std::as_writable_bytes(values);
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n = pread(fd_, bytes.data() + done, bytes.size() - done, offset_);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return Failed("reading");
      done += static_cast<size_t>(n);
      offset_ += n;
    }
    return {};
  }

 private:
  tl::unexpected<Error> Failed(const char* what) const {
    const int e = errno;
    return Fail(ErrorCode::kIo, "{} the logits kept in {} failed: {}", what, directory_.string(),
                std::strerror(e));
  }

  int fd_;
  off_t offset_ = 0;
  std::filesystem::path directory_;
};

Status CheckRoom(const std::filesystem::path& directory, uint64_t needed) {
  struct statvfs st;
  if (statvfs(directory.c_str(), &st) != 0) {
    return Fail(ErrorCode::kIo, "{}: free space is unknown: {}", directory.string(),
                std::strerror(errno));
  }
  const uint64_t free_bytes = static_cast<uint64_t>(st.f_bavail) * st.f_frsize;
  if (needed <= free_bytes) return {};
  return Fail(ErrorCode::kIo,
              "{}: {} bytes are needed for the original's logits and {} are free; free some or "
              "measure fewer positions",
              directory.string(), needed, free_bytes);
}

// A file without a name. Some file systems know no O_TMPFILE: there the name is removed at once.
int OpenUnnamed(const std::filesystem::path& directory) {
  const int fd = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return fd;
  std::string name = (directory / ".hadal_logits_XXXXXX").string();
  const int named = mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) unlink(name.c_str());
  return named;
}

}  // namespace

Result<std::unique_ptr<LogitStore>> LogitStore::Create(int64_t rows, int64_t width,
                                                       const LogitStoreOptions& options) {
  uint64_t bytes = 0;
  if (rows < 0 || width < 0 ||
      __builtin_mul_overflow(static_cast<uint64_t>(rows), static_cast<uint64_t>(width), &bytes) ||
      __builtin_mul_overflow(bytes, sizeof(float), &bytes)) {
    return Fail(ErrorCode::kInvalidArgument, "{} positions of {} logits are too many", rows, width);
  }
  if (bytes <= options.max_memory_bytes) {
    return std::make_unique<MemoryStore>(static_cast<size_t>(rows * width));
  }
  HADAL_OK(CheckRoom(options.directory, bytes));
  const int fd = OpenUnnamed(options.directory);
  if (fd < 0) {
    return Fail(ErrorCode::kIo, "{}: no temporary file for the original's logits: {}",
                options.directory.string(), std::strerror(errno));
  }
  return std::make_unique<FileStore>(fd, options.directory);
}

}  // namespace hadal
