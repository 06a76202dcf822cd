// Vocabularies as GGUF metadata: what goes in comes out, and every damage is refused with the key
// and the index named.
#include "tokenizer/gguf_vocabulary.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "tokenizer/pre_tokenizer_rules.h"
#include "tokenizer/testing/tiny_tokenizer.h"
#include "tokenizer/tokenizer_file.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Special = Tokenizer::Special;
using testing::TinyTokenizer;

TinyTokenizer Tiny() {
  TinyTokenizer tiny;
  tiny.merges = {{"a", "b"}, {"ab", "c"}, {" ", "abc"}};
  tiny.words = {"xyz"};
  tiny.added = {{.content = "<s>", .special = true}, {.content = "<think>"}, {.content = "<|x|>"}};
  return tiny;
}
constexpr int kTinySize = 256 + 3 + 1 + 3;

GgufMetadata MetadataOf(const TinyTokenizer& tiny, std::string_view config = "",
                        int64_t vocab_size = kTinySize) {
  GgufMetadata metadata;
  const Status status =
      AddGgufVocabulary({tiny.Json(), std::string(config), ""}, vocab_size, &metadata);
  EXPECT_TRUE(status) << status.error().message;
  return metadata;
}

// A copy with `key` set, or left out where there is no value.
GgufMetadata With(const GgufMetadata& metadata, std::string_view key,
                  std::optional<GgufValue> value) {
  GgufMetadata result;
  for (const auto& [name, old] : metadata.pairs()) {
    if (name != key) result.Add(name, old);
  }
  if (value) result.Add(std::string(key), std::move(*value));
  return result;
}

// A copy with one element of an array of strings replaced.
GgufMetadata WithText(const GgufMetadata& metadata, std::string_view key, size_t index,
                      std::string text) {
  std::vector<std::string> texts = *metadata.Texts(key);
  texts.at(index) = std::move(text);
  return With(metadata, key, GgufValue::Texts(std::move(texts)));
}

