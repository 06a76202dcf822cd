#include "net/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "net/http_client.h"
#include "net/test_peer.h"

namespace hadal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

const std::string kHost = "Host: localhost\r\n";
using Request = std::shared_ptr<const HttpRequest>;
using Writer = std::shared_ptr<ResponseWriter>;

std::unique_ptr<HttpServer> Serve(Handler handler, HttpServerOptions options = {}) {
  auto server = HttpServer::Start(std::move(options), std::move(handler));
  EXPECT_TRUE(server) << server.error().message;
  return std::move(*server);
}

TEST(HttpServerTest, HandsOverTheWholeRequest) {
  HttpRequest seen;
  auto server = Serve([&](Request request, Writer writer) {
    seen = *request;
    writer->Send(204, {}, "");
  });
  RawClient client(server->port());
  client.Send(
      "POST /v1/models/a%2Fb%20c?x=1&y=%41 HTTP/1.1\r\nHost: localhost:1\r\nX-One: a \r\n"
      "x-two:b\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nHost: evil\r\n\r\n");
  std::string response = client.ReadUntil("\r\n\r\n");
  EXPECT_EQ(StatusOf(response), 204);
  EXPECT_THAT(response, Not(HasSubstr("Content-Length")));
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.path, "/v1/models/a/b c");
  EXPECT_EQ(seen.query, "x=1&y=%41");
  EXPECT_EQ(seen.host, "localhost:1");
  EXPECT_EQ(seen.headers.Get("X-TWO"), "b");
  EXPECT_EQ(seen.headers.Get("x-one"), "a");
  EXPECT_EQ(seen.headers.Count("Host"), 1u) << "a trailer became a header";
  EXPECT_EQ(seen.body, "hello world");
  EXPECT_EQ(seen.remote_address, "127.0.0.1");
  EXPECT_FALSE(seen.is_tls);
}

TEST(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  EchoServer echo;
  std::string requests;
  for (int i = 0; i < 100; ++i) {
    requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\n" + kHost + "\r\n";
  }
  RawClient client(echo.port());
  client.Send(requests);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(BodyOf(client.ReadResponse()), "/" + std::to_string(i));
  }
}

TEST(HttpServerTest, AnswersPipelinedRequestsInOrderWhenThreadsAnswer) {
  std::vector<std::thread> threads;
  auto server = Serve([&](Request request, Writer writer) {
    threads.emplace_back([request, writer] { writer->Send(200, {}, request->path); });
  });
  std::string requests;
  for (int i = 0; i < 100; ++i) {
    requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\n" + kHost + "\r\n";
  }
  RawClient client(server->port());
  client.Send(requests);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(BodyOf(client.ReadResponse()), "/" + std::to_string(i));
  }
  server->Stop();
  for (std::thread& thread : threads) thread.join();
}

TEST(HttpServerTest, APipelineLongerThanItsBufferIsStillAnswered) {
  HttpServerOptions options;
  options.limits.pipelined_bytes = 500;
  std::vector<std::thread> threads;
  auto server = Serve(
      [&](Request request, Writer writer) {
        threads.emplace_back([request, writer] { writer->Send(200, {}, request->path); });
      },
      options);
  std::string requests;
  for (int i = 0; i < 300; ++i) {
    requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\n" + kHost + "\r\n";
  }
  RawClient client(server->port());
  for (size_t i = 0; i < requests.size(); i += 700) client.Send(requests.substr(i, 700));
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(BodyOf(client.ReadResponse()), "/" + std::to_string(i));
  }
  server->Stop();
  for (std::thread& thread : threads) thread.join();
}

TEST(HttpServerTest, HeadGetsTheHeadersWithoutTheBody) {
  EchoServer echo;
  RawClient client(echo.port());
  client.Send("HEAD /abc HTTP/1.1\r\n" + kHost + "\r\nGET /next HTTP/1.1\r\n" + kHost + "\r\n");
  std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Content-Length: 4\r\n"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "/next");
}

