// Owns: reading parts of mapped files before they are asked for, from threads of its own, so that
// the disk is busy while the bytes before are worked on. What is not in the page cache is read past
// it (O_DIRECT) into a ring of buffers; where that is refused, or the bytes must be looked at where
// they are mapped, it is read through the cache.
// Must not know what the bytes mean. A part that could not be read is left to the mapping, whose
// file says that it is damaged; asking in another order than planned costs time, never bytes.
// Use: ReadAhead ahead({{{&file, a}, {&file, b}}, {{&file, c, true}}}, {});
//      ahead.Begin(0); ahead.Copy(a, to); ... ahead.Begin(1); ahead.Need(c); ... look at c ...
// Thread rule: one thread calls Begin; Copy and Need come from any, about the group begun last.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/mapped_file.h"
#include "core/tensor.h"

namespace hadal {

struct ReadRange {
  const MappedFile* file = nullptr;
  std::span<const std::byte> bytes;  // of the mapping
  bool in_place = false;             // it is going to be looked at there, not copied
};

struct ReadAheadOptions {
  // Below 4 MiB some disks give half of their rate.
  size_t piece_bytes = size_t{4} << 20;
  // Held at most, unless a single group needs more at once.
  size_t window_bytes = size_t{128} << 20;
  int threads = 4;
  bool past_cache = true;
};

class ReadAhead {
 public:
  // groups[i]: what is asked for after Begin(i), in that order. A range that stands there twice is
  // asked for twice.
  ReadAhead(const std::vector<std::vector<ReadRange>>& groups, const ReadAheadOptions& options);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // The groups before are done with: their memory goes back.
  void Begin(size_t group);
  // `bytes` of the mapping to `out`. What has been copied as often as planned goes back.
  void Copy(std::span<const std::byte> bytes, std::byte* out);
  // Returns when the bytes can be looked at in the mapping without waiting long.
  void Need(std::span<const std::byte> bytes);
  // They were; counts as a copy. Without it they are kept until the next group.
  void Looked(std::span<const std::byte> bytes);

  size_t most_held() const;

 private:
  enum class State { kPlanned, kReading, kReady, kDone };
  struct Piece {
    const MappedFile* file = nullptr;
    const std::byte *begin = nullptr, *end = nullptr;  // in the mapping
    bool in_place = false;
    size_t order = 0;  // of its first use in the group
    int64_t left = 0;  // bytes still to be copied
    int users = 0;     // copying now
    State state = State::kPlanned;
    std::byte* memory = nullptr;  // of the page of `begin`; nullptr: the mapping has it
  };
  using Group = std::vector<Piece>;  // by address; they do not overlap
  using Lock = std::unique_lock<std::mutex>;

  static Group PiecesOf(const std::vector<ReadRange>& ranges, size_t piece_bytes);
  void ReadLoop();
  bool MayRead();  // skips what is done; whether the window has room for the next piece
  void Read(Piece& piece, Lock& lock);
  void WaitFor(Piece& piece, Lock& lock);
  void Finish(Piece& piece);
  std::byte* TakeMemory();
  // The pieces of the current group that hold some of the bytes.
  std::span<Piece> PiecesWith(std::span<const std::byte> bytes);

  const ReadAheadOptions options_;
  std::vector<const MappedFile*> past_;  // files that can be read past the cache, sorted
  mutable std::mutex mutex_;             // guards all below
  std::condition_variable readers_, users_;
  std::vector<Group> groups_;
  std::vector<Piece*> order_;  // of reading, all groups
  size_t next_ = 0;            // in order_
  size_t current_ = 0;         // group begun last
  std::vector<Buffer> ring_;
  std::vector<std::byte*> free_;  // of the ring
  size_t held_ = 0, most_held_ = 0;
  int reading_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace hadal