std::unique_ptr<Tokenizer> TokenizerOf(const GgufMetadata& metadata) {
  const auto texts = TokenizerTextsOfGguf(metadata);
  EXPECT_TRUE(texts) << texts.error().message;
  if (!texts) return nullptr;
  auto tokenizer = Tokenizer::Parse(texts->tokenizer_json, texts->config_json);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

void ExpectRefused(const GgufMetadata& metadata, ErrorCode code, std::string_view reason,
                   const TokenizerLimits& limits = {}) {
  const auto texts = TokenizerTextsOfGguf(metadata, limits);
  ASSERT_FALSE(texts) << "accepted, though: " << reason;
  EXPECT_EQ(texts.error().code, code) << texts.error().message;
  EXPECT_THAT(texts.error().message, HasSubstr(std::string(reason)));
  EXPECT_THAT(texts.error().field, HasSubstr("tokenizer."));
}

TEST(GgufVocabulary, ATokenizerKeepsItsIdsAndSpecialTokens) {
  TinyTokenizer tiny = Tiny();
  const std::string config =
      R"({"bos_token":"<s>","eos_token":"<|x|>","add_bos_token":true,"chat_template":"{{ \"q\" }}\n"})";
  const auto before = Tokenizer::Parse(tiny.Json(), config);
  ASSERT_TRUE(before);
  const auto after = TokenizerOf(MetadataOf(tiny, config));
  ASSERT_TRUE(after);
  EXPECT_EQ(after->vocab_size(), (*before)->vocab_size());
  for (const char* text :
       {"abc abcab xyz <s>ab<think> 12 \n\n", "e\xCC\x81 \"\\\t\x01", "ab<|x|>"}) {
    for (const auto special : {Special::kRecognise, Special::kAsText}) {
      const auto ids = after->Encode(text, special);
      EXPECT_EQ(ids, (*before)->Encode(text, special)) << text;
      EXPECT_EQ(after->Decode(ids), text);
    }
  }
  EXPECT_EQ(after->bos(), tiny.first_added_id());
  EXPECT_EQ(after->eos(), tiny.first_added_id() + 2);
  EXPECT_TRUE(after->add_bos());
  EXPECT_EQ(after->chat_template(), "{{ \"q\" }}\n");
  EXPECT_TRUE(after->IsSpecial(tiny.first_added_id()));
  EXPECT_FALSE(after->IsSpecial(tiny.first_added_id() + 1));
}

TEST(GgufVocabulary, TheMetadataIsWhatLlamaCppReads) {
  const GgufMetadata m =
      MetadataOf(Tiny(), R"({"bos_token":"<s>","pad_token":"<|x|>"})", kTinySize + 2);
  EXPECT_EQ(*m.Text("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(*m.Text("tokenizer.ggml.pre"), "qwen2");
  EXPECT_THAT(*m.Texts("tokenizer.ggml.merges"), ElementsAre("a b", "ab c", "Ġ abc"));
  const std::vector<std::string>& tokens = *m.Texts("tokenizer.ggml.tokens");
  ASSERT_EQ(tokens.size(), kTinySize + 2u);
  EXPECT_EQ(tokens[32], "Ġ");
  EXPECT_EQ(tokens[kTinySize + 1], fmt::format("[PAD{}]", kTinySize + 1));
  const GgufValue& types = *m.Find("tokenizer.ggml.token_type");
  EXPECT_EQ(types.element, GgufType::kI32);
  const auto& type_of = std::get<std::vector<int64_t>>(types.data);
  ASSERT_EQ(type_of.size(), tokens.size());
  EXPECT_EQ(type_of[97], 1);
  EXPECT_EQ(type_of[kTinySize - 3], 3);  // <s>
  EXPECT_EQ(type_of[kTinySize - 2], 4);  // <think>
  EXPECT_EQ(type_of[kTinySize - 1], 3);  // <|x|>: control by its looks
  EXPECT_EQ(type_of[kTinySize], 5);
  EXPECT_EQ(m.Find("tokenizer.ggml.bos_token_id")->element, GgufType::kU32);
  EXPECT_EQ(m.Int("tokenizer.ggml.bos_token_id"), kTinySize - 3);
  EXPECT_EQ(m.Int("tokenizer.ggml.padding_token_id"), kTinySize - 1);
  EXPECT_EQ(m.Bool("tokenizer.ggml.add_bos_token"), false);
}

TEST(GgufVocabulary, PaddingOfTheEmbeddingIsNoToken) {
  const auto tokenizer = TokenizerOf(MetadataOf(Tiny(), "", kTinySize + 5));
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(tokenizer->vocab_size(), kTinySize);
  for (const TokenId id : tokenizer->Encode("[PAD265]", Special::kRecognise)) EXPECT_LT(id, 256);
  // Not even where the file pads texts with it.
  const GgufMetadata padded = With(MetadataOf(Tiny(), "", kTinySize + 5),
                                   "tokenizer.ggml.padding_token_id", GgufValue::U32(kTinySize));
  const auto texts = TokenizerTextsOfGguf(padded);
  ASSERT_TRUE(texts) << texts.error().message;
  EXPECT_THAT(texts->config_json, Not(HasSubstr("pad_token")));
}

TEST(GgufVocabulary, OtherRulesForTextThanThePublishedOnesAreKept) {
  for (const char* normalizer : {"null", R"({"type":"NFC"})"}) {
    for (const bool ignore_merges : {false, true}) {
      TinyTokenizer tiny = Tiny();
      tiny.normalizer = normalizer;
      tiny.ignore_merges = ignore_merges;
      const auto texts = TokenizerTextsOfGguf(MetadataOf(tiny));
      ASSERT_TRUE(texts);
      const auto file = ReadTokenizerJson(texts->tokenizer_json, {});
      ASSERT_TRUE(file);
      EXPECT_EQ(file->nfc, normalizer != std::string_view("null"));
      EXPECT_EQ(file->ignore_merges, ignore_merges);
    }
  }
}

TEST(GgufVocabulary, EveryKnownPreTokenizerIsReadBackAsItsRules) {
  for (const char* name : {"deepseek-llm", "deepseek-coder", "deepseek-v3", "deepseek-r1-qwen",
                           "qwen2", "llama-bpe", "llama3", "llama-v3"}) {
    const SplitRules* rules = FindSplitRules(name);
    ASSERT_NE(rules, nullptr) << name;
    TinyTokenizer tiny = Tiny();
    tiny.pre_tokenizer = PreTokenizerJson(*rules);
    const auto file = ReadTokenizerJson(tiny.Json(), {});
    ASSERT_TRUE(file) << file.error().message;
    const SplitRules* found = RecogniseSplitRules(file->pre_tokenizer, "");
    ASSERT_NE(found, nullptr) << name;
    EXPECT_EQ(found->patterns.data(), rules->patterns.data()) << name;
    const auto tokenizer =
        TokenizerOf(With(MetadataOf(Tiny()), "tokenizer.ggml.pre", GgufValue::Text(name)));
    ASSERT_TRUE(tokenizer) << name;
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("a 你好 12 ?!\n", Special::kAsText)),
              "a 你好 12 ?!\n");
  }
}

TEST(GgufVocabulary, DeepSeeksDistilledQwenKeepsItsName) {
  TinyTokenizer tiny = Tiny();
  tiny.added[0].content = "<｜begin▁of▁sentence｜>";
  const GgufMetadata m = MetadataOf(tiny, R"({"bos_token":"<｜begin▁of▁sentence｜>"})");
  EXPECT_EQ(*m.Text("tokenizer.ggml.pre"), "deepseek-r1-qwen");
}

TEST(GgufVocabulary, BosIsAddedWhereTheFileOrItsPreTokenizerSaysSo) {
  const GgufMetadata silent = With(MetadataOf(Tiny(), R"({"bos_token":"<s>"})"),
                                   "tokenizer.ggml.add_bos_token", std::nullopt);
  EXPECT_FALSE(TokenizerOf(silent)->add_bos());
  const GgufMetadata llama = With(silent, "tokenizer.ggml.pre", GgufValue::Text("llama-bpe"));
  EXPECT_TRUE(TokenizerOf(llama)->add_bos());
  EXPECT_FALSE(
      TokenizerOf(With(llama, "tokenizer.ggml.add_bos_token", GgufValue::Bool(false)))->add_bos());
}

TEST(GgufVocabulary, WithoutTypesTheNamedTokensAreStillControlTokens) {
  const GgufMetadata m =
      With(MetadataOf(Tiny(), R"({"eos_token":"<s>"})"), "tokenizer.ggml.token_type", std::nullopt);
  const auto tokenizer = TokenizerOf(m);
  ASSERT_TRUE(tokenizer);
  EXPECT_TRUE(tokenizer->IsSpecial(kTinySize - 3));
  EXPECT_FALSE(tokenizer->IsAdded(kTinySize - 2));
}

TEST(GgufVocabulary, AFileIsLoadedByItsPath) {
  const auto path =
      std::filesystem::path(HADAL_SOURCE_DIR) / "tests/fuzz/corpus/vocabulary/deepseek";
  const auto tokenizer = Tokenizer::Load(path);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_THAT((*tokenizer)->Encode("abab a<s>", Special::kRecognise), ElementsAre(257, 258, 259));
  EXPECT_EQ((*tokenizer)->bos(), 259);
  EXPECT_EQ((*tokenizer)->eos(), 260);
  EXPECT_EQ((*tokenizer)->chat_template(), "{{ bos_token }}");
  const auto refused = Tokenizer::Load(path, {.max_vocab = 10});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("vocabulary/deepseek: tokenizer.ggml.tokens has"));
}

