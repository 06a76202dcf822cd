#include "server/http/route_table.h"

#include <gtest/gtest.h>

#include "server/http/request_id.h"

namespace hadal::server {
namespace {

TEST(RouteTable, OnlyHealthReadyAndTheFilesOfThePageNeedNoKey) {
  for (const Route& route : Routes()) {
    const bool open =
        route.path == "/health" || route.path == "/ready" || route.endpoint == Endpoint::kPage;
    EXPECT_EQ(route.needs_key, !open) << route.path;
  }
}

TEST(RouteTable, TellsNotFoundFromWrongMethod) {
  EXPECT_FALSE(MatchRoute("GET", "/nope").path_exists);
  EXPECT_TRUE(MatchRoute("GET", "/nope").path_needs_key);
  const auto wrong = MatchRoute("GET", "/v1/chat/completions");
  EXPECT_TRUE(wrong.path_exists);
  EXPECT_EQ(wrong.route, nullptr);
  EXPECT_EQ(wrong.allow, "POST, OPTIONS");
  EXPECT_EQ(MatchRoute("POST", "/health").allow, "GET, HEAD, OPTIONS");
  EXPECT_NE(MatchRoute("HEAD", "/v1/models").route, nullptr);
  EXPECT_FALSE(MatchRoute("GET", "/v1/models/").path_exists);
  EXPECT_FALSE(MatchRoute("GET", "/v1/models2").path_exists);
  EXPECT_FALSE(MatchRoute("GET", "/health/").path_exists);
}

TEST(RouteTable, AModelsNameMayHaveSlashes) {
  const auto match = MatchRoute("GET", "/v1/models/org/name");
  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.route->path, "/v1/models/{name}");
  EXPECT_EQ(match.name, "org/name");
}

TEST(RequestId, AcceptsOnlyShortPlainIds) {
  EXPECT_TRUE(IsAcceptableRequestId("Trace-1.2_x"));
  EXPECT_TRUE(IsAcceptableRequestId(std::string(64, 'a')));
  for (const std::string& bad : {std::string(), std::string(65, 'a'), std::string("a b"),
                                 std::string("a\nb"), std::string("é"), std::string("a\0", 2)}) {
    EXPECT_FALSE(IsAcceptableRequestId(bad)) << bad;
  }
  EXPECT_NE(NewUuid(), NewUuid());
  EXPECT_TRUE(IsAcceptableRequestId(NewUuid()));
}

}  // namespace
}  // namespace hadal::server
