// Owns: decoding of Transfer-Encoding: chunked, byte by byte, so that how the bytes were split can
// not matter. Trailer fields are checked for length and dropped: merging them into the headers
// after those were judged is an attack. Thread rule: a value; one decoder per message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace hadal {

class ChunkDecoder {
 public:
  ChunkDecoder(size_t max_body_bytes, size_t max_chunks)
      : remaining_body_(max_body_bytes), max_chunks_(max_chunks) {}

  // Appends decoded bytes to *body; returns how many of `bytes` it used (all, unless done()).
  // kPayloadTooLarge as soon as the digits of a chunk size say so; else kMalformed.
  Result<size_t> Feed(std::string_view bytes, std::string* body);
  bool done() const { return state_ == State::kDone; }

 private:
  enum class State {
    kSizeFirst,
    kSize,
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailerFirst,
    kTrailer,
    kTrailerLf,
    kEndLf,
    kDone
  };
  Status FeedByte(char c);
  Status FeedSize(char c);
  Status FeedTrailer(char c);
  Status BeginData();
  Status Want(char c, char wanted, State next);

  State state_ = State::kSizeFirst;
  uint64_t chunk_bytes_ = 0;  // size being read, then bytes still to come
  size_t n_digits_ = 0;
  size_t n_chunks_ = 0;
  size_t extension_bytes_ = 0;
  size_t trailer_bytes_ = 0;
  uint64_t remaining_body_;
  size_t max_chunks_;
};

}  // namespace hadal
