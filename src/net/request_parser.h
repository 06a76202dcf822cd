// Owns: bytes -> HttpRequest, without any I/O: the whole of HTTP/1.1 request syntax and its limits.
// Knows no sockets, no hosts and no routes. What is ambiguous is refused, never guessed: two
// lengths, a length beside chunks, an unknown transfer encoding. Thread rule: one parser per
// connection, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "net/chunk_decoder.h"
#include "net/http_head.h"
#include "net/http_types.h"

namespace hadal {

class RequestParser {
 public:
  // `limits` must outlive the parser.
  explicit RequestParser(const HttpLimits& limits);

  enum class Step {
    kNeedMore,
    kHead,  // the head is whole and judged; call Feed again, also with no bytes
    kDone   // Take() the request
  };
  // `bytes` are all received bytes not yet consumed. *consumed says how many to drop before the
  // next call. An Error ends the connection: InfoOf(code).http is the status to send first.
  Result<Step> Feed(std::string_view bytes, size_t* consumed);

  // Valid after kHead; path is also set when a later check of the head failed.
  const HttpRequest& request() const { return request_; }
  bool head_done() const { return head_done_; }
  bool expects_continue() const { return expects_continue_; }

  // The finished request; the parser is ready for the next one.
  HttpRequest Take();

 private:
  Status ParseHead(std::string_view head);
  Status ParseRequestLine(std::string_view line);
  Status CheckHeaders();
  Status CheckFraming();
  Result<Step> FeedBody(std::string_view bytes, size_t* consumed);

  const HttpLimits* limits_;
  HeadScanner scanner_;
  HttpRequest request_;
  std::optional<ChunkDecoder> chunks_;
  uint64_t body_remaining_ = 0;  // of Content-Length
  bool head_done_ = false;
  bool expects_continue_ = false;
};

}  // namespace hadal
