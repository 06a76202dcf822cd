// Owns: what the tests of net/ need on the other side of a socket: a raw client that sends any
// bytes, a self-signed certificate, and a server with a small known handler. Linked into tests
// only.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/http_server.h"

namespace hadal {

// A blocking TCP connection to 127.0.0.1. Reads give up after 20 s, so a test fails, never hangs.
class RawClient {
 public:
  // receive_bytes: SO_RCVBUF, 0 for the system's.
  explicit RawClient(int port, int receive_bytes = 0);
  ~RawClient();
  RawClient(RawClient&& other) noexcept;
  RawClient(const RawClient&) = delete;

  bool Send(std::string_view bytes);  // false: the peer closed or takes no more
  std::string ReadSome();             // "" at the end of the connection
  std::string ReadUntilClose();
  std::string ReadUntil(std::string_view mark);  // up to and with mark
  std::string ReadResponse();                    // head and Content-Length body
  bool PeerClosed();                             // waits for it
  void HalfClose();
  void ResetAndClose();
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
  std::string buffer_;
};

int StatusOf(std::string_view response);  // 0 when it is none
std::string_view BodyOf(std::string_view response);

// Waits until condition() holds; false after 20 s.
bool Eventually(const std::function<bool()>& condition);

// Answers GET /echo-path... with the path, POST with the body, counts what it saw.
struct EchoServer {
  explicit EchoServer(HttpServerOptions options = {});
  std::string Get(std::string_view path);  // over a connection of its own
  int port() const { return server->port(); }

  std::atomic<int> n_handled{0};
  std::unique_ptr<HttpServer> server;
};

// PEM files of a new key and a certificate for localhost and 127.0.0.1, in a directory of their
// own.
struct TestCertificate {
  TestCertificate();
  ~TestCertificate();
  std::filesystem::path directory;
  std::filesystem::path certificate;
  std::filesystem::path key;
};

}  // namespace hadal
