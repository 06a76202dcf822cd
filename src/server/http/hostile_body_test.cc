// Rows of the bad-input list, over a real socket: each is answered with the right status and a JSON
// error that names the field, nothing reaches the service, and the server goes on.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "server/http/testing/front_fixture.h"

namespace hadal::server {
namespace {

using ::testing::HasSubstr;

std::string Repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

struct HostileBody {
  std::string name;
  std::string body;
  std::string param;  // "" = null
  int status = 400;
};

class HostileBodyTest : public HttpFrontTest {
 protected:
  void Expect(std::string_view path, const HostileBody& row) {
    const HttpResponse response = Post(path, row.body);
    EXPECT_EQ(response.status, row.status) << row.name;
    const Json error = Json::parse(response.body, nullptr, false);
    ASSERT_TRUE(error.is_object()) << row.name << ": " << response.body;
    ASSERT_TRUE(error.contains("error")) << row.name;
    EXPECT_EQ(error["error"].size(), 4u);
    EXPECT_EQ(error["error"]["type"], "invalid_request_error") << row.name;
    EXPECT_TRUE(error["error"]["message"].is_string()) << row.name;
    EXPECT_TRUE(error["error"]["code"].is_string()) << row.name;
    if (row.param.empty()) {
      EXPECT_TRUE(error["error"]["param"].is_null()) << row.name << ": " << response.body;
    } else {
      EXPECT_EQ(error["error"]["param"], row.param) << row.name;
    }
    EXPECT_EQ(Get("/health").status, 200) << row.name;
  }
};

TEST_F(HostileBodyTest, EveryMalformedJsonIsA400) {  // rows 35-46, 48
  StartFront();
  const std::vector<HostileBody> rows = {
      {"35 empty", "", ""},
      {"36 not JSON", "hello", ""},
      {"37 truncated", R"({"model":"demo","messages":[)", "messages"},
      {"38 null", "null", ""},
      {"38 array", "[]", ""},
      {"38 number", "42", ""},
      {"39 half a BOM", "\xef\xbb{}", ""},
      {"40 NaN", R"({"temperature":NaN})", "temperature"},
      {"40 Infinity", R"({"temperature":Infinity})", "temperature"},
      {"41 1e999999", R"({"temperature":1e999999})", "temperature"},
      {"42 invalid UTF-8", "{\"prompt\":\"\xff\xfe\"}", "prompt"},
      {"43 open arrays", Repeat("[", 100'000), ""},
      {"44 open objects", Repeat("{\"a\":", 100'000), "a"},
      {"45 valid nesting", ChatBody("\"x\":" + Repeat("[", 100'000) + Repeat("]", 100'000)), "x"},
      {"46 lone surrogate", R"({"prompt":"\ud800"})", "prompt"},
      {"48 duplicate keys", R"({"model":"demo","model":"demo"})", "model"},
  };
  for (const auto& row : rows) {
    Expect(kChatPath, row);
    Expect(kTextPath, row);
  }
  EXPECT_EQ(service.submitted(), 0u);
}

TEST_F(HostileBodyTest, EveryBadParameterIsNamed) {  // rows 50, 53-66, 71-73
  StartFront();
  const std::string many_messages = Repeat(R"({"role":"user","content":"x"},)", 99'999);
  const std::vector<HostileBody> rows = {
      {"50 100 000 messages",
       R"({"model":"demo","messages":[)" + many_messages + R"({"role":"user","content":"x"}]})",
       "messages"},
      {"53 no messages", R"({"model":"demo","messages":[]})", "messages"},
      {"54 no role", R"({"model":"demo","messages":[{"content":"x"}]})", "messages[0].role"},
      {"55 unknown role", R"({"model":"demo","messages":[{"role":"x","content":"x"}]})",
       "messages[0].role"},
      {"56 content object", R"({"model":"demo","messages":[{"role":"user","content":{}}]})",
       "messages[0].content"},
      {"57 max_tokens -5", ChatBody("\"max_tokens\":-5"), "max_tokens"},
      {"57 max_tokens 0", ChatBody("\"max_tokens\":0"), "max_tokens"},
      {"57 max_tokens 2^63", ChatBody("\"max_tokens\":9223372036854775808"), "max_tokens"},
      {"57 max_tokens abc", ChatBody("\"max_tokens\":\"abc\""), "max_tokens"},
      {"58 n 1e9", ChatBody("\"n\":1000000000"), "n"},
      {"59 temperature -1", ChatBody("\"temperature\":-1"), "temperature"},
      {"59 temperature 1e308", ChatBody("\"temperature\":1e308"), "temperature"},
      {"59 temperature hot", ChatBody("\"temperature\":\"hot\""), "temperature"},
      {"60 top_p 5", ChatBody("\"top_p\":5"), "top_p"},
      {"61 top_k -2^31", ChatBody("\"top_k\":-2147483648"), "top_k"},
      {"62 seed 2^64", ChatBody("\"seed\":18446744073709551616"), "seed"},
      {"63 logit_bias array", ChatBody("\"logit_bias\":[1]"), "logit_bias"},
      {"64 10 000 stops", ChatBody("\"stop\":[" + Repeat("\"a\",", 9999) + "\"a\"]"), "stop"},
      {"64 empty stop", ChatBody("\"stop\":\"\""), "stop"},
      {"65 top_logprobs", ChatBody("\"logprobs\":true,\"top_logprobs\":1000000000"),
       "top_logprobs"},
      {"71 stream yes", ChatBody("\"stream\":\"yes\""), "stream"},
      {"72 model path", R"({"model":"../../etc/passwd","messages":[]})", "model", 404},
      {"73 1 MB model", "{\"model\":\"" + std::string(1 << 20, 'm') + "\",\"messages\":[]}",
       "model"},
      {"103 image_url file",
       R"({"model":"demo","messages":[{"role":"user","content":[{"type":"image_url",)"
       R"("image_url":{"url":"file:///etc/passwd"}}]}]})",
       "messages[0].content[0].type"},
  };
  for (const auto& row : rows) Expect(kChatPath, row);
  EXPECT_EQ(service.submitted(), 0u);
}

TEST_F(HostileBodyTest, BadPromptsAreNamed) {  // rows 69, 70
  StartFront();
  for (const char* prompt : {"[]", "[-1]", "[4294967296]", "[1.5]", "{}", "null", "[[]]"}) {
    Expect(kTextPath,
           {prompt, R"({"model":"demo","prompt":)" + std::string(prompt) + "}", "prompt"});
  }
  EXPECT_EQ(service.submitted(), 0u);
}

TEST_F(HostileBodyTest, UnknownFieldsNeverHurt) {  // rows 66-68, 76
  AnswerWith(service, "ok");
  StartFront();
  for (const char* field : {"\"repeat_last_n\":1000000000", "\"n_discard\":-1", "\"id_slot\":99999",
                            "\"cache_prompt\":\"\\u0000\"", "\"\":[[]]"}) {
    EXPECT_EQ(Post(kChatPath, ChatBody(field)).status, 200) << field;
  }
}

TEST_F(HostileBodyTest, UnknownFieldsAreRefusedWhenTheSettingSaysSo) {
  options.refuse_unknown_fields = true;
  StartFront();
  Expect(kChatPath, {"76", ChatBody("\"n_discard\":-1"), "n_discard"});
}

TEST_F(HostileBodyTest, ANulInAStringAndAByteOrderMarkAreFine) {  // rows 39, 47
  AnswerWith(service, "ok");
  StartFront();
  EXPECT_EQ(Post(kTextPath, R"({"model":"demo","prompt":"a\u0000b"})").status, 200);
  EXPECT_EQ(std::get<api::TextPrompt>(service.RequestOf(0).prompt).text, std::string("a\0b", 3));
  EXPECT_EQ(Post(kTextPath, "\xef\xbb\xbf{\"model\":\"demo\",\"prompt\":\"a\"}").status, 200);
}

TEST_F(HostileBodyTest, ABodyBeyondTheLimitIsA413) {  // row 49
  options.server.limits.body_bytes = 1 << 20;
  StartFront();
  Expect(kTextPath,
         {"49", R"({"model":"demo","prompt":")" + std::string(2 << 20, 'a') + "\"}", "", 413});
}

TEST_F(HostileBodyTest, WrongContentTypesAndEncodingsAreA415) {  // rows 11, 51
  StartFront();
  for (const char* type : {"text/plain", "application/jsonp", "application/x-www-form-urlencoded",
                           "multipart/form-data; boundary=application/json", ";"}) {
    EXPECT_EQ(Post(kChatPath, ChatBody(), {{"Content-Type", type}}).status, 415) << type;
  }
  EXPECT_EQ(Post(kChatPath, ChatBody(), {{"Content-Encoding", "gzip"}}).status, 415);
  const auto response = Post(kChatPath, ChatBody(), {{"Content-Type", "text/plain"}});
  EXPECT_THAT(response.body, HasSubstr("\"unsupported_media_type\""));
}

}  // namespace
}  // namespace hadal::server
