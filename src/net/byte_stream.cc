#include "net/byte_stream.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>

namespace hadal {
namespace {

constexpr int kMaxPieces = 16;

class PlainStream : public ByteStream {
 public:
  explicit PlainStream(int fd) : fd_(fd) {}

  IoStatus Handshake() override { return IoStatus::kOk; }

  IoResult Read(char* buffer, size_t size) override {
    for (;;) {
      ssize_t n = recv(fd_, buffer, size, MSG_DONTWAIT);
      if (n > 0) return {IoStatus::kOk, static_cast<size_t>(n)};
      if (n == 0) return {IoStatus::kEof};
      if (errno == EINTR) continue;
      return {errno == EAGAIN ? IoStatus::kWantRead : IoStatus::kError};
    }
  }

  IoResult Write(const OutputQueue& queue) override {
    iovec entries[kMaxPieces];
    msghdr message{};
    message.msg_iov = entries;
    message.msg_iovlen = static_cast<size_t>(queue.Gather(entries, kMaxPieces));
    for (;;) {
      ssize_t n = sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n >= 0) return {IoStatus::kOk, static_cast<size_t>(n)};
      if (errno == EINTR) continue;
      return {errno == EAGAIN ? IoStatus::kWantWrite : IoStatus::kError};
    }
  }

  void ShutdownWrite() override { shutdown(fd_, SHUT_WR); }
  bool MayHoldBytes() const override { return false; }

 private:
  int fd_;
};

}  // namespace

std::unique_ptr<ByteStream> NewPlainStream(int fd) { return std::make_unique<PlainStream>(fd); }

}  // namespace hadal
