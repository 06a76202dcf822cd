#include "server/http/http_front.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <limits>
#include <sstream>
#include <thread>

#include "access/sha256.h"
#include "server/http/route_table.h"
#include "server/http/testing/front_fixture.h"

namespace hadal::server {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

TEST_F(HttpFrontTest, AnswersAChatCompletion) {
  AnswerWith(service, "Hello");
  StartFront();
  const auto response = Post(kChatPath, ChatBody("\"max_tokens\":3"));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.Get("Content-Type"), "application/json");
  const Json body = Json::parse(response.body);
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_THAT(body["id"].get<std::string>(), MatchesRegex("chatcmpl-[0-9a-f-]{36}"));
  EXPECT_EQ(body["choices"][0]["message"]["content"], "Hello");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["usage"]["prompt_cache_hit_tokens"], 4);
  EXPECT_EQ(body["usage"]["prompt_cache_miss_tokens"], 1);
  EXPECT_EQ(body["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
  EXPECT_EQ(service.RequestOf(0).max_tokens, 3);
}

TEST_F(HttpFrontTest, StreamsEventsAsTheyComeAndEndsWithDone) {
  StartFront();
  std::thread model([&] {
    service.Emit(0, ContentDelta("He"));
    service.Emit(0, ContentDelta("llo"));
    service.Emit(0, api::Finished{});
    service.Emit(0, DoneWith(5, 2, 0));
  });
  const auto response =
      Post(kChatPath, ChatBody(R"("stream":true,"stream_options":{"include_usage":true})"));
  model.join();
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(std::string(response.headers.Get("Content-Type")), HasSubstr("text/event-stream"));
  const auto events = EventsOf(response.body);
  ASSERT_EQ(events.size(), 6u);
  EXPECT_EQ(Json::parse(events[0].data)["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(Json::parse(events[1].data)["choices"][0]["delta"]["content"], "He");
  EXPECT_EQ(Json::parse(events[2].data)["choices"][0]["delta"]["content"], "llo");
  EXPECT_EQ(Json::parse(events[3].data)["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(Json::parse(events[4].data)["usage"]["completion_tokens"], 2);
  EXPECT_EQ(Json::parse(events[4].data)["choices"].size(), 0u);
  EXPECT_EQ(events[5].data, "[DONE]");
}

TEST_F(HttpFrontTest, ModelTextCannotForgeAnEvent) {  // row 123
  const std::string text = "a\n\ndata: [DONE]\n\n\r\n\xe2\x80\xa8\xe2\x80\xa9 event: x\n:c";
  AnswerWith(service, text);
  StartFront();
  const auto response = Post(kTextPath, R"({"model":"demo","prompt":"x","stream":true})");
  const auto events = EventsOf(response.body);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(Json::parse(events[0].data)["choices"][0]["text"], text);
  EXPECT_EQ(events[2].data, "[DONE]");
  EXPECT_THAT(response.body, Not(HasSubstr("\xe2\x80\xa8")));
}

TEST_F(HttpFrontTest, InvalidUtf8FromAModelIsReplacedAndNeverA500) {  // row 192
  AnswerWith(service, "ok\xff\xe4\xb8");
  StartFront();
  const auto response = Post(kTextPath, R"({"model":"demo","prompt":"x"})");
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body, HasSubstr("ok\xef\xbf\xbd"));
  EXPECT_TRUE(Json::accept(response.body));
}

TEST_F(HttpFrontTest, ADroppedClientCancelsItsSession) {  // row 121
  StartFront();
  std::thread model([&] {
    service.Emit(0, ContentDelta("first"));
    service.WaitCancelled(1);
  });
  const auto response = Call("POST", kChatPath, ChatBody("\"stream\":true"), {},
                             [](const HttpResponse&, std::string_view) { return false; });
  EXPECT_TRUE(service.WaitCancelled(1));
  model.join();
  EXPECT_FALSE(service.Emit(0, ContentDelta("late")));
  EXPECT_THAT(metrics.Text({}), HasSubstr("hadal_clients_lost_total{reason=\"dropped\"} 1\n"));
}

TEST_F(HttpFrontTest, FortyClientsThatLeaveFreeFortySessions) {
  StartFront();
  std::vector<std::thread> clients;
  for (int i = 0; i < 40; ++i) {
    clients.emplace_back([&] {
      (void)Call("POST", kChatPath, ChatBody("\"stream\":true"), {},
                 [](const HttpResponse&, std::string_view) { return false; });
    });
  }
  for (size_t i = 0; i < 40; ++i) service.Emit(i, ContentDelta("x"));
  for (auto& client : clients) client.join();
  EXPECT_TRUE(service.WaitCancelled(40));
}

// A client that sends one request and then never reads.
class SilentClient {
 public:
  SilentClient(int port, const std::string& body) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    const int small = 4096;
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const std::string request = fmt::format(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: {}\r\n\r\n{}",
        kChatPath, body.size(), body);
    EXPECT_EQ(send(fd_, request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
  }
  ~SilentClient() { close(fd_); }

 private:
  int fd_;
};

TEST_F(HttpFrontTest, AClientThatNeverReadsIsCutOffWhenItsBacklogIsFull) {  // row 122
  options.stream.backlog_bytes = 64 << 10;
  options.server.limits.queued_bytes = 64 << 10;
  options.server.limits.socket_send_bytes = 16 << 10;
  StartFront();
  SilentClient client(front().port(), ChatBody("\"stream\":true"));
  const std::string text(8 << 10, 'x');
  // Far more than the backlog and the kernel's buffers hold.
  for (int i = 0; i < 1000 && service.Emit(0, ContentDelta(text)); ++i) {
  }
  EXPECT_TRUE(service.WaitCancelled(1));
  EXPECT_THAT(metrics.Text({}), HasSubstr("hadal_clients_lost_total{reason=\"stalled\"} 1\n"));
  EXPECT_EQ(Get("/health").status, 200);
}

TEST_F(HttpFrontTest, AClientThatStopsReadingIsCutOffAfterAWhile) {
  options.stream.stall_timeout = std::chrono::milliseconds(1);
  options.server.limits.queued_bytes = 16 << 10;
  options.server.limits.socket_send_bytes = 16 << 10;
  StartFront();
  SilentClient client(front().port(), ChatBody("\"stream\":true"));
  const std::string text(8 << 10, 'x');
  for (int i = 0; i < 64; ++i) service.Emit(0, ContentDelta(text));  // 0.5 MB of 4 MB backlog
  EXPECT_TRUE(service.WaitCancelled(1));
}

TEST_F(HttpFrontTest, AClientThatStopsReadingIsStalledWhoeverNoticesIt) {
  // Here the connection does: what the client leaves unread fits its queue.
  options.server.limits.write_stall_timeout = std::chrono::milliseconds(100);
  options.server.limits.queued_bytes = 8 << 20;
  options.server.limits.socket_send_bytes = 16 << 10;
  StartFront();
  SilentClient client(front().port(), ChatBody("\"stream\":true"));
  const std::string text(8 << 10, 'x');
  for (int i = 0; i < 64; ++i) service.Emit(0, ContentDelta(text));
  EXPECT_TRUE(service.WaitCancelled(1));
  const std::string page = metrics.Text({});
  EXPECT_THAT(page, HasSubstr("hadal_clients_lost_total{reason=\"stalled\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("hadal_clients_lost_total{reason=\"dropped\"} 0\n"));
}

TEST_F(HttpFrontTest, SilenceIsFilledWithComments) {
  options.stream.keep_alive = std::chrono::milliseconds(1);
  StartFront();
  std::string body;
  bool answered = false;
  auto response = Call("POST", kChatPath, ChatBody("\"stream\":true"), {},
                       [&](const HttpResponse&, std::string_view bytes) {
                         body += bytes;
                         if (!answered && body.find(": keep-alive\n\n") != body.npos) {
                           answered = true;
                           service.Emit(0, ContentDelta("after"));
                           service.Emit(0, DoneWith(1, 1, 0));
                         }
                         return true;
                       });
  ASSERT_TRUE(response);
  const auto events = EventsOf(body);  // comments are no events
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(Json::parse(events[1].data)["choices"][0]["delta"]["content"], "after");
}

TEST_F(HttpFrontTest, SilenceIsFilledEvenBeforeTheServiceHasTakenTheRequest) {
  options.stream.keep_alive = std::chrono::milliseconds(1);
  std::promise<void> heard;
  service.on_submit = [&](ScriptedService& s, size_t i) {  // a prompt that takes long to read
    EXPECT_EQ(heard.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
    s.Emit(i, api::Failed{{ErrorCode::kUnavailable, "the model is gone", {}}});
  };
  StartFront();
  std::string body;
  bool told = false;
  const auto response = Call("POST", kChatPath, ChatBody("\"stream\":true"), {},
                             [&](const HttpResponse& head, std::string_view bytes) {
                               EXPECT_EQ(head.status, 200);
                               body += bytes;
                               const bool comment = body.find(": keep-alive\n\n") != body.npos;
                               if (comment && !std::exchange(told, true)) heard.set_value();
                               return true;
                             });
  ASSERT_TRUE(response);
  EXPECT_TRUE(told);
  const auto events = EventsOf(body);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(Json::parse(events[0].data)["error"]["code"], "unavailable");
}

TEST_F(HttpFrontTest, AServiceThatCannotAnswerAnyMoreIsNotReady) {
  service.refusal = Error{ErrorCode::kGpuLost, "an illegal memory access", {}};
  StartFront();
  for (const auto& response : {Get("/ready"), Post(kChatPath, ChatBody())}) {
    EXPECT_EQ(response.status, 503);
    const Json error = Json::parse(response.body)["error"];
    EXPECT_EQ(error["code"], "gpu_lost");
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("illegal memory access"));
  }
  EXPECT_EQ(Get("/health").status, 200);
}

TEST_F(HttpFrontTest, DrainTurnsReadinessOffAndLetsRunningStreamsFinish) {
  StartFront();
  EXPECT_EQ(Get("/ready").status, 200);
  std::string body;
  int status = 0;
  std::thread client([&] {
    const auto response = Post(kChatPath, ChatBody("\"stream\":true"));
    status = response.status;
    body = response.body;
  });
  service.Emit(0, ContentDelta("before"));
  front().Drain();
  const auto ready = Get("/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_NE(ready.headers.Find("Retry-After"), nullptr);
  EXPECT_EQ(Get("/health").status, 200);
  const auto refused = Post(kChatPath, ChatBody());
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.headers.Find("Retry-After"), nullptr);
  EXPECT_FALSE(front().WaitIdle(std::chrono::milliseconds(1)));
  service.Emit(0, ContentDelta(" after"));
  service.Emit(0, api::Finished{});
  service.Emit(0, DoneWith(1, 2, 0));
  client.join();
  EXPECT_TRUE(front().WaitIdle(std::chrono::seconds(30)));
  EXPECT_EQ(status, 200);
  EXPECT_THAT(body, HasSubstr("data: [DONE]\n\n"));
  EXPECT_THAT(body, HasSubstr(" after"));
  EXPECT_EQ(service.cancelled(), 0u);
}

TEST_F(HttpFrontTest, StopCancelsWhatStillRunsAndSaysWhy) {
  StartFront();
  std::string body;
  std::thread client([&] { body = Post(kChatPath, ChatBody("\"stream\":true")).body; });
  service.Emit(0, ContentDelta("x"));
  front().Stop();
  client.join();
  EXPECT_EQ(service.cancelled(), 1u);
  const auto events = EventsOf(body);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(Json::parse(events[2].data)["error"]["code"], "unavailable");
}

TEST_F(HttpFrontTest, EveryRouteButProbesAndPageNeedsTheKey) {  // row 112
  options.keys = *ApiKeys::Create({{.key = std::string(kTestKey)}});
  AnswerWith(service, "ok");
  StartFront();
  for (const Route& route : Routes()) {
    std::string path(route.path);
    if (path.ends_with("{name}")) path.replace(path.size() - 6, 6, "demo");
    for (const char* method : {"GET", "POST", "OPTIONS", "PUT"}) {
      const auto response = Call(method, path, "{}");
      ASSERT_TRUE(response);
      EXPECT_EQ(response->status == 401, route.needs_key) << method << " " << path;
    }
  }
  const auto unknown = Get("/v1/unknown");
  EXPECT_EQ(unknown.status, 401);
  EXPECT_EQ(unknown.headers.Get("WWW-Authenticate"), "Bearer");
  EXPECT_THAT(unknown.body, HasSubstr("\"invalid_api_key\""));
  EXPECT_EQ(Get("/health").status, 200);
  EXPECT_EQ(Get("/ready").status, 200);
  EXPECT_EQ(Get("/").status, 200);
  EXPECT_EQ(Get("/assets/demo").status, 404);
  EXPECT_EQ(service.submitted(), 0u);
  for (const Headers& headers : {Headers{{"Authorization", "Bearer " + std::string(kTestKey)}},
                                 Headers{{"x-api-key", std::string(kTestKey)}},
                                 Headers{{"api-key", std::string(kTestKey)}}}) {
    EXPECT_EQ(Get("/v1/models", headers).status, 200);
    EXPECT_EQ(Post(kChatPath, ChatBody(), headers).status, 200);
  }
  EXPECT_EQ(Get("/v1/models", {{"api-key", "wrong-0123456789abcdef"}}).status, 401);
}

TEST_F(HttpFrontTest, RefusesToListenBeyondLoopbackWithoutAKey) {
  options.server.host = "0.0.0.0";
  const auto refused = HttpFront::Start(options, service, metrics, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().field, "server.host");
  options.keys = *ApiKeys::Create({{.key = std::string(kTestKey)}});
  EXPECT_TRUE(HttpFront::Start(options, service, metrics, nullptr));
  EXPECT_EQ(HttpFrontOptions().server.host, "127.0.0.1");
}

TEST_F(HttpFrontTest, PathsMethodsAndProbes) {
  StartFront();
  EXPECT_EQ(Get("/nope").status, 404);
  EXPECT_THAT(Get("/nope").body, HasSubstr("\"not_found\""));
  const auto wrong = Get(kChatPath);
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.Get("Allow"), "POST, OPTIONS");
  EXPECT_TRUE(Json::accept(wrong.body));
  const auto head = Call("HEAD", "/v1/models");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
  EXPECT_EQ(head->body, "");
  const auto options_answer = Call("OPTIONS", kChatPath, "", {{"Origin", "https://evil.example"}});
  ASSERT_TRUE(options_answer);
  EXPECT_EQ(options_answer->status, 204);
  for (const Header& header : options_answer->headers) {  // row 120
    EXPECT_THAT(header.name, Not(HasSubstr("Access-Control")));
  }
  EXPECT_THAT(Get("/version").body, HasSubstr("\"version\":"));
}

TEST_F(HttpFrontTest, ListsModelsByNameAndAlias) {
  options.model_aliases = {{"gpt-4o", "demo"}};
  AnswerWith(service, "ok");
  StartFront();
  EXPECT_EQ(Json::parse(Get("/v1/models").body)["data"][0]["id"], "demo");
  EXPECT_EQ(Json::parse(Get("/v1/models/gpt-4o").body)["id"], "demo");
  EXPECT_EQ(Get("/v1/models/other").status, 404);
  EXPECT_THAT(Get("/v1/models/other").body, HasSubstr("model_not_found"));
  EXPECT_EQ(Post(kTextPath, R"({"model":"gpt-4o","prompt":"x"})").status, 200);
  options.model_aliases = {{"x", "nothing"}};
  EXPECT_FALSE(HttpFront::Start(options, service, metrics, nullptr));
}

TEST_F(HttpFrontTest, ARequestIdIsTakenFromTheClientOnlyIfPlain) {
  StartFront();
  EXPECT_EQ(Get("/health", {{"X-Request-Id", "trace-7"}}).headers.Get("X-Request-Id"), "trace-7");
  const auto other = Get("/health", {{"X-Request-Id", "<script>"}});
  EXPECT_THAT(std::string(other.headers.Get("X-Request-Id")), MatchesRegex("req-[0-9a-f-]{36}"));
}

TEST_F(HttpFrontTest, AFullQueueIsA429WithRetryAfter) {
  service.refusal = Error{ErrorCode::kQueueFull, "256 requests wait", {}};
  StartFront();
  const auto response = Post(kChatPath, ChatBody("\"stream\":true"));
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers.Get("Retry-After"), "7");  // 6.5 rounded up
  EXPECT_EQ(Json::parse(response.body)["error"]["type"], "rate_limit_error");
}

TEST_F(HttpFrontTest, ATooLongPromptIsA400WithTheServicesCounts) {  // row 75
  service.refusal = Error{ErrorCode::kContextLengthExceeded,
                          "the prompt has 5000 tokens and the context is 4096", "messages"};
  StartFront();
  const auto response = Post(kChatPath, ChatBody());
  EXPECT_EQ(response.status, 400);
  const Json error = Json::parse(response.body)["error"];
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["param"], "messages");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("5000"));
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("4096"));
}

TEST_F(HttpFrontTest, ARefusalNamesTheFieldThatTheClientSent) {
  StartFront();
  const auto param = [&](std::string_view fields) {
    return Json::parse(Post(kChatPath, ChatBody(fields)).body)["error"]["param"];
  };
  service.refusal = Error{ErrorCode::kInvalidArgument, "this model always reasons", "thinking"};
  EXPECT_EQ(param(R"("reasoning_effort":"none")"), "reasoning_effort");
  EXPECT_EQ(param(R"("thinking":{"type":"disabled"})"), "thinking");
  EXPECT_EQ(param(R"("thinking":{"type":"disabled"},"reasoning_effort":"high")"), "thinking");
  service.refusal = Error{ErrorCode::kContextLengthExceeded, "too many", "max_tokens"};
  EXPECT_EQ(param("\"max_tokens\":9"), "max_tokens");
  EXPECT_EQ(param("\"max_completion_tokens\":9"), "max_completion_tokens");
}

TEST_F(HttpFrontTest, AFailureBeforeTheFirstByteIsAStatusAndLaterAnEvent) {
  service.on_submit = [](ScriptedService& s, size_t i) {
    s.Emit(i, api::Failed{{ErrorCode::kUnavailable, "the model is gone", {}}});
  };
  StartFront();
  EXPECT_EQ(Post(kChatPath, ChatBody()).status, 503);
  EXPECT_EQ(Post(kChatPath, ChatBody("\"stream\":true")).status, 503);
  service.on_submit = [](ScriptedService& s, size_t i) {
    s.Emit(i, ContentDelta("half"));
    s.Emit(i, api::Failed{{ErrorCode::kUnavailable, "the model is gone", {}}});
  };
  const auto late = Post(kChatPath, ChatBody("\"stream\":true"));
  EXPECT_EQ(late.status, 200);
  const auto events = EventsOf(late.body);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(Json::parse(events[2].data)["error"]["code"], "unavailable");
  EXPECT_THAT(late.body, Not(HasSubstr("[DONE]")));
}

TEST_F(HttpFrontTest, EveryCompletionHasTheServersDeadline) {
  AnswerWith(service, "ok");
  StartFront();
  Post(kChatPath, ChatBody());
  EXPECT_FALSE(service.RequestOf(0).deadline_seconds);  // none unless asked for
  options.request_timeout_s = 100;
  StartFront();
  Post(kChatPath, ChatBody());
  Post(kTextPath, R"({"model":"demo","prompt":"x","stream":true})");
  for (const size_t i : {1, 2}) {
    const auto seconds = service.RequestOf(i).deadline_seconds;
    ASSERT_TRUE(seconds);
    EXPECT_GT(*seconds, 0);
    EXPECT_LT(*seconds, 100);  // the time since the arrival is used up
  }
  for (const double bad : {-1.0, 1e300, std::numeric_limits<double>::quiet_NaN()}) {
    options.request_timeout_s = bad;
    const auto refused = HttpFront::Start(options, service, metrics, nullptr);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().field, "server.request_timeout_s");
  }
}

