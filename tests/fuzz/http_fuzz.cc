// Requests, responses and event streams from hostile bytes. Beside memory errors it looks for a
// parse that depends on how the bytes were split, for limits that do not hold, and for paths that
// are not what the request's comments promise. Input: one byte of seed for the splits, then the
// bytes of a connection.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "net/host_allow_list.h"
#include "net/request_parser.h"
#include "net/response_parser.h"
#include "net/sse.h"
#include "net/target.h"

namespace hadal {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

HttpLimits SmallLimits() {
  HttpLimits limits;
  limits.uri_bytes = 100;
  limits.header_bytes = 300;
  limits.header_count = 8;
  limits.body_bytes = 200;
  limits.chunk_count = 10;
  return limits;
}

// Sizes of the pieces, from a small generator so that one byte of input decides them.
class Splitter {
 public:
  explicit Splitter(uint8_t seed) : state_(seed * 2654435761u + 1) {}
  size_t Next() {
    state_ = state_ * 1664525u + 1013904223u;
    return 1 + (state_ >> 24) % 40;
  }

 private:
  uint32_t state_;
};

void CheckRequest(const HttpRequest& request, const HttpLimits& limits) {
  Require(request.body.size() <= limits.body_bytes);
  Require(request.headers.size() <= limits.header_count);
  Require(request.target.size() <= limits.uri_bytes);
  Require(request.path == "*" || request.path.front() == '/');
  Require((request.path + "/").find("/../") == std::string::npos);
  for (char c : request.path) Require(static_cast<unsigned char>(c) >= 0x20);
  for (const Header& header : request.headers) {
    Require(header.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
  }
}

// What a connection would see: each request in turn, then how it ended.
std::string RunRequests(std::string_view bytes, Splitter* splitter) {
  const HttpLimits limits = SmallLimits();
  const HostAllowList hosts({"example.org"});
  RequestParser parser(limits);
  std::string seen;
  std::string input;
  size_t at = 0;
  for (;;) {
    size_t consumed = 0;
    bool starved = input.empty() && !parser.head_done();
    auto step = parser.Feed(input, &consumed);
    Require(consumed <= input.size());
    input.erase(0, consumed);
    if (!step) return seen + "error " + step.error().message;
    if (*step == RequestParser::Step::kHead) continue;
    if (*step == RequestParser::Step::kDone) {
      HttpRequest request = parser.Take();
      CheckRequest(request, limits);
      hosts.Allows(request.host, "127.0.0.1");
      seen += request.method + request.path + "?" + request.query + "\n" + request.body + "\n";
      for (const Header& header : request.headers) seen += header.name + "=" + header.value + "\n";
      continue;
    }
    if (at == bytes.size()) return seen + (starved ? "idle" : "partial");
    size_t n = splitter ? std::min(splitter->Next(), bytes.size() - at) : bytes.size() - at;
    input += bytes.substr(at, n);
    at += n;
  }
}

std::string RunResponse(std::string_view bytes, Splitter* splitter) {
  ResponseParser parser({.header_bytes = 300, .header_count = 8, .body_bytes = 200}, false);
  std::string input;
  std::string body;
  size_t at = 0;
  for (;;) {
    size_t consumed = 0;
    auto step = parser.Feed(input, &consumed, &body);
    Require(consumed <= input.size());
    Require(body.size() <= 200);
    input.erase(0, consumed);
    if (!step) return "error " + step.error().message;
    if (*step == ResponseParser::Step::kHead) continue;
    if (*step == ResponseParser::Step::kDone) return std::to_string(parser.status()) + body;
    if (at == bytes.size()) return parser.FinishAtEof() ? "until close " + body : "partial";
    size_t n = splitter ? std::min(splitter->Next(), bytes.size() - at) : bytes.size() - at;
    input += bytes.substr(at, n);
    at += n;
  }
}

std::string RunEvents(std::string_view bytes, Splitter* splitter) {
  SseParser parser(100);
  std::vector<SseMessage> events;
  std::string seen;
  bool ok = true;
  for (size_t at = 0; ok && at < bytes.size();) {
    size_t n = splitter ? std::min(splitter->Next(), bytes.size() - at) : bytes.size() - at;
    ok = parser.Feed(bytes.substr(at, n), &events).has_value();
    at += n;
  }
  for (const SseMessage& event : events) seen += event.event + "|" + event.data + "\n";
  return seen + (ok ? "" : "error");
}

void CheckEventWriter(std::string_view text) {
  SseParser parser(2 * text.size() + 100);
  std::vector<SseMessage> events;
  Require(parser.Feed(SseEvent(text), &events).has_value());
  Require(events.size() == 1);
}

}  // namespace
}  // namespace hadal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hadal;
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (auto* run : {RunRequests, RunResponse, RunEvents}) {
    Splitter splitter(data[0]);
    Require(run(bytes, nullptr) == run(bytes, &splitter));
  }
  CheckEventWriter(bytes);
  return 0;
}
