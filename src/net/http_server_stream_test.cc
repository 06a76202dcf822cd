// Streamed responses: written by other threads, read slowly or not at all, and left in the middle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/sse.h"
#include "net/test_peer.h"

namespace hadal {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

const std::string kStreamRequest = "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
using Request = std::shared_ptr<const HttpRequest>;
using Writer = std::shared_ptr<ResponseWriter>;

// Keeps the writer of every /stream request for the test; other paths are answered at once.
struct StreamServer {
  explicit StreamServer(HttpServerOptions options = {}) {
    auto started = HttpServer::Start(std::move(options), [this](Request request, Writer writer) {
      if (request->path != "/stream") return writer->Send(200, {}, "ok");
      writer->StartStream(200, {{"Content-Type", "text/event-stream"}});
      writer->OnClose([this] { ++n_closed; });
      std::lock_guard lock(mutex);
      writers.push_back(std::move(writer));
    });
    EXPECT_TRUE(started) << started.error().message;
    server = std::move(*started);
  }
  size_t n_writers() {
    std::lock_guard lock(mutex);
    return writers.size();
  }
  Writer WriterOf(size_t i) {
    EXPECT_TRUE(Eventually([&] { return n_writers() > i; }));
    std::lock_guard lock(mutex);
    return writers.at(i);
  }
  bool Alive() {
    HttpClient client({.port = server->port()});
    auto response = client.Send({});
    return response && response->status == 200;
  }

