// Owns: one server thread's event loop and its connections, ordered by what they are doing and for
// how long, so that the right one makes room for a new one; and the sweep that enforces time
// limits. Thread rule: Run is the thread; Post, Stop from any thread; everything else on the loop's
// thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "net/event_loop.h"
#include "net/host_allow_list.h"
#include "net/http_server.h"
#include "net/tls_context.h"

namespace hadal {

class Connection;

// What all threads of one server share.
struct ServerShared {
  HttpServerOptions options;
  Handler handler;
  HostAllowList hosts{{}};
  std::unique_ptr<TlsContext> tls;  // null: plain
  // Apart from the rest, because responses that outlive the server look at it.
  std::shared_ptr<std::atomic<bool>> draining = std::make_shared<std::atomic<bool>>(false);
  std::atomic<size_t> open_connections{0};
  std::atomic<size_t> receiving_bytes{0};  // of bodies not yet complete

  void BeginRequest();
  void EndRequest();
  size_t active_requests() const;
  bool WaitIdle(Duration timeout);

 private:
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  size_t active_requests_ = 0;
};

enum class ConnectionPhase {
  kIdle,       // between two requests
  kReceiving,  // new, or part of a request has come
  kResponding,
  kLingering  // answered for the last time, waits for the client to close
};

struct AcceptedSocket {
  int fd = -1;
  std::string remote_address;
  std::string local_address;
};

class ServerLoop {
 public:
  using List = std::list<std::shared_ptr<Connection>>;

  ServerLoop(std::shared_ptr<ServerShared> shared, std::unique_ptr<EventLoop> loop);
  ~ServerLoop();

  void Run();   // until Stop; closes every connection before it returns
  void Stop();  // any thread
  EventLoop& loop() { return *loop_; }
  ServerShared& shared() { return *shared_; }

  void Adopt(AcceptedSocket socket);  // takes the descriptor
  bool CloseOldest();                 // an idle connection, else one still sending its request
  // For when descriptors ran out: the oldest of those that nobody waits for, up to a quarter of all
  // connections, else as CloseOldest. False: there was nothing to close.
  bool CloseOldestBatch();
  void CloseIdle();

  // For connections.
  std::vector<char>& scratch() { return scratch_; }
  // As kReceiving: a new connection must not be the "oldest idle" one to the client accepted next.
  List::iterator Insert(std::shared_ptr<Connection> connection, const std::string& address);
  void Move(List::iterator it, ConnectionPhase from, ConnectionPhase to);  // to the young end
  void Remove(List::iterator it, ConnectionPhase phase, const std::string& address);

 private:
  static constexpr size_t kPhases = 4;
  List& ListOf(ConnectionPhase phase) { return lists_[static_cast<size_t>(phase)]; }
  bool MakeRoom(const AcceptedSocket& socket);
  void Refuse(const AcceptedSocket& socket, const Error& error);
  void Sweep();
  template <class F>
  void ForEach(List& list, F&& call);

  std::shared_ptr<ServerShared> shared_;
  std::unique_ptr<EventLoop> loop_;
  List lists_[kPhases];
  size_t n_connections_ = 0;
  size_t max_connections_;
  size_t max_per_address_;
  std::unordered_map<std::string, size_t> n_per_address_;
  std::vector<char> scratch_;
  Duration sweep_period_;
};

}  // namespace hadal
