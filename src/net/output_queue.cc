#include "net/output_queue.h"

#include <sys/uio.h>

#include <utility>

namespace hadal {
namespace {

constexpr size_t kPieceBytes = 16 * 1024;  // one TLS record

}  // namespace

void OutputQueue::Append(std::string_view bytes) {
  if (bytes.empty()) return;
  bytes_ += bytes.size();
  if (!pieces_.empty() && pieces_.back().size() + bytes.size() <= kPieceBytes) {
    pieces_.back().append(bytes);
  } else {
    pieces_.emplace_back(bytes);
  }
}

void OutputQueue::AppendOwned(std::string bytes) {
  if (bytes.size() <= kPieceBytes) return Append(bytes);
  bytes_ += bytes.size();
  pieces_.push_back(std::move(bytes));
}

void OutputQueue::TakeAll(OutputQueue* other) {
  if (empty()) {
    std::swap(*this, *other);
  } else {
    for (std::string& piece : other->pieces_) {
      if (&piece == &other->pieces_.front()) piece.erase(0, other->front_offset_);
      AppendOwned(std::move(piece));
    }
  }
  other->Clear();
}

void OutputQueue::Clear() {
  pieces_.clear();
  front_offset_ = 0;
  bytes_ = 0;
}

int OutputQueue::Gather(iovec* entries, int max) const {
  int n = 0;
  size_t skip = front_offset_;
  for (const std::string& piece : pieces_) {
    if (n == max) break;
    entries[n].iov_base = const_cast<char*>(piece.data()) + skip;  // iovec is also for reading
    entries[n].iov_len = piece.size() - skip;
    skip = 0;
    ++n;
  }
  return n;
}

void OutputQueue::Consume(size_t n) {
  bytes_ -= n;
  while (n > 0) {
    size_t left = pieces_.front().size() - front_offset_;
    if (n < left) {
      front_offset_ += n;
      return;
    }
    n -= left;
    front_offset_ = 0;
    pieces_.pop_front();
  }
}

}  // namespace hadal
