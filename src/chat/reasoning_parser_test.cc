#include "chat/reasoning_parser.h"

#include <gmock/gmock.h>

#include <random>

#include "chat/deepseek_tokens.h"
#include "tokenizer/testing/tiny_tokenizer.h"
#include "tokenizer/utf8.h"

namespace hadal {
namespace {

using Ids = std::vector<TokenId>;

class ReasoningParserTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::TinyTokenizer tiny;
    // Tokens that straddle the tags.
    tiny.words = {"\n</th", "ink>",        "ink>\n\n",  ">\n\nA",
                  "x</",    "</think>\nB", "<think>\n", "k>\xE4"};
    tiny.added = {{.content = "<bos>", .special = true},
                  {.content = "<eos>", .special = true},
                  {.content = "<｜User｜>"},
                  {.content = "<｜Assistant｜>"},
                  {.content = "<think>"},
                  {.content = "</think>"},
                  {.content = "<|EOT|>"},
                  {.content = "<tool_call>"}};
    first_word_ = tiny.first_word_id();
    n_words_ = static_cast<int>(tiny.words.size());
    auto parsed = Tokenizer::Parse(tiny.Json(), R"({"bos_token":"<bos>","eos_token":"<eos>"})");
    ASSERT_TRUE(parsed) << parsed.error().message;
    tokenizer_ = std::move(*parsed);
    auto tokens = FindDeepSeekTokens(*tokenizer_);
    ASSERT_TRUE(tokens) << tokens.error().message;
    tokens_ = *tokens;
    think_ = *tokens_.think_begin;
    end_ = *tokens_.think_end;
  }

  // One id per byte; {T} and {/T} stand for the tag tokens.
  Ids Bytes(std::string_view text) const {
    Ids ids;
    while (!text.empty()) {
      if (text.starts_with("{T}") || text.starts_with("{/T}")) {
        ids.push_back(text[1] == 'T' ? think_ : end_);
        text.remove_prefix(text.find('}') + 1);
      } else {
        ids.push_back(static_cast<unsigned char>(text[0]));
        text.remove_prefix(1);
      }
    }
    return ids;
  }

  // "reasoning|content" of the whole output; every piece must be whole characters.
  std::string Split(const Ids& ids, bool starts_in_reasoning) const {
    ReasoningParser parser(*tokenizer_, tokens_, starts_in_reasoning);
    std::string reasoning, content;
    const auto take = [&](const OutputParser::Text& text) {
      EXPECT_TRUE(IsValidUtf8(text.reasoning) && IsValidUtf8(text.content));
      EXPECT_TRUE(content.empty() || text.reasoning.empty()) << "reasoning after content";
      reasoning += text.reasoning;
      content += text.content;
    };
    for (const TokenId id : ids) take(parser.Push(id));
    take(parser.Finish());
    return reasoning + "|" + content;
  }
  std::string InReasoning(std::string_view text) const { return Split(Bytes(text), true); }
  std::string Outside(std::string_view text) const { return Split(Bytes(text), false); }

  std::unique_ptr<Tokenizer> tokenizer_;
  DeepSeekTokens tokens_;
  TokenId think_ = 0, end_ = 0;
  int first_word_ = 0, n_words_ = 0;
};

TEST_F(ReasoningParserTest, TheEndTokenSeparatesReasoningFromContent) {
  EXPECT_EQ(InReasoning("so{/T}yes"), "so|yes");
  EXPECT_EQ(InReasoning("so\n{/T}\n\nyes"), "so|yes");
  EXPECT_EQ(InReasoning("so\n\n{/T}\n\n\nyes\n"), "so\n|yes\n");
  EXPECT_EQ(InReasoning("{/T}yes"), "|yes");
  EXPECT_EQ(InReasoning("never ends\n"), "never ends\n|");
  EXPECT_EQ(InReasoning(""), "|");
}

TEST_F(ReasoningParserTest, TheEndSpelledAsTextSeparatesToo) {
  EXPECT_EQ(InReasoning("so\n</think>\n\nyes"), "so|yes");
  EXPECT_EQ(InReasoning("a < b </ c </thin d</think>e"), "a < b </ c </thin d|e");
  EXPECT_EQ(InReasoning("</</think>x</think>"), "</|x</think>");
  EXPECT_EQ(InReasoning("so</thin"), "so</thin|");
  EXPECT_EQ(InReasoning("so\n</think"), "so\n</think|");
}

TEST_F(ReasoningParserTest, ALeadingThinkStartsTheReasoningOrIsDropped) {
  EXPECT_EQ(Outside("{T}\nso{/T}yes"), "so|yes");
  EXPECT_EQ(Outside("<think>\nso</think>yes"), "so|yes");
  EXPECT_EQ(InReasoning("{T}\nso{/T}yes"), "so|yes");
  EXPECT_EQ(InReasoning("<think>so{/T}yes"), "so|yes");
  EXPECT_EQ(Outside("a<think>b"), "|a<think>b");
  EXPECT_EQ(Outside("<thin air"), "|<thin air");
  EXPECT_EQ(Outside("<"), "|<");
  EXPECT_EQ(Outside("plain </think> text"), "|plain </think> text");
  EXPECT_EQ(Outside("a{/T}b{T}c"), "|abc");
}