TEST_F(HttpFrontTest, TheModelsSamplingDefaultsReachTheService) {
  options.sampling_defaults.temperature = 0.25;
  AnswerWith(service, "ok");
  StartFront();
  Post(kChatPath, ChatBody());
  Post(kChatPath, ChatBody("\"temperature\":0.75"));
  EXPECT_EQ(service.RequestOf(0).sampling.temperature, 0.25);
  EXPECT_EQ(service.RequestOf(1).sampling.temperature, 0.75);
}

TEST_F(HttpFrontTest, MetricsShowTheServicesOwnCountsAndLatencies) {
  AnswerWith(service, "ok");
  service.reported.blocks_total = 100;
  service.reported.blocks_free = 60;
  service.reported.blocks_cached = 30;
  service.reported.blocks_held = 10;
  service.reported.queued = 3;
  service.reported.speculation = "ngram";
  service.reported.drafted_tokens = 9;
  service.reported.accepted_tokens = 6;
  StartFront();
  Post(kChatPath, ChatBody());
  Post(kChatPath, "junk");
  const auto response = Get("/metrics");
  EXPECT_THAT(std::string(response.headers.Get("Content-Type")), HasSubstr("text/plain"));
  for (const char* line :
       {"\nhadal_kv_blocks 100\n", "\nhadal_kv_blocks_free 60\n", "\nhadal_kv_blocks_cached 30\n",
        "\nhadal_kv_blocks_held 10\n", "\nhadal_requests_queued 3\n",
        "\nhadal_drafted_tokens_total{kind=\"ngram\"} 9\n",
        "\nhadal_accepted_tokens_total{kind=\"ngram\"} 6\n",
        "\nhadal_time_to_first_token_seconds_count 1\n",
        "hadal_http_requests_total{route=\"/v1/chat/completions\",status=\"200\"} 1\n",
        "hadal_http_requests_total{route=\"/v1/chat/completions\",status=\"400\"} 1\n",
        "hadal_request_tokens_total{kind=\"cached\"} 4\n"}) {
    EXPECT_THAT(response.body, HasSubstr(line));
  }
}

