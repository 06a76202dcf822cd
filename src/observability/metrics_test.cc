#include "observability/metrics.h"

#include <gmock/gmock.h>

#include <thread>
#include <vector>

namespace hadal {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, ShowsReadingsAsTheOwnerCountsThem) {
  Metrics metrics;
  const std::vector<Reading> readings = {
      {"hadal_kv_blocks_free", "Free KV blocks.", false, 41},
      {"hadal_steps_total", "Steps.", true, 7},
  };
  const std::string page = metrics.Text(readings);
  EXPECT_THAT(page, HasSubstr("# TYPE hadal_kv_blocks_free gauge\nhadal_kv_blocks_free 41\n"));
  EXPECT_THAT(page, HasSubstr("# TYPE hadal_steps_total counter\nhadal_steps_total 7\n"));
}

TEST(Metrics, CountsRequestsByRouteAndStatus) {
  Metrics metrics;
  metrics.CountRequest("/v1/models", 200);
  metrics.CountRequest("/v1/models", 200);
  metrics.CountRequest("/v1/models", 401);
  const std::string page = metrics.Text({});
  EXPECT_THAT(page,
              HasSubstr("hadal_http_requests_total{route=\"/v1/models\",status=\"200\"} 2\n"));
  EXPECT_THAT(page,
              HasSubstr("hadal_http_requests_total{route=\"/v1/models\",status=\"401\"} 1\n"));
}

TEST(Metrics, PutsLatenciesIntoHistograms) {
  Metrics metrics;
  metrics.ObserveTimeToFirstToken(0.03);
  metrics.ObserveInterTokenLatency(0.004);
  metrics.ObserveInterTokenLatency(0.2);
  metrics.CountTokens(10, 3, 8);
  const std::string page = metrics.Text({});
  EXPECT_THAT(page, HasSubstr("hadal_time_to_first_token_seconds_count 1\n"));
  EXPECT_THAT(page, HasSubstr("hadal_time_to_first_token_seconds_bucket{le=\"0.025\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("hadal_time_to_first_token_seconds_bucket{le=\"0.05\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("hadal_inter_token_latency_seconds_count 2\n"));
  EXPECT_THAT(page, HasSubstr("hadal_request_tokens_total{kind=\"cached\"} 8\n"));
}

TEST(Metrics, TwoServersInOneProcessDoNotShareCounters) {
  Metrics a, b;
  a.CountRequest("/health", 200);
  EXPECT_THAT(b.Text({}), Not(HasSubstr("/health")));
}

TEST(Metrics, CountsFromManyThreadsWhileScraped) {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 250; ++i) metrics.CountRequest("/v1/models", 200);
    });
  }
  for (int i = 0; i < 10; ++i) (void)metrics.Text({});
  for (auto& t : threads) t.join();
  EXPECT_THAT(metrics.Text({}), HasSubstr("status=\"200\"} 1000\n"));
}

TEST(Metrics, ResidentMemoryIsThatOfThisProcess) {
  EXPECT_GT(ResidentBytes(), 1 << 20);
  EXPECT_THAT(Metrics().Text({}), Not(HasSubstr("process_resident_memory_bytes 0\n")));
}

}  // namespace
}  // namespace hadal
