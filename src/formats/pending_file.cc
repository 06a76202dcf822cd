#include "formats/pending_file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

namespace hadal {
namespace {

constexpr size_t kBufferBytes = 4u << 20;
constexpr int kNameTries = 100;

std::filesystem::path DirectoryOf(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// A name of at most 255 bytes that keeps the extension, by which readers know the format.
std::filesystem::path TemporaryName(const std::filesystem::path& path) {
  uint64_t random = 0;
  if (getentropy(&random, sizeof random) != 0) random = static_cast<uint64_t>(getpid());
  std::string extension = path.extension().string();
  if (extension.size() > 20) extension.clear();
  return DirectoryOf(path) /
         fmt::format(".{}.{:016x}{}", path.stem().string().substr(0, 200), random, extension);
}

uint64_t FreeBytes(int fd) {
  struct statvfs fs;
  if (fstatvfs(fd, &fs) != 0) return std::numeric_limits<uint64_t>::max();
  return static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize;
}

// 0 or an errno.
int Reserve(int fd, uint64_t bytes) {
  int error = EINTR;
  while (error == EINTR) {
    error = fallocate(fd, 0, 0, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  }
  // Where the file system cannot reserve, the count of free bytes has to do.
  return error == EOPNOTSUPP || error == ENOSYS ? 0 : error;
}

}  // namespace

tl::unexpected<Error> PendingFile::FailErrno(const char* what, int error) {
  broken_ = true;
  return Fail(ErrorCode::kIo, "{}: {} failed: {}", path_.string(), what, std::strerror(error));
}

Result<std::unique_ptr<PendingFile>> PendingFile::Create(const std::filesystem::path& path,
                                                         uint64_t bytes) {
  std::unique_ptr<PendingFile> file(new PendingFile());
  file->path_ = path;
  struct stat st;
  if (stat(path.c_str(), &st) == 0) {
    if (!S_ISREG(st.st_mode)) {
      return Fail(ErrorCode::kInvalidArgument, "{}: exists and is not a regular file",
                  path.string());
    }
  } else if (errno != ENOENT) {
    return file->FailErrno("stat", errno);
  }
  HADAL_OK(file->Open());
  HADAL_OK(file->TakeRoom(bytes));
  return file;
}

Status PendingFile::Open() {
  for (int i = 0; i < kNameTries; ++i) {
    const std::filesystem::path name = TemporaryName(path_);
    fd_ = open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ >= 0) {
      temporary_ = name;
      return {};
    }
    if (errno != EEXIST && errno != EINTR) break;
  }
  return FailErrno("create", errno);
}

Status PendingFile::TakeRoom(uint64_t bytes) {
  if (bytes == 0) return {};
  // Asked for first: the system would answer a file over this limit with a signal.
  struct rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      bytes > limit.rlim_cur) {
    return Fail(ErrorCode::kIo,
                "{}: the file needs {} bytes; this process may write files of at most {} bytes "
                "(ulimit -f)",
                path_.string(), bytes, limit.rlim_cur);
  }
  const uint64_t free = FreeBytes(fd_);
  // Not tried when it cannot succeed: it would fill the disk before it fails.
  const int error = bytes > free || bytes > INT64_MAX ? ENOSPC : Reserve(fd_, bytes);
  if (error == 0) return {};
  if (error == ENOSPC || error == EDQUOT) {
    return Fail(ErrorCode::kIo, "{}: the disk is too full: the file needs {} bytes, {} are free",
                path_.string(), bytes, free);
  }
  return FailErrno(fmt::format("taking room for {} bytes", bytes).c_str(), error);
}

PendingFile::~PendingFile() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

Status PendingFile::WriteAt(uint64_t at, std::span<const std::byte> bytes) {
  if (fd_ < 0) {
    return Fail(ErrorCode::kInvalidArgument, "{}: the file is finished", path_.string());
  }
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return FailErrno(fmt::format("writing {} bytes at byte {}", bytes.size(), at).c_str(), errno);
    }
    at += static_cast<uint64_t>(n);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status PendingFile::Append(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() < kBufferBytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return {};
  }
  HADAL_OK(Flush());
  HADAL_OK(WriteAt(written_, bytes));
  written_ += bytes.size();
  return {};
}

Status PendingFile::Flush() {
  HADAL_OK(WriteAt(written_, buffer_));
  written_ += buffer_.size();
  buffer_.clear();
  return {};
}

Status PendingFile::Replace(uint64_t at, std::span<const std::byte> bytes) {
  HADAL_OK(Flush());
  return WriteAt(at, bytes);
}

Status PendingFile::Commit() {
  HADAL_OK(Flush());
  if (broken_) {
    return Fail(ErrorCode::kIo, "{}: not finished, because writing it failed before",
                path_.string());
  }
  if (fsync(fd_) != 0) return FailErrno("fsync", errno);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return FailErrno("rename", errno);
  temporary_.clear();
  close(fd_);
  fd_ = -1;
  const int directory = open(DirectoryOf(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return FailErrno("open of the directory", errno);
  const int error = fsync(directory) == 0 ? 0 : errno;
  close(directory);
  // Some file systems have no flush of a directory; they order the rename themselves.
  if (error != 0 && error != EINVAL) return FailErrno("fsync of the directory", error);
  return {};
}

}  // namespace hadal