// An access log in a file of this test's own.
class AccessLogTest : public HttpFrontTest {
 protected:
  void SetUp() override {
    std::filesystem::remove(path_);
    auto opened = AccessLog::Open(path_);
    ASSERT_TRUE(opened);
    file_ = std::move(*opened);
    log = file_.get();
  }
  void TearDown() override {
    HttpFrontTest::TearDown();
    std::filesystem::remove(path_);
  }
  std::string Text() const {
    EXPECT_TRUE(file_->Flush(std::chrono::seconds(30)));
    std::ifstream in(path_);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }
  Json FirstRecord() const {
    const std::string text = Text();
    return Json::parse(text.substr(0, text.find('\n')));
  }

 private:
  const std::filesystem::path path_ =
      std::filesystem::path(testing::TempDir()) / fmt::format("front_access_{}.log", ::getpid());
  std::unique_ptr<AccessLog> file_;
};

TEST_F(AccessLogTest, ADroppedStreamHasTheTokensItSpent) {
  StartFront();
  std::thread model([&] {
    for (int i = 0; i < 3; ++i) service.Emit(0, ContentDelta("x"));
    service.WaitCancelled(1);
  });
  std::string body;
  (void)Call("POST", kChatPath, ChatBody("\"stream\":true"), {},
             [&](const HttpResponse&, std::string_view bytes) {
               body += bytes;  // the role, then three pieces
               return EventsOf(body).size() < 4;
             });
  EXPECT_TRUE(service.WaitCancelled(1));
  model.join();
  front().Stop();
  const Json record = FirstRecord();
  EXPECT_EQ(record["status"], 200);  // it had begun
  EXPECT_EQ(record["error"], "cancelled");
  EXPECT_EQ(record["finish"], "cancelled");
  EXPECT_EQ(record["prompt_tokens"], 5);
  EXPECT_EQ(record["completion_tokens"], 3);
  const std::string page = metrics.Text({});
  EXPECT_THAT(page, HasSubstr("hadal_request_tokens_total{kind=\"prompt\"} 5\n"));
  EXPECT_THAT(page, HasSubstr("hadal_request_tokens_total{kind=\"completion\"} 3\n"));
}

