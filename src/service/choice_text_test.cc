#include "service/choice_text.h"

#include <gmock/gmock.h>

#include "tokenizer/testing/tiny_tokenizer.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::unique_ptr<Tokenizer> Bytes() {  // id = byte; 256 is a special token
  testing::TinyTokenizer tiny;
  tiny.added = {{.content = "<end>", .special = true}};
  return std::move(*Tokenizer::Parse(tiny.Json(), ""));
}

// Emits what the test says, whatever the tokens.
class ScriptedParser final : public OutputParser {
 public:
  explicit ScriptedParser(std::vector<Text> texts) : texts_(std::move(texts)) {}
  Text Push(TokenId) override { return texts_.at(next_++); }
  Text Finish() override { return next_ < texts_.size() ? texts_.at(next_++) : Text{}; }

 private:
  std::vector<Text> texts_;
  size_t next_ = 0;
};

OutputParser::Text Content(std::string text) { return {std::move(text), "", false}; }
OutputParser::Text Reasoning(std::string text) { return {"", std::move(text), true}; }

std::vector<api::Delta> DeltasOf(std::vector<api::Event> events) {
  std::vector<api::Delta> deltas;
  for (api::Event& event : events) deltas.push_back(std::get<api::Delta>(std::move(event)));
  return deltas;
}

// A ChoiceText whose events are deltas of text.
class Texts {
 public:
  Texts(int choice, std::unique_ptr<OutputParser> parser, std::vector<std::string> stops)
      : text_(choice, std::move(parser), std::move(stops)) {}
  struct Out {
    std::vector<api::Delta> deltas;
    bool stopped = false;
  };
  Out Push(TokenId id, std::optional<api::TokenLogprob> logprob) {
    ChoiceText::Out out = text_.Push(id, std::move(logprob));
    return {DeltasOf(std::move(out.events)), out.stopped};
  }
  std::vector<api::Delta> Finish() { return DeltasOf(text_.Finish()); }
  int64_t n_tokens() const { return text_.n_tokens(); }
  int64_t n_reasoning_tokens() const { return text_.n_reasoning_tokens(); }

 private:
  ChoiceText text_;
};

Texts Scripted(std::vector<OutputParser::Text> texts, std::vector<std::string> stops) {
  return {0, std::make_unique<ScriptedParser>(std::move(texts)), std::move(stops)};
}
std::optional<api::TokenLogprob> Logprob(int id) {
  api::TokenLogprob logprob;
  logprob.id = id;
  return logprob;
}
std::vector<int> IdsOf(const api::Delta& delta) {
  std::vector<int> ids;
  for (const auto& logprob : delta.logprobs) ids.push_back(logprob.id);
  return ids;
}

TEST(ChoiceText, HalfACharacterIsHeldBackAndItsTokensLeaveTogether) {
  const auto tokenizer = Bytes();
  Texts text(3, NewPlainTextParser(*tokenizer), {});
  EXPECT_THAT(text.Push(0xe4, Logprob(1)).deltas, IsEmpty());
  EXPECT_THAT(text.Push(0xb8, Logprob(2)).deltas, IsEmpty());
  const auto out = text.Push(0xad, Logprob(3));
  ASSERT_EQ(out.deltas.size(), 1u);
  EXPECT_EQ(out.deltas[0].content, "中");
  EXPECT_EQ(out.deltas[0].choice, 3);
  EXPECT_EQ(out.deltas[0].n_tokens, 3);
  EXPECT_THAT(IdsOf(out.deltas[0]), ElementsAre(1, 2, 3));
}

TEST(ChoiceText, SpecialTokensOfPlainTextAreNotShown) {
  const auto tokenizer = Bytes();
  Texts text(0, NewPlainTextParser(*tokenizer), {});
  EXPECT_EQ(text.Push('a', {}).deltas.size(), 1u);
  EXPECT_THAT(text.Push(256, {}).deltas, IsEmpty());
  EXPECT_EQ(text.n_tokens(), 2);
}