TEST_F(ReasoningParserTest, ControlTokensAreNeverShownWhateverTheirFlag) {
  for (const char* token : {"<bos>", "<eos>", "<｜User｜>", "<｜Assistant｜>", "<|EOT|>"}) {
    const TokenId id = *tokenizer_->IdOf(token);
    EXPECT_EQ(Split({'a', id, end_, 'b', id}, true), "a|b") << token;
  }
  const TokenId tool_call = *tokenizer_->IdOf("<tool_call>");
  EXPECT_EQ(Split({tool_call}, false), "|<tool_call>");
  EXPECT_EQ(Split({-1, 'a', 1 << 30}, false), "|a");
}

TEST_F(ReasoningParserTest, EveryCutIntoTokensGivesTheSameText) {
  // All ways to spell the text with single bytes and the straddling words.
  const std::string text = "x\n</think>\n\nA";
  const std::function<void(std::string_view, Ids&)> spell = [&](std::string_view rest, Ids& ids) {
    if (rest.empty()) {
      EXPECT_EQ(Split(ids, true), "x|A");
      return;
    }
    for (TokenId id = first_word_; id < first_word_ + n_words_; ++id) {
      if (!rest.starts_with(tokenizer_->BytesOf(id))) continue;
      ids.push_back(id);
      spell(rest.substr(tokenizer_->BytesOf(id).size()), ids);
      ids.pop_back();
    }
    ids.push_back(static_cast<unsigned char>(rest[0]));
    spell(rest.substr(1), ids);
    ids.pop_back();
  };
  Ids ids;
  spell(text, ids);
}

TEST_F(ReasoningParserTest, ACharacterThatBeginsInTheTagsLastTokenSurvives) {
  const TokenId straddling = first_word_ + 7;  // "k>" and the first byte of 你
  Ids ids = Bytes("a</thin");
  ids.push_back(straddling);
  ids.push_back(0xBD);
  ids.push_back(0xA0);
  EXPECT_EQ(Split(ids, true), "a|你");
}

TEST_F(ReasoningParserTest, AnUnfinishedCharacterBeforeTheEndTokenStaysInTheReasoning) {
  EXPECT_EQ(Split({'a', 0xE4, 0xBD, end_, 'b'}, true), "a\xEF\xBF\xBD|b");
  EXPECT_EQ(Split({'a', 0xE4}, false), "|a\xEF\xBF\xBD");
}

TEST_F(ReasoningParserTest, RandomOutputsAgreeWithSplittingTheWholeText) {
  std::mt19937 random(6);
  static const char* const kParts[] = {"<", "/",  "think>", "</think>", "\n",      "<think>",
                                       "a", "你", "</",     "🙂",       "</think", " "};
  for (int round = 0; round < 5000; ++round) {
    std::string text = "s";  // no leading <think>
    for (int n = static_cast<int>(random() % 14); n > 0; --n) {
      text += kParts[random() % std::size(kParts)];
    }
    std::string expected = text + "|";
    if (const size_t at = text.find("</think>"); at != std::string::npos) {
      std::string content = text.substr(at + 8);
      content.erase(0, std::min(content.find_first_not_of('\n'), content.size()));
      const bool newline = text[at - 1] == '\n';
      expected = text.substr(0, at - (newline ? 1 : 0)) + "|" + content;
    }
    EXPECT_EQ(InReasoning(text), expected) << text;
    EXPECT_EQ(Outside(text), "|" + text);
  }
}

TEST_F(ReasoningParserTest, TextIsNotHeldBackLongerThanATagNeeds) {
  ReasoningParser parser(*tokenizer_, tokens_, true);
  EXPECT_EQ(parser.Push('a').reasoning, "a");
  EXPECT_EQ(parser.Push('<').reasoning, "");
  EXPECT_EQ(parser.Push('b').reasoning, "<b");
  const OutputParser::Text end = parser.Push(end_);
  EXPECT_TRUE(end.in_reasoning);
  const OutputParser::Text after = parser.Push('<');
  EXPECT_EQ(after.content, "<");
  EXPECT_FALSE(after.in_reasoning);
}

TEST_F(ReasoningParserTest, WithoutThinkTokensEverythingIsContent) {
  DeepSeekTokens v3 = tokens_;
  v3.think_begin = v3.think_end = std::nullopt;
  ReasoningParser parser(*tokenizer_, v3, false);
  std::string content;
  for (const TokenId id : Bytes("<think>a</think>\n")) content += parser.Push(id).content;
  EXPECT_EQ(content + parser.Finish().content, "<think>a</think>\n");
}

}  // namespace
}  // namespace hadal
