#include "net/request_parser.h"

#include <gtest/gtest.h>

#include "net/target.h"

namespace hadal {
namespace {

using Step = RequestParser::Step;

// Feeds the bytes in pieces of the given size, as a connection would.
Result<HttpRequest> ParseInPieces(const std::string& bytes, size_t piece,
                                  const HttpLimits& limits) {
  RequestParser parser(limits);
  std::string input;
  size_t at = 0;
  for (;;) {
    size_t consumed = 0;
    HADAL_TRY(Step step, parser.Feed(input, &consumed));
    input.erase(0, consumed);
    if (step == Step::kDone) return parser.Take();
    if (step == Step::kHead) continue;
    if (at == bytes.size()) return Fail(ErrorCode::kTimeout, "more bytes are needed");
    input += bytes.substr(at, piece);
    at = std::min(at + piece, bytes.size());
  }
}

TEST(RequestParserTest, HowTheBytesAreSplitDoesNotMatter) {
  HttpLimits limits;
  const std::string bytes =
      "\r\nPOST /a%20b?c HTTP/1.1\r\nHost: h\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;a=b\r\nabc\r\nA\r\n0123456789\r\n00\r\nT: u\r\n\r\n";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    auto request = ParseInPieces(bytes, piece, limits);
    ASSERT_TRUE(request) << piece << ": " << request.error().message;
    EXPECT_EQ(request->path, "/a b");
    EXPECT_EQ(request->body, "abc0123456789");
    EXPECT_EQ(request->headers.size(), 3u);
  }
}

TEST(RequestParserTest, LimitsAreExact) {
  HttpLimits limits;
  limits.uri_bytes = 10;
  limits.header_count = 2;
  limits.header_bytes = 30;
  limits.body_bytes = 5;
  limits.chunk_count = 2;
  const std::string get = "GET / HTTP/1.1\r\n";
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
  const std::string chunked = "POST / HTTP/1.1\r\nHost:h\r\nTransfer-Encoding:chunked\r\n\r\n";
  struct Case {
    std::string bytes;
    int status;  // 0: accepted
  };
  const Case cases[] = {
      {"GET /123456789 HTTP/1.1\r\nHost: h\r\n\r\n", 0},
      {"GET /123456789a HTTP/1.1\r\nHost: h\r\n\r\n", 414},
      {get + "Host: h\r\na: b\r\n\r\n", 0},
      {get + "Host: h\r\na: b\r\nc: d\r\n\r\n", 431},
      {get + "Host: h\r\na: " + std::string(20, 'x') + "\r\n\r\n", 0},
      {get + "Host: h\r\na: " + std::string(21, 'x') + "\r\n\r\n", 431},
      {post + "Content-Length: 5\r\n\r\nabcde", 0},
      {post + "Content-Length: 6\r\n\r\nabcdef", 413},
      {chunked + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 431},
  };
  for (const Case& c : cases) {
    for (size_t piece : {size_t{1}, size_t{7}, c.bytes.size()}) {
      auto request = ParseInPieces(c.bytes, piece, limits);
      EXPECT_EQ(request ? 0 : InfoOf(request.error().code).http, c.status) << c.bytes;
    }
  }
  limits.header_bytes = 100;
  const Case chunk_cases[] = {
      {chunked + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 0},
      {chunked + "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", 413},
      {chunked + "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", 400},
  };
  for (const Case& c : chunk_cases) {
    auto request = ParseInPieces(c.bytes, 1, limits);
    EXPECT_EQ(request ? 0 : InfoOf(request.error().code).http, c.status) << c.bytes;
  }
}

TEST(RequestParserTest, WhatFollowsTheRequestIsLeft) {
  HttpLimits limits;
  RequestParser parser(limits);
  const std::string first = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab";
  std::string input = first + "GET /next";
  size_t consumed = 0;
  ASSERT_EQ(*parser.Feed(input, &consumed), Step::kHead);
  input.erase(0, consumed);
  ASSERT_EQ(*parser.Feed(input, &consumed), Step::kDone);
  EXPECT_EQ(input.substr(consumed), "GET /next");
  EXPECT_EQ(parser.Take().body, "ab");
  EXPECT_FALSE(parser.head_done());
}

TEST(TargetTest, DecodesEscapesOnce) {
  EXPECT_EQ(*PercentDecode("%2541+"), "%41+");
  EXPECT_EQ(*PercentDecode("a+b%20c", true), "a b c");
  EXPECT_FALSE(PercentDecode("%4"));
  EXPECT_FALSE(PercentDecode("%"));
  EXPECT_EQ(ParseTarget("GET", "/%252e%252e/x")->path, "/%2e%2e/x");
  EXPECT_EQ(ParseTarget("GET", "/a..b/...")->path, "/a..b/...");
  EXPECT_EQ(ParseTarget("GET", "/a/..").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(ParseTarget("GET", "/./a").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(ParseTarget("GET", "/%E4%BD%A0")->path, "/\xe4\xbd\xa0");
  EXPECT_FALSE(ParseTarget("GET", "/%ed%a0%80")) << "a surrogate";
  EXPECT_EQ(ParseTarget("OPTIONS", "*")->path, "*");
  EXPECT_FALSE(ParseTarget("GET", "*"));
  auto absolute = ParseTarget("GET", "HTTP://host:80?x");
  EXPECT_FALSE(absolute) << "a query without a path";
  EXPECT_EQ(ParseTarget("GET", "http://host:80/y?x")->authority, "host:80");
}

}  // namespace
}  // namespace hadal
