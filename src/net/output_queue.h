// Owns: bytes on their way to a socket, as few large pieces, so that many small writes become one
// system call and a large body is not copied.
// Thread rule: none of its own; the owner guards it.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

struct iovec;

namespace hadal {

class OutputQueue {
 public:
  bool empty() const { return bytes_ == 0; }
  size_t bytes() const { return bytes_; }

  void Append(std::string_view bytes);  // joined to the last piece while that is small
  void AppendOwned(std::string bytes);  // kept as its own piece when large
  void TakeAll(OutputQueue* other);     // moves everything of other to the end of this
  void Clear();

  // Fills up to max entries with the first bytes; returns how many entries.
  int Gather(iovec* entries, int max) const;
  void Consume(size_t n);

 private:
  std::deque<std::string> pieces_;
  size_t front_offset_ = 0;  // bytes of pieces_.front() already consumed
  size_t bytes_ = 0;
};

}  // namespace hadal
