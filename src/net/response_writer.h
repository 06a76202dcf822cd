// Owns: a handler's end of one response. It may be kept and used after the handler returned, from
// any thread; bytes go out in the order of the calls. Knows nothing of what the bytes mean (SSE
// framing is net/sse.h). Use: Send once; or StartStream, then Write until it says no, then Finish.
// A writer that is destroyed unfinished answers 500 when nothing was sent, else cuts the connection
// so that the client can tell. Thread rule: thread-safe.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/http_types.h"

namespace hadal {

class ResponseState;

class ResponseWriter {
 public:
  explicit ResponseWriter(std::shared_ptr<ResponseState> state);
  ~ResponseWriter();
  ResponseWriter(const ResponseWriter&) = delete;
  ResponseWriter& operator=(const ResponseWriter&) = delete;

  // The whole response. Ignored when something was sent before.
  void Send(int status, const Headers& headers, std::string body);
  // The head of a body of unknown length (chunked; until close for HTTP/1.0).
  void StartStream(int status, const Headers& headers);
  // False: the client is gone (closed()), the stream is not open, or HttpLimits::queued_bytes wait
  // because the client does not read; nothing was queued, and the caller waits or gives up.
  bool Write(std::string_view bytes);
  void Finish();

  size_t queued_bytes() const;  // accepted here, not yet taken by the kernel
  bool closed() const;          // the client is gone, or the server stopped
  bool stalled() const;         // closed, by this side, because the client did not read
  // Called once, on the server's thread, when the client goes away before the response is finished
  // (a FIN counts); at once, by the calling thread, when it has gone already. Must not block.
  void OnClose(std::function<void()> call);

 private:
  std::shared_ptr<ResponseState> state_;
};

}  // namespace hadal
