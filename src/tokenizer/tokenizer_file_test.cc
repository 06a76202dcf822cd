// tokenizer.json is hostile input: every damage is refused with the entry named, none crashes.
#include "tokenizer/tokenizer_file.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <random>

#include "base/file.h"
#include "tokenizer/testing/tiny_tokenizer.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;
using testing::TinyTokenizer;

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TinyTokenizer Tiny() {
  TinyTokenizer tiny;
  tiny.merges = {{"a", "b"}, {"ab", "c"}};
  tiny.added = {{.content = "<s>"}, {.content = "<t>"}};
  return tiny;
}

void ExpectRefused(std::string_view json, std::string_view reason,
                   const TokenizerLimits& limits = {}) {
  const auto parsed = Tokenizer::Parse(json, "", limits);
  ASSERT_FALSE(parsed) << "accepted, though: " << reason;
  EXPECT_THAT(parsed.error().message, HasSubstr(std::string(reason)));
}

TEST(TokenizerFile, TheTinyTokenizerIsAccepted) {
  const auto parsed = Tokenizer::Parse(Tiny().Json(), "");
  EXPECT_TRUE(parsed) << parsed.error().message;
}

TEST(TokenizerFile, WhatIsNotJsonOrTooDeepIsRefused) {
  ExpectRefused("", "is not JSON");
  ExpectRefused("{", "is not JSON");
  ExpectRefused("[]", "is not an object");
  ExpectRefused("{}", "model is missing");
  ExpectRefused(std::string(100000, '['), "is not JSON");
  ExpectRefused(R"({"a":)" + std::string(100, '[') + std::string(100, ']') + "}", "is not JSON");
  ExpectRefused(Tiny().Json(), "the limit is 1000", {.max_file_bytes = 1000});
  const std::string json = Tiny().Json();
  for (size_t n = 0; n < json.size(); n += 37) {
    EXPECT_FALSE(Tokenizer::Parse(json.substr(0, n), "")) << n;
  }
}

TEST(TokenizerFile, DamagedVocabulariesAreRefused) {
  const std::string json = Tiny().Json();
  ExpectRefused(Replaced(json, R"("Z":90)", R"("ZZ":90)"), "no token \"Z\" for byte 0x5A");
  ExpectRefused(Replaced(json, R"("a":97)", R"("a":-1)"), "is not an integer");
  ExpectRefused(Replaced(json, R"("a":97)", R"("a":97.5)"), "is not an integer");
  ExpectRefused(Replaced(json, R"("a":97)", R"("a":4294967296)"), "ids must be below");
  ExpectRefused(Replaced(json, R"("a":97)", R"("a":98)"), "gives id 98 to \"a\" and to \"b\"");
  ExpectRefused(Replaced(json, R"("a":97)", R"("a":97,"a":97)"), "lists the token \"a\" twice");
  ExpectRefused(R"({"model":{"type":"BPE","vocab":{},"merges":[]}})", "model.vocab is empty");
  ExpectRefused(json, "more than 100 tokens", {.max_vocab = 100});
  ExpectRefused(json, "is a token of", {.max_token_bytes = 2});
  TinyTokenizer no_unused_bytes = Tiny();
  std::string without = no_unused_bytes.Json();
  for (const uint8_t byte : {0xC0, 0xC1, 0xF5, 0xFF}) {  // never in UTF-8: may be absent
    without = Replaced(without, fmt::format("\"{}\":{},", ByteLevelChar(byte), byte), "");
  }
  EXPECT_TRUE(Tokenizer::Parse(without, ""));
}

TEST(TokenizerFile, DamagedMergesAreRefused) {
  const std::string json = Tiny().Json();
  const std::string_view first = R"("merges":["a b")";
  const auto with = [&](std::string_view merge) {
    return Replaced(json, first, fmt::format(R"("merges":[{})", merge));
  };
  ExpectRefused(with(R"("a q")"), "model.merges[0]: \"aq\" is not in model.vocab");
  ExpectRefused(with(R"("nope b")"), "model.merges[0]: \"nope\" is not in model.vocab");
  ExpectRefused(with(R"("ab")"), "not two tokens");
  ExpectRefused(with(R"("a b c")"), "not two tokens");
  ExpectRefused(with(R"(" b")"), "an empty token");
  ExpectRefused(with(R"(["a"])"), "not an array of two strings");
  ExpectRefused(with(R"(["a",1])"), "not an array of two strings");
  ExpectRefused(with("7"), "not a string");
  ExpectRefused(json, "more than 1 entries", {.max_merges = 1});
  // A cycle would need a merge that does not grow its token: only an empty side could.
  ExpectRefused(Replaced(with(R"(["","a"])"), R"("a":97)", R"("a":97,"":300)"), "an empty token");
}

TEST(TokenizerFile, DamagedAddedTokensAreRefused) {
  const std::string json = Tiny().Json();
  ExpectRefused(Replaced(json, R"("id":258)", R"("id":97)"), "which belongs to \"a\"");
  ExpectRefused(Replaced(json, R"("id":258)", R"("id":99999999)"), "ids must be below");
  ExpectRefused(Replaced(json, R"("id":258,)", ""), "added_tokens[0].id is missing");
  ExpectRefused(Replaced(json, R"("<t>")", R"("<s>")"), "repeats \"<s>\"");
  ExpectRefused(Replaced(json, R"("<t>")", R"("a")"), "model.vocab gives it 97");
  ExpectRefused(Replaced(json, R"("<t>")", R"("")"), "content is empty");
  ExpectRefused(Replaced(json, R"("special":false)", R"("special":1)"), "is not true or false");
  ExpectRefused(json, "more than 1 entries", {.max_added_tokens = 1});
}

