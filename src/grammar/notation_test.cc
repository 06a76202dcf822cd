// Regular expressions and GBNF: what each construct matches.
#include <gtest/gtest.h>

#include <random>
#include <regex>
#include <string>

#include "grammar/code_points.h"
#include "grammar/pattern.h"
#include "grammar/testing_vocabulary.h"

namespace hadal::grammar {
namespace {

bool Regex(std::string_view pattern, std::string_view text) {
  return testing::Matches({ConstraintKind::kRegex, pattern, {}}, text);
}
bool Gbnf(std::string_view grammar, std::string_view text) {
  return testing::Matches({ConstraintKind::kGbnf, grammar, {}}, text);
}

TEST(Pattern, RandomPatternsAgreeWithTheStandardLibrary) {
  static const char* const kParts[] = {
      "a",  "b",       "[ab]",   "[^a]",       ".", "(a|bc)", "(?:ab)?",  "c*",
      "b+", "(ab){2}", "c{1,2}", "[b-c]{0,2}", "^", "$",      "(a*b|c)+", "|"};
  std::mt19937 random(5);
  Budget budget({});
  for (int i = 0; i < 1500; ++i) {
    std::string pattern;
    for (unsigned n = 1 + random() % 5; n > 0; --n) pattern += kParts[random() % std::size(kParts)];
    const bool search = random() % 2 == 0;
    Budget own({});
    const auto dfa =
        CompilePattern(pattern, search ? PatternUse::kSearch : PatternUse::kWhole, own);
    ASSERT_TRUE(dfa) << pattern << dfa.error().message;
    const std::regex reference(pattern);
    for (int k = 0; k < 60; ++k) {
      std::string text;
      for (unsigned n = random() % 7; n > 0; --n) text += static_cast<char>('a' + random() % 3);
      const bool expected =
          search ? std::regex_search(text, reference) : std::regex_match(text, reference);
      ASSERT_EQ(dfa->Matches(text), expected) << pattern << " on \"" << text << "\" " << search;
    }
  }
}

TEST(Pattern, ClassesAndEscapesAreThoseOfEcmascript) {
  EXPECT_TRUE(Regex("\\d\\D\\w\\W\\s\\S", "1ab- x"));
  EXPECT_TRUE(Regex("\\s", "\u2003"));
  EXPECT_FALSE(Regex("\\d", "٣"));
  EXPECT_TRUE(
      Regex("\\x41\\u00e9\\u{1F600}\\ud83d\\ude00\\cJ\\0", std::string_view("Aé😀😀\n\0", 13)));
  EXPECT_TRUE(Regex("[\\]\\-a-c^]+", "]-b^"));
  EXPECT_FALSE(Regex("[^\\]]", "]"));
  EXPECT_TRUE(Regex("[^a]", "你"));
  EXPECT_FALSE(Regex(".", "\n"));
  EXPECT_TRUE(Regex("\\p{Lu}\\p{L}+\\P{L}", "Éà你!"));
  EXPECT_FALSE(Regex("\\p{Lu}", "é"));
  EXPECT_TRUE(Regex("(?<year>\\d{4})-?", "2026"));
  EXPECT_TRUE(Regex("a+?b??", "aab"));
  EXPECT_FALSE(Regex(".", "\xC3"));
  EXPECT_TRUE(Regex("a\\/\\.b", "a/.b"));
}

TEST(Pattern, EveryCodePointIsInASetOrItsComplement) {
  const CodePointSet set{{'a', 'z'}, {0x80, 0x7FF}, {0xD000, 0xE000}, {0xFFFF, 0x10000}};
  for (const CodePointSet& each : {set, set.Negated()}) {
    Nfa nfa(1000);
    AddCharacters(nfa, nfa.start(), each, nfa.accept());
    Budget budget({});
    const auto dfa = DeterminizeBytes(nfa, budget);
    ASSERT_TRUE(dfa);
    for (uint32_t c = 0; c <= 0x10FFFF; c += c < 0x11000 ? 1 : 97) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      bool in = false;
      for (const auto& [lo, hi] : each.ranges()) in |= lo <= c && c <= hi;
      std::string text;
      if (c < 0x80) {
        text = {static_cast<char>(c)};
      } else if (c < 0x800) {
        text = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
      } else if (c < 0x10000) {
        text = {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 63)),
                static_cast<char>(0x80 | (c & 63))};
      } else {
        text = {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 63)),
                static_cast<char>(0x80 | (c >> 6 & 63)), static_cast<char>(0x80 | (c & 63))};
      }
      ASSERT_EQ(dfa->Matches(text), in) << c;
    }
  }
}

TEST(Gbnf, TheNotationMeansWhatItsDescriptionSays) {
  const char* grammar = R"gbnf(# arithmetic
root   ::= (expr "=" ws term "\n")+
expr   ::= term ([-+*/] term)*   # left to right
term   ::= ident | num |
           "(" ws expr ")" ws
ident  ::= [a-z] [a-z0-9_]* ws
num    ::= [0-9]+ ws
ws     ::= [ \t\n]*
)gbnf";
  EXPECT_TRUE(Gbnf(grammar, "a1 +(2*b) =3\n"));
  EXPECT_TRUE(Gbnf(grammar, "a=b\nc=d\n"));
  EXPECT_FALSE(Gbnf(grammar, "a+=b\n"));
  EXPECT_FALSE(Gbnf(grammar, "(a=b\n"));
  EXPECT_TRUE(Gbnf("root ::= \"a\"{2} \"b\"{1,} \"c\"{0,2} .", "aabbcé"));
  EXPECT_FALSE(Gbnf("root ::= \"a\"{2} \"b\"{1,}", "aab c"));
  EXPECT_TRUE(Gbnf("root ::= \"\\x41\\u00e9\\U0001F600\\\"\\\\\" [^\\n\\]]", "Aé😀\"\\x"));
  EXPECT_FALSE(Gbnf("root ::= [^\\n]", "\n"));
  EXPECT_TRUE(Gbnf("root ::= \"[\" root \"]\" root | \"\"", "[[][]][]"));
  EXPECT_FALSE(Gbnf("root ::= \"[\" root \"]\" root | \"\"", "[[][]"));
  EXPECT_TRUE(Gbnf("root ::= x x\nx ::= y | \"\"\ny ::= \"a\" x \"b\"", "aabbab"));
}

TEST(Gbnf, ErrorsNameTheByte) {
  for (const auto& [text, byte] : {std::pair{"root ::= \"a", 11},
                                   {"root ::= [a", 11},
                                   {"root ::= (\"a\"", 13},
                                   {"root ::= <think>", 9},
                                   {"root = \"a\"", 5},
                                   {"root ::= \"\\q\"", 11}}) {
    const auto made = Compile({ConstraintKind::kGbnf, text, {}}, {});
    ASSERT_FALSE(made);
    EXPECT_NE(made.error().message.find(fmt::format("at byte {}", byte)), std::string::npos)
        << made.error().message;
  }
}

}  // namespace
}  // namespace hadal::grammar
