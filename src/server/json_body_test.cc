#include "server/json_body.h"

#include <gmock/gmock.h>

#include <string>

namespace hadal::server {
namespace {

using ::testing::HasSubstr;

std::string Repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

Error RefusalOf(std::string_view body, const JsonLimits& limits = {}) {
  auto json = ParseJsonObject(body, limits);
  EXPECT_FALSE(json) << "accepted: " << body.substr(0, 80);
  return json ? Error{} : json.error();
}

TEST(JsonBody, AcceptsAnObjectOfEveryKindOfValue) {
  const auto json = ParseJsonObject(
      R"( {"n":null,"b":true,"i":-3,"u":18446744073709551615,"f":2.5e-1,"s":"é\u00e9","a":[1,[2]],)"
      R"("o":{"x":{}}} )");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_TRUE(json->at("n").is_null());
  EXPECT_EQ(json->at("i"), -3);
  EXPECT_EQ(json->at("u").get<uint64_t>(), UINT64_MAX);
  EXPECT_EQ(json->at("f"), 0.25);
  EXPECT_EQ(json->at("s"), "éé");
  EXPECT_EQ(json->at("a"), Json::parse("[1,[2]]"));
  EXPECT_EQ(json->at("o"), Json::parse(R"({"x":{}})"));
}

TEST(JsonBody, RefusesWhatIsNotAnObject) {
  for (const char* body : {"", " ", "null", "[]", "7", "\"x\"", "true", "[1,2]"}) {
    EXPECT_EQ(RefusalOf(body).code, ErrorCode::kMalformed) << body;
  }
  EXPECT_THAT(RefusalOf("").message, HasSubstr("empty"));
  EXPECT_THAT(RefusalOf("[]").message, HasSubstr("must be an object"));
}

TEST(JsonBody, RefusesWhatIsNotJson) {
  for (const char* body : {"not json", "{", "{\"a\":", "{\"a\":1", "{\"a\":1}}", "{\"a\":1} {}",
                           "{'a':1}", "{\"a\":01}", "{\"a\":1,}", "{\"a\":NaN}", "{\"a\":Infinity}",
                           "{\"a\":-Infinity}", "{\"a\":.5}", "{\"a\":\"\t\"}", "{\"a\":+1}",
                           "{\"a\":0x1}", "{a:1}", "//c\n{}", "{\"a\":\"\\x\"}"}) {
    const Error error = RefusalOf(body);
    EXPECT_EQ(error.code, ErrorCode::kMalformed) << body;
    EXPECT_THAT(error.message, HasSubstr("byte")) << body;
  }
}

TEST(JsonBody, RefusesARawZeroByteAnywhere) {
  for (const std::string_view body :
       {std::string_view("{\"a\":1}\0", 8), std::string_view("{\0}", 3),
        std::string_view("{\"a\":1}\0{", 9)}) {
    const auto r = ParseJsonObject(body, {});
    ASSERT_FALSE(r.has_value());
    EXPECT_EQ(r.error().code, ErrorCode::kMalformed);
  }
}

TEST(JsonBody, RefusesNumbersBeyondADouble) {
  EXPECT_THAT(RefusalOf(R"({"temperature":1e999999})").message, HasSubstr("number"));
  EXPECT_EQ(RefusalOf(R"({"temperature":1e999999})").field, "temperature");
  EXPECT_EQ(RefusalOf(R"({"temperature":-1e400})").field, "temperature");
  EXPECT_TRUE(ParseJsonObject(R"({"a":1e-999999})"));  // rounds to 0
}

TEST(JsonBody, RefusesInvalidUtf8AndLoneSurrogates) {
  for (const char* body :
       {"{\"a\":\"\xff\"}", "{\"a\":\"\xc3\"}", "{\"a\":\"\xc0\xaf\"}", "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\xf4\x90\x80\x80\"}", R"({"a":"\ud800"})", R"({"a":"\udc00"})",
        R"({"a":"\ud800\u0041"})", "\xff\xfe{\0}\0"}) {
    EXPECT_EQ(RefusalOf(body).code, ErrorCode::kMalformed);
  }
  EXPECT_EQ(*ParseJsonObject(R"({"a":"\ud83d\ude00"})"), Json({{"a", "😀"}}));
}

TEST(JsonBody, SkipsAByteOrderMarkButNotHalfOfOne) {
  EXPECT_TRUE(ParseJsonObject("\xef\xbb\xbf{\"a\":1}"));
  EXPECT_FALSE(ParseJsonObject("\xef\xbb{\"a\":1}"));
  EXPECT_FALSE(ParseJsonObject("\xef\xbb\xbf"));
}

TEST(JsonBody, KeepsANulInsideAString) {
  const auto json = ParseJsonObject(R"({"a":"x\u0000y"})");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->at("a").get<std::string>(), std::string("x\0y", 3));
}

TEST(JsonBody, RefusesDuplicateKeysAtAnyDepthNamingThem) {
  const Error top = RefusalOf(R"({"model":"a","n":1,"model":"b"})");
  EXPECT_THAT(top.message, HasSubstr("\"model\" appears twice"));
  EXPECT_EQ(top.field, "model");
  const Error inner = RefusalOf(R"({"messages":[{"role":"user","role":"system"}]})");
  EXPECT_THAT(inner.message, HasSubstr("\"role\" appears twice"));
  EXPECT_EQ(inner.field, "messages");
  EXPECT_TRUE(ParseJsonObject(R"({"a":{"x":1},"b":{"x":1},"c":[{"x":1},{"x":1}]})"));
}

TEST(JsonBody, RefusesDeepNestingOpenOrClosed) {
  for (const int depth : {65, 1000, 100'000}) {
    const std::string arrays = Repeat("[", depth);
    const std::string objects = Repeat("{\"a\":", depth);
    EXPECT_EQ(RefusalOf(arrays).code, ErrorCode::kMalformed);
    EXPECT_THAT(RefusalOf(arrays).message, HasSubstr("nested deeper than 64"));
    EXPECT_THAT(RefusalOf(objects).message, HasSubstr("nested deeper than 64"));
    const std::string valid = "{\"zzz\":" + arrays + Repeat("]", depth) + "}";
    const Error error = RefusalOf(valid);
    EXPECT_THAT(error.message, HasSubstr("nested deeper than 64"));
    EXPECT_EQ(error.field, "zzz");
  }
  EXPECT_TRUE(ParseJsonObject("{\"a\":" + Repeat("[", 63) + Repeat("]", 63) + "}"));
}

TEST(JsonBody, CountsValuesAndMembers) {
  const JsonLimits limits{.max_depth = 8, .max_values = 10, .max_members = 3};
  EXPECT_TRUE(ParseJsonObject(R"({"a":[1,2,3,4,5,6,7,8]})", limits));
  EXPECT_THAT(RefusalOf(R"({"a":[1,2,3,4,5,6,7,8,9]})", limits).message, HasSubstr("10 values"));
  EXPECT_THAT(RefusalOf(R"({"a":1,"b":1,"c":1,"d":1})", limits).message, HasSubstr("3 object"));
}

TEST(JsonBody, TheMessageNeverRepeatsALongToken) {
  const std::string secret(1 << 20, 's');
  EXPECT_LT(RefusalOf("{\"a\":\"" + secret).message.size(), 400u);
  EXPECT_LT(RefusalOf("{\"" + secret + "\":1,\"" + secret + "\":2}").message.size(), 400u);
}

}  // namespace
}  // namespace hadal::server
