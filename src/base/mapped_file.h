// MappedFile: a read-only mapping that survives the file being cut while it is used.
// A page that has vanished is replaced by zeros in the SIGBUS handler and the mapping is marked
// damaged: whoever computed with its bytes asks damaged() afterwards and fails that work only.
// Thread rule: immutable after Open; everything const may be called from any thread.
#pragma once

#include <cstddef>
#include <ctime>
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
  // The file is shorter than when it was opened, was written to since, or could not be read.
  bool damaged() const;

  // Whole pages of the mapping.
  struct Pages {
    size_t begin = 0, end = 0;  // byte offsets
    size_t bytes() const { return end - begin; }
  };
  Pages PagesOf(std::span<const std::byte> bytes) const;  // the smallest that hold these
  // Lets ReadPast work. False: the filesystem refuses.
  bool AllowPast() const;
  // Reads pages past the page cache; `out` is aligned like one and holds all of them. False: not
  // all of what the file had when it was opened could be read; look at the bytes instead.
  bool ReadPast(Pages pages, std::byte* out) const;
  bool Cached(Pages pages) const;  // true also when the system does not tell
  // Reads the pages through the page cache.
  void Populate(Pages pages) const;
  // Gives the memory back; the bytes are read from the file again when they are looked at.
  void Release(Pages pages) const;

 private:
  MappedFile() = default;
  void* At(size_t offset) const { return const_cast<std::byte*>(data_) + offset; }

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  timespec written_ = {};  // when the file was last written to
  int fd_ = -1;            // kept open to ask for both
  int slot_ = -1;          // index in the signal handler's table
};

}  // namespace hadal
