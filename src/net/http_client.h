// Owns: a blocking HTTP/1.1 client over one connection, kept alive between requests; plain or TLS.
// For tests and the command line; the server's own traffic does not go through it.
// Follows no redirects and sends nothing but what it is given (plus Host and the body's length).
// Thread rule: one thread at a time.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/http_types.h"

namespace hadal {

struct HttpUrl {
  bool tls = false;
  std::string host;  // without brackets
  int port = 0;
  std::string target;  // "/" when the URL has none
};
// "http://host[:port][/path]" or https.
Result<HttpUrl> ParseHttpUrl(std::string_view url);

struct HttpClientOptions {
  std::string host = "127.0.0.1";
  int port = 0;
  bool tls = false;
  bool verify_tls = true;
  std::filesystem::path ca_file;                        // trusted issuers; empty: the system's
  Duration connect_timeout = std::chrono::seconds(10);  // with TLS: each round of the handshake too
  Duration stall_timeout = std::chrono::seconds(60);    // no byte moves for so long: kTimeout
  size_t max_header_bytes = 64 * 1024;
  size_t max_body_bytes = 64 * 1024 * 1024;
};

struct HttpClientRequest {
  std::string method = "GET";
  std::string target = "/";
  Headers headers;
  std::string body;
};

struct HttpResponse {
  int status = 0;
  Headers headers;
  std::string body;  // empty when a BodySink took it
};

// Gets the body as it arrives; false: enough, close the connection and return what there is.
using BodySink = std::function<bool(const HttpResponse& head, std::string_view bytes)>;

class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options);
  ~HttpClient();

  // Any status is a success here. kUnavailable: no connection; kTimeout; kMalformed: not HTTP, or
  // cut short; kPayloadTooLarge; kInvalidArgument: a request that would break its own framing.
  Result<HttpResponse> Send(const HttpClientRequest& request, const BodySink& sink = {});
  void Close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hadal
