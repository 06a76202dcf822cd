// Owns: reading parts of mapped files before they are looked at, from threads of its own, so that
// the disk is busy while the bytes before are worked on. What is not in the page cache is read past
// it (O_DIRECT) and laid over the mapping; where that is refused it is read through the cache.
// Must not know what the bytes mean. A part that could not be read is left to the mapping, whose
// file says that it is damaged; a read in another order than planned costs time, never bytes.
// Use: ReadAhead ahead({{{&file, a}, {&file, b}}, {{&file, c}}}, {});
//      ahead.Begin(0); ahead.Need(a); ... look at a ...; ahead.Used(a); ... ahead.Begin(1); ...
// Thread rule: one thread calls Begin; Need and Used come from any, about the group begun last.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/mapped_file.h"

namespace hadal {

struct ReadRange {
  const MappedFile* file = nullptr;
  std::span<const std::byte> bytes;  // of the mapping
};

struct ReadAheadOptions {
  // Below 4 MiB some disks give half of their rate.
  size_t piece_bytes = size_t{4} << 20;
  // Held at most, unless a single group's order of use needs more.
  size_t window_bytes = size_t{128} << 20;
  int threads = 4;
  bool direct = true;
};

class ReadAhead {
 public:
  // groups[i]: what Begin(i) is going to need, in that order. A range that stands there twice is
  // looked at twice.
  ReadAhead(const std::vector<std::vector<ReadRange>>& groups, const ReadAheadOptions& options);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // The groups before are done with: their memory goes back.
  void Begin(size_t group);
  // Returns when the bytes have been read as well as they can be.
  void Need(std::span<const std::byte> bytes);
  // They have been looked at: what has been, as often as planned, goes back.
  void Used(std::span<const std::byte> bytes);

  size_t most_held() const;

 private:
  enum class State { kPlanned, kReading, kReady, kDone };
  struct Piece {
    const MappedFile* file = nullptr;
    const std::byte *begin = nullptr, *end = nullptr;
    size_t order = 0;  // of its first use in the group
    int64_t left = 0;  // bytes still to be looked at
    State state = State::kPlanned;
  };
  using Group = std::vector<Piece>;  // by address; they do not overlap

  static Group PiecesOf(const std::vector<ReadRange>& ranges, size_t piece_bytes);
  void ReadLoop();
  bool MayRead();  // skips what is done; whether the window has room for the next piece
  void Read(Piece& piece, std::unique_lock<std::mutex>& lock);
  void Finish(Piece& piece);
  template <class F>
  void ForPieces(std::span<const std::byte> bytes, const F& fn);
  static size_t SizeOf(const Piece& p) { return static_cast<size_t>(p.end - p.begin); }

  const ReadAheadOptions options_;
  std::vector<const MappedFile*> direct_;  // files that allow it, sorted
  mutable std::mutex mutex_;               // guards all below
  std::condition_variable readers_, users_;
  std::vector<Group> groups_;
  std::vector<Piece*> order_;  // of reading, all groups
  size_t next_ = 0;            // in order_
  size_t current_ = 0;         // group begun last
  size_t held_ = 0, most_held_ = 0;
  int reading_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace hadal