TEST(GgufVocabulary, OtherModelsAndPreTokenizersAreRefusedByName) {
  const GgufMetadata m = MetadataOf(Tiny());
  const auto code = ErrorCode::kUnsupportedModel;
  for (const char* model : {"llama", "bert", "none", "rwkv"}) {
    ExpectRefused(With(m, "tokenizer.ggml.model", GgufValue::Text(model)), code, model);
  }
  ExpectRefused(With(m, "tokenizer.ggml.pre", GgufValue::Text("falcon")), code,
                "'falcon'; this build reads deepseek-llm, deepseek-coder, deepseek-v3, qwen2, "
                "deepseek-r1-qwen, llama-bpe");
  ExpectRefused(With(m, "tokenizer.ggml.pre", GgufValue::Text("default")), code, "convert");
  ExpectRefused(With(m, "tokenizer.ggml.pre", std::nullopt), code, "convert");
  ExpectRefused(With(m, "tokenizer.ggml.model", std::nullopt), ErrorCode::kBadFile, "is missing");
}

TEST(GgufVocabulary, DamagedTokensAreRefusedWithTheirIndex) {
  const GgufMetadata m = MetadataOf(Tiny());
  const std::string_view key = "tokenizer.ggml.tokens";
  const auto refused = [&](size_t index, std::string text, std::string_view reason) {
    ExpectRefused(WithText(m, key, index, std::move(text)), ErrorCode::kBadFile, reason);
  };
  refused(259, "", "tokenizer.ggml.tokens[259]: the token is empty");
  refused(259, "abc", "tokenizer.ggml.tokens[259]: repeats 'abc' of index 257");
  refused(259, "a\xFF", "tokenizer.ggml.tokens[259]: 'a�' is not UTF-8");
  refused(259, std::string(5000, 'a'), "tokenizer.ggml.tokens[259]: the token has 5000 bytes");
  ExpectRefused(m, ErrorCode::kBadFile, "has 263 elements; the limit is 100", {.max_vocab = 100});
  ExpectRefused(m, ErrorCode::kBadFile, "the limit is 50", {.max_file_bytes = 50});
  ExpectRefused(With(m, key, std::nullopt), ErrorCode::kBadFile, "is missing");
  ExpectRefused(With(m, key, GgufValue::I32s({1})), ErrorCode::kBadFile, "is of another kind");
  ExpectRefused(With(m, key, GgufValue::Texts({})), ErrorCode::kBadFile, "is empty");
}

