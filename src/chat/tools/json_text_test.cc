#include "chat/tools/json_text.h"

#include <gmock/gmock.h>

#include "chat/tools/json_progress.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;

std::string Rewritten(std::string_view text, int indent = 0) {
  const auto out = RewriteJson(text, indent);
  return out ? *out : out.error().message;
}

// The expected texts are what Python 3.11's json.dumps(json.loads(...), ensure_ascii=False) gives.
TEST(JsonText, IsWrittenAsPythonWritesIt) {
  EXPECT_EQ(Rewritten(R"( {"b":1,"a":[true,false,null],"c":{}} )"),
            R"({"b": 1, "a": [true, false, null], "c": {}})");
  EXPECT_EQ(Rewritten(R"(["\u5317\u4eac","\ud83d\ude42","\/","\u0001\n\t\b\f\r\"\\","é"])"),
            "[\"北京\", \"🙂\", \"/\", \"\\u0001\\n\\t\\b\\f\\r\\\"\\\\\", \"é\"]");
  EXPECT_EQ(
      Rewritten("[1.0,1e5,1E16,1.5e-5,0.0001,123456789012345680,1e22,-0,-0.0,2.50,1e-400]"),
      "[1.0, 100000.0, 1e+16, 1.5e-05, 0.0001, 123456789012345680, 1e+22, 0, -0.0, 2.5, 0.0]");
  EXPECT_EQ(Rewritten("123456789.125"), "123456789.125");
  EXPECT_EQ(Rewritten("123456789012345678901234567890"), "123456789012345678901234567890");
  EXPECT_EQ(Rewritten("12345678901234567.0"), "1.2345678901234568e+16");
  EXPECT_EQ(Rewritten(R"({"a":[1,{"b":[]}],"c":{}})", 4),
            "{\n    \"a\": [\n        1,\n        {\n            \"b\": []\n        }\n    ],\n"
            "    \"c\": {}\n}");
}

TEST(JsonText, WhatIsNotJsonIsRefusedWithTheByte) {
  EXPECT_THAT(Rewritten("{\"a\":1,}"), HasSubstr("byte 7"));
  EXPECT_THAT(Rewritten("{\"a\":1,\"a\":2}"), HasSubstr("already has"));
  EXPECT_THAT(Rewritten("\"\\ud800\""), HasSubstr("surrogate"));
  EXPECT_THAT(Rewritten("1e999"), HasSubstr("too large"));
  for (const char* text : {"", "NaN", "01", "1.", "[1 2]", "\"a\nb\"", "\"\xFF\"", "tru", "{'a':1}",
                           "1 2", "\"\\x\"", "[", "\"\\u12", "-"}) {
    EXPECT_FALSE(RewriteJson(text)) << text;
  }
  EXPECT_THAT(Rewritten(std::string(65, '[') + std::string(65, ']')), HasSubstr("nesting"));
  EXPECT_TRUE(RewriteJson(std::string(64, '[') + std::string(64, ']')));
  EXPECT_FALSE(RewriteJson("[1, 2]", 0, {.max_bytes = 5}));
}

TEST(JsonText, MembersOfAnObjectComeInOrderWithStringsDecoded) {
  const auto members = JsonMembers(R"({"z":"a\nb","y":[1,"x"],"":1.50})");
  ASSERT_TRUE(members);
  ASSERT_EQ(members->size(), 3u);
  EXPECT_EQ((*members)[0].text, "a\nb");
  EXPECT_TRUE((*members)[0].is_string);
  EXPECT_EQ((*members)[1].text, "[1, \"x\"]");
  EXPECT_FALSE((*members)[1].is_string);
  EXPECT_EQ((*members)[2].key, "");
  EXPECT_EQ((*members)[2].text, "1.5");
  EXPECT_FALSE(JsonMembers("[1]"));
  EXPECT_FALSE(JsonMembers("{} x"));
}

// Whether the scanner takes every character, and what it says at the end.
std::string Follow(std::string_view text) {
  JsonProgress progress;
  for (const char c : text) {
    if (!progress.Push(c)) return "broken";
  }
  return progress.CompleteAtEnd() ? (progress.is_object() ? "object" : "value") : "open";
}

TEST(JsonProgress, SaysWhetherTextCanBecomeOneValue) {
  EXPECT_EQ(Follow(R"( {"a":[1,-2.5e+3,{"b":"\u00e9\""}],"c":null} )"), "object");
  for (const char* text : {"0", "-0.5", "1e9", "true", "\"x\"", "[]", "[[],{}]", "12 "}) {
    EXPECT_EQ(Follow(text), "value") << text;
  }
  for (const char* text : {"", "{", "[1,", "\"a", "{\"a\"", "{\"a\":", "1.", "1e", "-", "nul"}) {
    EXPECT_EQ(Follow(text), "open") << text;
  }
  for (const char* text : {"}", "[}", "01", "1 2", "{1", "[,", "{\"a\",", "\"\n", "\"\\x", "nuL",
                           "+1", "[1]]", "{\"a\":1,}", "\"\\u12g", "--", "1..", "{}{"}) {
    EXPECT_EQ(Follow(text), "broken") << text;
  }
  EXPECT_EQ(Follow(std::string(256, '[')), "open");
  EXPECT_EQ(Follow(std::string(257, '[')), "broken");
}

}  // namespace
}  // namespace hadal