TEST(ChoiceText, AnEndInsideACharacterGivesTheReplacement) {
  const auto tokenizer = Bytes();
  Texts text(0, NewPlainTextParser(*tokenizer), {});
  text.Push(0xe4, {});
  const auto rest = text.Finish();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].content, "\xef\xbf\xbd");
}

TEST(ChoiceText, LogprobsWaitForTheirTextAndThoseInsideAStopAreDropped) {
  auto text = Scripted({Content("ab"), Content("c\nUs"), Content("er:")}, {"\nUser:"});
  const auto first = text.Push(1, Logprob(1));
  ASSERT_EQ(first.deltas.size(), 1u);
  EXPECT_EQ(first.deltas[0].content, "ab");
  EXPECT_THAT(IdsOf(first.deltas[0]), ElementsAre(1));
  const auto second = text.Push(2, Logprob(2));
  ASSERT_EQ(second.deltas.size(), 1u);
  EXPECT_EQ(second.deltas[0].content, "c");
  EXPECT_THAT(IdsOf(second.deltas[0]), ElementsAre(2));
  const auto third = text.Push(3, Logprob(3));
  EXPECT_TRUE(third.stopped);
  EXPECT_THAT(third.deltas, IsEmpty());
  EXPECT_THAT(text.Finish(), IsEmpty());
  EXPECT_THAT(text.Push(4, Logprob(4)).deltas, IsEmpty());
  EXPECT_EQ(text.n_tokens(), 3);  // up to and including the one that completed the stop
}

TEST(ChoiceText, HeldBackTextComesOutAtTheEndWithItsLogprobs) {
  auto text = Scripted({Content("a\nUs")}, {"\nUser:"});
  EXPECT_EQ(text.Push(1, Logprob(1)).deltas[0].content, "a");
  const auto rest = text.Finish();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].content, "\nUs");
}

TEST(ChoiceText, StopStringsDoNotApplyToReasoning) {
  auto text = Scripted({Reasoning("say STOP"), Content("ok STOP")}, {"STOP"});
  const auto thought = text.Push(1, Logprob(1));
  EXPECT_FALSE(thought.stopped);
  ASSERT_EQ(thought.deltas.size(), 1u);
  EXPECT_TRUE(thought.deltas[0].in_reasoning);
  EXPECT_EQ(thought.deltas[0].reasoning, "say STOP");
  const auto said = text.Push(2, Logprob(2));
  EXPECT_TRUE(said.stopped);
  ASSERT_EQ(said.deltas.size(), 1u);
  EXPECT_EQ(said.deltas[0].content, "ok ");
  EXPECT_FALSE(said.deltas[0].in_reasoning);
  EXPECT_EQ(text.n_reasoning_tokens(), 1);
  EXPECT_EQ(text.n_tokens(), 2);
}

TEST(ChoiceText, ADeltaNeverMixesReasoningAndContent) {
  auto text = Scripted({{"answer", "thought", true}}, {});
  const auto out = text.Push(1, Logprob(1));
  ASSERT_EQ(out.deltas.size(), 2u);
  EXPECT_EQ(out.deltas[0].reasoning, "thought");
  EXPECT_EQ(out.deltas[0].content, "");
  EXPECT_THAT(IdsOf(out.deltas[0]), ElementsAre(1));
  EXPECT_EQ(out.deltas[1].content, "answer");
  EXPECT_THAT(IdsOf(out.deltas[1]), IsEmpty());
}

TEST(ChoiceText, TokensWithoutTextKeepTheirLogprobsUntilTheEnd) {
  auto text = Scripted({Reasoning("hm"), Reasoning(""), Content("")}, {});
  for (int id = 1; id <= 3; ++id) text.Push(id, Logprob(id));
  const auto rest = text.Finish();
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_TRUE(rest[0].in_reasoning);
  EXPECT_THAT(IdsOf(rest[0]), ElementsAre(2));
  EXPECT_THAT(IdsOf(rest[1]), ElementsAre(3));
}

}  // namespace
}  // namespace hadal
