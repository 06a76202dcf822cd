// Owns: one thread's wait for sockets, timers and posted calls (Boost.Asio, which no header shows).
// Knows no HTTP. Callbacks run on the thread that called Run, one at a time.
// Thread rule: Post and Stop from any thread; everything else on the loop's thread.
#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/error.h"

namespace hadal {

class EventLoop {
 public:
  static Result<std::unique_ptr<EventLoop>> New();  // kIo when descriptors are out
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void Run();  // until Stop; then what was posted before is run once and Run returns
  void Stop();
  void Post(std::function<void()> call);
  void RunAfter(Duration delay, std::function<void()> call);

 private:
  EventLoop();
  friend class SocketWatch;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Owns a socket and waits for it. At most one wait per direction at a time.
class SocketWatch {
 public:
  SocketWatch(EventLoop& loop, int fd);
  ~SocketWatch();
  SocketWatch(const SocketWatch&) = delete;
  SocketWatch& operator=(const SocketWatch&) = delete;

  int fd() const { return fd_; }  // -1 when the socket could not be watched (and was closed)
  // Calls once when reading (writing) would not block, or the socket failed. A callback keeps alive
  // what it captures until it has run or Close dropped it.
  void WaitReadable(std::function<void()> call);
  void WaitWritable(std::function<void()> call);
  void Close();  // closes the socket; waiting callbacks are dropped, not called

 private:
  struct Impl;
  int fd_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hadal
