// Owns: bytes -> an HTTP/1.x response, without any I/O. Interim (1xx) responses are skipped.
// Knows no sockets. Body bytes are handed out as they come.
// Thread rule: a value; one parser per response, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/chunk_decoder.h"
#include "net/http_head.h"
#include "net/http_types.h"

namespace hadal {

class ResponseParser {
 public:
  struct Limits {
    size_t header_bytes = 64 * 1024;
    size_t header_count = 200;
    size_t body_bytes = 64 * 1024 * 1024;
  };
  // is_head: the answer to HEAD, which has no body whatever its headers say.
  ResponseParser(const Limits& limits, bool is_head);

  enum class Step { kNeedMore, kHead, kDone };
  // As RequestParser::Feed. Decoded body bytes are appended to *body.
  Result<Step> Feed(std::string_view bytes, size_t* consumed, std::string* body);
  // At the end of the connection: fine for a body that lasts until then, else kMalformed.
  Status FinishAtEof();

  int status() const { return status_code_; }
  const Headers& headers() const { return headers_; }
  bool keep_alive() const { return keep_alive_; }

 private:
  Status ParseHead(std::string_view head);
  Status ParseStatusLine(std::string_view line);
  Status CheckFraming();

  enum class Body { kNone, kLength, kChunked, kUntilClose };
  Limits limits_;
  bool is_head_;
  HeadScanner scanner_;
  int status_code_ = 0;
  int http_minor_ = 1;
  Headers headers_;
  bool head_done_ = false;
  bool keep_alive_ = true;
  Body body_ = Body::kNone;
  uint64_t remaining_ = 0;  // of Content-Length, or of the limit for kUntilClose
  std::optional<ChunkDecoder> chunks_;
};

}  // namespace hadal
