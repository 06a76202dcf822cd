// Owns: non-blocking bytes in and out of a connected socket; plain here, TLS by TlsContext::Wrap.
// Knows no HTTP and does not wait: the caller waits for what IoStatus asks, then calls again.
// Never raises SIGPIPE. Does not own the file descriptor.
// Thread rule: one thread at a time.
#pragma once

#include <cstddef>
#include <memory>

#include "net/output_queue.h"

namespace hadal {

enum class IoStatus { kOk, kWantRead, kWantWrite, kEof, kError };

struct IoResult {
  IoStatus status;
  size_t n = 0;  // bytes moved, with kOk
};

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  virtual IoStatus Handshake() = 0;
  virtual IoResult Read(char* buffer, size_t size) = 0;
  // The first bytes of the queue, which must not be empty and is not changed. After kWantRead or
  // kWantWrite the same bytes must come first in the next call.
  virtual IoResult Write(const OutputQueue& queue) = 0;
  // Says "no more from this side" (close_notify, FIN).
  virtual void ShutdownWrite() = 0;
  // True when Read may have bytes although the socket is not readable (TLS records).
  virtual bool MayHoldBytes() const = 0;
};

std::unique_ptr<ByteStream> NewPlainStream(int fd);

}  // namespace hadal
