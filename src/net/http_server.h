// Owns: an HTTP/1.1 server: listener, event-loop threads, connections, limits, TLS, drain.
// Knows nothing of paths, JSON or keys: the Handler answers requests, ErrorBody words the server's
// own refusals. Only requests that are complete and within all limits reach the Handler. Use:
// Start; later Drain (keep answering, ask clients to leave), StopAccepting, WaitIdle, Stop. Thread
// rule: all methods from any thread except the Handler's; Stop joins the threads.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "net/http_types.h"
#include "net/response_writer.h"

namespace hadal {

// Called on a server thread: it must not block; long work keeps the writer and answers later.
using Handler =
    std::function<void(std::shared_ptr<const HttpRequest>, std::shared_ptr<ResponseWriter>)>;
// Body (application/json) for what the server refuses itself; status = InfoOf(error.code).http.
// `path` is decoded, and empty when the refusal came before it was known. Called on a server
// thread; the place to count and audit refusals.
using ErrorBody = std::function<std::string(const Error& error, std::string_view path)>;

struct HttpServerOptions {
  std::string host = "127.0.0.1";  // numeric address or name to listen on
  int port = 0;                    // 0: any free port, see HttpServer::port
  int n_threads = 1;
  HttpLimits limits;
  std::filesystem::path tls_certificate;  // PEM; TLS when set
  std::filesystem::path tls_key;
  std::vector<std::string> allowed_hosts;  // beside localhost, loopback and `host`; "*" = any
  ErrorBody error_body;                    // {"error":{"code":...,"message":...}} when empty
};

class HttpServer {
 public:
  // kBadConfig for host, port or TLS files; kIo when the system refuses.
  static Result<std::unique_ptr<HttpServer>> Start(HttpServerOptions options, Handler handler);
  ~HttpServer();

  int port() const;
  size_t active_requests() const;  // dispatched and not yet answered to the last byte
  size_t open_connections() const;

  void Drain();  // responses say "Connection: close", idle connections close, accepting goes on
  void StopAccepting();             // closes the listener; returns when it is closed
  bool WaitIdle(Duration timeout);  // true when no request is active
  void Stop();                      // closes everything; OnClose callbacks run; idempotent

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hadal
