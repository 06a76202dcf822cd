#include "net/http_client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "net/test_peer.h"

namespace hadal {
namespace {

using std::chrono::milliseconds;

// Accepts one connection, reads once, answers with fixed bytes and closes (or waits with them).
class CannedServer {
 public:
  explicit CannedServer(std::string answer, bool hang = false) {
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    listen(fd_, 4);
    socklen_t size = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, answer = std::move(answer), hang] {
      int client = accept(fd_, nullptr, nullptr);
      char bytes[4096];
      request_.append(
          bytes, static_cast<size_t>(std::max<ssize_t>(recv(client, bytes, sizeof bytes, 0), 0)));
      send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
      if (hang) {
        while (recv(client, bytes, sizeof bytes, 0) > 0) {
        }
      }
      close(client);
    });
  }
  ~CannedServer() {
    thread_.join();
    close(fd_);
  }
  int port() const { return port_; }

 private:
  int fd_;
  int port_;
  std::string request_;
  std::thread thread_;
};

TEST(HttpClientTest, KeepsItsConnectionAndReconnectsWhenTheServerLeft) {
  HttpServerOptions options;
  options.limits.idle_timeout = milliseconds(100);
  EchoServer echo(options);
  HttpClient client({.port = echo.port()});
  EXPECT_TRUE(client.Send({.method = "GET", .target = "/1"}));
  EXPECT_EQ(echo.server->open_connections(), 1u);
  EXPECT_TRUE(Eventually([&] { return echo.server->open_connections() == 0; }));
  auto response = client.Send({.method = "POST", .target = "/2", .body = "again"});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "again");
}

TEST(HttpClientTest, ReadsABodyThatLastsUntilClose) {
  CannedServer server("HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nall of it");
  HttpClient client({.port = server.port()});
  auto response = client.Send({});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->headers.Get("x-a"), "b");
  EXPECT_EQ(response->body, "all of it");
}

TEST(HttpClientTest, ReportsWhatWentWrong) {
  struct Case {
    const char* answer;
    ErrorCode code;
  };
  for (Case c :
       {Case{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", ErrorCode::kMalformed},
        Case{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
             ErrorCode::kMalformed},
        Case{"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", ErrorCode::kPayloadTooLarge},
        Case{"SSH-2.0-OpenSSH_9.2\r\n\r\n", ErrorCode::kMalformed},
        Case{"", ErrorCode::kMalformed}}) {
    SCOPED_TRACE(c.answer);
    CannedServer server(c.answer);
    HttpClient client({.port = server.port(), .max_body_bytes = 1000});
    auto response = client.Send({});
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().code, c.code) << response.error().message;
  }
}

TEST(HttpClientTest, GivesUpOnAServerThatHangs) {
  CannedServer server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", true);
  HttpClient client({.port = server.port(), .stall_timeout = milliseconds(200)});
  EXPECT_EQ(client.Send({}).error().code, ErrorCode::kTimeout);
}

TEST(HttpClientTest, SaysThatNobodyListens) {
  int port;
  {
    EchoServer echo;
    port = echo.port();
  }
  HttpClient client({.port = port});
  auto response = client.Send({});
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(response.error().message, testing::HasSubstr(std::to_string(port)));
}

TEST(HttpClientTest, ASinkThatHasEnoughEndsTheRequest) {
  CannedServer server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true);
  HttpClient client({.port = server.port()});
  std::string seen;
  auto response = client.Send({}, [&](const HttpResponse&, std::string_view bytes) {
    seen += bytes;
    return false;
  });
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(seen, "hello");
}

TEST(HttpClientTest, RefusesToSendWhatWouldBreakItsFraming) {
  HttpClient client({.port = 1});
  for (HttpClientRequest request :
       {HttpClientRequest{.method = "GET /", .target = "/"},
        HttpClientRequest{.method = "GET", .target = "/ HTTP/1.1\r\nX: y"},
        HttpClientRequest{.method = "GET", .target = ""},
        HttpClientRequest{
            .method = "GET", .target = "/", .headers = {{"X", "a\r\nY: b"}}, .body = {}}}) {
    EXPECT_EQ(client.Send(request).error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(HttpUrlTest, ReadsUrls) {
  auto url = ParseHttpUrl("https://[::1]:8443/v1?x=1#y");
  ASSERT_TRUE(url);
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->target, "/v1?x=1");
  url = ParseHttpUrl("http://localhost");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->port, 80);
  EXPECT_EQ(url->target, "/");
  for (const char* bad : {"", "localhost:80", "ftp://a", "http://", "http://a:0", "http://a:99999",
                          "http://a:1x", "http://user@host/", "http://[::1", "http://[::1]8"}) {
    EXPECT_FALSE(ParseHttpUrl(bad)) << bad;
  }
}

}  // namespace
}  // namespace hadal
