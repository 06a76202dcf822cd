#include "net/http_head.h"

namespace hadal {
namespace {

constexpr size_t kMaxMethodBytes = 32;
constexpr size_t kMaxEmptyLines = 4;  // before a request line, from old clients
constexpr size_t kVersionBytes = 16;

bool IsControl(char c) {
  auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

}  // namespace

Status HeadScanner::CheckStartLineByte(char c) {
  if (IsControl(c)) return Fail(ErrorCode::kMalformed, "the first line has a control character");
  if (kind_ == Kind::kResponse) {
    if (++line_bytes_ > bounds_.start_line_bytes) {
      return Fail(ErrorCode::kMalformed, "the status line is longer than {} bytes",
                  bounds_.start_line_bytes);
    }
    return {};
  }
  ++line_bytes_;
  if (static_cast<unsigned char>(c) >= 0x80) {
    return Fail(ErrorCode::kMalformed, "the request line has a byte above 0x7f; percent-encode it");
  }
  if (c == ' ') {
    if (line_bytes_ == 1 || ++n_spaces_ > 2) {
      return Fail(ErrorCode::kMalformed, "the request line must be 'METHOD target HTTP/1.1'");
    }
    return {};
  }
  if (n_spaces_ == 0 && (!IsTokenChar(c) || line_bytes_ > kMaxMethodBytes)) {
    return Fail(ErrorCode::kMalformed, "the first bytes are not an HTTP method");
  }
  if (n_spaces_ == 1 && ++target_bytes_ > bounds_.start_line_bytes) {
    return Fail(ErrorCode::kUriTooLong, "the request target is longer than {} bytes",
                bounds_.start_line_bytes);
  }
  if (n_spaces_ == 2 && line_bytes_ > kMaxMethodBytes + target_bytes_ + kVersionBytes) {
    return Fail(ErrorCode::kMalformed, "the HTTP version must be HTTP/1.1 or HTTP/1.0");
  }
  return {};
}

Status HeadScanner::CheckFieldByte(char c) {
  if (IsControl(c) && c != '\t') {
    return Fail(ErrorCode::kMalformed, "a header has a control character");
  }
  if (line_bytes_ == 0) {
    if (c == ' ' || c == '\t') {
      return Fail(ErrorCode::kMalformed, "a header line begins with white space");
    }
    if (n_lines_ > bounds_.header_count) {
      return Fail(ErrorCode::kHeadersTooLarge, "there are more than {} headers",
                  bounds_.header_count);
    }
  }
  ++line_bytes_;
  if (++header_bytes_ > bounds_.header_bytes) {
    return Fail(ErrorCode::kHeadersTooLarge, "the headers are longer than {} bytes",
                bounds_.header_bytes);
  }
  return {};
}

Result<bool> HeadScanner::EndLine(size_t next) {
  if (line_bytes_ > 0) {
    ++n_lines_;
    line_bytes_ = 0;
    return false;
  }
  if (n_lines_ > 0) return true;
  if (++n_empty_lines_ > kMaxEmptyLines || kind_ == Kind::kResponse) {
    return Fail(ErrorCode::kMalformed, "there are empty lines instead of a first line");
  }
  begin_ = next;
  return false;
}

Result<std::optional<HeadScanner::Extent>> HeadScanner::Scan(std::string_view bytes) {
  for (; scanned_ < bytes.size(); ++scanned_) {
    char c = bytes[scanned_];
    if (after_cr_) {
      if (c != '\n') return Fail(ErrorCode::kMalformed, "a CR is not followed by LF");
      after_cr_ = false;
      HADAL_TRY(bool done, EndLine(scanned_ + 1));
      if (done) return Extent{begin_, ++scanned_};
      continue;
    }
    if (c == '\n')
      return Fail(ErrorCode::kMalformed, "a line ends with LF; it must end with CR LF");
    if (c == '\r') {
      after_cr_ = true;
    } else if (n_lines_ == 0) {
      HADAL_OK(CheckStartLineByte(c));
    } else {
      HADAL_OK(CheckFieldByte(c));
    }
  }
  return std::nullopt;
}

Status ParseFieldLines(std::string_view lines, Headers* headers) {
  while (!lines.empty()) {
    size_t end = lines.find("\r\n");
    if (end == std::string_view::npos) end = lines.size();
    std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 2, lines.size()));
    size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) {
      return Fail(ErrorCode::kMalformed, "a header line is not 'Name: value'");
    }
    for (char c : line.substr(0, colon)) {
      if (!IsTokenChar(c)) {
        return Fail(ErrorCode::kMalformed, "a header name has a character that names may not have");
      }
    }
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) {
      value.remove_prefix(1);
    }
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    headers->Add(line.substr(0, colon), value);
  }
  return {};
}

}  // namespace hadal
