#include "base/read_ahead.h"

#include <algorithm>
#include <tuple>

namespace hadal {
namespace {

struct Run {  // adjacent ranges
  const MappedFile* file;
  const std::byte *begin, *end;
};

std::vector<Run> RunsOf(std::vector<ReadRange> ranges) {
  // Between tensors lie some bytes of padding.
  constexpr ptrdiff_t kGap = 4096;
  std::ranges::sort(ranges, {}, [](const ReadRange& r) { return r.bytes.data(); });
  std::vector<Run> runs;
  for (const ReadRange& r : ranges) {
    if (r.file == nullptr || r.bytes.empty()) continue;
    const std::byte* end = r.bytes.data() + r.bytes.size();
    if (!runs.empty() && runs.back().file == r.file && r.bytes.data() - runs.back().end <= kGap) {
      runs.back().end = std::max(runs.back().end, end);
    } else {
      runs.push_back({r.file, r.bytes.data(), end});
    }
  }
  return runs;
}

}  // namespace

ReadAhead::Group ReadAhead::PiecesOf(const std::vector<ReadRange>& ranges, size_t piece_bytes) {
  Group pieces;
  for (const Run& run : RunsOf(ranges)) {
    for (const std::byte* at = run.begin; at < run.end;) {
      // Cuts between pages, so that no two pieces of a run share one.
      const std::byte* base = run.file->bytes().data();
      const auto offset = static_cast<size_t>(at - base) + piece_bytes;
      const std::byte* cut = base + offset / piece_bytes * piece_bytes;
      const std::byte* end = std::min(cut, run.end);
      pieces.push_back({run.file, at, end, ranges.size(), 0, State::kPlanned});
      at = end;
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
  for (const Piece* piece : order_) direct_.push_back(piece->file);
  std::ranges::sort(direct_);
  direct_.erase(std::ranges::unique(direct_).begin(), direct_.end());
  std::erase_if(direct_,
                [&](const MappedFile* f) { return !options_.direct || !f->SetDirect(true); });
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
  for (const MappedFile* file : direct_) file->SetDirect(false);
}

size_t ReadAhead::most_held() const {
  const std::scoped_lock lock(mutex_);
  return most_held_;
}

bool ReadAhead::MayRead() {
  while (next_ < order_.size() && order_[next_]->state != State::kPlanned) ++next_;
  return next_ < order_.size() &&
         (held_ == 0 || held_ + SizeOf(*order_[next_]) <= options_.window_bytes);
}

void ReadAhead::ReadLoop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    readers_.wait(lock, [&] { return stop_ || MayRead() || next_ == order_.size(); });
    if (stop_ || next_ == order_.size()) return;
    Read(*order_[next_++], lock);
  }
}

// The lock is open while the disk works.
void ReadAhead::Read(Piece& piece, std::unique_lock<std::mutex>& lock) {
  piece.state = State::kReading;
  held_ += SizeOf(piece);
  most_held_ = std::max(most_held_, held_);
  ++reading_;
  lock.unlock();
  const MappedFile& file = *piece.file;
  const auto pages = file.PagesOf({piece.begin, piece.end});
  if (!file.Cached(pages)) {
    const bool direct = std::ranges::binary_search(direct_, piece.file);
    if (!direct || !file.Lay(pages)) file.Populate(pages);
  }
  lock.lock();
  --reading_;
  const bool wanted = piece.state == State::kReading;
  piece.state = State::kReady;
  if (!wanted) Finish(piece);
  users_.notify_all();
}

// Under the lock.
void ReadAhead::Finish(Piece& piece) {
  const State before = piece.state;
  piece.state = State::kDone;
  if (before != State::kReady) return;  // one that is being read is finished by its reader
  piece.file->Release(piece.file->PagesOf({piece.begin, piece.end}));
  held_ -= SizeOf(piece);
  readers_.notify_one();
}

void ReadAhead::Begin(size_t group) {
  const std::scoped_lock lock(mutex_);
  for (; current_ < group; ++current_) {
    for (Piece& piece : groups_[current_]) Finish(piece);
  }
}

// Under the lock. fn may open it: pieces stay where they are.
template <class F>
void ReadAhead::ForPieces(std::span<const std::byte> bytes, const F& fn) {
  if (bytes.empty() || current_ >= groups_.size()) return;
  Group& group = groups_[current_];
  const std::byte* end = bytes.data() + bytes.size();
  auto it = std::ranges::upper_bound(group, bytes.data(), {}, &Piece::end);
  for (; it != group.end() && it->begin < end; ++it) fn(*it);
}

void ReadAhead::Need(std::span<const std::byte> bytes) {
  std::unique_lock lock(mutex_);
  ForPieces(bytes, [&](Piece& piece) {
    const auto there = [&] { return piece.state == State::kReady || piece.state == State::kDone; };
    // A window full of what is needed later would wait for ever: then it is read here.
    const auto stuck = [&] {
      return piece.state == State::kPlanned && reading_ == 0 && !MayRead();
    };
    users_.wait(lock, [&] { return there() || stuck(); });
    if (!there()) Read(piece, lock);
  });
}

void ReadAhead::Used(std::span<const std::byte> bytes) {
  const std::scoped_lock lock(mutex_);
  ForPieces(bytes, [&](Piece& piece) {
    const std::byte* begin = std::max(bytes.data(), static_cast<const std::byte*>(piece.begin));
    piece.left -= std::min(bytes.data() + bytes.size(), piece.end) - begin;
    if (piece.left <= 0) Finish(piece);
  });
}

}  // namespace hadal