TEST(HttpServerTest, ClosesWhenAskedAndForHttp10) {
  EchoServer echo;
  for (std::string request : {"GET /a HTTP/1.1\r\n" + kHost + "Connection: close\r\n\r\n",
                              std::string("GET /a HTTP/1.0\r\n\r\n")}) {
    RawClient client(echo.port());
    client.Send(request);
    std::string response = client.ReadUntilClose();
    EXPECT_THAT(response, HasSubstr("Connection: close\r\n"));
    EXPECT_EQ(BodyOf(response), "/a");
  }
  RawClient client(echo.port());
  for (int i = 0; i < 2; ++i) {
    client.Send("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    EXPECT_THAT(client.ReadResponse(), HasSubstr("Connection: keep-alive\r\n"));
  }
}

TEST(HttpServerTest, TellsNothingAboutItself) {
  EchoServer echo;
  std::string response = echo.Get("/");
  EXPECT_THAT(response, Not(HasSubstr("Server:")));
  EXPECT_THAT(response, HasSubstr(" GMT\r\n"));
}

TEST(HttpServerTest, AWriterThatIsDroppedAnswers500) {
  HttpServerOptions options;
  options.error_body = [](const Error& error, std::string_view path) {
    return std::string(InfoOf(error.code).wire) + " at " + std::string(path);
  };
  auto server = Serve([](Request, Writer) {}, options);
  RawClient client(server->port());
  client.Send("GET /lost HTTP/1.1\r\n" + kHost + "\r\n");
  std::string response = client.ReadResponse();
  EXPECT_EQ(StatusOf(response), 500);
  EXPECT_EQ(BodyOf(response), "internal_error at /lost");
}

TEST(HttpServerTest, AHandlerThatThrowsAnswers500) {
  auto server = Serve([](Request, Writer) { throw std::runtime_error("no"); });
  RawClient client(server->port());
  client.Send("GET / HTTP/1.1\r\n" + kHost + "\r\n");
  EXPECT_EQ(StatusOf(client.ReadResponse()), 500);
}

TEST(HttpServerTest, LargeBodiesGoBothWays) {
  EchoServer echo;
  std::string body(20 * 1024 * 1024, 'x');
  for (size_t i = 0; i < body.size(); i += 997) body[i] = static_cast<char>('a' + i % 26);
  HttpClient client({.port = echo.port()});
  for (int i = 0; i < 2; ++i) {
    auto response = client.Send({.method = "POST", .target = "/", .body = body});
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_TRUE(response->body == body);
  }
}

TEST(HttpServerTest, DrainsWhileItStillAnswers) {
  Writer held;
  std::atomic<bool> streaming{false};
  auto server = Serve([&](Request request, Writer writer) {
    if (request->path == "/ready") return writer->Send(503, {}, "draining");
    writer->StartStream(200, {});
    held = writer;
    streaming = true;
  });
  RawClient idle(server->port());
  idle.Send("GET /ready HTTP/1.1\r\n" + kHost + "\r\n");
  idle.ReadResponse();
  RawClient client(server->port());
  client.Send("GET /stream HTTP/1.1\r\n" + kHost + "\r\n");
  ASSERT_TRUE(Eventually([&] { return streaming.load(); }));

  server->Drain();
  EXPECT_TRUE(idle.PeerClosed());
  EXPECT_FALSE(server->WaitIdle(milliseconds(50)));
  RawClient probe(server->port());
  probe.Send("GET /ready HTTP/1.1\r\n" + kHost + "\r\n");
  std::string response = probe.ReadUntilClose();
  EXPECT_EQ(StatusOf(response), 503);
  EXPECT_THAT(response, HasSubstr("Connection: close\r\n"));

  server->StopAccepting();
  EXPECT_TRUE(held->Write("last words"));
  held->Finish();
  EXPECT_TRUE(server->WaitIdle(seconds(20)));
  EXPECT_THAT(client.ReadUntil("0\r\n\r\n"), HasSubstr("last words"));
  server->Stop();
  EXPECT_EQ(server->open_connections(), 0u);
}

TEST(HttpServerTest, StopEndsRequestsUnderWayAndTellsTheirOwners) {
  Writer held;
  std::atomic<bool> begun{false};
  std::atomic<bool> told{false};
  auto server = Serve([&](Request, Writer writer) {
    writer->OnClose([&] { told = true; });
    held = writer;
    begun = true;
  });
  RawClient client(server->port());
  client.Send("GET / HTTP/1.1\r\n" + kHost + "\r\n");
  ASSERT_TRUE(Eventually([&] { return begun.load(); }));
  server->Stop();
  EXPECT_TRUE(told);
  EXPECT_TRUE(held->closed());
  EXPECT_EQ(client.ReadUntilClose(), "");
  server.reset();
  held->Send(200, {}, "too late, and harmless");
}

TEST(HttpServerTest, SpreadsConnectionsOverThreads) {
  HttpServerOptions options;
  options.n_threads = 3;
  std::mutex mutex;
  std::set<std::thread::id> ids;
  auto server = Serve(
      [&](Request, Writer writer) {
        {
          std::lock_guard lock(mutex);
          ids.insert(std::this_thread::get_id());
        }
        writer->Send(200, {}, "ok");
      },
      options);
  std::vector<std::thread> clients;
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back([&] {
      HttpClient client({.port = server->port()});
      for (int k = 0; k < 50; ++k) EXPECT_TRUE(client.Send({}));
    });
  }
  for (std::thread& thread : clients) thread.join();
  EXPECT_EQ(ids.size(), 3u);
}

