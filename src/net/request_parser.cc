#include "net/request_parser.h"

#include <algorithm>
#include <utility>

#include "net/target.h"

namespace hadal {
namespace {

HeadScanner NewScanner(const HttpLimits& limits) {
  return HeadScanner(HeadScanner::Kind::kRequest,
                     {limits.uri_bytes, limits.header_bytes, limits.header_count});
}

Status CheckMethod(std::string_view method) {
  for (std::string_view known : {"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}) {
    if (method == known) return {};
  }
  for (std::string_view refused : {"TRACE", "CONNECT"}) {
    if (method == refused) return Fail(ErrorCode::kMethodNotAllowed, "{} is not allowed", method);
  }
  return Fail(ErrorCode::kUnimplemented, "the method {} is not known", method);
}

bool IsEncodedLineBreak(std::string_view value) {
  for (size_t i = value.find('%'); i != std::string_view::npos; i = value.find('%', i + 1)) {
    if (EqualsIgnoreCase(value.substr(i, 6), "%0d%0a")) return true;
  }
  return false;
}

}  // namespace

RequestParser::RequestParser(const HttpLimits& limits)
    : limits_(&limits), scanner_(NewScanner(limits)) {}

HttpRequest RequestParser::Take() {
  HttpRequest out = std::move(request_);
  *this = RequestParser(*limits_);
  return out;
}

Result<RequestParser::Step> RequestParser::Feed(std::string_view bytes, size_t* consumed) {
  *consumed = 0;
  if (head_done_) return FeedBody(bytes, consumed);
  HADAL_TRY(auto extent, scanner_.Scan(bytes));
  if (!extent) return Step::kNeedMore;
  HADAL_OK(ParseHead(bytes.substr(extent->begin, extent->end - extent->begin)));
  *consumed = extent->end;
  head_done_ = true;
  return Step::kHead;
}

Status RequestParser::ParseHead(std::string_view head) {
  size_t line_end = head.find("\r\n");
  HADAL_OK(ParseRequestLine(head.substr(0, line_end)));
  // The head ends with CRLF CRLF, so the field lines keep one CRLF each and the last is dropped.
  HADAL_OK(
      ParseFieldLines(head.substr(line_end + 2, head.size() - line_end - 4), &request_.headers));
  HADAL_OK(CheckHeaders());
  return CheckFraming();
}

Status RequestParser::ParseRequestLine(std::string_view line) {
  size_t first = line.find(' ');
  size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  if (second == std::string_view::npos) {
    return Fail(ErrorCode::kMalformed, "the request line must be 'METHOD target HTTP/1.1'");
  }
  request_.method = std::string(line.substr(0, first));
  request_.target = std::string(line.substr(first + 1, second - first - 1));
  std::string_view version = line.substr(second + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return Fail(ErrorCode::kMalformed, "the HTTP version must be HTTP/1.1 or HTTP/1.0");
  }
  request_.http_minor = version.back() - '0';
  HADAL_OK(CheckMethod(request_.method));
  HADAL_TRY(Target target, ParseTarget(request_.method, request_.target));
  request_.path = std::move(target.path);
  request_.query = std::move(target.query);
  request_.host = std::move(target.authority);
  return {};
}

Status RequestParser::CheckHeaders() {
  const Headers& headers = request_.headers;
  for (const Header& header : headers) {
    if (IsEncodedLineBreak(header.value)) {
      return Fail(ErrorCode::kMalformed, "the value of header {} has an encoded line break",
                  header.name);
    }
  }
  size_t n_hosts = headers.Count("Host");
  if (n_hosts > 1 || (n_hosts == 0 && request_.http_minor == 1)) {
    return Fail(ErrorCode::kMalformed, "the request has {} Host headers; it must have one",
                n_hosts);
  }
  if (request_.host.empty()) request_.host = std::string(headers.Get("Host"));
  bool close = headers.HasListElement("Connection", "close");
  bool keep = headers.HasListElement("Connection", "keep-alive");
  request_.keep_alive = !close && (request_.http_minor == 1 || keep);
  if (const std::string* expect = headers.Find("Expect")) {
    if (!EqualsIgnoreCase(*expect, "100-continue")) {
      return Fail(ErrorCode::kMalformed, "Expect must be '100-continue'");
    }
    expects_continue_ = request_.http_minor == 1;
  }
  const std::string* encoding = headers.Find("Content-Encoding");
  if (encoding && !EqualsIgnoreCase(*encoding, "identity")) {
    return Fail(ErrorCode::kUnsupportedMediaType,
                "the body has a Content-Encoding; send it uncompressed");
  }
  return {};
}

Status RequestParser::CheckFraming() {
  const Headers& headers = request_.headers;
  size_t n_lengths = headers.Count("Content-Length");
  size_t n_encodings = headers.Count("Transfer-Encoding");
  if (n_lengths + n_encodings > 1) {
    return Fail(ErrorCode::kMalformed,
                "the request gives its length {} times; one Content-Length or Transfer-Encoding is "
                "right",
                n_lengths + n_encodings);
  }
  if (n_encodings == 1) {
    if (request_.http_minor == 0) {
      return Fail(ErrorCode::kMalformed, "HTTP/1.0 has no Transfer-Encoding");
    }
    if (!EqualsIgnoreCase(headers.Get("Transfer-Encoding"), "chunked")) {
      return Fail(ErrorCode::kUnimplemented, "the only Transfer-Encoding understood is 'chunked'");
    }
    chunks_.emplace(limits_->body_bytes, limits_->chunk_count);
    return {};
  }
  if (n_lengths == 0) return {};
  std::string_view digits = headers.Get("Content-Length");
  bool is_number = !digits.empty() && std::all_of(digits.begin(), digits.end(),
                                                  [](char c) { return c >= '0' && c <= '9'; });
  if (!is_number) {
    return Fail(ErrorCode::kMalformed, "Content-Length must be a number that is not negative");
  }
  for (char c : digits) {
    auto digit = static_cast<uint64_t>(c - '0');
    uint64_t limit = limits_->body_bytes;
    if (digit > limit || body_remaining_ > (limit - digit) / 10) {
      return Fail(ErrorCode::kPayloadTooLarge, "the body is longer than {} bytes",
                  limits_->body_bytes);
    }
    body_remaining_ = body_remaining_ * 10 + digit;
  }
  return {};
}

Result<RequestParser::Step> RequestParser::FeedBody(std::string_view bytes, size_t* consumed) {
  if (chunks_) {
    HADAL_TRY(*consumed, chunks_->Feed(bytes, &request_.body));
    return chunks_->done() ? Step::kDone : Step::kNeedMore;
  }
  *consumed = static_cast<size_t>(std::min<uint64_t>(body_remaining_, bytes.size()));
  request_.body.append(bytes.substr(0, *consumed));
  body_remaining_ -= *consumed;
  return body_remaining_ == 0 ? Step::kDone : Step::kNeedMore;
}

}  // namespace hadal
