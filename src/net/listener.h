// Owns: the listening socket of a server. When descriptors run out it makes room or waits, and goes
// on. Thread rule: Open before the loop runs; the rest on the loop's thread.
#pragma once

#include <functional>
#include <memory>

#include "base/error.h"
#include "net/server_loop.h"

namespace hadal {

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  using OnAccept = std::function<void(AcceptedSocket)>;

  // Listens on options.host and port. kBadConfig: no such host, or the address is taken.
  static Result<std::shared_ptr<Listener>> Open(ServerLoop& loop, const HttpServerOptions& options,
                                                OnAccept on_accept);
  Listener(ServerLoop& loop, int fd, OnAccept on_accept, size_t send_bytes);

  int port() const;
  void Start();
  void Close();

 private:
  void WaitForClient();
  void AcceptSome();
  void Configure(int fd) const;

  ServerLoop& loop_;
  SocketWatch socket_;
  OnAccept on_accept_;
  size_t send_bytes_;
  bool closed_ = false;
};

}  // namespace hadal
