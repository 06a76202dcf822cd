// Sources made to crash, hang or exhaust: each is refused with a clear error or compiled within the
// limits, and no more work is done than the Budget allows.
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "grammar/testing_vocabulary.h"

namespace hadal::grammar {
namespace {

std::string Times(int n, std::string_view text) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}
Error ErrorOf(ConstraintKind kind, std::string_view text) {
  const auto made = Compile({kind, text, {}}, {});
  if (made) return Error{ErrorCode::kInternal, "it compiled", ""};
  return made.error();
}
void ExpectRefused(ConstraintKind kind, std::string_view text, std::string_view part,
                   std::string_view field = "") {
  const Error error = ErrorOf(kind, text);
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument) << text.substr(0, 100);
  EXPECT_NE(error.message.find(part), std::string::npos) << error.message;
  EXPECT_LT(error.message.size(), 500u);
  if (!field.empty()) EXPECT_EQ(error.field, field);
}
// Compiled, and masks can be filled along a walk.
void ExpectUsable(ConstraintKind kind, const std::string& text) {
  static const testing::SmallVocabulary vocabulary;
  const auto constraint = testing::Make({kind, text, {}}, vocabulary.trie);
  ASSERT_TRUE(constraint);
  EXPECT_LE(constraint->automaton().n_states(), Limits{}.max_states);
  Matcher matcher(constraint);
  std::mt19937 random(1);
  testing::RandomOutput(matcher, random, 20, 60);
}

constexpr auto kSchema = ConstraintKind::kJsonSchema;
constexpr auto kRegex = ConstraintKind::kRegex;
constexpr auto kGbnf = ConstraintKind::kGbnf;

TEST(Hostile, Row77ATypeThatIsNoneIsRefused) {
  ExpectRefused(kSchema, R"({"type":123})", "is not a type", "#/type");
  ExpectRefused(kSchema, R"({"type":"hiccup"})", "hiccup", "#/type");
  ExpectRefused(kSchema, R"({"properties":{"a":{"type":["null",{}]}}})", "is not a type",
                "#/properties/a/type/1");
  ExpectRefused(kSchema, R"([])", "must be an object or a boolean", "#");
  ExpectRefused(kSchema, R"({"properties":{"a":7}})", "must be an object", "#/properties/a");
  ExpectRefused(kSchema, R"({"minItems":-1})", "at least 0", "#/minItems");
  ExpectRefused(kSchema, R"({"required":"a"})", "list", "#/required");
  ExpectRefused(kSchema, R"({"a":1,"a":2})", "twice");
  ExpectRefused(kSchema, R"({"type":)", "not JSON");
  ExpectRefused(kSchema, "{\"title\":\"\xFF\"}", "not JSON");
}

TEST(Hostile, Row78ABrokenPatternIsRefused) {
  for (const char* pattern : {"(", ")", "[", "a{2,1}", "*", "a**", "\\\\", "(?=a)", "\\\\1",
                              "\\\\b", "[z-a]", "(?i)a", "\\\\p{Klingon}", "\\\\u12"}) {
    ExpectRefused(kSchema, fmt::format(R"({{"type":"string","pattern":"{}"}})", pattern),
                  "of the pattern", "#/pattern");
  }
}

TEST(Hostile, Row79NestedRepetitionsAreRefused) {
  for (const char* pattern :
       {"((a{0,1000}){0,1000}){0,1000}", "((a{1,999}){1,999}){1,999}", "((){0,100000}){0,100000}",
        "(((a*)*)*){200000}", "(a|b)*a(a|b){30}"}) {
    ExpectRefused(kRegex, pattern, "needs more than");
  }
  ExpectUsable(kRegex, "(a*)*b");
  ExpectUsable(kRegex, "(((a?){30}){30})c");
}

TEST(Hostile, Rows80And81CircularReferencesAreRefused) {
  ExpectRefused(kSchema, R"({"$ref":"#"})", "circle");
  ExpectRefused(kSchema, R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},
                            "b":{"$ref":"#/$defs/a"}}})",
                "circle");
  ExpectRefused(kSchema, R"({"allOf":[{"$ref":"#"}]})", "by itself");
  ExpectRefused(kSchema, R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", "left recursion");
  ExpectRefused(kSchema, R"({"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},
                            "b":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}},
                            "$ref":"#/$defs/a"})",
                "left recursion");
  ExpectRefused(kSchema, R"({"oneOf":[{"$ref":"#"},{"type":"null"}]})", "by itself");
  ExpectRefused(kSchema, R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})",
                "nothing can ever match");
  ExpectRefused(kSchema, R"({"$ref":"#/$defs/no"})", "names nothing", "#/$ref");
}

