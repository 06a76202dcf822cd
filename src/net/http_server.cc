#include "net/http_server.h"

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <future>
#include <thread>
#include <utility>

#include "net/descriptor_limit.h"
#include "net/listener.h"
#include "net/server_loop.h"

namespace hadal {
namespace {

std::string DefaultErrorBody(const Error& error, std::string_view) {
  std::string message;
  for (char c : error.message) {
    if (c == '"' || c == '\\') message.push_back('\\');
    message.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
  }
  return fmt::format(R"({{"error":{{"code":"{}","message":"{}"}}}})", InfoOf(error.code).wire,
                     message);
}

// Signals of the process are for its main thread.
void BlockSignals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

Status CheckOptions(const HttpServerOptions& options) {
  if (options.port < 0 || options.port > 65535) {
    return FailField(ErrorCode::kBadConfig, "port", "port {} must be 0 to 65535", options.port);
  }
  if (options.n_threads < 1 || options.n_threads > 256) {
    return FailField(ErrorCode::kBadConfig, "n_threads", "{} server threads; it must be 1 to 256",
                     options.n_threads);
  }
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return FailField(ErrorCode::kBadConfig, "tls_key",
                     "TLS needs a certificate and a key; only one of them is given");
  }
  return {};
}

}  // namespace

struct HttpServer::Impl {
  std::shared_ptr<ServerShared> shared = std::make_shared<ServerShared>();
  std::vector<std::unique_ptr<ServerLoop>> loops;
  std::shared_ptr<Listener> listener;  // used on the thread of loops[0]
  std::vector<std::thread> threads;
  std::mutex stop_mutex;
  bool stopped = false;
  int port = 0;
  size_t next_loop = 0;

  // On the thread of loops[0], where the listener is.
  void Distribute(AcceptedSocket socket) {
    size_t i = next_loop++ % loops.size();
    if (i == 0) return loops[0]->Adopt(std::move(socket));
    ServerLoop* loop = loops[i].get();
    loop->loop().Post([loop, socket = std::move(socket)] { loop->Adopt(socket); });
  }

  void Drain() {
    shared->draining->store(true);
    for (auto& loop : loops) {
      loop->loop().Post([loop = loop.get()] { loop->CloseIdle(); });
    }
  }

  void StopAccepting() {
    std::lock_guard lock(stop_mutex);
    if (stopped) return;
    std::promise<void> closed;
    loops[0]->loop().Post([this, &closed] {
      listener->Close();
      closed.set_value();
    });
    closed.get_future().wait();
  }

  void Stop() {
    std::lock_guard lock(stop_mutex);
    if (stopped) return;
    stopped = true;
    shared->draining->store(true);
    loops[0]->loop().Post([this] { listener->Close(); });
    for (auto& loop : loops) loop->Stop();
    for (std::thread& thread : threads) thread.join();
  }
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { Stop(); }

Result<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options, Handler handler) {
  HADAL_OK(CheckOptions(options));
  auto impl = std::make_unique<Impl>();
  ServerShared& shared = *impl->shared;
  if (!options.error_body) options.error_body = DefaultErrorBody;
  if (!options.tls_certificate.empty()) {
    HADAL_TRY(shared.tls, TlsContext::ForServer(options.tls_certificate, options.tls_key));
  }
  std::vector<std::string> hosts = options.allowed_hosts;
  hosts.push_back(options.host);
  shared.hosts = HostAllowList(hosts);
  shared.handler = std::move(handler);
  options.limits.connections =
      ConnectionsWithin(RaiseDescriptorLimit(), options.limits.connections);
  shared.options = std::move(options);
  for (int i = 0; i < shared.options.n_threads; ++i) {
    HADAL_TRY(auto loop, EventLoop::New());
    impl->loops.push_back(std::make_unique<ServerLoop>(impl->shared, std::move(loop)));
  }
  HADAL_TRY(impl->listener, Listener::Open(*impl->loops[0], shared.options,
                                           [raw = impl.get()](AcceptedSocket socket) {
                                             raw->Distribute(std::move(socket));
                                           }));
  impl->port = impl->listener->port();
  impl->loops[0]->loop().Post([listener = impl->listener] { listener->Start(); });
  for (auto& loop : impl->loops) {
    impl->threads.emplace_back([loop = loop.get()] {
      BlockSignals();
      loop->Run();
    });
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

int HttpServer::port() const { return impl_->port; }
size_t HttpServer::active_requests() const { return impl_->shared->active_requests(); }
size_t HttpServer::open_connections() const { return impl_->shared->open_connections.load(); }
void HttpServer::Drain() { impl_->Drain(); }
void HttpServer::StopAccepting() { impl_->StopAccepting(); }
bool HttpServer::WaitIdle(Duration timeout) { return impl_->shared->WaitIdle(timeout); }
void HttpServer::Stop() { impl_->Stop(); }

}  // namespace hadal