TEST_F(AccessLogTest, AnAnswerCutByAStopHasTheTokensItSpent) {
  StartFront();
  HttpResponse response;
  std::thread client([&] { response = Post(kChatPath, ChatBody()); });
  service.Emit(0, ContentDelta("x"));
  service.Emit(0, ContentDelta("y"));
  front().Stop();
  client.join();
  EXPECT_EQ(response.status, 503);
  const Json record = FirstRecord();
  EXPECT_EQ(record["status"], 503);  // nothing had been sent
  EXPECT_EQ(record["error"], "unavailable");
  EXPECT_EQ(record["finish"], "error");
  EXPECT_EQ(record["completion_tokens"], 2);
  EXPECT_THAT(metrics.Text({}), HasSubstr("hadal_request_tokens_total{kind=\"completion\"} 2\n"));
}

TEST_F(AccessLogTest, ADoneAnswerHasTheCountOfItsUsage) {
  service.on_submit = [](ScriptedService& s, size_t i) {
    s.Emit(i, ContentDelta("x"));
    s.Emit(i, api::Finished{});
    s.Emit(i, DoneWith(5, 2, 4));  // its end of text is a token without a delta
  };
  StartFront();
  Post(kChatPath, ChatBody());
  EXPECT_EQ(FirstRecord()["completion_tokens"], 2);
}