TEST(GgufVocabulary, TooManyTokensAreRefusedBeforeTheyAreLookedAt) {
  // As many empty strings would otherwise be refused for being empty.
  const GgufMetadata m = With(MetadataOf(Tiny()), "tokenizer.ggml.tokens",
                              GgufValue::Texts(std::vector<std::string>(10'000'000)));
  ExpectRefused(m, ErrorCode::kBadFile, "has 10000000 elements; the limit is 1048576");
}

TEST(GgufVocabulary, DamagedMergesAreRefusedWithTheirIndex) {
  const GgufMetadata m = MetadataOf(Tiny());
  const auto refused = [&](std::string merge, std::string_view reason) {
    ExpectRefused(WithText(m, "tokenizer.ggml.merges", 1, std::move(merge)), ErrorCode::kBadFile,
                  reason);
  };
  refused("ab", "tokenizer.ggml.merges[1]: 'ab' is not two tokens");
  refused("a b c", "tokenizer.ggml.merges[1]: 'a b c' is not two tokens");
  // Only a merge with nothing could give one of its sides again.
  refused(" ab", "tokenizer.ggml.merges[1]: ' ab' is not two tokens");
  refused("ab ", "tokenizer.ggml.merges[1]: 'ab ' is not two tokens");
  refused("", "tokenizer.ggml.merges[1]");
  refused("nope c", "tokenizer.ggml.merges[1]: 'nope' is not in tokenizer.ggml.tokens");
  refused("c ab", "tokenizer.ggml.merges[1]: 'cab' is not in tokenizer.ggml.tokens");
  refused("a\xFF c", "tokenizer.ggml.merges[1]: 'a�' is not in");
  ExpectRefused(m, ErrorCode::kBadFile, "the limit is 2", {.max_merges = 2});
  ExpectRefused(With(m, "tokenizer.ggml.merges", std::nullopt), ErrorCode::kBadFile, "is missing");
}

