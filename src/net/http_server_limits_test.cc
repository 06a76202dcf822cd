// What a hostile or broken client may send: each case ends in the status named, the handler sees
// nothing of it, and the server goes on serving.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>

#include <random>
#include <thread>

#include "net/test_peer.h"

namespace hadal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

const std::string kHost = "Host: localhost\r\n";

// Sends the bytes on a new connection and returns all that comes until the server closes.
struct Outcome {
  int status;
  std::string response;
};
Outcome Attack(EchoServer& echo, const std::string& bytes) {
  int handled_before = echo.n_handled;
  RawClient client(echo.port());
  client.Send(bytes);
  std::string response = client.ReadUntilClose();
  EXPECT_EQ(echo.n_handled, handled_before) << "the handler saw the request";
  EXPECT_EQ(StatusOf(echo.Get("/alive")), 200) << "the server does not serve any more";
  return {StatusOf(response), response};
}

TEST(HttpLimitsTest, AnswersALongTargetWith414) {
  EchoServer echo;
  std::string target = "/" + std::string(64 * 1024, 'a');
  EXPECT_EQ(Attack(echo, "GET " + target + " HTTP/1.1\r\n" + kHost + "\r\n").status, 414);
}

TEST(HttpLimitsTest, AnswersOneHugeHeaderWith431) {
  EchoServer echo;
  std::string header = "X-Big: " + std::string(1 << 20, 'a') + "\r\n";
  EXPECT_EQ(Attack(echo, "GET / HTTP/1.1\r\n" + kHost + header + "\r\n").status, 431);
}

TEST(HttpLimitsTest, AnswersTenThousandHeadersWith431) {
  EchoServer echo;
  std::string request = "GET / HTTP/1.1\r\n" + kHost;
  for (int i = 0; i < 10000; ++i) request += "a: b\r\n";
  EXPECT_EQ(Attack(echo, request + "\r\n").status, 431);
}

