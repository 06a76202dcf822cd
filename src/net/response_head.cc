#include "net/response_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

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
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 529:
      return "Overloaded";
    default:
      return "Status";
  }
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
