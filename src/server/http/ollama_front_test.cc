// Ollama's routes over a real socket.
#include <gmock/gmock.h>

#include <thread>
#include <vector>

#include "base/version.h"
#include "server/http/ollama_dialect.h"
#include "server/http/testing/front_fixture.h"

namespace hadal::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OllamaFrontTest : public HttpFrontTest {
 protected:
  static std::string Chat(const std::string& fields = {}) { return ChatBody(fields); }
  static std::vector<Json> Lines(const std::string& body) {
    std::vector<Json> lines;
    for (size_t at = 0; at < body.size();) {
      const size_t end = body.find('\n', at);
      EXPECT_NE(end, std::string::npos);
      lines.push_back(Json::parse(body.substr(at, end - at)));
      at = end + 1;
    }
    return lines;
  }
  void ExpectError(std::string_view path, const std::string& body, int status,
                   const std::string& message) {
    const auto response = Post(path, body);
    EXPECT_EQ(response.status, status) << body;
    EXPECT_EQ(response.headers.Get("Content-Type"), "application/json");
    const Json json = Json::parse(response.body, nullptr, false);
    ASSERT_TRUE(json.is_object() && json.size() == 1 && json.contains("error")) << response.body;
    EXPECT_THAT(json["error"].get<std::string>(), HasSubstr(message));
  }
};

TEST_F(OllamaFrontTest, StreamsLinesByDefault) {
  AnswerWith(service, "Hello");
  StartFront();
  const auto response = Post("/api/chat", Chat());
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.Get("Content-Type"), "application/x-ndjson");
  const auto lines = Lines(response.body);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["message"]["content"], "Hello");
  EXPECT_EQ(lines[1]["done"], true);
  EXPECT_EQ(lines[1]["prompt_eval_count"], 5);
}

TEST_F(OllamaFrontTest, AnswersWholeWhenAsked) {
  AnswerWith(service, "Hello");
  StartFront();
  const auto chat = Post("/api/chat", Chat(R"("stream":false)"));
  EXPECT_EQ(chat.headers.Get("Content-Type"), "application/json");
  EXPECT_EQ(Json::parse(chat.body)["message"]["content"], "Hello");
  const auto text =
      Post("/api/generate", R"({"model":"demo:latest","prompt":"x","raw":true,"stream":false})");
  EXPECT_EQ(Json::parse(text.body)["response"], "Hello");
  EXPECT_EQ(std::get<api::TextPrompt>(service.RequestOf(1).prompt).text, "x");
}

TEST_F(OllamaFrontTest, ErrorsAreOneSentenceWithTheTablesStatus) {
  StartFront();
  ExpectError("/api/chat", R"({"model":"x","messages":[]})", 404, "model 'x' not found");
  ExpectError("/api/generate", R"({"model":"x","prompt":"a"})", 404, "model 'x' not found");
  ExpectError("/api/show", R"({"model":"x"})", 404, "model 'x' not found");
  ExpectError("/api/show", "{}", 400, "model is missing");
  ExpectError("/api/show", R"({"model":[]})", 400, "model is an array");
  ExpectError("/api/chat", Chat(R"("options":{"num_ctx":5000})"), 400, "at most 4096");
  ExpectError("/api/chat", "[]", 400, "must be an object");
  ExpectError("/api/nope", "{}", 404, "no such path");
  ExpectError("/api/embed", "{}", 404, "no such path");
  const auto wrong_method = Get("/api/chat");
  EXPECT_EQ(wrong_method.status, 405);
  EXPECT_EQ(Json::parse(wrong_method.body).size(), 1u);
  EXPECT_EQ(service.submitted(), 0u);
}

TEST_F(OllamaFrontTest, RefusalsOfTheServiceAreInOllamasWords) {
  service.refusal = Error{ErrorCode::kContextLengthExceeded,
                          "max_tokens is 9; max_tokens must be at most 5", "max_tokens"};
  StartFront();
  ExpectError("/api/chat", Chat(), 400,
              "options.num_predict is 9; options.num_predict must be at most 5");
}

TEST_F(OllamaFrontTest, AStreamThatBreaksEndsWithAnErrorLine) {
  StartFront();
  std::thread model([&] {
    service.Emit(0, ContentDelta("He"));
    service.Emit(0, api::Failed{{ErrorCode::kInternal, "broken", {}}});
  });
  const auto response = Post("/api/chat", Chat());
  model.join();
  const auto lines = Lines(response.body);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1], Json::parse(R"({"error":"broken"})"));
}

TEST_F(OllamaFrontTest, TheRoutesNeedAKeyLikeAllOthers) {
  options.keys = *ApiKeys::Create({{.key = std::string(kTestKey)}});
  StartFront();
  for (const char* path : {"/api/tags", "/api/ps", "/api/version"}) {
    const auto response = Get(path);
    EXPECT_EQ(response.status, 401) << path;
    EXPECT_TRUE(Json::parse(response.body)["error"].is_string());
  }
  EXPECT_EQ(Get("/api/version", {{"Authorization", "Bearer " + std::string(kTestKey)}}).status,
            200);
}

TEST_F(OllamaFrontTest, TagsPsAndVersionSayWhatIsKnown) {
  StartFront();
  EXPECT_EQ(Json::parse(Get("/api/version").body)["version"], Version());
  EXPECT_EQ(Get("/api/tags").body,
            R"({"models":[{"name":"demo","model":"demo",)"
            R"("modified_at":"1970-01-01T00:00:07.000000000Z","details":{"family":"fake",)"
            R"("families":["fake"],"context_length":4096},"capabilities":["completion"]}]})");
  EXPECT_EQ(Get("/api/ps").body,
            R"({"models":[{"name":"demo","model":"demo","details":{"family":"fake",)"
            R"("families":["fake"],"context_length":4096},"context_length":4096}]})");
}

class FullCard : public ScriptedService {
 public:
  std::vector<ModelCard> models() const override {
    ModelCard card;
    card.name = "demo";
    card.architecture = "fake";
    card.context = 8192;
    card.tools = card.thinking = card.fim = true;
    card.parameters = 7'615'616'512;
    card.weights = "q4_k_m";
    return {card};
  }
};

TEST(OllamaShow, SaysWhatTheCardKnowsAndNothingElse) {
  FullCard service;
  RequestRules rules;
  rules.models = {{"demo", "demo"}};
  const std::string tenant;
  const CallContext context{rules, service, tenant};
  const auto show = [&](const char* body) {
    return ShowOllamaModel(*ParseJsonObject(body), context);
  };
  const auto body = show(R"({"model":"demo:latest","verbose":true})");
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(*body, R"({"details":{"family":"fake","families":["fake"],"parameter_size":"7.6B",)"
                   R"("quantization_level":"q4_k_m","context_length":8192},"model_info":{)"
                   R"("general.architecture":"fake","general.parameter_count":7615616512,)"
                   R"("fake.context_length":8192},"capabilities":["completion","tools","thinking",)"
                   R"("insert"],"modified_at":"1970-01-01T00:00:00.000000000Z"})");
  EXPECT_TRUE(show(R"({"name":"demo"})"));
  EXPECT_TRUE(show(R"({"name":"demo","x":1})"));
  rules.refuse_unknown_fields = true;
  EXPECT_EQ(show(R"({"name":"demo","x":1})").error().field, "x");
}

}  // namespace
}  // namespace hadal::server
