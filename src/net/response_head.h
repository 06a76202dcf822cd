// Owns: the bytes of a response's status line and headers. What the caller passes can not break the
// framing or add a header: names and values that could are changed or left out.
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/http_types.h"

namespace hadal {

struct ResponseFraming {
  enum class Body { kLength, kChunked, kUntilClose, kNone };
  Body body = Body::kLength;
  size_t length = 0;  // with kLength
  bool keep_alive = true;
  int http_minor = 1;  // of the request
};

// Content-Length, Transfer-Encoding, Connection and Date come from here only. Headers whose name is
// no token are dropped; control characters in values become spaces.
std::string FormatResponseHead(int status, const Headers& headers, const ResponseFraming& framing,
                               int64_t unix_seconds);

std::string_view ReasonOf(int status);
bool MayHaveBody(int status);  // false for 1xx, 204, 304

// "Sun, 06 Nov 1994 08:49:37 GMT"
std::string FormatHttpDate(int64_t unix_seconds);

}  // namespace hadal
