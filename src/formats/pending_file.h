// Owns: a file that exists under a temporary name in the directory of its final one until Commit():
// readers of the final name see the old file or the whole new one. Must not know what the bytes
// are. Use: HADAL_TRY(auto file, PendingFile::Create(path, bytes)); HADAL_OK(file->Append(part));
//           ...; HADAL_OK(file->Commit());
// Thread rule: one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"

namespace hadal {

class PendingFile {
 public:
  // Takes the room for `bytes` at once: kIo says at the start, not after an hour, that the disk is
  // too full. kInvalidArgument: the path is a directory.
  static Result<std::unique_ptr<PendingFile>> Create(const std::filesystem::path& path,
                                                     uint64_t bytes);
  ~PendingFile();  // without Commit(): the temporary file is removed
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  Status Append(std::span<const std::byte> bytes);
  // What was appended can be read at temporary_path().
  Status Flush();
  // Overwrites bytes that were appended.
  Status Replace(uint64_t at, std::span<const std::byte> bytes);
  // Flushes to the disk, gives the final name, flushes the directory. kIo after any failure.
  Status Commit();

  // Beside the final one, with the same extension.
  const std::filesystem::path& temporary_path() const { return temporary_; }

 private:
  PendingFile() = default;
  Status Open();
  Status TakeRoom(uint64_t bytes);
  Status WriteAt(uint64_t at, std::span<const std::byte> bytes);
  tl::unexpected<Error> FailErrno(const char* what, int error);

  std::filesystem::path path_, temporary_;
  int fd_ = -1;
  uint64_t written_ = 0;  // without what waits in buffer_
  std::vector<std::byte> buffer_;
  bool broken_ = false;
};

}  // namespace hadal
