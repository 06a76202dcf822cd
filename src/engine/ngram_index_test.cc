#include "engine/ngram_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace hadal {
namespace {

using testing::ElementsAre;

std::vector<TokenId> DraftOf(NgramIndex& index, std::vector<TokenId> tokens, int32_t most) {
  const size_t n = tokens.size();
  const int32_t drafted = index.Draft(tokens, most);
  EXPECT_EQ(tokens.size(), n + static_cast<size_t>(drafted));
  return {tokens.begin() + static_cast<ptrdiff_t>(n), tokens.end()};
}

TEST(NgramIndex, DraftsWhatFollowedTheSameThreeTokensLast) {
  NgramIndex index;
  EXPECT_THAT(DraftOf(index, {1, 2, 3, 7, 8, 1, 2, 3, 9, 5, 6, 1, 2, 3}, 3), ElementsAre(9, 5, 6));
  EXPECT_THAT(DraftOf(index, {1, 2, 3, 7, 8, 1, 2, 3, 9, 5, 6, 1, 2, 3}, 1), ElementsAre(9));
}

TEST(NgramIndex, DraftsNothingWithoutAnEarlierPlace) {
  NgramIndex index;
  EXPECT_THAT(DraftOf(index, {}, 4), ElementsAre());
  EXPECT_THAT(DraftOf(index, {1, 1}, 4), ElementsAre());
  EXPECT_THAT(DraftOf(index, {1, 2, 3}, 4), ElementsAre());
  EXPECT_THAT(DraftOf(index, {1, 2, 3, 1, 2}, 4), ElementsAre());
}

TEST(NgramIndex, DraftsALoopAsFarAsAskedFor) {
  NgramIndex index;
  EXPECT_THAT(DraftOf(index, {4, 5, 4, 5, 4}, 6), ElementsAre(5, 4, 5, 4, 5, 4));
  NgramIndex same;
  EXPECT_THAT(DraftOf(same, {7, 7, 7, 7}, 3), ElementsAre(7, 7, 7));
}

TEST(NgramIndex, ForgetsWhatItDraftedItself) {
  NgramIndex index;
  std::vector<TokenId> tokens = {1, 2, 3, 4, 5, 1, 2, 3};
  ASSERT_EQ(index.Draft(tokens, 4), 4);
  tokens.resize(8);
  for (const TokenId t : {9, 1, 2, 3}) tokens.push_back(t);  // the guess was wrong: 9, not 4
  EXPECT_THAT(DraftOf(index, tokens, 2), ElementsAre(9, 1));
}

// Against a search through the whole sequence. A collision may hide a place, but never invents one.
TEST(NgramIndex, AgreesWithASearchWhileTheSequenceGrows) {
  std::mt19937 rng(7);
  NgramIndex index;
  std::vector<TokenId> tokens;
  int found = 0, hidden = 0;
  for (int step = 0; step < 3000; ++step) {
    tokens.push_back(static_cast<TokenId>(rng() % 7));
    const size_t n = tokens.size();
    std::vector<TokenId> expected;
    for (size_t at = n - 1; at >= 3 && expected.empty(); --at) {
      if (!std::equal(tokens.end() - 3, tokens.end(),
                      tokens.begin() + static_cast<ptrdiff_t>(at) - 3))
        continue;
      for (size_t i = 0; i < 2; ++i) expected.push_back(at + i < n ? tokens[at + i] : expected[0]);
    }
    const auto drafted = DraftOf(index, tokens, 2);
    if (drafted.empty()) {
      hidden += !expected.empty();
      continue;
    }
    ++found;
    ASSERT_EQ(drafted, expected) << step;
  }
  EXPECT_GT(found, 2000);
  EXPECT_LT(hidden, 300);
}

}  // namespace
}  // namespace hadal
