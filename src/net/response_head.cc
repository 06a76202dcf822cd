#include "net/response_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace hadal {
namespace {

bool IsOwnHeader(std::string_view name) {
  for (std::string_view own : {"Content-Length", "Transfer-Encoding", "Connection", "Date"}) {
    if (EqualsIgnoreCase(name, own)) return true;
  }
  return false;
}

void AppendHeader(std::string_view name, std::string_view value, std::string* out) {
  if (name.empty() || !std::all_of(name.begin(), name.end(), IsTokenChar)) return;
  out->append(name).append(": ");
  for (char c : value) {
    auto byte = static_cast<unsigned char>(c);
    out->push_back((byte < 0x20 && c != '\t') || byte == 0x7f ? ' ' : c);
  }
  out->append("\r\n");
}

}  // namespace

std::string_view ReasonOf(int status) {
  static constexpr std::pair<int, std::string_view> kReasons[] = {
      {100, "Continue"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {402, "Payment Required"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {421, "Misdirected Request"},
      {422, "Unprocessable Content"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {499, "Client Closed Request"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {529, "Overloaded"},
  };
  for (auto [known, reason] : kReasons) {
    if (known == status) return reason;
  }
  return "Status";
}

bool MayHaveBody(int status) { return status >= 200 && status != 204 && status != 304; }

std::string FormatHttpDate(int64_t unix_seconds) {
  using std::chrono::floor;
  std::chrono::sys_seconds time{std::chrono::seconds(unix_seconds)};
  auto day = floor<std::chrono::days>(time);
  std::chrono::year_month_day date{day};
  std::chrono::hh_mm_ss clock{time - day};
  static constexpr std::string_view kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return fmt::format(
      "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[std::chrono::weekday{day}.c_encoding()],
      static_cast<unsigned>(date.day()), kMonths[static_cast<unsigned>(date.month()) - 1],
      static_cast<int>(date.year()), clock.hours().count(), clock.minutes().count(),
      clock.seconds().count());
}

std::string FormatResponseHead(int status, const Headers& headers, const ResponseFraming& framing,
                               int64_t unix_seconds) {
  if (status < 100 || status > 599) status = 500;
  std::string out;
  out.reserve(256);
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", status, ReasonOf(status));
  for (const Header& header : headers) {
    if (!IsOwnHeader(header.name)) AppendHeader(header.name, header.value, &out);
  }
  out.append("Date: ").append(FormatHttpDate(unix_seconds)).append("\r\n");
  switch (framing.body) {
    case ResponseFraming::Body::kLength:
      fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", framing.length);
      break;
    case ResponseFraming::Body::kChunked:
      out.append("Transfer-Encoding: chunked\r\n");
      break;
    case ResponseFraming::Body::kUntilClose:
    case ResponseFraming::Body::kNone:
      break;
  }
  if (!framing.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (framing.http_minor == 0) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
  return out;
}

}  // namespace hadal