TEST(TokenizerFile, TenMillionAddedTokensAreRefusedQuickly) {
  std::string list;
  for (int i = 0; i < 10'000'000; ++i) list += "0,";
  list.pop_back();
  ExpectRefused(Replaced(Tiny().Json(), R"("added_tokens":[)", R"("added_tokens":[)" + list + ","),
                "more than 65536 entries");
}

TEST(TokenizerFile, WhatThisBuildCannotReproduceIsRefusedByName) {
  const std::string json = Tiny().Json();
  ExpectRefused(Replaced(json, R"("type":"BPE")", R"("type":"Unigram")"), "\"Unigram\"");
  ExpectRefused(Replaced(json, R"("type":"BPE")", R"("type":"BPE","byte_fallback":true)"),
                "byte_fallback");
  ExpectRefused(Replaced(json, R"("type":"BPE")", R"("type":"BPE","dropout":0.1)"), "dropout");
  ExpectRefused(Replaced(json, R"("type":"BPE")", R"("type":"BPE","end_of_word_suffix":"</w>")"),
                "</w>");
  ExpectRefused(Replaced(json, R"("normalizer":null)", R"("normalizer":{"type":"NFKC"})"), "NFKC");
  ExpectRefused(Replaced(json, R"("behavior":"Isolated")", R"("behavior":"Contiguous")"),
                "Contiguous");
  ExpectRefused(Replaced(json, R"("decoder":{"type":"ByteLevel"})", R"("decoder":null)"),
                "decoder is missing");
  TinyTokenizer tiny = Tiny();
  tiny.pre_tokenizer = R"({"type":"Metaspace"})";
  ExpectRefused(tiny.Json(), "Metaspace");
  tiny.pre_tokenizer = R"({"type":"Digits"})";
  ExpectRefused(tiny.Json(), "no ByteLevel");
  tiny = Tiny();
  tiny.pattern = "[a";
  ExpectRefused(tiny.Json(), "[a");
  tiny.pattern = "(a";
  ExpectRefused(tiny.Json(), "not a regular expression");
  tiny.pattern = std::string(20000, 'a');
  ExpectRefused(tiny.Json(), "it must have 1 to 16384");
  tiny.pattern = std::string(5000, '(') + "a" + std::string(5000, ')');
  ExpectRefused(tiny.Json(), "not a regular expression");
  tiny.pattern = "((a{1,5000}){1,5000}){1,5000}";
  ExpectRefused(tiny.Json(), "not a regular expression");
}

TEST(TokenizerFile, DamagedConfigsAreRefused) {
  const std::string json = Tiny().Json();
  const auto refused = [&](std::string_view config, std::string_view reason) {
    const auto parsed = Tokenizer::Parse(json, config);
    ASSERT_FALSE(parsed) << config;
    EXPECT_THAT(parsed.error().message, HasSubstr(std::string(reason)));
  };
  refused("{", "is not JSON");
  refused("[1]", "is not JSON");
  refused(R"({"bos_token":3})", "bos_token");
  refused(R"({"bos_token":{}})", "bos_token");
  refused(R"({"eos_token":"<nowhere>"})", "\"<nowhere>\", which is not in tokenizer.json");
  refused(R"({"add_bos_token":"yes"})", "add_bos_token");
  refused(R"({"x":)" + std::string(500, '['), "is not JSON");
}

TEST(TokenizerFile, AMissingFileIsNamed) {
  const auto loaded = Tokenizer::Load("/nonexistent");
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(loaded.error().message, HasSubstr("/nonexistent/tokenizer.json"));
}

TEST(TokenizerFile, LoadReadsADirectoryWithOrWithoutConfig) {
  const std::filesystem::path dir =
      std::filesystem::path(::testing::TempDir()) / "hadal_tokenizer_load";
  std::filesystem::create_directories(dir);
  std::filesystem::remove(dir / "tokenizer_config.json");
  ASSERT_TRUE(WriteFileAtomically(dir / "tokenizer.json", Tiny().Json()));
  const auto without = Tokenizer::Load(dir);
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_EQ((*without)->bos(), std::nullopt);
  ASSERT_TRUE(WriteFileAtomically(dir / "tokenizer_config.json", R"({"bos_token":"<s>"})"));
  const auto with = Tokenizer::Load(dir);
  ASSERT_TRUE(with) << with.error().message;
  EXPECT_EQ((*with)->bos(), 258);
  std::filesystem::remove_all(dir);
}

TEST(TokenizerFile, RandomDamageNeverCrashes) {
  const std::string json = Tiny().Json();
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = json;
    for (int n = 1 + static_cast<int>(random() % 3); n > 0; --n) {
      const size_t at = random() % damaged.size();
      switch (random() % 3) {
        case 0:
          damaged[at] = static_cast<char>(random());
          break;
        case 1:
          damaged.erase(at, 1 + random() % 8);
          break;
        default:
          damaged.insert(at, damaged.substr(random() % damaged.size(), random() % 16));
      }
    }
    const auto parsed = Tokenizer::Parse(damaged, "");
    if (parsed) (*parsed)->Encode("abc <s> 你好 'S 12", Tokenizer::Special::kRecognise);
  }
}

}  // namespace
}  // namespace hadal
