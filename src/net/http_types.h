// Owns: the plain data of HTTP/1.1: header lists, one received request, and the limits put on it.
// Knows no sockets and nothing of what a path means.
// Thread rule: plain values; a request handed to a Handler is const.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace hadal {

bool EqualsIgnoreCase(std::string_view a, std::string_view b);
// A character of an RFC 9110 token: method and header names.
bool IsTokenChar(char c);

struct Header {
  std::string name;
  std::string value;
};

// Header fields in the order received; names compare without regard to case.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<Header> list) : list_(list) {}

  void Add(std::string_view name, std::string_view value) {
    list_.push_back(Header{std::string(name), std::string(value)});
  }
  const std::string* Find(std::string_view name) const;  // the first, or null
  std::string_view Get(std::string_view name) const;     // the first, or ""
  size_t Count(std::string_view name) const;
  // True when a comma-separated list field (Connection, Accept) has the element, ignoring case.
  bool HasListElement(std::string_view name, std::string_view element) const;

  size_t size() const { return list_.size(); }
  auto begin() const { return list_.begin(); }
  auto end() const { return list_.end(); }

 private:
  std::vector<Header> list_;
};

struct HttpRequest {
  std::string method;  // "GET", "POST", ...: one the parser accepts
  std::string target;  // as received
  std::string path;    // percent-decoded, valid UTF-8, no control characters or dot segments
  std::string query;   // after '?', still percent-encoded
  std::string host;    // Host header or the authority of an absolute target, as received
  Headers headers;
  std::string body;        // decoded from chunks
  int http_minor = 1;      // HTTP/1.x
  bool keep_alive = true;  // what the client asked for
  bool is_tls = false;
  std::string remote_address;  // numeric, without port
};

// What one client may ask of the server. Breaking a limit gives the status named.
struct HttpLimits {
  size_t uri_bytes = 8 * 1024;                  // 414
  size_t header_bytes = 32 * 1024;              // all fields together: 431
  size_t header_count = 100;                    // 431
  size_t body_bytes = 32 * 1024 * 1024;         // 413
  size_t receiving_bytes = 1024 * 1024 * 1024;  // bodies under way, all connections together: 503
  size_t chunk_count = 64 * 1024;               // chunks of one body: 400
  Duration header_timeout = std::chrono::seconds(10);  // first byte to end of head: 408
  // A body of n bytes must be complete after body_timeout + n / body_bytes_per_second: 408.
  Duration body_timeout = std::chrono::seconds(10);
  size_t body_bytes_per_second = 4 * 1024;
  Duration idle_timeout = std::chrono::seconds(75);         // between requests: closed
  Duration write_stall_timeout = std::chrono::seconds(30);  // client reads nothing: reset
  Duration linger_timeout = std::chrono::seconds(1);  // after the last response of a connection
  // The oldest idle one makes room, else the oldest sender. Fewer where the process may not open so
  // many descriptors (HttpServer::Start raises its limit as far as it may).
  size_t connections = 8 * 1024;
  size_t connections_per_address = 0;  // 0: no limit of its own
  size_t queued_bytes = 1024 * 1024;   // of one streamed response, not yet taken by the kernel
  size_t pipelined_bytes = 64 * 1024;  // received while a response is under way
  size_t socket_send_bytes =
      256 * 1024;  // SO_SNDBUF: a slow reader is felt before megabytes pile up
};

}  // namespace hadal
