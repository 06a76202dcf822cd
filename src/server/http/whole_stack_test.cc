// HTTP to engine and back, all real but the model's arithmetic.
#include <gmock/gmock.h>

#include <thread>

#include "engine/fake_runner.h"
#include "net/http_client.h"
#include "net/sse.h"
#include "server/http/http_front.h"
#include "service/local_chat_service.h"
#include "tokenizer/testing/tiny_tokenizer.h"

namespace hadal::server {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kVocab = 270, kContext = 256;

class WholeStackTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::TinyTokenizer tiny;
    tiny.added = {{.content = "<｜begin▁of▁sentence｜>", .special = true},
                  {.content = "<｜end▁of▁sentence｜>", .special = true},
                  {.content = "<｜User｜>", .normalized = true},
                  {.content = "<｜Assistant｜>", .normalized = true}};
    auto tokenizer = Tokenizer::Parse(
        tiny.Json(), R"({"bos_token":"<｜begin▁of▁sentence｜>","add_bos_token":true,)"
                     R"("eos_token":"<｜end▁of▁sentence｜>"})");
    ASSERT_TRUE(tokenizer);
    LocalServiceOptions options;
    options.name = "demo";
    options.architecture = "deepseek_v3";
    options.context = kContext;
    options.vocab = kVocab;
    auto created = LocalChatService::Create(options, std::move(*tokenizer), [&](EventSink& sink) {
      RunnerInfo info;
      info.vocab = kVocab;
      info.n_blocks = 512;
      info.block_tokens = 4;
      info.max_logit_rows = 64;
      auto owned = std::make_unique<FakeRunner>(info);
      runner = owned.get();
      runner->delay_us = 200;
      EngineOptions engine_options;
      engine_options.context = kContext;
      return Engine::Start(std::move(owned), engine_options, sink);
    });
    ASSERT_TRUE(created) << created.error().message;
    service = std::move(*created);
    StartFront({});
  }
  void StartFront(HttpFrontOptions options) {
    front.reset();
    auto started = HttpFront::Start(std::move(options), *service, metrics, nullptr);
    ASSERT_TRUE(started) << started.error().message;
    front = std::move(*started);
  }
  void TearDown() override {
    front.reset();  // its sessions before the service
    service.reset();
  }

  Result<HttpResponse> Call(std::string method, std::string target, std::string body = {},
                            const BodySink& sink = {}) {
    HttpClientOptions options;
    options.port = front->port();
    HttpClient client(options);
    Headers headers;
    if (!body.empty()) headers.Add("Content-Type", "application/json");
    return client.Send({std::move(method), std::move(target), headers, std::move(body)}, sink);
  }
  Json Post(std::string target, std::string body) {
    const auto response = Call("POST", std::move(target), std::move(body));
    EXPECT_TRUE(response);
    return response ? Json::parse(response->body) : Json();
  }
  double Metric(std::string_view name) {
    const auto page = Call("GET", "/metrics");
    const std::string line = "\n" + std::string(name) + " ";
    const size_t at = page->body.find(line);
    EXPECT_NE(at, std::string::npos) << name;
    return std::stod(page->body.substr(at + line.size()));
  }

  FakeRunner* runner = nullptr;
  std::unique_ptr<LocalChatService> service;
  Metrics metrics;
  std::unique_ptr<HttpFront> front;
};

constexpr const char* kBody =
    R"("model":"demo","messages":[{"role":"user","content":"tell me a story"}],"seed":5,)"
    R"("max_tokens":60,"ignore_eos":true,"stop":["q","zz"])";

TEST_F(WholeStackTest, AStreamJoinedIsTheAnswerAndUsageAgrees) {
  const Json whole = Post("/v1/chat/completions", "{" + std::string(kBody) + "}");
  const auto streamed =
      Call("POST", "/v1/chat/completions",
           "{" + std::string(kBody) + R"(,"stream":true,"stream_options":{"include_usage":true}})");
  ASSERT_TRUE(streamed);
  SseParser parser(1 << 20);
  std::vector<SseMessage> events;
  ASSERT_TRUE(parser.Feed(streamed->body, &events));
  ASSERT_EQ(events.back().data, "[DONE]");
  events.pop_back();
  std::string text, finish;
  Json usage;
  for (const SseMessage& event : events) {
    const Json chunk = Json::parse(event.data);
    for (const Json& choice : chunk["choices"]) {
      text += choice["delta"].value("content", "");
      if (choice["finish_reason"].is_string()) finish = choice["finish_reason"];
    }
    if (!chunk["usage"].is_null()) usage = chunk["usage"];
  }
  EXPECT_FALSE(text.empty());
  EXPECT_EQ(Json(text), whole["choices"][0]["message"]["content"]);
  EXPECT_EQ(text.find('q'), std::string::npos);
  EXPECT_EQ(Json(finish), whole["choices"][0]["finish_reason"]);
  EXPECT_EQ(usage["completion_tokens"], whole["usage"]["completion_tokens"]);
  EXPECT_EQ(usage["prompt_tokens"], whole["usage"]["prompt_tokens"]);
  // The second one found the first one's prompt.
  EXPECT_EQ(whole["usage"]["prompt_cache_hit_tokens"], 0);
  EXPECT_GT(usage["prompt_cache_hit_tokens"], 0);
  EXPECT_EQ(
      usage["prompt_cache_hit_tokens"].get<int>() + usage["prompt_cache_miss_tokens"].get<int>(),
      usage["prompt_tokens"].get<int>());
}

