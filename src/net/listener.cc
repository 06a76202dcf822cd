#include "net/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

namespace hadal {
namespace {

constexpr int kAcceptsPerTurn = 16;  // then those accepted are read
constexpr Duration kRetryAfterExhaustion = std::chrono::milliseconds(50);
// Unsent bytes above which a socket does not ask for more: what is queued here can still be
// dropped.
constexpr int kNotSentLowWater = 64 * 1024;

struct FreeAddresses {
  void operator()(addrinfo* p) const { freeaddrinfo(p); }
};

void SetOption(int fd, int level, int name, int value) {
  setsockopt(fd, level, name, &value, sizeof value);
}

// Numeric; an IPv4 client of an IPv6 socket appears as IPv4.
std::string AddressText(const sockaddr_storage& address, socklen_t size) {
  char text[NI_MAXHOST];
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, text, sizeof text, nullptr, 0,
                  NI_NUMERICHOST) != 0) {
    return "";
  }
  constexpr std::string_view kMapped = "::ffff:";
  std::string_view view = text;
  if (view.starts_with(kMapped) && view.find('.') != view.npos) view.remove_prefix(kMapped.size());
  return std::string(view);
}

// -1 with errno set.
int OpenSocket(const addrinfo& address) {
  int fd = socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  SetOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (address.ai_family == AF_INET6) SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (bind(fd, address.ai_addr, address.ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) return fd;
  int saved = errno;
  close(fd);
  errno = saved;
  return -1;
}

}  // namespace

Listener::Listener(ServerLoop& loop, int fd, OnAccept on_accept, size_t send_bytes)
    : loop_(loop),
      socket_(loop.loop(), fd),
      on_accept_(std::move(on_accept)),
      send_bytes_(send_bytes) {}

Result<std::shared_ptr<Listener>> Listener::Open(ServerLoop& loop, const HttpServerOptions& options,
                                                 OnAccept on_accept) {
  std::string host = options.host;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int rc = getaddrinfo(host.c_str(), std::to_string(options.port).c_str(), &hints, &found);
  std::unique_ptr<addrinfo, FreeAddresses> addresses(found);
  if (rc != 0) {
    return FailField(ErrorCode::kBadConfig, "host",
                     "host '{}': {}; it must be an address of this machine", options.host,
                     gai_strerror(rc));
  }
  int error = 0;
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    int fd = OpenSocket(*a);
    if (fd >= 0) {
      return std::make_shared<Listener>(loop, fd, std::move(on_accept),
                                        options.limits.socket_send_bytes);
    }
    error = errno;
  }
  return FailField(ErrorCode::kBadConfig, "port", "cannot listen on {} port {}: {}", options.host,
                   options.port, std::strerror(error));
}

int Listener::port() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(socket_.fd(), reinterpret_cast<sockaddr*>(&address), &size);
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

void Listener::Start() { WaitForClient(); }

void Listener::Close() {
  closed_ = true;
  socket_.Close();
}

void Listener::WaitForClient() {
  if (closed_) return;
  socket_.WaitReadable([self = shared_from_this()] { self->AcceptSome(); });
}

void Listener::Configure(int fd) const {
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kNotSentLowWater);
  if (send_bytes_ > 0 && send_bytes_ <= INT_MAX / 2) {
    SetOption(fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(send_bytes_));
  }
}

void Listener::AcceptSome() {
  for (int i = 0; i < kAcceptsPerTurn && !closed_; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    int fd = accept4(socket_.fd(), reinterpret_cast<sockaddr*>(&address), &size,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      AcceptedSocket socket{fd, AddressText(address, size), {}};
      size = sizeof address;
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
      socket.local_address = AddressText(address, size);
      Configure(fd);
      on_accept_(std::move(socket));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // Many at once: a crowd of silent clients in the backlog must not hold up those behind it.
      if (loop_.CloseOldestBatch()) continue;
      // The client stays in the backlog, so the socket stays readable: waiting for it would spin.
      loop_.loop().RunAfter(kRetryAfterExhaustion,
                            [self = shared_from_this()] { self->WaitForClient(); });
      return;
    }
    if (errno == EAGAIN) break;  // others concern one client that is gone already
  }
  WaitForClient();
}

}  // namespace hadal
