#include "net/server_loop.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "net/connection.h"
#include "net/response_head.h"

namespace hadal {
namespace {

constexpr size_t kScratchBytes = 64 * 1024;
constexpr Duration kLongestSweepPeriod = std::chrono::milliseconds(250);
constexpr Duration kShortestSweepPeriod = std::chrono::milliseconds(10);

Duration SweepPeriod(const HttpLimits& limits) {
  Duration shortest = std::min({limits.header_timeout, limits.body_timeout, limits.idle_timeout,
                                limits.write_stall_timeout, limits.linger_timeout});
  return std::clamp(shortest / 8, kShortestSweepPeriod, kLongestSweepPeriod);
}

size_t ShareOf(size_t total, int n_threads) {
  auto n = static_cast<size_t>(n_threads);
  return total == 0 ? 0 : (total - 1) / n + 1;
}

}  // namespace

void ServerShared::BeginRequest() {
  std::lock_guard lock(mutex_);
  ++active_requests_;
}

void ServerShared::EndRequest() {
  std::lock_guard lock(mutex_);
  if (--active_requests_ == 0) idle_.notify_all();
}

size_t ServerShared::active_requests() const {
  std::lock_guard lock(mutex_);
  return active_requests_;
}

bool ServerShared::WaitIdle(Duration timeout) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, timeout, [&] { return active_requests_ == 0; });
}

ServerLoop::ServerLoop(std::shared_ptr<ServerShared> shared, std::unique_ptr<EventLoop> loop)
    : shared_(std::move(shared)),
      loop_(std::move(loop)),
      max_connections_(std::max<size_t>(
          ShareOf(shared_->options.limits.connections, shared_->options.n_threads), 1)),
      max_per_address_(
          ShareOf(shared_->options.limits.connections_per_address, shared_->options.n_threads)),
      scratch_(kScratchBytes),
      sweep_period_(SweepPeriod(shared_->options.limits)) {}

ServerLoop::~ServerLoop() = default;

void ServerLoop::Run() {
  loop_->RunAfter(sweep_period_, [this] { Sweep(); });
  loop_->Run();
}

void ServerLoop::Stop() {
  loop_->Post([this] {
    for (List& list : lists_) {
      ForEach(list, [](Connection& connection) { connection.Close(); });
    }
    loop_->Stop();
  });
}

// A call may close its connection (which erases the entry) or move it to the end of a list.
template <class F>
void ServerLoop::ForEach(List& list, F&& call) {
  std::vector<std::shared_ptr<Connection>> now(list.begin(), list.end());
  for (const auto& connection : now) call(*connection);
}

void ServerLoop::Sweep() {
  TimePoint now = Now();
  for (List& list : lists_) {
    ForEach(list, [now](Connection& connection) { connection.CheckDeadline(now); });
  }
  loop_->RunAfter(sweep_period_, [this] { Sweep(); });
}

ServerLoop::List::iterator ServerLoop::Insert(std::shared_ptr<Connection> connection,
                                              const std::string& address) {
  ++n_connections_;
  ++n_per_address_[address];
  ++shared_->open_connections;
  List& list = ListOf(ConnectionPhase::kReceiving);
  return list.insert(list.end(), std::move(connection));
}

void ServerLoop::Move(List::iterator it, ConnectionPhase from, ConnectionPhase to) {
  List& target = ListOf(to);
  target.splice(target.end(), ListOf(from), it);
}

void ServerLoop::Remove(List::iterator it, ConnectionPhase phase, const std::string& address) {
  ListOf(phase).erase(it);
  --n_connections_;
  --shared_->open_connections;
  auto count = n_per_address_.find(address);
  if (--count->second == 0) n_per_address_.erase(count);
}

bool ServerLoop::CloseOldest() {
  for (ConnectionPhase phase :
       {ConnectionPhase::kLingering, ConnectionPhase::kIdle, ConnectionPhase::kReceiving}) {
    List& list = ListOf(phase);
    if (list.empty()) continue;
    std::shared_ptr<Connection> oldest = list.front();
    oldest->MakeRoom();
    return true;
  }
  return false;
}

bool ServerLoop::CloseOldestBatch() {
  constexpr size_t kMostAtOnce = 64;
  // A quarter, so that the youngest, whose request may be on its way, are not among them.
  const size_t most = std::clamp<size_t>(n_connections_ / 4, 1, kMostAtOnce);
  std::vector<std::shared_ptr<Connection>> batch;
  for (ConnectionPhase phase :
       {ConnectionPhase::kLingering, ConnectionPhase::kIdle, ConnectionPhase::kReceiving}) {
    for (const auto& connection : ListOf(phase)) {
      if (batch.size() == most) break;
      if (phase != ConnectionPhase::kReceiving || !connection->HasBegun()) {
        batch.push_back(connection);
      }
    }
  }
  for (const auto& connection : batch) connection->Close();
  return !batch.empty() || CloseOldest();
}

void ServerLoop::CloseIdle() {
  ForEach(ListOf(ConnectionPhase::kIdle), [](Connection& connection) { connection.Close(); });
}

bool ServerLoop::MakeRoom(const AcceptedSocket& socket) {
  if (max_per_address_ > 0) {
    auto it = n_per_address_.find(socket.remote_address);
    if (it != n_per_address_.end() && it->second >= max_per_address_) {
      Refuse(socket, {ErrorCode::kQueueFull, "this address has too many connections", {}});
      return false;
    }
  }
  if (n_connections_ >= max_connections_ && !CloseOldest()) {
    Refuse(socket, {ErrorCode::kUnavailable, "every connection is busy; try again later", {}});
    return false;
  }
  return true;
}

// One attempt, without waiting: a connection that is not taken must cost nothing.
void ServerLoop::Refuse(const AcceptedSocket& socket, const Error& error) {
  if (shared_->tls) return;
  std::string body = shared_->options.error_body(error, "");
  Headers headers{{"Content-Type", "application/json"}, {"Retry-After", "1"}};
  ResponseFraming framing;
  framing.length = body.size();
  framing.keep_alive = false;
  std::string bytes =
      FormatResponseHead(InfoOf(error.code).http, headers, framing, UnixSeconds()) + body;
  send(socket.fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void ServerLoop::Adopt(AcceptedSocket socket) {
  if (!MakeRoom(socket)) {
    close(socket.fd);
    return;
  }
  std::make_shared<Connection>(*this, std::move(socket))->Start();
}

}  // namespace hadal