TEST(Hostile, Rows82And83HugeCountsAreRefusedOrCostNothing) {
  ExpectRefused(kSchema, R"({"type":"array","minItems":1000000000})", "could never be generated",
                "#/minItems");
  ExpectRefused(kSchema, R"({"type":"string","minLength":1e300})", "could never be generated");
  ExpectUsable(kSchema, R"({"type":"string","maxLength":1000000000})");
  ExpectUsable(kSchema, R"({"type":"array","maxItems":99999999999999999})");
  ExpectRefused(kSchema, R"({"type":"string","pattern":"a","maxLength":1000000000})", "states",
                "#");
  ExpectRefused(kSchema, R"({"minimum":1e999})", "not JSON");
}

TEST(Hostile, Row84DeepSchemasAreRefused) {
  for (const int depth : {400, 50'000}) {
    ExpectRefused(kSchema, Times(depth, R"({"items":)") + "true" + Times(depth, "}"), "deeper");
    ExpectRefused(kSchema, Times(depth, R"({"allOf":[)") + "true" + Times(depth, "]}"), "deeper");
  }
  ExpectUsable(kSchema, Times(100, R"({"items":)") + "true" + Times(100, "}"));
  std::string chain = R"({"$ref":"#/$defs/d0","$defs":{"d400":{"type":"null"})";
  for (int i = 0; i < 400; ++i) {
    chain += fmt::format(R"(,"d{}":{{"allOf":[{{"$ref":"#/$defs/d{}"}}]}})", i, i + 1);
  }
  ExpectRefused(kSchema, chain + "}}", "deeper");
}

TEST(Hostile, Row85ALongEnumIsCompiledOrRefused) {
  std::string list;
  for (int i = 0; i < 50'000; ++i) list += fmt::format("{}\"v{}\"", i == 0 ? "" : ",", i);
  const std::string text = R"({"enum":[)" + list + "]}";
  ExpectUsable(kSchema, text);
  ExpectRefused(kSchema,
                R"({"enum":[)" + Times(400'000, "1,") + "1]," + R"("title":")" +
                    std::string(400'000, 'x') + "\"}",
                "bytes");
}

TEST(Hostile, Row86ManyOneOfsAreRefusedOrCompiled) {
  ExpectRefused(kSchema, Times(200, R"({"oneOf":[)") + "true" + Times(200, "]}"), "deeper");
  std::string list;
  for (int i = 0; i < 200; ++i) list += fmt::format(R"({}{{"const":{}}})", i == 0 ? "" : ",", i);
  ExpectUsable(kSchema, R"({"oneOf":[)" + list + "]}");
  const std::string pair = R"({"anyOf":[{"minLength":1},{"minLength":2}]},)";
  ExpectRefused(kSchema, R"({"allOf":[)" + Times(200, pair) + "true]}", "alternatives");
  // Each level asks twice for the next one.
  std::string doubling = R"({"$ref":"#/$defs/d0","$defs":{"d60":{"type":"object"})";
  for (int i = 0; i < 60; ++i) {
    doubling += fmt::format(
        R"(,"d{0}":{{"allOf":[{{"$ref":"#/$defs/d{1}"}},{{"$ref":"#/$defs/d{1}"}}]}})", i, i + 1);
  }
  ExpectUsable(kSchema, doubling + "}}");
}

TEST(Hostile, Row87RemoteReferencesAreRefused) {
  for (const char* ref :
       {"http://127.0.0.1/x.json", "file:///etc/passwd", "other.json#/a", "//h/x"}) {
    ExpectRefused(kSchema, fmt::format(R"({{"$ref":"{}"}})", ref), "is not fetched", "#/$ref");
  }
}

TEST(Hostile, Row88LeftRecursionIsRefusedByName) {
  ExpectRefused(kGbnf, "root ::= root \"a\" | \"b\"", "\"root\" can begin with itself");
  ExpectRefused(kGbnf, "root ::= x\nx ::= y\ny ::= \"\"? x \"b\" | \"c\"", "left recursion");
  ExpectRefused(kGbnf, "root ::= [a]* root [b] | \"c\"", "left recursion");
}

TEST(Hostile, Row89UndefinedRulesAreRefusedByName) {
  ExpectRefused(kGbnf, "root ::= missing", "\"missing\", used at byte 9, is not defined");
  ExpectRefused(kGbnf, "a ::= \"x\"", "no rule \"root\"");
  ExpectRefused(kGbnf, "root ::= \"x\"\nroot ::= \"y\"", "a second time");
}

TEST(Hostile, Row90DeepGroupsAreRefused) {
  ExpectRefused(kGbnf, "root ::= " + Times(50'000, "(") + "\"a\"" + Times(50'000, ")"), "deeper");
  ExpectRefused(kRegex, Times(50'000, "(") + "a" + Times(50'000, ")"), "deeper");
  ExpectRefused(kGbnf, "root ::= \"a\"" + Times(1000, "*"), "second quantifier");
}

TEST(Hostile, Row91HugeRepetitionsAreRefused) {
  ExpectRefused(kGbnf, "root ::= \"a\"{1000000}", "repetition");
  ExpectRefused(kGbnf, "root ::= (\"a\"{9999}){9999}", "states");
  ExpectRefused(kRegex, "a{1000000}", "repetition");
  ExpectRefused(kGbnf, "root ::= \"a\"{99999999999999999999}", "repetition");
  std::string many = "root ::= r0\n";
  for (int i = 0; i < 10'000; ++i) {
    many += fmt::format("r{} ::= \"a\"{{100000}} r{}\n", i, i + 1);
  }
  ExpectRefused(kGbnf, many + "r10000 ::= \"a\"", "states");
}

TEST(Hostile, Row92TheCacheIsBounded) {
  const testing::SmallVocabulary vocabulary;
  ConstraintCache cache(vocabulary.trie, {.limits = {}, .max_bytes = 4u << 20, .max_entries = 300});
  std::vector<uint64_t> mask(vocabulary.trie->n_words());
  for (int i = 0; i < 2'000; ++i) {
    const std::string text = fmt::format(R"({{"const":{}}})", i);
    const auto constraint = cache.Get({kSchema, text, {}});
    ASSERT_TRUE(constraint);
    Matcher matcher(*constraint);
    ASSERT_TRUE(matcher.FillMask(mask));
    if (i % 100 == 0) {
      ASSERT_LE(cache.counts().bytes, 8u << 20);
      ASSERT_LE(cache.counts().entries, 300u);
    }
  }
  EXPECT_GT(cache.counts().evicted, 1'500u);
}

TEST(Hostile, AmbiguityEndsWithAnErrorNotWithTheProcess) {
  static const testing::SmallVocabulary vocabulary;
  std::string text = "root ::= ";
  for (int i = 0; i < 300; ++i) text += fmt::format("{}r{}", i == 0 ? "" : " | ", i);
  for (int i = 0; i < 300; ++i) {
    text += fmt::format("\nr{0} ::= \"a\" root \"a\"? \"{1}\" | \"a\" root | \"a\"", i, i % 7);
  }
  const auto constraint = testing::Make({kGbnf, text, {}}, vocabulary.trie);
  ASSERT_TRUE(constraint);
  Matcher matcher(constraint);
  std::vector<uint64_t> mask(matcher.n_words());
  bool ended = false;
  for (int i = 0; i < 30 && !ended; ++i) {
    const auto ok = matcher.Accept("a");
    ended = !ok || !matcher.FillMask(mask);
    if (!ok) EXPECT_EQ(ok.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(ConstraintCache, EqualSourcesAreCompiledOnceAndOptionsAreTheirOwn) {
  const testing::SmallVocabulary vocabulary;
  ConstraintCache cache(vocabulary.trie, {});
  const auto first = cache.Get({kSchema, R"({"type":"object"})", {}});
  const auto again = cache.Get({kSchema, R"({"type":"object"})", {}});
  const auto tight = cache.Get({kSchema, R"({"type":"object"})", {.space = JsonSpace::kNone}});
  const auto gbnf = cache.Get({kGbnf, "root ::= \"a\"", {}});
  ASSERT_TRUE(first && again && tight && gbnf);
  EXPECT_EQ(*first, *again);
  EXPECT_NE(*first, *tight);
  EXPECT_EQ(cache.counts().hits, 1u);
  EXPECT_EQ(cache.counts().compiled, 3u);
  EXPECT_FALSE(cache.Get({kGbnf, "root ::=", {}}) && false);
  EXPECT_FALSE(cache.Get({kGbnf, "root := 1", {}}));
  EXPECT_EQ(cache.counts().entries, 4u);
}

TEST(ConstraintCache, ManyThreadsMayUseOneCacheAndOneConstraint) {
  const testing::SmallVocabulary vocabulary;
  ConstraintCache cache(vocabulary.trie, {.limits = {}, .max_bytes = 64u << 20, .max_entries = 4});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      std::mt19937 random(static_cast<uint32_t>(t));
      for (int i = 0; i < 40; ++i) {
        const auto constraint =
            cache.Get({kSchema, fmt::format(R"({{"type":"array","maxItems":{}}})", 1 + i % 7), {}});
        ASSERT_TRUE(constraint);
        Matcher matcher(*constraint);
        testing::RandomOutput(matcher, random, 10, 100);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(cache.counts().entries, 4u);
}

}  // namespace
}  // namespace hadal::grammar