TEST_F(WholeStackTest, MetricsEqualTheAllocatorsCount) {
  Post("/v1/chat/completions", "{" + std::string(kBody) + "}");
  Post("/v1/chat/completions", "{" + std::string(kBody) + "}");
  ASSERT_TRUE(service->WaitIdle(std::chrono::seconds(30)));
  const ServiceStats stats = service->stats();
  EXPECT_EQ(Metric("hadal_kv_blocks"), 512);
  EXPECT_EQ(Metric("hadal_kv_blocks_free"), stats.blocks_free);
  EXPECT_EQ(Metric("hadal_kv_blocks_cached"), stats.blocks_cached);
  EXPECT_EQ(Metric("hadal_kv_blocks_held"), 0);
  EXPECT_EQ(stats.blocks_free + stats.blocks_cached, 512);
  EXPECT_GT(Metric("hadal_prefix_hit_tokens_total"), 0);
  EXPECT_GT(Metric("hadal_generated_tokens_total"), 0);
  EXPECT_EQ(Metric("hadal_time_to_first_token_seconds_count"), 2);
}

TEST_F(WholeStackTest, LogprobsComeInBothShapes) {
  const Json text = Post("/v1/completions",
                         R"({"model":"demo","prompt":"ab","max_tokens":4,"seed":1,"logprobs":2})");
  const Json& logprobs = text["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"].size(), logprobs["token_logprobs"].size());
  EXPECT_EQ(logprobs["tokens"].size(), logprobs["text_offset"].size());
  ASSERT_GT(logprobs["tokens"].size(), 0u);
  EXPECT_EQ(logprobs["top_logprobs"][0].size(), 2u);
  EXPECT_LT(logprobs["token_logprobs"][0].get<double>(), 0);
}

TEST_F(WholeStackTest, TokenIdsAreAPromptAndBadOnesAreNot) {
  EXPECT_EQ(Post("/v1/completions",
                 R"({"model":"demo","prompt":[1,2,3],"max_tokens":2})")["usage"]["prompt_tokens"],
            3);
  EXPECT_EQ(Post("/v1/completions", R"({"model":"demo","prompt":[1,270]})")["error"]["param"],
            "prompt");
}

TEST_F(WholeStackTest, ATooLongPromptIsA400WithBothCounts) {
  const std::string body =
      R"({"model":"demo","prompt":")" + std::string(1000, 'x') + R"(","max_tokens":5})";
  const auto response = Call("POST", "/v1/completions", body);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 400);
  EXPECT_THAT(response->body, HasSubstr("context_length_exceeded"));
  EXPECT_THAT(response->body, HasSubstr("1001 tokens"));
  EXPECT_THAT(response->body, HasSubstr("256 tokens"));
}

TEST_F(WholeStackTest, ARequestPastTheServersDeadlineIsA408OrAnErrorEvent) {
  HttpFrontOptions options;
  options.request_timeout_s = 0.3;
  runner->delay_us = 5000;  // 250 steps take longer
  StartFront(options);
  const std::string body = R"({"model":"demo","prompt":"x","ignore_eos":true)";
  const auto whole = Call("POST", "/v1/completions", body + "}");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->status, 408);
  EXPECT_EQ(Json::parse(whole->body)["error"]["code"], "timeout");
  const auto streamed = Call("POST", "/v1/completions", body + R"(,"stream":true})");
  ASSERT_TRUE(streamed);
  EXPECT_EQ(streamed->status, 200);
  EXPECT_THAT(streamed->body, HasSubstr(R"("code":"timeout")"));
  EXPECT_EQ(streamed->body.find("[DONE]"), std::string::npos);
  ASSERT_TRUE(service->WaitIdle(std::chrono::seconds(30)));
  EXPECT_EQ(service->stats().blocks_held, 0);
}

TEST_F(WholeStackTest, ClientsThatLeaveFreeTheirBlocks) {  // row 121
  std::vector<std::thread> clients;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back([&] {
      (void)Call("POST", "/v1/chat/completions",
                 R"({"model":"demo","messages":[{"role":"user","content":"x"}],"stream":true,)"
                 R"("ignore_eos":true})",
                 [](const HttpResponse&, std::string_view) { return false; });
    });
  }
  for (auto& client : clients) client.join();
  ASSERT_TRUE(service->WaitIdle(std::chrono::seconds(30)));
  const ServiceStats stats = service->stats();
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.blocks_held, 0);
}

TEST_F(WholeStackTest, DrainFinishesEveryRunningStream) {
  std::vector<std::thread> clients;
  std::atomic<int> n_started{0}, n_whole{0};
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&] {
      std::string body;
      bool started = false;
      (void)Call("POST", "/v1/completions",
                 R"({"model":"demo","prompt":"x","stream":true,"ignore_eos":true,)"
                 R"("max_tokens":100})",
                 [&](const HttpResponse&, std::string_view bytes) {
                   if (!std::exchange(started, true)) ++n_started;
                   body += bytes;
                   return true;
                 });
      if (body.ends_with("data: [DONE]\n\n")) ++n_whole;
    });
  }
  while (n_started < 16) std::this_thread::yield();
  front->Drain();
  EXPECT_EQ(Call("GET", "/ready")->status, 503);
  EXPECT_TRUE(front->WaitIdle(std::chrono::seconds(60)));
  for (auto& client : clients) client.join();
  EXPECT_EQ(n_whole, 16);
}

}  // namespace
}  // namespace hadal::server