  std::atomic<int> n_closed{0};
  std::mutex mutex;
  std::vector<Writer> writers;
  std::unique_ptr<HttpServer> server;
};

TEST(HttpStreamTest, EventsOfAnotherThreadArriveInOrderAndTheConnectionIsKept) {
  StreamServer streams;
  HttpClient client({.port = streams.server->port()});
  for (size_t round = 0; round < 2; ++round) {
    std::thread engine([&] {
      Writer writer = streams.WriterOf(round);
      for (int i = 0; i < 2000; ++i) EXPECT_TRUE(writer->Write(SseEvent(std::to_string(i))));
      writer->Finish();
    });
    SseParser parser(1 << 16);
    std::vector<SseMessage> events;
    auto response = client.Send({.method = "GET", .target = "/stream"},
                                [&](const HttpResponse& head, std::string_view bytes) {
                                  EXPECT_EQ(head.status, 200);
                                  EXPECT_TRUE(parser.Feed(bytes, &events));
                                  return true;
                                });
    engine.join();
    ASSERT_TRUE(response) << response.error().message;
    ASSERT_EQ(events.size(), 2000u);
    for (size_t i = 0; i < events.size(); ++i) ASSERT_EQ(events[i].data, std::to_string(i));
  }
  EXPECT_EQ(streams.server->open_connections(), 1u);
  EXPECT_EQ(streams.n_closed, 0);
}

TEST(HttpStreamTest, AnHttp10ClientGetsTheStreamUnframedUntilClose) {
  StreamServer streams;
  RawClient client(streams.server->port());
  client.Send("GET /stream HTTP/1.0\r\n\r\n");
  Writer writer = streams.WriterOf(0);
  writer->Write("one ");
  writer->Write("two");
  writer->Finish();
  EXPECT_EQ(BodyOf(client.ReadUntilClose()), "one two");
}

TEST(HttpStreamTest, ClientsThatLeaveAreNoticedBetweenTokens) {
  StreamServer streams;
  {
    std::vector<RawClient> clients;
    for (size_t i = 0; i < 40; ++i) {
      clients.emplace_back(streams.server->port());
      clients.back().Send(kStreamRequest);
      streams.WriterOf(i)->Write("data: token\n\n");
      clients.back().ReadUntil("token");
    }
    EXPECT_EQ(streams.server->active_requests(), 40u);
    for (size_t i = 0; i < 40; i += 4) clients[i].ResetAndClose();
    for (size_t i = 1; i < 40; i += 4) clients[i].HalfClose();
    EXPECT_TRUE(Eventually([&] { return streams.n_closed == 20; }));
    EXPECT_EQ(streams.server->active_requests(), 20u);
  }
  EXPECT_TRUE(Eventually([&] { return streams.n_closed == 40; }));
  EXPECT_TRUE(Eventually([&] { return streams.server->open_connections() == 0; }));
  EXPECT_TRUE(streams.WriterOf(0)->closed());
  EXPECT_FALSE(streams.WriterOf(0)->Write("more"));
}

TEST(HttpStreamTest, OnCloseIsCalledAtOnceWhenTheClientHasGone) {
  StreamServer streams;
  {
    RawClient client(streams.server->port());
    client.Send(kStreamRequest);
    streams.WriterOf(0);
  }
  ASSERT_TRUE(Eventually([&] { return streams.WriterOf(0)->closed(); }));
  bool called = false;
  streams.WriterOf(0)->OnClose([&] { called = true; });
  EXPECT_TRUE(called);
}

TEST(HttpStreamTest, OnCloseIsNotCalledAfterTheResponseIsFinished) {
  StreamServer streams;
  {
    RawClient client(streams.server->port());
    client.Send(kStreamRequest);
    streams.WriterOf(0)->Finish();
    client.ReadUntil("0\r\n\r\n");
  }
  EXPECT_TRUE(Eventually([&] { return streams.server->open_connections() == 0; }));
  EXPECT_EQ(streams.n_closed, 0);
}

TEST(HttpStreamTest, AWriterDroppedInTheMiddleCutsTheStream) {
  StreamServer streams;
  RawClient client(streams.server->port());
  client.Send(kStreamRequest);
  streams.WriterOf(0)->Write("half");
  {
    std::lock_guard lock(streams.mutex);
    streams.writers.clear();
  }
  std::string response = client.ReadUntilClose();
  EXPECT_THAT(response, HasSubstr("half"));
  EXPECT_FALSE(response.ends_with("0\r\n\r\n"));
  EXPECT_TRUE(Eventually([&] { return streams.server->active_requests() == 0; }));
}

TEST(HttpStreamTest, ClientsThatNeverReadAreBoundedAndDoNotHoldOthersUp) {
  HttpServerOptions options;
  options.limits.queued_bytes = 100 * 1000;
  options.limits.socket_send_bytes = 16 * 1024;
  StreamServer streams(options);
  std::vector<RawClient> never_read;
  std::string event = SseEvent(std::string(1000, 'x'));
  for (size_t i = 0; i < 20; ++i) {
    never_read.emplace_back(streams.server->port(), 4096);
    never_read.back().Send(kStreamRequest);
    Writer writer = streams.WriterOf(i);
    int written = 0;
    // Refused for good once the kernel's buffers and the queue are full.
    EXPECT_TRUE(Eventually([&] {
      while (written < 100000 && writer->Write(event)) ++written;
      std::this_thread::sleep_for(milliseconds(20));
      return !writer->Write(event);
    }));
    EXPECT_LT(written, 2000);
    EXPECT_LE(writer->queued_bytes(), 100 * 1000u);
    EXPECT_FALSE(writer->closed());
    EXPECT_TRUE(streams.Alive());
  }
  // One that begins to read gets everything that was accepted.
  Writer writer = streams.WriterOf(7);
  std::thread reader([&] { never_read[7].ReadUntil("the end"); });
  EXPECT_TRUE(Eventually([&] { return writer->Write("the end"); }));
  reader.join();
  EXPECT_TRUE(Eventually([&] { return writer->queued_bytes() == 0; }));
}

TEST(HttpStreamTest, AClientThatReadsNothingForTooLongIsReset) {
  HttpServerOptions options;
  options.limits.queued_bytes = 100 * 1000;
  options.limits.socket_send_bytes = 16 * 1024;
  options.limits.write_stall_timeout = milliseconds(300);
  StreamServer streams(options);
  RawClient client(streams.server->port(), 4096);
  client.Send(kStreamRequest);
  Writer writer = streams.WriterOf(0);
  std::string event = SseEvent(std::string(1000, 'x'));
  EXPECT_TRUE(Eventually([&] {
    while (writer->Write(event)) {
    }
    return writer->closed();
  }));
  EXPECT_EQ(streams.n_closed, 1);
  EXPECT_TRUE(Eventually([&] { return streams.server->open_connections() == 0; }));
}

TEST(HttpStreamTest, AStreamThatIsSilentForLongIsNotTakenForStalled) {
  HttpServerOptions options;
  options.limits.write_stall_timeout = milliseconds(100);
  options.limits.idle_timeout = milliseconds(100);
  options.limits.header_timeout = milliseconds(100);
  StreamServer streams(options);
  RawClient client(streams.server->port());
  client.Send(kStreamRequest);
  Writer writer = streams.WriterOf(0);
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(milliseconds(300));
    EXPECT_TRUE(writer->Write("data: thinking\n\n"));
  }
  writer->Finish();
  EXPECT_THAT(client.ReadUntil("0\r\n\r\n"), HasSubstr("thinking"));
}

