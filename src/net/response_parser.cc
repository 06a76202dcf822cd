#include "net/response_parser.h"

#include <algorithm>

#include "net/response_head.h"

namespace hadal {
namespace {

constexpr size_t kMaxStatusLineBytes = 4096;
constexpr int kFirstFinalStatus = 200;  // a lower one is followed by the real response

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

ResponseParser::ResponseParser(const Limits& limits, bool is_head)
    : limits_(limits),
      is_head_(is_head),
      scanner_(HeadScanner::Kind::kResponse,
               {kMaxStatusLineBytes, limits.header_bytes, limits.header_count}) {}

Result<ResponseParser::Step> ResponseParser::Feed(std::string_view bytes, size_t* consumed,
                                                  std::string* body) {
  *consumed = 0;
  while (!head_done_) {
    std::string_view rest = bytes.substr(*consumed);
    HADAL_TRY(auto extent, scanner_.Scan(rest));
    if (!extent) return Step::kNeedMore;
    HADAL_OK(ParseHead(rest.substr(0, extent->end)));
    *consumed += extent->end;
    head_done_ = status_code_ >= kFirstFinalStatus;
    if (head_done_) return Step::kHead;
    *this = ResponseParser(limits_, is_head_);
  }
  if (body_ == Body::kChunked) {
    HADAL_TRY(*consumed, chunks_->Feed(bytes, body));
    return chunks_->done() ? Step::kDone : Step::kNeedMore;
  }
  size_t n = static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size()));
  if (body_ == Body::kUntilClose && n < bytes.size()) {
    return Fail(ErrorCode::kPayloadTooLarge, "the response is longer than {} bytes",
                limits_.body_bytes);
  }
  body->append(bytes.substr(0, n));
  *consumed = n;
  remaining_ -= n;
  bool done = body_ == Body::kNone || (body_ == Body::kLength && remaining_ == 0);
  return done ? Step::kDone : Step::kNeedMore;
}

Status ResponseParser::FinishAtEof() {
  if (head_done_ && body_ == Body::kUntilClose) return {};
  return Fail(ErrorCode::kMalformed, "the server closed the connection within its response");
}

Status ResponseParser::ParseHead(std::string_view head) {
  size_t line_end = head.find("\r\n");
  HADAL_OK(ParseStatusLine(head.substr(0, line_end)));
  HADAL_OK(ParseFieldLines(head.substr(line_end + 2, head.size() - line_end - 4), &headers_));
  return CheckFraming();
}

// HTTP/1.1 200[ reason]
Status ResponseParser::ParseStatusLine(std::string_view line) {
  bool ok = line.size() >= 12 && (line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 ")) &&
            IsDigit(line[9]) && IsDigit(line[10]) && IsDigit(line[11]) &&
            (line.size() == 12 || line[12] == ' ');
  if (ok) status_code_ = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (!ok || status_code_ < 100) {
    return Fail(ErrorCode::kMalformed, "the answer is not HTTP/1.1; is the port right?");
  }
  http_minor_ = line[7] - '0';
  return {};
}

Status ResponseParser::CheckFraming() {
  bool close = headers_.HasListElement("Connection", "close");
  keep_alive_ = !close && (http_minor_ == 1 || headers_.HasListElement("Connection", "keep-alive"));
  if (is_head_ || !MayHaveBody(status_code_)) return {};
  size_t n_lengths = headers_.Count("Content-Length");
  size_t n_encodings = headers_.Count("Transfer-Encoding");
  if (n_lengths + n_encodings > 1) {
    return Fail(ErrorCode::kMalformed, "the response gives its length {} times",
                n_lengths + n_encodings);
  }
  if (n_encodings == 1) {
    if (!EqualsIgnoreCase(headers_.Get("Transfer-Encoding"), "chunked")) {
      return Fail(ErrorCode::kMalformed, "the response has an unknown Transfer-Encoding");
    }
    body_ = Body::kChunked;
    // A stream of tokens is many small chunks: here only the bytes are bounded.
    chunks_.emplace(limits_.body_bytes, limits_.body_bytes);
    return {};
  }
  if (n_lengths == 0) {
    body_ = Body::kUntilClose;
    keep_alive_ = false;
    remaining_ = limits_.body_bytes;
    return {};
  }
  body_ = Body::kLength;
  std::string_view digits = headers_.Get("Content-Length");
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), IsDigit)) {
    return Fail(ErrorCode::kMalformed, "the response's Content-Length is not a number");
  }
  for (char c : digits) {
    auto digit = static_cast<uint64_t>(c - '0');
    uint64_t limit = limits_.body_bytes;
    if (digit > limit || remaining_ > (limit - digit) / 10) {
      return Fail(ErrorCode::kPayloadTooLarge, "the response is longer than {} bytes", limit);
    }
    remaining_ = remaining_ * 10 + digit;
  }
  return {};
}

}  // namespace hadal
