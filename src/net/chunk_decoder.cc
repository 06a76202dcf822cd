#include "net/chunk_decoder.h"

#include <algorithm>

namespace hadal {
namespace {

constexpr size_t kMaxSizeDigits = 16;
constexpr size_t kMaxExtensionBytes = 256;  // of one chunk
constexpr size_t kMaxTrailerBytes = 4096;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsLineText(char c) {
  auto byte = static_cast<unsigned char>(c);
  return (byte >= 0x20 && byte != 0x7f) || c == '\t';
}

}  // namespace

Result<size_t> ChunkDecoder::Feed(std::string_view bytes, std::string* body) {
  size_t i = 0;
  while (i < bytes.size() && state_ != State::kDone) {
    if (state_ == State::kData) {
      size_t n = static_cast<size_t>(std::min<uint64_t>(chunk_bytes_, bytes.size() - i));
      body->append(bytes.substr(i, n));
      i += n;
      chunk_bytes_ -= n;
      if (chunk_bytes_ == 0) state_ = State::kDataCr;
      continue;
    }
    HADAL_OK(FeedByte(bytes[i]));
    ++i;
  }
  return i;
}

Status ChunkDecoder::Want(char c, char wanted, State next) {
  if (c != wanted) return Fail(ErrorCode::kMalformed, "a line of the chunked body lacks CR LF");
  state_ = next;
  return {};
}

Status ChunkDecoder::FeedByte(char c) {
  switch (state_) {
    case State::kSizeFirst:
    case State::kSize:
      return FeedSize(c);
    case State::kExtension:
      if (c == '\r') return Want(c, '\r', State::kSizeLf);
      if (!IsLineText(c) || ++extension_bytes_ > kMaxExtensionBytes) {
        return Fail(ErrorCode::kMalformed, "a chunk extension is malformed or longer than {} bytes",
                    kMaxExtensionBytes);
      }
      return {};
    case State::kSizeLf:
      HADAL_OK(Want(c, '\n', State::kData));
      return BeginData();
    case State::kDataCr:
      return Want(c, '\r', State::kDataLf);
    case State::kDataLf:
      return Want(c, '\n', State::kSizeFirst);
    case State::kTrailerFirst:
    case State::kTrailer:
      return FeedTrailer(c);
    case State::kTrailerLf:
      return Want(c, '\n', State::kTrailerFirst);
    case State::kEndLf:
      return Want(c, '\n', State::kDone);
    case State::kData:
    case State::kDone:
      break;
  }
  return {};
}

Status ChunkDecoder::FeedSize(char c) {
  if (state_ == State::kSizeFirst) {
    chunk_bytes_ = 0;
    n_digits_ = 0;
    extension_bytes_ = 0;
  }
  int digit = HexDigit(c);
  if (digit >= 0) {
    state_ = State::kSize;
    if (++n_digits_ > kMaxSizeDigits) {
      return Fail(ErrorCode::kMalformed, "a chunk size has more than {} digits", kMaxSizeDigits);
    }
    auto value = static_cast<uint64_t>(digit);
    if (value > remaining_body_ || chunk_bytes_ > (remaining_body_ - value) / 16) {
      return Fail(ErrorCode::kPayloadTooLarge, "the chunked body is longer than the limit");
    }
    chunk_bytes_ = chunk_bytes_ * 16 + value;
    return {};
  }
  if (state_ == State::kSize && c == '\r') return Want(c, '\r', State::kSizeLf);
  if (state_ == State::kSize && c == ';') {
    state_ = State::kExtension;
    return {};
  }
  return Fail(ErrorCode::kMalformed, "a chunk size is not a hexadecimal number");
}

Status ChunkDecoder::BeginData() {
  if (chunk_bytes_ == 0) {
    state_ = State::kTrailerFirst;
    return {};
  }
  if (++n_chunks_ > max_chunks_) {
    return Fail(ErrorCode::kMalformed, "the body has more than {} chunks; send larger ones",
                max_chunks_);
  }
  remaining_body_ -= chunk_bytes_;
  return {};
}

Status ChunkDecoder::FeedTrailer(char c) {
  if (c == '\r') {
    return Want(c, '\r', state_ == State::kTrailerFirst ? State::kEndLf : State::kTrailerLf);
  }
  state_ = State::kTrailer;
  if (!IsLineText(c) || ++trailer_bytes_ > kMaxTrailerBytes) {
    return Fail(ErrorCode::kMalformed, "the trailer is malformed or longer than {} bytes",
                kMaxTrailerBytes);
  }
  return {};
}

}  // namespace hadal
