#include "formats/read_ahead.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/check.h"

namespace hadal {
namespace {

struct Run {  // adjacent ranges
  const MappedFile* file;
  const std::byte *begin, *end;
  bool in_place;
};

std::vector<Run> RunsOf(std::vector<ReadRange> ranges) {
  // Between tensors lie some bytes of padding.
  constexpr ptrdiff_t kGap = 4096;
  std::ranges::sort(ranges, {}, [](const ReadRange& r) { return r.bytes.data(); });
  std::vector<Run> runs;
  for (const ReadRange& r : ranges) {
    if (r.file == nullptr || r.bytes.empty()) continue;
    const std::byte* begin = r.bytes.data();
    const std::byte* end = begin + r.bytes.size();
    if (!runs.empty() && runs.back().file == r.file && begin - runs.back().end <= kGap &&
        (runs.back().in_place == r.in_place || begin < runs.back().end)) {
      runs.back().end = std::max(runs.back().end, end);
      runs.back().in_place |= r.in_place;
    } else {
      runs.push_back({r.file, begin, end, r.in_place});
    }
  }
  return runs;
}

}  // namespace

ReadAhead::Group ReadAhead::PiecesOf(const std::vector<ReadRange>& ranges, size_t piece_bytes) {
  Group pieces;
  for (const Run& run : RunsOf(ranges)) {
    const std::byte* base = run.file->bytes().data();
    for (const std::byte* at = run.begin; at < run.end;) {
      const auto offset = static_cast<size_t>(at - base);
      const std::byte* cut = base + (offset / piece_bytes + 1) * piece_bytes;
      Piece& piece = pieces.emplace_back();
      piece.file = run.file;
      piece.begin = at;
      piece.end = at = std::min(cut, run.end);
      piece.in_place = run.in_place;
      piece.order = ranges.size();
    }
  }
  for (size_t i = 0; i < ranges.size(); ++i) {
    const std::byte* begin = ranges[i].bytes.data();
    const std::byte* end = begin + ranges[i].bytes.size();
    auto it = std::ranges::upper_bound(pieces, begin, {}, &Piece::end);
    for (; it != pieces.end() && it->begin < end; ++it) {
      it->order = std::min(it->order, i);
      it->left += std::min(end, it->end) - std::max(begin, it->begin);
    }
  }
  return pieces;
}

ReadAhead::ReadAhead(const std::vector<std::vector<ReadRange>>& groups,
                     const ReadAheadOptions& options)
    : options_(options) {
  for (const auto& ranges : groups) groups_.push_back(PiecesOf(ranges, options_.piece_bytes));
  for (Group& group : groups_) {
    const size_t first = order_.size();
    for (Piece& piece : group) order_.push_back(&piece);
    std::sort(order_.begin() + static_cast<ptrdiff_t>(first), order_.end(),
              [](const Piece* a, const Piece* b) {
                return std::tie(a->order, a->begin) < std::tie(b->order, b->begin);
              });
  }
  for (const Piece* piece : order_) past_.push_back(piece->file);
  std::ranges::sort(past_);
  past_.erase(std::ranges::unique(past_).begin(), past_.end());
  std::erase_if(past_,
                [&](const MappedFile* f) { return !options_.past_cache || !f->AllowPast(); });
  const auto n = std::min(order_.size(), static_cast<size_t>(options_.threads));
  for (size_t i = 0; i < n; ++i) threads_.emplace_back([this] { ReadLoop(); });
}

ReadAhead::~ReadAhead() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  readers_.notify_all();
  for (std::thread& t : threads_) t.join();
  for (Piece* piece : order_) Finish(*piece);
}

size_t ReadAhead::most_held() const {
  const std::scoped_lock lock(mutex_);
  return most_held_;
}

// A piece of any size takes a whole buffer.
bool ReadAhead::MayRead() {
  while (next_ < order_.size() && order_[next_]->state != State::kPlanned) ++next_;
  return next_ < order_.size() &&
         (held_ == 0 || held_ + options_.piece_bytes <= options_.window_bytes);
}

void ReadAhead::ReadLoop() {
  Lock lock(mutex_);
  for (;;) {
    readers_.wait(lock, [&] { return stop_ || MayRead() || next_ == order_.size(); });
    if (stop_ || next_ == order_.size()) return;
    Read(*order_[next_++], lock);
  }
}

std::byte* ReadAhead::TakeMemory() {
  if (free_.empty()) {
    auto buffer = Buffer::Allocate(options_.piece_bytes);
    if (!buffer) return nullptr;  // then the mapping is good enough
    free_.push_back(static_cast<std::byte*>(buffer->data()));
    ring_.push_back(std::move(*buffer));
  }
  std::byte* memory = free_.back();
  free_.pop_back();
  return memory;
}