TEST(HttpStreamTest, BytesSentDuringAResponseDoNotBreakIt) {
  HttpServerOptions options;
  options.limits.pipelined_bytes = 10000;
  StreamServer streams(options);
  for (std::string extra : {std::string("garbage that is no request\r\n\r\n"),
                            std::string(5000, 'x'), std::string(40000, '\0')}) {
    size_t i = streams.n_writers();
    RawClient client(streams.server->port());
    client.Send(kStreamRequest);
    Writer writer = streams.WriterOf(i);
    writer->Write("one ");
    client.Send(extra);
    for (int k = 0; k < 20; ++k) {
      EXPECT_TRUE(writer->Write("token "));
      std::this_thread::sleep_for(milliseconds(1));
    }
    writer->Finish();
    EXPECT_THAT(client.ReadUntil("0\r\n\r\n"), HasSubstr("one "));
    EXPECT_EQ(StatusOf(client.ReadUntilClose()), 400) << "the bytes were no request";
    EXPECT_TRUE(streams.Alive());
  }
  EXPECT_EQ(streams.n_closed, 0);
}

TEST(HttpStreamTest, StreamsOverTls) {
  TestCertificate files;
  HttpServerOptions options;
  options.tls_certificate = files.certificate;
  options.tls_key = files.key;
  StreamServer streams(options);
  HttpClient client({.port = streams.server->port(), .tls = true, .ca_file = files.certificate});
  std::thread engine([&] {
    Writer writer = streams.WriterOf(0);
    for (int i = 0; i < 20000; ++i) {
      while (!writer->Write("0123456789")) std::this_thread::yield();
    }
    writer->Finish();
  });
  std::string body;
  HttpClientRequest request{.method = "GET", .target = "/stream"};
  auto response = client.Send(request, [&](const HttpResponse&, std::string_view bytes) {
    body += bytes;
    return true;
  });
  engine.join();
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(body.size(), 200000u);

  // Leaving in the middle is noticed through TLS too.
  std::thread more([&] { EXPECT_TRUE(streams.WriterOf(1)->Write("token")); });
  EXPECT_TRUE(client.Send(request, [](const HttpResponse&, std::string_view) { return false; }));
  more.join();
  EXPECT_TRUE(Eventually([&] { return streams.n_closed == 1; }));
}

TEST(HttpStreamTest, WritersOfManyThreadsDoNotMixTheirEvents) {
  StreamServer streams;
  RawClient client(streams.server->port());
  client.Send(kStreamRequest);
  Writer writer = streams.WriterOf(0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i)
        writer->Write(SseEvent(std::string(10, static_cast<char>('a' + t))));
    });
  }
  for (std::thread& thread : threads) thread.join();
  writer->Finish();
  std::string all = client.ReadUntil("0\r\n\r\n");
  size_t n = 0;
  for (size_t at = all.find("data: "); at != std::string::npos; at = all.find("data: ", at + 1)) {
    ASSERT_EQ(all.substr(at + 6, 10), std::string(10, all[at + 6]));
    ++n;
  }
  EXPECT_EQ(n, 2000u);
}

}  // namespace
}  // namespace hadal
