// Owns: finding the end of an HTTP/1.x message head and splitting its field lines, byte-strict.
// Stricter than RFC 9112 asks of a recipient: a bare CR or LF, a folded line, NUL and other control
// characters are errors, because lenience here is how requests are smuggled.
// Thread rule: values; one scanner per message.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "net/http_types.h"

namespace hadal {

class HeadScanner {
 public:
  enum class Kind { kRequest, kResponse };
  struct Bounds {
    size_t start_line_bytes;
    size_t header_bytes;
    size_t header_count;
  };
  HeadScanner(Kind kind, Bounds bounds) : kind_(kind), bounds_(bounds) {}

  // Where the head lies in the bytes given to Scan: start line first, the last CRLF CRLF included.
  struct Extent {
    size_t begin;
    size_t end;
  };
  // `bytes` begins at the message's first byte and is the same or longer at each call; every byte
  // is looked at once, so a limit is felt at the byte that breaks it. nullopt: more bytes are
  // needed.
  Result<std::optional<Extent>> Scan(std::string_view bytes);

 private:
  Status CheckStartLineByte(char c);
  Status CheckFieldByte(char c);
  Result<bool> EndLine(size_t next);  // true: that was the empty line after the head

  Kind kind_;
  Bounds bounds_;
  size_t begin_ = 0;
  size_t scanned_ = 0;
  size_t line_bytes_ = 0;
  size_t n_lines_ = 0;
  size_t n_empty_lines_ = 0;
  size_t header_bytes_ = 0;
  size_t n_spaces_ = 0;      // in the start line
  size_t target_bytes_ = 0;  // of a request
  bool after_cr_ = false;
};

// Field lines, each ended by CRLF, without the last empty line.
Status ParseFieldLines(std::string_view lines, Headers* headers);

}  // namespace hadal
