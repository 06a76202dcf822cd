#include "tokenizer/tokenizer.h"

#include <gmock/gmock.h>

#include <random>

#include "tokenizer/testing/tiny_tokenizer.h"
#include "tokenizer/utf8.h"

namespace hadal {
namespace {

using Special = Tokenizer::Special;
using testing::TinyTokenizer;
using Ids = std::vector<TokenId>;

std::unique_ptr<Tokenizer> Parse(const TinyTokenizer& tiny, std::string_view config = "") {
  auto parsed = Tokenizer::Parse(tiny.Json(), config);
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed ? std::move(*parsed) : nullptr;
}

TinyTokenizer WithWords() {
  TinyTokenizer tiny;
  tiny.merges = {{"a", "b"},    {"ab", "ab"}, {"h", "e"},    {"l", "l"},       {"he", "ll"},
                 {"hell", "o"}, {" ", "w"},   {"o", "r"},    {"\xE4", "\xBD"}, {"\xE4\xBD", "\xA0"},
                 {"a", "a"},    {"aa", "aa"}, {" ", "hello"}};
  tiny.added = {{.content = "<s>", .special = true},
                {.content = "<｜User｜>"},
                {.content = "<｜User｜>x"},
                {.content = "</think>", .normalized = true}};
  return tiny;
}

std::string RandomText(std::mt19937& random) {
  static const char* const kParts[] = {
      "a",   "b",        "ab",         "hello", " ",  "  ", "\n",           "\r\n",      "1",
      "234", "你",       "你好",       "é",     "🙂", "'s", "'LL",          "<",         ">",
      "<s>", "</think>", "<｜User｜>", "\t",    "…",  "İ",  "\xE1\xA0\x8E", "e\xCC\x81", "\xCC\x81",
      "한국"};
  std::string text;
  for (int n = static_cast<int>(random() % 24); n > 0; --n) {
    if (random() % 4 == 0) {
      uint32_t c = random() % 0x110000;
      if (c >= 0xD800 && c < 0xE000) c = 'x';
      AppendUtf8(c, text);
    } else {
      text += kParts[random() % std::size(kParts)];
    }
  }
  return text;
}

// Merging as the definition says it: again and again the lowest rank, leftmost.
Ids MergeNaively(const TinyTokenizer& tiny, std::string_view word) {
  std::vector<std::string> parts;
  for (const char c : word) parts.emplace_back(1, c);
  for (;;) {
    size_t best_rank = tiny.merges.size(), best_at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      for (size_t rank = 0; rank < best_rank; ++rank) {
        if (tiny.merges[rank] == std::pair(parts[i], parts[i + 1])) {
          best_rank = rank;
          best_at = i;
        }
      }
    }
    if (best_rank == tiny.merges.size()) break;
    parts[best_at] += parts[best_at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
  Ids ids;
  for (const std::string& part : parts) {
    TokenId id = static_cast<unsigned char>(part[0]);
    for (size_t rank = 0; rank < tiny.merges.size() && part.size() > 1; ++rank) {
      if (tiny.merges[rank].first + tiny.merges[rank].second == part) {
        id = tiny.first_merge_id() + static_cast<TokenId>(rank);
      }
    }
    ids.push_back(id);
  }
  return ids;
}

TEST(Tokenizer, MergesByRankThenLeftmost) {
  const auto t = Parse(WithWords());
  EXPECT_THAT(t->Encode("hello", Special::kRecognise), ::testing::ElementsAre(261));
  EXPECT_THAT(t->Encode("abab", Special::kRecognise), ::testing::ElementsAre(257));
  EXPECT_THAT(t->Encode("aaa", Special::kRecognise), ::testing::ElementsAre(266, 'a'));
  EXPECT_THAT(t->Encode("aab", Special::kRecognise), ::testing::ElementsAre('a', 256));
  EXPECT_THAT(t->Encode("你", Special::kRecognise), ::testing::ElementsAre(265));
  EXPECT_TRUE(t->Encode("", Special::kRecognise).empty());
}

TEST(Tokenizer, MergesAsTheDefinitionDoesOnRandomVocabularies) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    TinyTokenizer tiny;
    tiny.pattern = "[a-d]+";
    tiny.merges_as_pairs = round % 2 == 1;
    std::vector<std::string> known = {"a", "b", "c", "d"};
    for (int n = 0; n < 12; ++n) {
      const std::string a = known[random() % known.size()], b = known[random() % known.size()];
      if (std::find(known.begin(), known.end(), a + b) != known.end()) continue;
      tiny.merges.emplace_back(a, b);
      known.push_back(a + b);
    }
    const auto t = Parse(tiny);
    for (int i = 0; i < 20; ++i) {
      std::string word;
      for (int n = 1 + static_cast<int>(random() % 40); n > 0; --n) {
        word += static_cast<char>('a' + random() % 4);
      }
      EXPECT_EQ(t->Encode(word, Special::kRecognise), MergeNaively(tiny, word)) << word;
    }
  }
}

TEST(Tokenizer, IgnoreMergesTakesAWholeWordFirst) {
  TinyTokenizer tiny = WithWords();
  tiny.words = {"abba"};
  EXPECT_THAT(Parse(tiny)->Encode("abba", Special::kRecognise),
              ::testing::ElementsAre(256, 'b', 'a'));
  tiny.ignore_merges = true;
  EXPECT_THAT(Parse(tiny)->Encode("abba", Special::kRecognise),
              ::testing::ElementsAre(tiny.first_word_id()));
}

TEST(Tokenizer, DecodeOfEncodeIsTheText) {
  const auto t = Parse(WithWords());
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    const std::string text = RandomText(random);
    EXPECT_EQ(t->Decode(t->Encode(text, Special::kAsText)), text);
    EXPECT_EQ(t->Decode(t->Encode(text, Special::kRecognise)), text);
  }
}

