#include "service/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

namespace hadal {
namespace {

TEST(StopMatcher, WithoutStopsTextPassesAtOnce) {
  StopMatcher stops({});
  EXPECT_EQ(stops.Push("any text").text, "any text");
  EXPECT_EQ(stops.Finish(), "");
}

TEST(StopMatcher, AStopStringSplitOverPiecesNeverLeaks) {
  StopMatcher stops({"STOP"});
  EXPECT_EQ(stops.Push("go S").text, "go ");
  EXPECT_EQ(stops.Push("T").text, "");
  EXPECT_EQ(stops.Push("O").text, "");
  const auto out = stops.Push("P and more");
  EXPECT_TRUE(out.matched);
  EXPECT_EQ(out.text, "");
  EXPECT_EQ(stops.Push("later").text, "");
  EXPECT_EQ(stops.Finish(), "");
  EXPECT_EQ(stops.emitted_bytes(), 3);
}

TEST(StopMatcher, WhatOnlyLookedLikeAStopIsGivenBack) {
  StopMatcher stops({"STOP"});
  EXPECT_EQ(stops.Push("STO").text, "");
  EXPECT_EQ(stops.Push("RM").text, "STORM");
  EXPECT_EQ(stops.Push("ST").text, "");
  EXPECT_EQ(stops.Finish(), "ST");
}

TEST(StopMatcher, OverlappingBeginningsAreFound) {
  StopMatcher stops({"aab"});
  const auto out = stops.Push("aaab");
  EXPECT_TRUE(out.matched);
  EXPECT_EQ(out.text, "a");
}

TEST(StopMatcher, TheLongestOfTwoThatEndTogetherWins) {
  StopMatcher stops({"end", "the end"});
  const auto out = stops.Push("this is the end.");
  EXPECT_TRUE(out.matched);
  EXPECT_EQ(out.text, "this is ");
}

TEST(StopMatcher, HoldsBackWholeCharactersOnly) {
  StopMatcher stops({"停止"});
  EXPECT_EQ(stops.Push("好停").text, "好");
  EXPECT_EQ(stops.Push("車").text, "停車");
  EXPECT_TRUE(stops.Push("停止").matched);
}

TEST(StopMatcher, AgreesWithSearchingTheWholeTextHoweverItIsCut) {
  std::mt19937 random(7);
  const auto text_of = [&](size_t n) {
    std::string s;
    for (size_t i = 0; i < n; ++i) s += static_cast<char>('a' + random() % 2);
    return s;
  };
  for (int round = 0; round < 3000; ++round) {
    const std::string text = text_of(1 + random() % 40);
    std::vector<std::string> list;
    for (size_t i = 0; i < 1 + random() % 3; ++i) list.push_back(text_of(1 + random() % 6));
    // Reference: the match that ends first, the longest of those.
    std::string expected = text;
    bool expect_match = false;
    for (size_t end = 1; end <= text.size() && !expect_match; ++end) {
      size_t longest = 0;
      for (const auto& stop : list) {
        if (text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
      }
      if (longest > 0) expect_match = true, expected = text.substr(0, end - longest);
    }
    StopMatcher stops(list);
    std::string got;
    bool matched = false;
    for (size_t at = 0; at < text.size();) {
      const size_t n = std::min(text.size() - at, static_cast<size_t>(1 + random() % 5));
      const auto out = stops.Push(text.substr(at, n));
      got += out.text;
      matched |= out.matched;
      // Never more than the answer: nothing that turns out to be a stop string has leaked.
      ASSERT_TRUE(expected.starts_with(got)) << text;
      at += n;
    }
    got += stops.Finish();
    EXPECT_EQ(got, expected) << text;
    EXPECT_EQ(matched, expect_match) << text;
  }
}

}  // namespace
}  // namespace hadal
