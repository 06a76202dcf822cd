// UTF-8 repair, normalisation, patterns and splitting.
#include <gmock/gmock.h>

#include <chrono>

#include "tokenizer/byte_level.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/regex.h"
#include "tokenizer/utf8.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kR = "\xEF\xBF\xBD";

TEST(Utf8, RepairReplacesEachMaximalIllFormedRun) {
  EXPECT_EQ(RepairUtf8("aé你🙂"), "aé你🙂");
  EXPECT_EQ(RepairUtf8("\xFF\xFE"), kR + kR);
  EXPECT_EQ(RepairUtf8("\xF0\x9F\x99"), kR);                     // one unfinished character
  EXPECT_EQ(RepairUtf8("\xF0\x9F\x99x"), kR + "x");              // cut short
  EXPECT_EQ(RepairUtf8("\xE0\x80\xAF"), kR + kR + kR);           // overlong
  EXPECT_EQ(RepairUtf8("\xED\xA0\x80"), kR + kR + kR);           // surrogate
  EXPECT_EQ(RepairUtf8("\xF4\x90\x80\x80"), kR + kR + kR + kR);  // above U+10FFFF
  EXPECT_EQ(RepairUtf8("\xC0\x80"), kR + kR);
  EXPECT_EQ(RepairUtf8("\x80z"), kR + "z");
  EXPECT_TRUE(IsValidUtf8(std::string_view("a\0b", 3)));
  EXPECT_FALSE(IsValidUtf8("\xC3"));
}

TEST(Utf8, EveryScalarValueSurvivesWriteAndRead) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    AppendUtf8(c, text);
    const Utf8Char read = ReadUtf8Char(text);
    ASSERT_EQ(read.kind, Utf8Char::Kind::kValid);
    ASSERT_EQ(read.code_point, c);
    ASSERT_EQ(read.length, text.size());
  }
}

TEST(ByteLevel, TheAlphabetIsABijectionOfAllBytes) {
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(BytesOfToken(ByteLevelChar(static_cast<uint8_t>(byte))),
              std::string(1, static_cast<char>(byte)));
  }
  EXPECT_EQ(ByteLevelChar(' '), "Ġ");
  EXPECT_EQ(ByteLevelChar('\n'), "Ċ");
  bool in_alphabet = true;
  EXPECT_EQ(BytesOfToken("<｜é｜>", &in_alphabet), "<｜é｜>");
  EXPECT_FALSE(in_alphabet);
}

std::string Nfc(std::string_view text) {
  std::string storage;
  return std::string(NormalizeNfc(text, storage));
}

TEST(Normalizer, ComposesAsUnicodeSays) {
  EXPECT_EQ(Nfc("plain é"), "plain é");
  EXPECT_EQ(Nfc("e\xCC\x81"), "\xC3\xA9");
  EXPECT_EQ(Nfc("\xE2\x84\xAB"), "\xC3\x85");                    // Ångström sign
  EXPECT_EQ(Nfc("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB"), "한");  // jamo
  EXPECT_EQ(Nfc("q\xCC\x87\xCC\xA3"), "q\xCC\xA3\xCC\x87");      // marks reordered
  EXPECT_EQ(Nfc("d\xCC\x87\xCC\xA3"), "\xE1\xB8\x8D\xCC\x87");   // and composed
  EXPECT_EQ(Nfc("a\xCC\x81\xCC\x81"), "\xC3\xA1\xCC\x81");       // equal classes keep order
  EXPECT_EQ(Nfc("\xE0\xA5\x98"), "\xE0\xA4\x95\xE0\xA4\xBC");    // excluded from composition
  EXPECT_EQ(Nfc("\xCC\x81"
                "e"),
            "\xCC\x81"
            "e");
}

TEST(Normalizer, AdverseMarksFinish) {
  std::string text = "a";
  for (int i = 0; i < 300000; ++i) text += "\xCC\x81";  // class 230
  for (int i = 0; i < 300000; ++i) text += "\xCC\xA3";  // class 220: all must move in front
  const std::string composed = Nfc(text);
  EXPECT_TRUE(composed.starts_with("\xE1\xBA\xA1\xCC\xA3"));
  EXPECT_TRUE(composed.ends_with("\xCC\x81"));
}

