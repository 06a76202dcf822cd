#include "base/thread_pool.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(ThreadPool, RunsEveryTaskOnceInEveryRegion) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    std::vector<int> hits(97);
    for (int region = 0; region < 500; ++region) {
      pool.ForEach(static_cast<int>(hits.size()), [&](int task, int thread) {
        ASSERT_LT(thread, threads);
        ++hits[static_cast<size_t>(task)];
      });
    }
    for (int h : hits) EXPECT_EQ(h, 500);
  }
}

TEST(ThreadPool, SleepingWorkersWakeUp) {
  ThreadPool pool(3);
  std::atomic<int> n{0};
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    pool.ForEach(10, [&](int, int) { ++n; });
  }
  EXPECT_EQ(n, 30);
}

}  // namespace
}  // namespace hadal
