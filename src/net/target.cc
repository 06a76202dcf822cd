#include "net/target.h"

#include <algorithm>

#include "net/http_types.h"

namespace hadal {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Length of the UTF-8 sequence at s[0], or 0 when it is not valid.
size_t Utf8Length(std::string_view s) {
  auto at = [&](size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  auto tail = [&](size_t i) { return (at(i) & 0xc0) == 0x80; };
  unsigned c = at(0);
  if (c < 0x80) return 1;
  if (c >= 0xc2 && c <= 0xdf) return tail(1) ? 2 : 0;
  if (c >= 0xe0 && c <= 0xef) {
    bool overlong = c == 0xe0 && at(1) < 0xa0;
    bool surrogate = c == 0xed && at(1) >= 0xa0;
    return tail(1) && tail(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (c >= 0xf0 && c <= 0xf4) {
    bool overlong = c == 0xf0 && at(1) < 0x90;
    bool beyond = c == 0xf4 && at(1) >= 0x90;
    return tail(1) && tail(2) && tail(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

Status CheckPathText(std::string_view path) {
  for (size_t i = 0; i < path.size();) {
    auto c = static_cast<unsigned char>(path[i]);
    if (c < 0x20 || c == 0x7f) {
      return Fail(ErrorCode::kMalformed, "the path has the control character 0x{:02x}", c);
    }
    size_t n = Utf8Length(path.substr(i));
    if (n == 0) return Fail(ErrorCode::kMalformed, "the path is not valid UTF-8");
    i += n;
  }
  return {};
}

// Back slashes count as separators: what serves files on another system may take them so.
bool HasDotSegment(std::string_view path) {
  size_t begin = 0;
  while (begin <= path.size()) {
    size_t end = std::min(path.find_first_of("/\\", begin), path.size());
    std::string_view segment = path.substr(begin, end - begin);
    if (segment == "." || segment == "..") return true;
    begin = end + 1;
  }
  return false;
}

// The query is handed on encoded; what no caller needs in it is refused here once.
Status CheckQuery(std::string_view query) {
  for (std::string_view escape : {"%00", "%0d", "%0D", "%0a", "%0A"}) {
    if (query.find(escape) != std::string_view::npos) {
      return Fail(ErrorCode::kMalformed, "the query has a line break or NUL ({})", escape);
    }
  }
  return {};
}

}  // namespace

Result<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
      continue;
    }
    int high = i + 1 < text.size() ? HexDigit(text[i + 1]) : -1;
    int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return Fail(ErrorCode::kMalformed, "a '%' is not followed by two hexadecimal digits");
    }
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

Result<Target> ParseTarget(std::string_view method, std::string_view target) {
  Target out;
  if (target == "*" && method == "OPTIONS") {
    out.path = "*";
    return out;
  }
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!EqualsIgnoreCase(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(scheme.size());
    size_t end = std::min(target.find_first_of("/?"), target.size());
    out.authority = std::string(target.substr(0, end));
    target.remove_prefix(end);
    if (out.authority.empty() || out.authority.find('@') != std::string::npos) {
      return Fail(ErrorCode::kMalformed, "the target's authority must be 'host' or 'host:port'");
    }
    if (target.empty()) target = "/";
    break;
  }
  if (target.empty() || target.front() != '/') {
    return Fail(ErrorCode::kMalformed, "the request target must begin with '/'");
  }
  if (target.find('#') != std::string_view::npos) {
    return Fail(ErrorCode::kMalformed, "the request target has a '#'");
  }
  size_t mark = std::min(target.find('?'), target.size());
  HADAL_TRY(out.path, PercentDecode(target.substr(0, mark)));
  HADAL_OK(CheckPathText(out.path));
  if (HasDotSegment(out.path)) {
    return Fail(ErrorCode::kNotFound, "there is no such path: it has a '.' or '..' segment");
  }
  if (mark < target.size()) out.query = std::string(target.substr(mark + 1));
  HADAL_OK(CheckQuery(out.query));
  return out;
}

}  // namespace hadal