std::vector<std::string> Words(const PreTokenizerSpec& spec, std::string_view text) {
  const auto made = PreTokenizer::Make(spec);
  EXPECT_TRUE(made) << made.error().message;
  std::vector<std::string> words;
  if (made) made->Split(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

PreTokenizerSpec Rule(std::string pattern) {
  PreTokenizerSpec spec;
  spec.splits.push_back({.pattern = std::move(pattern)});
  return spec;
}

TEST(PreTokenizer, SplitsKeepTheGaps) {
  EXPECT_THAT(Words(Rule("[0-9]{1,3}"), "ab1234cd"), ElementsAre("ab", "123", "4", "cd"));
  EXPECT_THAT(Words(Rule("x"), "abc"), ElementsAre("abc"));
  EXPECT_TRUE(Words(Rule("x"), "").empty());
}

TEST(PreTokenizer, RulesRunInSequence) {
  PreTokenizerSpec spec = Rule("[0-9]+");
  spec.splits.push_back({.pattern = "[a-z]"});
  EXPECT_THAT(Words(spec, "ab12,"), ElementsAre("a", "b", "12", ","));
}

TEST(PreTokenizer, RemovedDropsMatchesAndInvertedDropsGaps) {
  PreTokenizerSpec spec = Rule(" ");
  spec.splits[0].behavior = SplitRule::Behavior::kRemoved;
  EXPECT_THAT(Words(spec, " a b"), ElementsAre("a", "b"));
  spec.splits[0].invert = true;
  EXPECT_THAT(Words(spec, " a b"), ElementsAre(" ", " "));
}

TEST(PreTokenizer, LiteralPatternsAndEmptyMatches) {
  PreTokenizerSpec spec = Rule("a.b");
  spec.splits[0].literal = true;
  EXPECT_THAT(Words(spec, "axba.bc"), ElementsAre("axb", "a.b", "c"));
  EXPECT_THAT(Words(Rule("x*"), "a你xxb"), ElementsAre("a", "你", "xx", "b"));
  EXPECT_THAT(Words(Rule("(?=(?:[0-9]{3})+(?![0-9]))"), "1234567"), ElementsAre("1", "234", "567"));
}

TEST(PreTokenizer, WhiteSpaceIsUnicodes) {
  // U+180E is a format character; U+0085, U+00A0 and U+3000 are white space.
  EXPECT_THAT(Words(Rule("\\s+"),
                    "a\xE1\xA0\x8E"
                    "b\xC2\x85\xC2\xA0\xE3\x80\x80"
                    "c"),
              ElementsAre("a\xE1\xA0\x8E"
                          "b",
                          "\xC2\x85\xC2\xA0\xE3\x80\x80", "c"));
  EXPECT_THAT(Words(Rule("[^\\s]+"), "\xE1\xA0\x8E x"), ElementsAre("\xE1\xA0\x8E", " ", "x"));
  EXPECT_THAT(Words(Rule("\\w+"), "a\xCC\x81_1-Ⓐ"), ElementsAre("a\xCC\x81_1", "-", "Ⓐ"));
}

TEST(PreTokenizer, APatternThatExplodesLeavesTheRestUncut) {
  const std::string text = "b" + std::string(200, 'a') + "cb";
  const std::vector<std::string> words = Words(Rule("b|(?:a|a|aa)+d"), text);
  std::string joined;
  for (const std::string& word : words) joined += word;
  EXPECT_EQ(joined, text);
  EXPECT_EQ(words.front(), "b");
  EXPECT_EQ(words.size(), 2u);
}

TEST(Regex, RefusesWhatTheReferenceReadsDifferently) {
  for (const char* pattern :
       {"[a&&b]", "[a[b]]", "\\h", "\\bx", "a{1,2}+", "a{,3}", "(?m)a", "(?x: a)", "(*UTF)a",
        "[\\S]", "(a)\\1", "[]a]", "a{", "\\p{L", "a\\", "(?R)", "(?P<n>a)"}) {
    const auto compiled = Regex::Compile(pattern, /*literal=*/false);
    EXPECT_FALSE(compiled) << pattern;
    EXPECT_TRUE(Regex::Compile(pattern, /*literal=*/true)) << pattern;
  }
  const auto refused = Regex::Compile("ab[a&&b]", false);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("&&"));
  EXPECT_THAT(refused.error().message, HasSubstr("offset 4"));
}

}  // namespace
}  // namespace hadal
