// A front end on a free loopback port over a ScriptedService, and short ways to call it.
#pragma once

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <string_view>

#include "net/http_client.h"
#include "net/sse.h"
#include "server/http/http_front.h"
#include "server/http/testing/scripted_service.h"

namespace hadal::server {

inline constexpr std::string_view kTestKey = "sk-hadal-0123456789abcdef";
inline constexpr std::string_view kChatPath = "/v1/chat/completions";
inline constexpr std::string_view kTextPath = "/v1/completions";

class HttpFrontTest : public testing::Test {
 protected:
  void StartFront() {
    auto front = HttpFront::Start(options, service, metrics, log);
    ASSERT_TRUE(front) << front.error().message;
    front_ = std::move(*front);
  }
  void TearDown() override { front_.reset(); }
  HttpFront& front() { return *front_; }

  Result<HttpResponse> Call(std::string method, std::string_view path, std::string body = {},
                            Headers headers = {}, const BodySink& sink = {}) {
    HttpClientOptions client_options;
    client_options.port = front_->port();
    HttpClient client(client_options);
    if (method == "POST" && headers.Find("Content-Type") == nullptr) {
      headers.Add("Content-Type", "application/json; charset=utf-8");
    }
    return client.Send({std::move(method), std::string(path), std::move(headers), std::move(body)},
                       sink);
  }
  HttpResponse Get(std::string_view path, Headers headers = {}) {
    auto response = Call("GET", path, {}, std::move(headers));
    EXPECT_TRUE(response) << response.error().message;
    return response ? *response : HttpResponse{};
  }
  HttpResponse Post(std::string_view path, std::string body, Headers headers = {}) {
    auto response = Call("POST", path, std::move(body), std::move(headers));
    EXPECT_TRUE(response) << response.error().message;
    return response ? *response : HttpResponse{};
  }
  static std::string ChatBody(std::string_view fields = {}) {
    return R"({"model":"demo","messages":[{"role":"user","content":"hi"}])" +
           (fields.empty() ? std::string() : "," + std::string(fields)) + "}";
  }
  static std::vector<SseMessage> EventsOf(std::string_view body) {
    SseParser parser(1 << 20);
    std::vector<SseMessage> events;
    EXPECT_TRUE(parser.Feed(body, &events));
    return events;
  }

  HttpFrontOptions options;
  ScriptedService service;
  Metrics metrics;
  AccessLog* log = nullptr;

 private:
  std::unique_ptr<HttpFront> front_;
};

}  // namespace hadal::server