TEST(Tokenizer, InvalidUtf8IsEncodedAsReplacementCharacters) {
  const auto t = Parse(WithWords());
  std::mt19937 random(2);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = RandomText(random);
    for (int n = 0; n < 3 && !bytes.empty(); ++n) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    EXPECT_EQ(t->Decode(t->Encode(bytes, Special::kAsText)), RepairUtf8(bytes));
  }
}

TEST(Tokenizer, AddedTokensAreRecognisedLongestFirst) {
  const TinyTokenizer tiny = WithWords();
  const auto t = Parse(tiny);
  const TokenId s = tiny.first_added_id();
  EXPECT_EQ(t->Encode("a<s><｜User｜>b<｜User｜>x</think>", Special::kRecognise),
            (Ids{'a', s, s + 1, 'b', s + 2, s + 3}));
  EXPECT_EQ(t->IdOf("<｜User｜>"), s + 1);
  EXPECT_EQ(t->IdOf("hello"), std::nullopt);
  EXPECT_TRUE(t->IsSpecial(s));
  EXPECT_FALSE(t->IsSpecial(s + 1));
  EXPECT_TRUE(t->IsAdded(s + 1));
  EXPECT_FALSE(t->IsAdded('a'));
  EXPECT_FALSE(t->IsAdded(-1));
  EXPECT_FALSE(t->IsAdded(1 << 30));
}

TEST(Tokenizer, AsTextNeverYieldsAnAddedToken) {
  TinyTokenizer tiny = WithWords();
  // Merges spell out <s> and ignore_merges would find it whole: both must be held off.
  tiny.merges.insert(tiny.merges.end(), {{"<", "s"}});
  tiny.words = {"<s>"};
  tiny.ignore_merges = true;
  tiny.pattern = "<s>|.";
  std::string json = tiny.Json();
  const std::string id_of_word = std::to_string(tiny.first_word_id());
  const std::string added = "\"id\":" + std::to_string(tiny.first_added_id()) + ",";
  json.replace(json.find(added), added.size(), "\"id\":" + id_of_word + ",");
  const auto t = Tokenizer::Parse(json, "");
  ASSERT_TRUE(t) << t.error().message;
  EXPECT_EQ((*t)->Encode("<s>", Special::kRecognise), Ids{tiny.first_word_id()});
  EXPECT_EQ((*t)->Encode("<s>", Special::kAsText),
            (Ids{tiny.first_merge_id() + static_cast<int>(tiny.merges.size()) - 1, '>'}));
  std::mt19937 random(3);
  for (int i = 0; i < 1000; ++i) {
    const std::string text = RandomText(random);
    for (const TokenId id : (*t)->Encode(text, Special::kAsText)) {
      EXPECT_FALSE((*t)->IsAdded(id)) << text;
    }
  }
}

TEST(Tokenizer, FlagsOfAddedTokensActAsInTheReference) {
  TinyTokenizer tiny;
  tiny.added = {{.content = "<l>", .lstrip = true},
                {.content = "<r>", .rstrip = true},
                {.content = "word", .single_word = true}};
  const auto t = Parse(tiny);
  const TokenId l = tiny.first_added_id();
  EXPECT_EQ(t->Encode("a \xC2\xA0\n<l> b", Special::kRecognise), (Ids{'a', l, ' ', 'b'}));
  EXPECT_EQ(t->Encode("a <r> \t b", Special::kRecognise), (Ids{'a', ' ', l + 1, 'b'}));
  EXPECT_EQ(t->Encode("<r>  <l>", Special::kRecognise), (Ids{l + 1, l}));
  EXPECT_EQ(t->Encode("word", Special::kRecognise), Ids{l + 2});
  EXPECT_EQ(t->Encode(",word.", Special::kRecognise), (Ids{',', l + 2, '.'}));
  EXPECT_EQ(t->Encode("words", Special::kRecognise), (Ids{'w', 'o', 'r', 'd', 's'}));
  EXPECT_EQ(t->Encode("éword", Special::kRecognise), (Ids{0xC3, 0xA9, 'w', 'o', 'r', 'd'}));
}

