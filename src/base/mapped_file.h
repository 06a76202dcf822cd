// MappedFile: a read-only mapping that survives the file being cut while it is used.
// A page that has vanished is replaced by zeros in the SIGBUS handler and the mapping is marked
// damaged: whoever computed with its bytes asks damaged() afterwards and fails that work only.
// Thread rule: immutable after Open; damaged() may be asked from any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "base/error.h"

namespace hadal {

class MappedFile {
 public:
  // kNotFound, kIo, kBadFile (not a regular file, empty, too many mappings).
  static Result<std::unique_ptr<MappedFile>> Open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  bool damaged() const;
  // Gives the memory of the pages back; the bytes stay, and are read from the file again when they
  // are looked at. For files that are read once, piece by piece.
  void DropPages() const;

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;    // kept open to ask for the size
  int slot_ = -1;  // index in the signal handler's table
};

}  // namespace hadal
