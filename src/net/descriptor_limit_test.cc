// A server whose process may open few descriptors. It runs in a child, because lowering a hard
// limit is for good and the clients' sockets must not count.
#include "net/descriptor_limit.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>

#include "net/test_peer.h"

namespace hadal {
namespace {

constexpr rlim_t kDescriptors = 256;

TEST(DescriptorLimit, SomeStayForOtherThanConnections) {
  EXPECT_EQ(ConnectionsWithin(256, 8192), 192u);
  EXPECT_EQ(ConnectionsWithin(100000, 8192), 8192u);
  EXPECT_EQ(ConnectionsWithin(100, 8192), 50u);
  EXPECT_EQ(ConnectionsWithin(1, 8192), 1u);
  EXPECT_EQ(ConnectionsWithin(0, 0), 1u);
  EXPECT_EQ(ConnectionsWithin(SIZE_MAX, 10), 10u);
}

TEST(DescriptorLimit, IsRaisedAsFarAsAllowed) {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit low = before;
  low.rlim_cur = std::min<rlim_t>(before.rlim_max, 200);
  setrlimit(RLIMIT_NOFILE, &low);
  EXPECT_EQ(RaiseDescriptorLimit(), before.rlim_max);
  rlimit after{};
  getrlimit(RLIMIT_NOFILE, &after);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
  setrlimit(RLIMIT_NOFILE, &before);
}

// Serves until `alive` is closed, with `n_taken` descriptors used by others than connections.
[[noreturn]] void Serve(int port_out, int alive, int n_taken) {
  const rlimit few{kDescriptors, kDescriptors};
  setrlimit(RLIMIT_NOFILE, &few);
  HttpServerOptions options;
  options.limits.header_timeout = std::chrono::seconds(600);  // the silent ones do not go by time
  {
    EchoServer echo(options);
    for (int i = 0; i < n_taken; ++i) (void)open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int port = echo.port();
    (void)!write(port_out, &port, sizeof port);
    char byte;
    (void)!read(alive, &byte, 1);
  }
  _exit(0);
}

class ServerOfFewDescriptors {
 public:
  explicit ServerOfFewDescriptors(int n_taken) {
    int port_pipe[2], alive_pipe[2];
    EXPECT_EQ(pipe2(port_pipe, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(alive_pipe, O_CLOEXEC), 0);
    child_ = fork();
    if (child_ == 0) {
      close(alive_pipe[1]);
      Serve(port_pipe[1], alive_pipe[0], n_taken);
    }
    close(port_pipe[1]);
    close(alive_pipe[0]);
    alive_ = alive_pipe[1];
    EXPECT_EQ(read(port_pipe[0], &port_, sizeof port_), static_cast<ssize_t>(sizeof port_));
    close(port_pipe[0]);
  }
  ~ServerOfFewDescriptors() {
    close(alive_);
    int status = 0;
    waitpid(child_, &status, 0);
    EXPECT_EQ(status, 0);
  }
  int port() const { return port_; }

 private:
  pid_t child_ = -1;
  int alive_ = -1;
  int port_ = 0;
};

TEST(DescriptorLimit, ACrowdOfSilentClientsDoesNotHoldUpOneThatAsks) {
  RaiseDescriptorLimit();
  // Within the connection limit (192) and, when files take many, at the descriptor limit below it.
  for (const int n_taken : {0, 150}) {
    SCOPED_TRACE(n_taken);
    ServerOfFewDescriptors server(n_taken);
    std::vector<RawClient> silent;
    // At one per 50 ms these would take longer than the 20 s after which a client here gives up.
    for (int i = 0; i < 800; ++i) silent.emplace_back(server.port());
    RawClient client(server.port());
    client.Send("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(StatusOf(client.ReadUntilClose()), 200);
  }
}

}  // namespace
}  // namespace hadal