// The lock is open while the disk works.
void ReadAhead::Read(Piece& piece, Lock& lock) {
  piece.state = State::kReading;
  held_ += options_.piece_bytes;
  most_held_ = std::max(most_held_, held_);
  ++reading_;
  const MappedFile& file = *piece.file;
  const auto pages = file.PagesOf({piece.begin, piece.end});
  bool past = !piece.in_place && std::ranges::binary_search(past_, piece.file);
  std::byte* memory = past ? TakeMemory() : nullptr;
  lock.unlock();
  const bool cached = file.Cached(pages);
  past = memory != nullptr && !cached && file.ReadPast(pages, memory);
  if (!past && !cached) file.Populate(pages);
  lock.lock();
  --reading_;
  if (past) {
    piece.memory = memory;
  } else if (memory != nullptr) {
    free_.push_back(memory);
  }
  const bool wanted = piece.state == State::kReading;
  piece.state = State::kReady;
  if (!wanted) Finish(piece);
  users_.notify_all();
}

// Under the lock.
void ReadAhead::Finish(Piece& piece) {
  CHECK(piece.users == 0);
  const State before = piece.state;
  piece.state = State::kDone;
  if (before != State::kReady) return;  // one that is being read is finished by its reader
  if (piece.memory != nullptr) {
    free_.push_back(piece.memory);
    piece.memory = nullptr;
  } else {
    piece.file->Release(piece.file->PagesOf({piece.begin, piece.end}));
  }
  held_ -= options_.piece_bytes;
  readers_.notify_one();
}

void ReadAhead::Begin(size_t group) {
  const std::scoped_lock lock(mutex_);
  for (; current_ < group; ++current_) {
    for (Piece& piece : groups_[current_]) Finish(piece);
  }
}

std::span<ReadAhead::Piece> ReadAhead::PiecesWith(std::span<const std::byte> bytes) {
  if (bytes.empty() || current_ >= groups_.size()) return {};
  Group& group = groups_[current_];
  const auto first = std::ranges::upper_bound(group, bytes.data(), {}, &Piece::end);
  auto last = first;
  while (last != group.end() && last->begin < bytes.data() + bytes.size()) ++last;
  return {first, last};
}

void ReadAhead::WaitFor(Piece& piece, Lock& lock) {
  const auto there = [&] { return piece.state == State::kReady || piece.state == State::kDone; };
  // A window full of what is asked for later would wait for ever: then it is read here.
  const auto stuck = [&] { return piece.state == State::kPlanned && reading_ == 0 && !MayRead(); };
  users_.wait(lock, [&] { return there() || stuck(); });
  if (!there()) Read(piece, lock);
}

void ReadAhead::Need(std::span<const std::byte> bytes) {
  Lock lock(mutex_);
  for (Piece& piece : PiecesWith(bytes)) WaitFor(piece, lock);
}

void ReadAhead::Looked(std::span<const std::byte> bytes) {
  const std::scoped_lock lock(mutex_);
  for (Piece& piece : PiecesWith(bytes)) {
    const std::byte* end = std::min(bytes.data() + bytes.size(), piece.end);
    piece.left -= end - std::max(bytes.data(), piece.begin);
    if (piece.left <= 0 && piece.users == 0) Finish(piece);
  }
}

void ReadAhead::Copy(std::span<const std::byte> bytes, std::byte* out) {
  const std::byte* at = bytes.data();
  const std::byte* end = at + bytes.size();
  const auto copy_until = [&](const std::byte* stop, const std::byte* from) {
    if (stop == at) return;
    std::memcpy(out, from, static_cast<size_t>(stop - at));
    out += stop - at;
    at = stop;
  };
  Lock lock(mutex_);
  for (Piece& piece : PiecesWith(bytes)) {
    WaitFor(piece, lock);
    ++piece.users;
    const MappedFile& file = *piece.file;
    const std::byte* memory = piece.memory;
    lock.unlock();
    copy_until(std::max(at, piece.begin), at);  // in no plan
    const std::byte* begin = at;
    const std::byte* page = file.bytes().data() + file.PagesOf({piece.begin, piece.end}).begin;
    copy_until(std::min(end, piece.end), memory == nullptr ? at : memory + (at - page));
    lock.lock();
    --piece.users;
    piece.left -= at - begin;
    if (piece.left <= 0 && piece.users == 0) Finish(piece);
  }
  lock.unlock();
  copy_until(end, at);
}

}  // namespace hadal
