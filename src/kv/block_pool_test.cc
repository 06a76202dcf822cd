#include "kv/block_pool.h"

#include <gtest/gtest.h>

#include <random>

namespace hadal {
namespace {

TEST(BlockPool, StartsWithEveryBlockFree) {
  BlockPool pool(5);
  EXPECT_EQ(pool.free(), 5);
  EXPECT_EQ(pool.held() + pool.cached(), 0);
  EXPECT_EQ(pool.CheckIntegrity(), std::nullopt);
}

TEST(BlockPool, HandsOutEachBlockOnceAndThenNothing) {
  BlockPool pool(3);
  std::vector<bool> seen(3);
  for (int i = 0; i < 3; ++i) {
    const auto id = pool.TakeFree();
    ASSERT_TRUE(id.has_value());
    EXPECT_FALSE(seen[static_cast<size_t>(id->value)]);
    seen[static_cast<size_t>(id->value)] = true;
  }
  EXPECT_FALSE(pool.TakeFree().has_value());
  EXPECT_EQ(pool.held(), 3);
}

TEST(BlockPool, TheLastHolderDecidesBetweenCachedAndFree) {
  BlockPool pool(2);
  const BlockId a = *pool.TakeFree();
  const BlockId b = *pool.TakeFree();
  pool.Retain(a);
  pool.Release(a, true);
  EXPECT_EQ(pool.state(a), BlockPool::State::kHeld);
  pool.Release(a, true);
  EXPECT_EQ(pool.state(a), BlockPool::State::kCached);
  pool.Release(b, false);
  EXPECT_EQ(pool.state(b), BlockPool::State::kFree);
  pool.Retain(a);
  EXPECT_EQ(pool.references(a), 1);
  EXPECT_EQ(pool.cached(), 0);
  EXPECT_EQ(pool.CheckIntegrity(), std::nullopt);
}

TEST(BlockPool, ListsCachedBlocksFromLeastRecentlyUsed) {
  BlockPool pool(3);
  const BlockId a = *pool.TakeFree(), b = *pool.TakeFree(), c = *pool.TakeFree();
  for (const BlockId id : {a, b, c}) pool.Release(id, true);
  pool.Retain(a);  // used again
  pool.Release(a, true);
  EXPECT_EQ(pool.OldestCached(), b);
  EXPECT_EQ(pool.NewerCached(b), c);
  EXPECT_EQ(pool.NewerCached(c), a);
  EXPECT_EQ(pool.NewerCached(a), std::nullopt);
  pool.Evict(c);
  EXPECT_EQ(pool.NewerCached(b), a);
  EXPECT_EQ(pool.CheckIntegrity(), std::nullopt);
}

TEST(BlockPool, StaysConsistentUnderRandomUse) {
  std::mt19937 rng(7);
  BlockPool pool(9);
  std::vector<BlockId> holds;
  for (int step = 0; step < 20000; ++step) {
    const uint32_t dice = rng() % 4;
    if (dice == 0) {
      if (const auto id = pool.TakeFree()) holds.push_back(*id);
    } else if (dice == 1 && !holds.empty()) {
      holds.push_back(holds[rng() % holds.size()]);
      pool.Retain(holds.back());
    } else if (dice == 2 && !holds.empty()) {
      std::swap(holds[rng() % holds.size()], holds.back());
      pool.Release(holds.back(), rng() % 2 == 0);
      holds.pop_back();
    } else if (const auto id = pool.OldestCached()) {
      pool.Evict(*id);
    }
    ASSERT_EQ(pool.CheckIntegrity(), std::nullopt) << "step " << step;
  }
}

}  // namespace
}  // namespace hadal