TEST(GgufVocabulary, DamagedTypesAndSpecialIdsAreRefused) {
  const GgufMetadata m = MetadataOf(Tiny());
  const auto code = ErrorCode::kBadFile;
  const std::string_view types = "tokenizer.ggml.token_type";
  ExpectRefused(With(m, types, GgufValue::I32s({1, 1})), code,
                "token_type has 2 elements and tokenizer.ggml.tokens has 263");
  for (const int64_t type : {int64_t{6}, int64_t{7}, int64_t{-1}}) {
    std::vector<int64_t> list(kTinySize, 1);
    list[200] = type;
    ExpectRefused(With(m, types, GgufValue::I32s(list)), code,
                  fmt::format("tokenizer.ggml.token_type[200]: {}", type));
  }
  ExpectRefused(With(m, types, GgufValue::Text("1")), code, "is of another kind");
  ExpectRefused(m, code, "marks 3 control and user defined tokens", {.max_added_tokens = 2});
  for (const char* key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                          "tokenizer.ggml.eot_token_id", "tokenizer.ggml.padding_token_id"}) {
    ExpectRefused(With(m, key, GgufValue::U32(kTinySize)), code, "is 263; it must be below 263");
    ExpectRefused(With(m, key, GgufValue::U32(4294967295)), code, "is 4294967295");
    ExpectRefused(With(m, key, GgufValue::Text("<s>")), code, "is of another kind");
  }
  ExpectRefused(With(m, "tokenizer.ggml.add_bos_token", GgufValue::U32(1)), code, "true or false");
}

TEST(GgufVocabulary, ChatTemplatesAreLimited) {
  const GgufMetadata m = MetadataOf(Tiny());
  const std::string_view key = "tokenizer.chat_template";
  ExpectRefused(With(m, key, GgufValue::Text(std::string(2 << 20, 'x'))), ErrorCode::kBadFile,
                "has 2097152 bytes; the limit is 1048576");
  ExpectRefused(With(m, key, GgufValue::Text("\xFF")), ErrorCode::kBadFile, "is not UTF-8");
  ExpectRefused(With(m, key, GgufValue::U32(1)), ErrorCode::kBadFile, "is of another kind");
}

TEST(GgufVocabulary, WhatGgufCannotSayIsNotWritten) {
  const auto refused = [](const TinyTokenizer& tiny, int64_t vocab_size, std::string_view reason) {
    GgufMetadata metadata;
    const Status status = AddGgufVocabulary({tiny.Json(), "", ""}, vocab_size, &metadata);
    ASSERT_FALSE(status) << "accepted, though: " << reason;
    EXPECT_THAT(status.error().message, HasSubstr(std::string(reason)));
  };
  TinyTokenizer tiny = Tiny();
  tiny.pattern = "a+";
  refused(tiny, kTinySize, "no name in GGUF");
  tiny = Tiny();
  tiny.added[1].lstrip = true;
  refused(tiny, kTinySize, "\"<think>\" is set to lstrip");
  refused(Tiny(), kTinySize - 1, "262 rows and its tokenizer 263 ids");
  refused(Tiny(), int64_t{1} << 40, "the limit is 1048576");
  tiny = Tiny();
  tiny.added[1].content = "[PAD263]";
  refused(tiny, kTinySize + 1, "would both be named \"[PAD263]\"");
}

TEST(GgufVocabulary, AVocabularyIsAddedOnce) {
  GgufMetadata metadata = MetadataOf(Tiny());
  const Status again = AddGgufVocabulary({Tiny().Json(), "", ""}, kTinySize, &metadata);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kInvalidArgument);
}