TEST(HttpServerTest, ListensOnIpv6) {
  HttpServerOptions options;
  options.host = "::1";
  auto started = HttpServer::Start(options, [](Request request, Writer writer) {
    writer->Send(200, {}, request->remote_address);
  });
  if (!started) GTEST_SKIP() << "no IPv6 here: " << started.error().message;
  HttpClient client({.host = "::1", .port = (*started)->port()});
  auto response = client.Send({});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "::1");
}

TEST(HttpServerTest, SaysWhyItDoesNotStart) {
  auto handler = [](Request, Writer) {};
  EchoServer taken;
  HttpServerOptions options;
  options.port = taken.port();
  EXPECT_EQ(HttpServer::Start(options, handler).error().field, "port");
  options = {};
  options.host = "203.0.113.1";  // a documentation address: nobody's
  EXPECT_THAT(HttpServer::Start(options, handler).error().message, HasSubstr("203.0.113.1"));
  options = {};
  options.tls_certificate = "/nonexistent.pem";
  EXPECT_EQ(HttpServer::Start(options, handler).error().field, "tls_key");
  options.tls_key = "/nonexistent.key";
  EXPECT_THAT(HttpServer::Start(options, handler).error().message, HasSubstr("/nonexistent.pem"));
}

TEST(HttpServerTest, SpeaksTls) {
  TestCertificate files;
  HttpServerOptions options;
  options.tls_certificate = files.certificate;
  options.tls_key = files.key;
  auto server =
      Serve([](Request request,
               Writer writer) { writer->Send(200, {}, request->is_tls ? request->body : "plain"); },
            options);
  HttpClient client(
      {.host = "localhost", .port = server->port(), .tls = true, .ca_file = files.certificate});
  std::string body(3 * 1024 * 1024, 'x');
  for (int i = 0; i < 3; ++i) {
    auto response = client.Send({.method = "POST", .target = "/", .body = body});
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_TRUE(response->body == body);
  }
  EXPECT_EQ(server->open_connections(), 1u) << "the connection was not kept";

  HttpClient trusts_nobody({.host = "localhost", .port = server->port(), .tls = true});
  EXPECT_EQ(trusts_nobody.Send({}).error().code, ErrorCode::kUnavailable);
  HttpClient does_not_care(
      {.host = "localhost", .port = server->port(), .tls = true, .verify_tls = false});
  EXPECT_TRUE(does_not_care.Send({}));
}

TEST(HttpServerTest, TlsFilesThatAreNoFilesAreRefusedWithoutWaiting) {
  TestCertificate files;
  const auto fifo = files.directory / "fifo.pem";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  for (const bool for_key : {false, true}) {
    HttpServerOptions options;
    options.tls_certificate = for_key ? files.certificate : fifo;
    options.tls_key = for_key ? fifo : files.key;
    auto server = HttpServer::Start(options, [](auto, auto) {});
    ASSERT_FALSE(server);
    EXPECT_EQ(server.error().code, ErrorCode::kBadConfig);
    EXPECT_THAT(server.error().message, HasSubstr("not a regular file"));
  }
  HttpServerOptions options;
  options.tls_certificate = files.directory / "absent.pem";
  options.tls_key = files.key;
  EXPECT_THAT(HttpServer::Start(options, [](auto, auto) {}).error().message,
              HasSubstr("No such file"));
}

TEST(HttpServerTest, PlainBytesOnATlsPortDoNotDisturbIt) {
  TestCertificate files;
  HttpServerOptions options;
  options.tls_certificate = files.certificate;
  options.tls_key = files.key;
  options.limits.header_timeout = milliseconds(300);
  auto server = Serve([](Request, Writer writer) { writer->Send(200, {}, "ok"); }, options);
  RawClient plain(server->port());
  plain.Send("GET / HTTP/1.1\r\n" + kHost + "\r\n");
  EXPECT_TRUE(plain.PeerClosed());
  RawClient silent(server->port());
  EXPECT_EQ(silent.ReadUntilClose(), "");
  HttpClient client(
      {.host = "127.0.0.1", .port = server->port(), .tls = true, .ca_file = files.certificate});
  EXPECT_TRUE(client.Send({}));
}

}  // namespace
}  // namespace hadal