TEST_F(HttpFrontTest, ALogThatNobodyReadsStopsNobodyAndIsSeenInTheMetrics) {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  {
    AccessLog stuck(pipe[1]);
    for (int i = 0; i < 40000; ++i) stuck.Write({.request_id = std::string(200, 'q')});
    log = &stuck;
    AnswerWith(service, "ok");
    StartFront();
    EXPECT_EQ(Post(kChatPath, ChatBody()).status, 200);
    const std::string page = Get("/metrics").body;
    EXPECT_THAT(page, HasSubstr("\nhadal_access_log_lost_lines_total "));
    EXPECT_THAT(page, Not(HasSubstr("\nhadal_access_log_lost_lines_total 0\n")));
    HttpFrontTest::TearDown();
  }
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_F(AccessLogTest, HasTheHashAndNeverTheText) {
  options.keys = *ApiKeys::Create({{.id = "team-a", .key = std::string(kTestKey)}});
  AnswerWith(service, "secret-answer");
  StartFront();
  const std::string body = R"({"model":"demo","prompt":"secret-prompt"})";
  const Headers headers{{"api-key", std::string(kTestKey)}, {"X-Request-Id", "id-1"}};
  Post(kTextPath, body, headers);
  Post(kTextPath, R"({"model":"secret-model","prompt":"secret-prompt"})", headers);
  Get("/secret-path?secret-query");
  front().Stop();
  EXPECT_THAT(Text(), Not(HasSubstr("secret")));
  EXPECT_THAT(Text(), Not(HasSubstr(kTestKey)));
  const Json record = FirstRecord();
  EXPECT_EQ(record["request_id"], "id-1");
  EXPECT_EQ(record["key"], "team-a");
  EXPECT_EQ(record["model"], "demo");
  EXPECT_EQ(record["status"], 200);
  EXPECT_EQ(record["finish"], "stop");
  EXPECT_EQ(record["prompt_tokens"], 5);
  EXPECT_EQ(record["cached_tokens"], 4);
  EXPECT_EQ(record["input_sha256"], Sha256Hex(body));
  EXPECT_EQ(record["client"], "127.0.0.1");
}

TEST_F(HttpFrontTest, ManyAtOnceGetAnswersOr429AndNothingElse) {  // row 125
  options.max_waiting_requests = 4;
  AnswerWith(service, "ok");
  StartFront();
  std::vector<std::thread> clients;
  std::atomic<int> n_ok{0}, n_busy{0}, n_other{0};
  for (int t = 0; t < 16; ++t) {
    clients.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        const auto response = Call("POST", kChatPath, ChatBody());
        const int status = response ? response->status : 0;
        const bool busy = status == 429 && response->headers.Find("Retry-After") != nullptr;
        ++(status == 200 ? n_ok : busy ? n_busy : n_other);
      }
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(n_other, 0);
  EXPECT_EQ(n_ok + n_busy, 320);
  EXPECT_GT(n_ok, 0);
}

}  // namespace
}  // namespace hadal::server