TEST(GgufVocabulary, AnAddedLetterIsTextAndNotAByte) {
  TinyTokenizer tiny = Tiny();
  std::string json = tiny.Json();
  // As in deepseek-llm: the letter that spells byte 0xFC is a token of its own.
  const std::string entry = fmt::format("\"ü\":{},", 0xFC);
  json.replace(json.find(entry), entry.size(), "");
  const std::string list = R"("added_tokens":[)";
  json.insert(json.find(list) + list.size(),
              fmt::format(R"({{"id":{},"content":"ü","special":false}},)", 0xFC));
  const auto tokenizer = Tokenizer::Parse(json, "");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  for (const auto special : {Special::kRecognise, Special::kAsText}) {
    const auto ids = (*tokenizer)->Encode("Führ<s>", special);
    EXPECT_EQ(ids[1], 0xFC);
    EXPECT_EQ((*tokenizer)->Decode(ids), "Führ<s>");
  }
  EXPECT_THAT((*tokenizer)->Encode("<s>", Special::kAsText),
              Not(ElementsAre(tiny.first_added_id())));
}

TEST(ChatTemplate, IsReadFromTheConfigInBothForms) {
  const std::string json = Tiny().Json();
  const auto read = [&](std::string_view config) {
    const auto tokenizer = Tokenizer::Parse(json, config);
    EXPECT_TRUE(tokenizer) << tokenizer.error().message;
    return tokenizer ? std::string((*tokenizer)->chat_template()) : "";
  };
  EXPECT_EQ(read(""), "");
  EXPECT_EQ(read(R"({"chat_template":null})"), "");
  EXPECT_EQ(read(R"({"chat_template":"{{ a }}\n\u00fc","bos_token":"<s>"})"), "{{ a }}\nü");
  EXPECT_EQ(read(R"({"chat_template":[{"name":"rag","template":"r"},)"
                 R"({"template":"d","name":"default"}],"bos_token":"<s>"})"),
            "d");
  EXPECT_EQ(read(R"({"chat_template":[{"name":"rag","template":"r"}]})"), "");
  EXPECT_EQ(read(R"({"chat_template":[]})"), "");
  for (const char* bad :
       {R"({"chat_template":3})", R"({"chat_template":["x"]})",
        R"({"chat_template":[{"name":"default"}]})", R"({"chat_template":{"default":"x"}})"}) {
    const auto tokenizer = Tokenizer::Parse(json, bad);
    ASSERT_FALSE(tokenizer) << bad;
    EXPECT_EQ(tokenizer.error().field, "chat_template");
  }
  const std::string large =
      fmt::format(R"({{"chat_template":"{}"}})", std::string((1 << 20) + 1, 'x'));
  const auto refused = Tokenizer::Parse(json, large);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("the limit is 1048576"));
}

TEST(ChatTemplate, AFileOfItsOwnWins) {
  const std::filesystem::path dir =
      std::filesystem::path(::testing::TempDir()) / "hadal_chat_template";
  std::filesystem::create_directories(dir);
  ASSERT_TRUE(WriteFileAtomically(dir / "tokenizer.json", Tiny().Json()));
  ASSERT_TRUE(WriteFileAtomically(dir / "tokenizer_config.json", R"({"chat_template":"config"})"));
  EXPECT_EQ((*Tokenizer::Load(dir))->chat_template(), "config");
  ASSERT_TRUE(WriteFileAtomically(dir / "chat_template.jinja", "file\n"));
  EXPECT_EQ((*Tokenizer::Load(dir))->chat_template(), "file\n");
  const auto texts = ReadTokenizerTexts(dir);
  ASSERT_TRUE(texts);
  GgufMetadata metadata;
  ASSERT_TRUE(AddGgufVocabulary(*texts, kTinySize, &metadata));
  EXPECT_EQ(*metadata.Text("tokenizer.chat_template"), "file\n");
  ASSERT_TRUE(WriteFileAtomically(dir / "chat_template.jinja", std::string((1 << 20) + 1, 'x')));
  EXPECT_FALSE(Tokenizer::Load(dir));
  ASSERT_TRUE(WriteFileAtomically(dir / "chat_template.jinja", "\xFF"));
  EXPECT_FALSE(Tokenizer::Load(dir));
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace hadal
