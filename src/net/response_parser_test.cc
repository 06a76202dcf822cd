#include "net/response_parser.h"

#include <gtest/gtest.h>

#include "net/response_head.h"

namespace hadal {
namespace {

struct Parsed {
  int status = 0;
  std::string body;
  bool keep_alive = false;
};

Result<Parsed> ParseInPieces(const std::string& bytes, size_t piece, bool is_head) {
  ResponseParser parser({}, is_head);
  std::string input;
  Parsed out;
  for (size_t at = 0;;) {
    size_t consumed = 0;
    HADAL_TRY(auto step, parser.Feed(input, &consumed, &out.body));
    input.erase(0, consumed);
    if (step == ResponseParser::Step::kDone) break;
    if (step == ResponseParser::Step::kHead) continue;
    if (at == bytes.size()) {
      HADAL_OK(parser.FinishAtEof());
      break;
    }
    input += bytes.substr(at, piece);
    at = std::min(at + piece, bytes.size());
  }
  out.status = parser.status();
  out.keep_alive = parser.keep_alive();
  return out;
}

TEST(ResponseParserTest, ReadsEveryFramingHoweverSplit) {
  struct Case {
    std::string bytes;
    bool is_head;
    int status;
    std::string body;
    bool keep_alive;
  };
  const Case cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, 200, "abc", true},
      {"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false, 200, "abc",
       true},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 404 \r\n"
       "Content-Length: 1\r\nConnection: close\r\n\r\nx",
       false, 404, "x", false},
      {"HTTP/1.1 200 OK\r\n\r\nuntil close", false, 200, "until close", false},
      {"HTTP/1.1 204 No Content\r\n\r\n", false, 204, "", true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, 200, "", true},
  };
  for (const Case& c : cases) {
    for (size_t piece = 1; piece <= c.bytes.size(); ++piece) {
      auto parsed = ParseInPieces(c.bytes, piece, c.is_head);
      ASSERT_TRUE(parsed) << c.bytes << ": " << parsed.error().message;
      EXPECT_EQ(parsed->status, c.status);
      EXPECT_EQ(parsed->body, c.body);
      EXPECT_EQ(parsed->keep_alive, c.keep_alive);
    }
  }
}

TEST(ResponseHeadTest, FormatsDates) {
  EXPECT_EQ(FormatHttpDate(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(FormatHttpDate(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
}

}  // namespace
}  // namespace hadal