TEST(Tokenizer, NormalizedTokensAreLookedForInTheNormalisedText) {
  TinyTokenizer tiny;
  tiny.normalizer = R"({"type":"Sequence","normalizers":[{"type":"NFC"}]})";
  tiny.added = {{.content = "<\xC3\xA9>", .normalized = true},
                {.content = "[\xC3\xA9]", .normalized = false}};
  const auto t = Parse(tiny);
  const TokenId first = tiny.first_added_id();
  EXPECT_EQ(t->Encode("<e\xCC\x81>", Special::kRecognise), Ids{first});
  EXPECT_EQ(t->Encode("[e\xCC\x81]", Special::kRecognise), (Ids{'[', 0xC3, 0xA9, ']'}));
  EXPECT_EQ(t->Encode("[\xC3\xA9]", Special::kRecognise), Ids{first + 1});
}

TEST(Tokenizer, DecodeSkipsSpecialTokensOnlyWhenAsked) {
  const TinyTokenizer tiny = WithWords();
  const auto t = Parse(tiny);
  const TokenId s = tiny.first_added_id();
  EXPECT_EQ(t->Decode(Ids{s, 'a', s + 1, -5, 99999}), "<s>a<｜User｜>");
  EXPECT_EQ(t->Decode(Ids{s, 'a', s + 1}, /*skip_special=*/true), "a<｜User｜>");
}

TEST(Tokenizer, BosComesFromTheConfigElseFromTheTemplate) {
  TinyTokenizer tiny = WithWords();
  const TokenId s = tiny.first_added_id();
  EXPECT_EQ(Parse(tiny)->bos(), std::nullopt);
  EXPECT_FALSE(Parse(tiny)->add_bos());
  EXPECT_EQ(Parse(tiny, R"({"bos_token":"<s>"})")->bos(), s);
  EXPECT_FALSE(Parse(tiny, R"({"bos_token":"<s>"})")->add_bos());
  const auto t =
      Parse(tiny, R"({"big":1000000000000000019884624838656,"bos_token":{"content":"<s>"},)"
                  R"("eos_token":"</think>","add_bos_token":true})");
  EXPECT_EQ(t->bos(), s);
  EXPECT_EQ(t->eos(), s + 3);
  EXPECT_TRUE(t->add_bos());
  tiny.post_processor =
      R"({"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}]}]})";
  EXPECT_EQ(Parse(tiny)->bos(), s);
  EXPECT_TRUE(Parse(tiny)->add_bos());
  EXPECT_FALSE(Parse(tiny, R"({"add_bos_token":false,"bos_token":null})")->add_bos());
}

TEST(Tokenizer, AddPrefixSpaceAndTheGptPatternActPerPiece) {
  TinyTokenizer tiny = WithWords();
  tiny.pre_tokenizer = R"({"type":"ByteLevel","add_prefix_space":true,"use_regex":true})";
  const auto t = Parse(tiny);
  EXPECT_THAT(t->Encode("hello", Special::kRecognise), ::testing::ElementsAre(268));
  EXPECT_THAT(t->Encode(" hello", Special::kRecognise), ::testing::ElementsAre(268));
  EXPECT_THAT(t->Encode("ab1", Special::kRecognise), ::testing::ElementsAre(' ', 256, '1'));
}

TEST(StreamingDetokenizer, EqualsDecodeHoweverTheTokensFallAndNeverSplitsACharacter) {
  const TinyTokenizer tiny = WithWords();
  const auto t = Parse(tiny);
  std::mt19937 random(4);
  for (int round = 0; round < 3000; ++round) {
    Ids ids;
    if (round % 2 == 0) {
      ids = t->Encode(RandomText(random), Special::kRecognise);
    } else {  // what a model may produce: any tokens in any order
      for (int n = static_cast<int>(random() % 12); n > 0; --n) {
        ids.push_back(static_cast<TokenId>(random() % static_cast<unsigned>(t->vocab_size())));
      }
    }
    StreamingDetokenizer stream(*t);
    std::string text;
    for (const TokenId id : ids) {
      const std::string piece = stream.Push(id);
      EXPECT_TRUE(IsValidUtf8(piece));
      text += piece;
    }
    text += stream.Finish();
    EXPECT_EQ(text, t->Decode(ids));
    EXPECT_EQ(stream.Finish(), "");
  }
}

TEST(StreamingDetokenizer, HoldsBackAtMostThreeBytes) {
  const auto t = Parse(TinyTokenizer());
  StreamingDetokenizer stream(*t);
  EXPECT_EQ(stream.PushBytes("a\xF0\x9F\x99"), "a");
  EXPECT_EQ(stream.PushBytes("\x82!"), "🙂!");
  EXPECT_EQ(stream.PushBytes("\xF0\x9F"), "");
  EXPECT_EQ(stream.PushBytes("x"), "\xEF\xBF\xBDx");
  EXPECT_EQ(stream.PushBytes("\xFF"), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.PushBytes("\xE4\xBD"), "");
  EXPECT_EQ(stream.Finish(), "\xEF\xBF\xBD");
}

}  // namespace
}  // namespace hadal
