#include "kv/prefix_cache.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace hadal {
namespace {

constexpr size_t kBlockTokens = 4;

std::vector<PrefixKey> Keys(std::string_view tenant, const std::vector<TokenId>& tokens) {
  std::vector<PrefixKey> keys;
  PrefixKey key = RootKey(tenant);
  for (size_t i = 0; i + kBlockTokens <= tokens.size(); i += kBlockTokens) {
    key = NextKey(key, std::span(tokens).subspan(i, kBlockTokens));
    keys.push_back(key);
  }
  return keys;
}

std::string Hex(const PrefixKey& key) {
  std::string text;
  for (const uint8_t b : key) text += fmt::format("{:02x}", b);
  return text;
}

// A sequence that computes its whole prompt and registers it, as the scheduler does.
struct Holder {
  std::vector<PrefixKey> keys;
  std::vector<int32_t> blocks;
  size_t hits = 0;

  Holder(PrefixCache& cache, std::vector<PrefixKey> k) : keys(std::move(k)) {
    cache.Lookup(keys, blocks);
    hits = blocks.size();
    for (size_t i = hits; i < keys.size(); ++i) {
      const auto block = cache.Allocate();
      if (!block) return;
      blocks.push_back(block->value);
      cache.Insert(std::span(keys).first(i + 1), *block);
    }
  }
  void Release(PrefixCache& cache) {
    while (!blocks.empty()) {
      cache.Release(BlockId(blocks.back()));
      blocks.pop_back();
    }
  }
};

TEST(PrefixKey, IsTheSha256ChainOfDomainTenantAndTokens) {
  // echo -n "hadal prefix cache 1t" | sha256sum; then SHA-256 of its bytes and of ids 1..4 as
  // 32-bit little-endian numbers.
  EXPECT_EQ(Hex(RootKey("t")), "ad414bd9a271bf4969a2373e6310ffe5ae7c06205f0fee8edf126e7dca624c97");
  const std::vector<TokenId> tokens = {1, 2, 3, 4};
  EXPECT_EQ(Hex(NextKey(RootKey("t"), tokens)),
            "9ef7b5199eac79da2fc2eb51ac4ee9bea7881dad8d8927154609bbf6c5b5d172");
}

TEST(PrefixKey, DiffersByTenantByTokenAndByPrefix) {
  const std::vector<TokenId> a = {1, 2, 3, 4, 5, 6, 7, 8}, b = {9, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_NE(Keys("x", a)[0], Keys("y", a)[0]);
  EXPECT_NE(Keys("x", a)[0], Keys("x", b)[0]);
  EXPECT_NE(Keys("x", a)[1], Keys("x", b)[1]);  // the same tokens after another prefix
}

TEST(PrefixCache, FindsTheLongestCommonPrefixOfOneTenantOnly) {
  BlockPool pool(8);
  PrefixCache cache(pool);
  Holder first(cache, Keys("x", {1, 2, 3, 4, 5, 6, 7, 8}));
  Holder same(cache, Keys("x", {1, 2, 3, 4, 5, 6, 7, 9}));
  Holder other(cache, Keys("y", {1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(same.hits, 1u);
  EXPECT_EQ(same.blocks[0], first.blocks[0]);
  EXPECT_NE(same.blocks[1], first.blocks[1]);
  EXPECT_EQ(other.hits, 0u);
  EXPECT_EQ(pool.references(BlockId(first.blocks[0])), 2);
  EXPECT_EQ(cache.CheckIntegrity(), std::nullopt);
}

TEST(PrefixCache, KeepsReleasedBlocksUntilMemoryIsShort) {
  BlockPool pool(3);
  PrefixCache cache(pool);
  Holder a(cache, Keys("x", {1, 2, 3, 4, 5, 6, 7, 8}));
  a.Release(cache);
  EXPECT_EQ(pool.cached(), 2);
  EXPECT_EQ(cache.available(), 3);
  Holder again(cache, a.keys);
  EXPECT_EQ(again.hits, 2u);
  again.Release(cache);
  Holder b(cache, Keys("x", {9, 9, 9, 9, 8, 8, 8, 8}));
  EXPECT_EQ(b.blocks.size(), 2u);
  EXPECT_EQ(cache.CountMatches(a.keys), 1u) << "the last block of a goes before its first";
  EXPECT_EQ(cache.CheckIntegrity(), std::nullopt);
}

TEST(PrefixCache, EvictsTheLeastRecentlyUsedPrefixFirst) {
  BlockPool pool(3);
  PrefixCache cache(pool);
  Holder a(cache, Keys("x", {1, 1, 1, 1}));
  Holder b(cache, Keys("x", {2, 2, 2, 2}));
  Holder c(cache, Keys("x", {3, 3, 3, 3}));
  a.Release(cache);
  b.Release(cache);
  c.Release(cache);
  Holder(cache, a.keys).Release(cache);  // a is used again
  ASSERT_TRUE(cache.Allocate().has_value());
  EXPECT_EQ(cache.CountMatches(b.keys), 0u);
  EXPECT_EQ(cache.CountMatches(a.keys), 1u);
  EXPECT_EQ(cache.CountMatches(c.keys), 1u);
}

TEST(PrefixCache, RefusesASecondCopyOfABlock) {
  BlockPool pool(4);
  PrefixCache cache(pool);
  const auto keys = Keys("x", {1, 2, 3, 4});
  const BlockId a = *cache.Allocate(), b = *cache.Allocate();
  EXPECT_TRUE(cache.Insert(keys, a));
  EXPECT_FALSE(cache.Insert(keys, b));
  cache.Release(b);
  EXPECT_EQ(pool.state(b), BlockPool::State::kFree);
  cache.Release(a);
  EXPECT_EQ(pool.state(a), BlockPool::State::kCached);
}

TEST(PrefixCache, GivesUpAPrefixWhoseContinuationIsHeldByAPrivateCopy) {
  BlockPool pool(3);
  PrefixCache cache(pool);
  const auto keys = Keys("x", {1, 2, 3, 4, 5, 6, 7, 8});
  const BlockId shared = *cache.Allocate(), copy = *cache.Allocate(), next = *cache.Allocate();
  ASSERT_TRUE(cache.Insert(std::span(keys).first(1), shared));
  ASSERT_FALSE(cache.Insert(std::span(keys).first(1), copy));
  ASSERT_TRUE(cache.Insert(keys, next));  // continues `shared`, held together with `copy`
  cache.Release(shared);
  EXPECT_EQ(cache.Allocate(), shared) << "what is cached can always be had";
  EXPECT_FALSE(cache.Contains(next)) << "a block that no lookup can reach is not kept";
  EXPECT_EQ(cache.CheckIntegrity(), std::nullopt);
  cache.Release(next);
  EXPECT_EQ(pool.state(next), BlockPool::State::kFree);
}

TEST(PrefixCache, NeverLosesABlockUnderRandomUse) {
  std::mt19937 rng(3);
  BlockPool pool(12);
  PrefixCache cache(pool);
  std::vector<Holder> holders;
  std::map<PrefixKey, std::pair<std::string, std::vector<TokenId>>> meaning;
  for (int step = 0; step < 20000; ++step) {
    if (holders.size() < 4 && rng() % 2 == 0) {
      const std::string tenant(1, static_cast<char>('a' + rng() % 2));
      std::vector<TokenId> tokens(kBlockTokens * (1 + rng() % 4));
      for (size_t i = 0; i < tokens.size(); ++i) {
        tokens[i] = i % kBlockTokens ? 0 : static_cast<TokenId>(rng() % 2);
      }
      const auto keys = Keys(tenant, tokens);
      for (size_t i = 0; i < keys.size(); ++i) {
        auto value = std::pair(tenant, tokens);
        value.second.resize((i + 1) * kBlockTokens);
        ASSERT_EQ(meaning.emplace(keys[i], value).first->second, value) << "two meanings of a key";
      }
      holders.emplace_back(cache, keys);
    } else if (!holders.empty()) {
      std::swap(holders[rng() % holders.size()], holders.back());
      holders.back().Release(cache);
      holders.pop_back();
    }
    ASSERT_EQ(cache.CheckIntegrity(), std::nullopt) << "step " << step;
  }
  for (Holder& h : holders) h.Release(cache);
  for (int i = 0; i < pool.total(); ++i) EXPECT_TRUE(cache.Allocate().has_value());
  EXPECT_FALSE(cache.Allocate().has_value());
}

}  // namespace
}  // namespace hadal