TEST(HttpLimitsTest, RefusesWhatIsAmbiguousOrMalformed) {
  EchoServer echo;
  const std::string post = "POST / HTTP/1.1\r\n" + kHost;
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
  struct Case {
    const char* what;
    std::string bytes;
    int status;
  };
  const Case cases[] = {
      {"negative length", post + "Content-Length: -1\r\n\r\n", 400},
      {"length and chunks",
       post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"chunks and length",
       post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
      {"two lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400},
      {"two equal lengths", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
      {"length list", post + "Content-Length: 5, 5\r\n\r\nhello", 400},
      {"signed length", post + "Content-Length: +5\r\n\r\nhello", 400},
      {"two encodings",
       post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"unknown encoding", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
      {"encoding in 1.0",
       "POST / HTTP/1.0\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"negative chunk", chunked + "-2\r\nab\r\n0\r\n\r\n", 400},
      {"huge chunk", chunked + "ffffffffffffffff\r\nab", 413},
      {"chunk of 17 digits", chunked + "00000000000000001\r\na\r\n0\r\n\r\n", 400},
      {"chunk ended by LF", chunked + "2\nab\n0\n\n", 400},
      {"chunk longer than its size", chunked + "2\r\nabc\r\n0\r\n\r\n", 400},
      {"10 GB body", post + "Content-Length: 10737418240\r\n\r\n", 413},
      {"length above 2^64", post + "Content-Length: 99999999999999999999999\r\n\r\n", 413},
      {"gzip body", post + "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x01",
       415},
      {"NUL in the path, encoded", "GET /a%00b HTTP/1.1\r\n" + kHost + "\r\n", 400},
      {"NUL in the path", std::string("GET /a\0b HTTP/1.1\r\n", 19) + kHost + "\r\n", 400},
      {"NUL in a header", "GET / HTTP/1.1\r\n" + kHost + std::string("X: a\0b\r\n\r\n", 10), 400},
      {"bare LF", "GET / HTTP/1.1\nHost: localhost\n\n", 400},
      {"bare LF in the fields", "GET / HTTP/1.1\r\nHost: localhost\n\r\n", 400},
      {"bare CR", "GET / HTTP/1.1\r\nX: a\rb\r\n" + kHost + "\r\n", 400},
      {"folded header", "GET / HTTP/1.1\r\n" + kHost + "X: a\r\n b\r\n\r\n", 400},
      {"space before colon", "GET / HTTP/1.1\r\n" + kHost + "X : a\r\n\r\n", 400},
      {"unknown method", "BREW / HTTP/1.1\r\n" + kHost + "\r\n", 501},
      {"TRACE", "TRACE / HTTP/1.1\r\n" + kHost + "\r\n", 405},
      {"lower case method", "get / HTTP/1.1\r\n" + kHost + "\r\n", 501},
      {"HTTP/2.0", "GET / HTTP/2.0\r\n" + kHost + "\r\n", 400},
      {"no version", "GET /\r\n\r\n", 400},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET / HTTP/1.1\r\n" + kHost + kHost + "\r\n", 400},
      {"path above", "GET /../../etc/passwd HTTP/1.1\r\n" + kHost + "\r\n", 404},
      {"path above, dots encoded", "GET /%2e%2e/%2E%2E/etc/passwd HTTP/1.1\r\n" + kHost + "\r\n",
       404},
      {"path above, slashes encoded", "GET /..%2f..%2fetc/passwd HTTP/1.1\r\n" + kHost + "\r\n",
       404},
      {"path above, back slashes", "GET /..%5c..%5cetc HTTP/1.1\r\n" + kHost + "\r\n", 404},
      {"path not UTF-8", "GET /%ff%fe HTTP/1.1\r\n" + kHost + "\r\n", 400},
      {"overlong UTF-8", "GET /%c0%ae%c0%ae/ HTTP/1.1\r\n" + kHost + "\r\n", 400},
      {"bad escape", "GET /%zz HTTP/1.1\r\n" + kHost + "\r\n", 400},
      {"expectation unknown", post + "Expect: cake\r\nContent-Length: 1\r\n\r\na", 400},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    Outcome outcome = Attack(echo, c.bytes);
    EXPECT_EQ(outcome.status, c.status) << outcome.response;
    EXPECT_THAT(outcome.response, HasSubstr("Connection: close\r\n"));
    EXPECT_THAT(outcome.response, HasSubstr("Content-Type: application/json\r\n"));
    EXPECT_THAT(outcome.response, HasSubstr(R"({"error":{"code":")"));
  }
}

TEST(HttpLimitsTest, AnswersTwoHundredThousandOneByteChunksWith400) {
  EchoServer echo;
  std::string request = "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 200000; ++i) request += "1\r\na\r\n";
  EXPECT_EQ(Attack(echo, request + "0\r\n\r\n").status, 400);
}

TEST(HttpLimitsTest, NeverReflectsLineBreaks) {
  EchoServer echo;
  for (std::string request :
       {"GET /a%0d%0aX-Evil:1 HTTP/1.1\r\n" + kHost + "\r\n",
        "GET /?a=%0D%0AX-Evil:1 HTTP/1.1\r\n" + kHost + "\r\n",
        "GET / HTTP/1.1\r\n" + kHost + "X-Request-Id: a%0d%0aX-Evil:1\r\n\r\n"}) {
    Outcome outcome = Attack(echo, request);
    EXPECT_EQ(outcome.status, 400);
    EXPECT_THAT(outcome.response, Not(HasSubstr("X-Evil")));
  }
}

TEST(HttpLimitsTest, ResponseHeadersCanNotBeInjected) {
  auto server = HttpServer::Start(
      {}, [](std::shared_ptr<const HttpRequest>, std::shared_ptr<ResponseWriter> writer) {
        writer->Send(200,
                     {{"X-Id", "a\r\nX-Evil: 1"},
                      {"Bad Name", "b"},
                      {"X-Evil\r\nX", "c"},
                      {"Content-Length", "999"}},
                     "ok");
      });
  ASSERT_TRUE(server);
  RawClient client((*server)->port());
  client.Send("GET / HTTP/1.1\r\n" + kHost + "\r\n");
  std::string response = client.ReadResponse();
  EXPECT_THAT(response, HasSubstr("X-Id: a  X-Evil: 1\r\n"));
  EXPECT_THAT(response, Not(HasSubstr("\r\nX-Evil")));
  EXPECT_THAT(response, Not(HasSubstr("Bad Name")));
  EXPECT_THAT(response, HasSubstr("Content-Length: 2\r\n"));
  EXPECT_THAT(response, Not(HasSubstr("999")));
}

TEST(HttpLimitsTest, ClosesOnTlsHelloAndOnRandomBytes) {
  EchoServer echo;
  std::string hello("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
  EXPECT_EQ(Attack(echo, hello + std::string(500, '\x07')).status, 400);
  std::mt19937 random(1);
  for (int i = 0; i < 20; ++i) {
    std::string bytes(500, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    EXPECT_EQ(Attack(echo, bytes).status, 400);
  }
}

TEST(HttpLimitsTest, AnswersSlowHeadsWith408WhileOthersAreServed) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int n_most = static_cast<int>(std::min<rlim_t>(5000, (files.rlim_cur - 200) / 2));
  for (int n : {64, n_most}) {
    HttpServerOptions options;
    options.limits.header_timeout = seconds(2);
    EchoServer echo(options);
    std::vector<RawClient> slow;
    for (int i = 0; i < n; ++i) {
      slow.emplace_back(echo.port());
      slow.back().Send("GET / HTTP/1.1\r\nX-Slow: ");
      if (i % 50 == 0) EXPECT_EQ(StatusOf(echo.Get("/normal")), 200);
    }
    for (RawClient& client : slow) {
      client.Send("a");
      ASSERT_EQ(StatusOf(client.ReadUntilClose()), 408);
    }
    EXPECT_EQ(StatusOf(echo.Get("/normal")), 200);
    EXPECT_TRUE(Eventually([&] { return echo.server->open_connections() == 0; }));
  }
}

TEST(HttpLimitsTest, SlowHeadsBeyondTheConnectionLimitMakeRoomForNewClients) {
  HttpServerOptions options;
  options.limits.connections = 50;
  options.limits.header_timeout = seconds(60);
  EchoServer echo(options);
  std::vector<RawClient> slow;
  for (int i = 0; i < 200; ++i) {
    slow.emplace_back(echo.port());
    slow.back().Send("GET / HTTP/1.1\r\nX-Slow: a");
    if (i % 20 == 0) EXPECT_EQ(StatusOf(echo.Get("/normal")), 200);
  }
  EXPECT_LE(echo.server->open_connections(), 50u);
  slow.front().PeerClosed();
}

TEST(HttpLimitsTest, AnswersASlowBodyWith408) {
  HttpServerOptions options;
  options.limits.body_timeout = milliseconds(300);
  options.limits.body_bytes_per_second = 1000;
  EchoServer echo(options);
  RawClient client(echo.port());
  client.Send("POST / HTTP/1.1\r\n" + kHost + "Content-Length: 1000\r\n\r\n");
  std::thread drip([&] {
    for (int i = 0; i < 200 && client.Send("a"); ++i) {
      std::this_thread::sleep_for(milliseconds(20));
    }
  });
  std::string response = client.ReadUntilClose();
  drip.join();
  EXPECT_EQ(StatusOf(response), 408);
  EXPECT_EQ(echo.n_handled, 0);
}

TEST(HttpLimitsTest, ABodyThatKeepsTheRateMayTakeLongerThanTheTimeout) {
  HttpServerOptions options;
  options.limits.body_timeout = milliseconds(400);
  options.limits.body_bytes_per_second = 1000;
  EchoServer echo(options);
  RawClient client(echo.port());
  client.Send("POST / HTTP/1.1\r\n" + kHost + "Content-Length: 2000\r\n\r\n");
  for (int i = 0; i < 10; ++i) {
    client.Send(std::string(200, 'a'));
    std::this_thread::sleep_for(milliseconds(100));
  }
  EXPECT_EQ(StatusOf(client.ReadResponse()), 200);
}

TEST(HttpLimitsTest, BodiesUnderWayAreBoundedTogether) {
  HttpServerOptions options;
  options.limits.receiving_bytes = 1000 * 1000;
  EchoServer echo(options);
  std::string half =
      "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 800000\r\n\r\n" + std::string(400000, 'a');
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(echo.port());
    clients.back().Send(half);
  }
  RawClient* refused = nullptr;  // whichever the server read last
  EXPECT_TRUE(Eventually([&] {
    for (RawClient& client : clients) {
      pollfd entry{client.fd(), POLLIN, 0};
      if (poll(&entry, 1, 0) > 0) refused = &client;
    }
    return refused != nullptr;
  }));
  ASSERT_NE(refused, nullptr);
  EXPECT_EQ(StatusOf(refused->ReadResponse()), 503);
  for (RawClient& client : clients) client.ResetAndClose();
  EXPECT_TRUE(Eventually([&] { return echo.server->open_connections() == 0; }));
  RawClient fourth(echo.port());
  fourth.Send(half + std::string(400000, 'a'));
  EXPECT_EQ(BodyOf(fourth.ReadResponse()).size(), 800000u);
  EXPECT_EQ(StatusOf(echo.Get("/alive")), 200);
}

TEST(HttpLimitsTest, HalfSentRequestsThatResetLeaveNothingBehind) {
  EchoServer echo;
  for (int i = 0; i < 30; ++i) {
    RawClient client(echo.port());
    client.Send("POST / HTTP/1.1\r\n" + kHost + "Content-Length: 100\r\n\r\nhalf of");
    client.ResetAndClose();
  }
  EXPECT_TRUE(Eventually([&] { return echo.server->open_connections() == 0; }));
  EXPECT_EQ(echo.server->active_requests(), 0u);
  EXPECT_EQ(echo.n_handled, 0);
}

TEST(HttpLimitsTest, AnswersAForeignHostWith421) {
  HttpServerOptions options;
  options.allowed_hosts = {"hadal.example", "[fe80::1]:8080"};
  EchoServer echo(options);
  struct Case {
    const char* host;
    int status;
  };
  for (Case c : std::initializer_list<Case>{{"localhost", 200},
                                            {"LOCALHOST:8080", 200},
                                            {"127.0.0.1:1", 200},
                                            {"[::1]", 200},
                                            {"[::1]:80", 200},
                                            {"hadal.example", 200},
                                            {"hadal.example.:443", 200},
                                            {"[FE80::1]", 200},
                                            {"evil.example", 421},
                                            {"localhost.evil.example", 421},
                                            {"localhost:evil", 421},
                                            {"127.0.0.1.evil.example", 421},
                                            {"[::1]evil", 421},
                                            {"", 421}}) {
    SCOPED_TRACE(c.host);
    RawClient client(echo.port());
    client.Send(std::string("GET / HTTP/1.1\r\nHost: ") + c.host + "\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(StatusOf(client.ReadUntilClose()), c.status);
  }
  RawClient client(echo.port());
  client.Send("GET http://evil.example/ HTTP/1.1\r\n" + kHost + "\r\n");
  EXPECT_EQ(StatusOf(client.ReadUntilClose()), 421);
}

TEST(HttpLimitsTest, RefusesATooLargeBodyBeforeSaying100Continue) {
  HttpServerOptions options;
  options.limits.body_bytes = 1000;
  EchoServer echo(options);
  RawClient client(echo.port());
  client.Send("POST / HTTP/1.1\r\n" + kHost +
              "Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n");
  std::string response = client.ReadUntilClose();
  EXPECT_EQ(StatusOf(response), 413);
  EXPECT_THAT(response, Not(HasSubstr("100 Continue")));
}

TEST(HttpLimitsTest, Says100ContinueWhenItWillReadTheBody) {
  EchoServer echo;
  RawClient client(echo.port());
  client.Send("POST / HTTP/1.1\r\n" + kHost + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("hello");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "hello");
}

TEST(HttpLimitsTest, TheAnswerToATooLargeBodyArrivesAlthoughTheClientStillSends) {
  HttpServerOptions options;
  options.limits.body_bytes = 1000;
  EchoServer echo(options);
  RawClient client(echo.port());
  client.Send("POST / HTTP/1.1\r\n" + kHost + "Content-Length: 4000000\r\n\r\n");
  client.Send(std::string(4000000, 'a'));
  EXPECT_EQ(StatusOf(client.ReadResponse()), 413);
}

TEST(HttpLimitsTest, AcceptsNewClientsAndClosesTheOldestIdleOne) {
  HttpServerOptions options;
  options.limits.connections = 20;
  EchoServer echo(options);
  std::vector<RawClient> idle;
  for (int i = 0; i < 60; ++i) {
    idle.emplace_back(echo.port());
    idle.back().Send("GET /idle HTTP/1.1\r\n" + kHost + "\r\n");
    ASSERT_EQ(StatusOf(idle.back().ReadResponse()), 200) << i;
  }
  EXPECT_LE(echo.server->open_connections(), 20u);
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(idle[static_cast<size_t>(i)].PeerClosed());
  idle.back().Send("GET /again HTTP/1.1\r\n" + kHost + "\r\n");
  EXPECT_EQ(StatusOf(idle.back().ReadResponse()), 200);
}

TEST(HttpLimitsTest, OneAddressMayBeHeldToItsShare) {
  HttpServerOptions options;
  options.limits.connections_per_address = 3;
  EchoServer echo(options);
  std::vector<RawClient> held;
  for (int i = 0; i < 3; ++i) {
    held.emplace_back(echo.port());
    held.back().Send("GET / HTTP/1.1\r\n" + kHost + "\r\n");
    EXPECT_EQ(StatusOf(held.back().ReadResponse()), 200);
  }
  RawClient one_more(echo.port());
  EXPECT_EQ(StatusOf(one_more.ReadUntilClose()), 429);
  held.clear();
  EXPECT_TRUE(Eventually([&] { return echo.server->open_connections() == 0; }));
  EXPECT_EQ(StatusOf(echo.Get("/")), 200);
}

TEST(HttpLimitsTest, IdleConnectionsCloseSilentlyAfterTheirTime) {
  HttpServerOptions options;
  options.limits.idle_timeout = milliseconds(200);
  EchoServer echo(options);
  RawClient client(echo.port());
  client.Send("GET / HTTP/1.1\r\n" + kHost + "\r\n");
  EXPECT_EQ(StatusOf(client.ReadResponse()), 200);
  EXPECT_EQ(client.ReadUntilClose(), "");
}

TEST(HttpLimitsTest, AcceptingResumesAfterDescriptorsRanOut) {
  EchoServer echo;
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  int probe = dup(0);
  close(probe);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(probe) + 1;  // one client socket, none for the server
  setrlimit(RLIMIT_NOFILE, &tight);
  {
    RawClient client(echo.port());
    client.Send("GET / HTTP/1.1\r\n" + kHost + "\r\n");
    std::this_thread::sleep_for(milliseconds(200));
    EXPECT_EQ(echo.n_handled, 0);
    setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_EQ(StatusOf(client.ReadResponse()), 200);
  }
}

}  // namespace
}  // namespace hadal
