#include "net/sse.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

std::vector<SseMessage> ParseInPieces(std::string_view bytes, size_t piece) {
  SseParser parser(1000);
  std::vector<SseMessage> events;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    EXPECT_TRUE(parser.Feed(bytes.substr(at, piece), &events));
  }
  return events;
}

TEST(SseTest, AnyTextIsOneEvent) {
  for (std::string text :
       {std::string("plain"), std::string(""), std::string("a\n\ndata: [DONE]\n\n"),
        std::string("a\r\n\r\nevent: evil\r\n\r\nb"), std::string("\r\r"), std::string("\n"),
        std::string("\xe2\x80\xa8\xe2\x80\xa9"), std::string(" leading"), std::string(":colon"),
        std::string("nul\0nul", 7)}) {
    std::string expected;
    for (size_t i = 0; i < text.size(); ++i) {  // CR and CR LF arrive as LF
      if (text[i] == '\r') {
        expected.push_back('\n');
        if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
      } else {
        expected.push_back(text[i]);
      }
    }
    for (std::string bytes : {SseEvent(text), SseEvent("na\nme", text)}) {
      for (size_t piece = 1; piece <= bytes.size(); ++piece) {
        auto events = ParseInPieces(bytes, piece);
        ASSERT_EQ(events.size(), 1u) << text;
        EXPECT_EQ(events[0].data, expected);
      }
    }
  }
  EXPECT_EQ(SseEvent("{}"), "data: {}\n\n");
  EXPECT_EQ(SseEvent("ping", "{}"), "event: ping\ndata: {}\n\n");
}

TEST(SseTest, ReadsTheCornersOfTheFormat) {
  auto events = ParseInPieces(
      "\xef\xbb\xbf: comment\r\n\r\ndata:a\rdata\rdata: b\r\revent: e\nid: 1\n\nevent:x\n"
      "data:  two spaces\nunknown: field\n\ndata: unfinished\n",
      3);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].data, "a\n\nb");
  EXPECT_EQ(events[0].event, "");
  EXPECT_EQ(events[1].data, " two spaces");
  EXPECT_EQ(events[1].event, "x");
  EXPECT_TRUE(ParseInPieces(SseKeepAlive(), 1).empty());
}

TEST(SseTest, AnEndlessEventIsRefused) {
  SseParser parser(100);
  std::vector<SseMessage> events;
  Status fed;
  for (int i = 0; i < 100 && fed; ++i) fed = parser.Feed("data: x\n", &events);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, ErrorCode::kPayloadTooLarge);
}

}  // namespace
}  // namespace hadal
