// Owns: one choice's tokens -> events: text and tool calls, split by the output parser, without
// stop strings, each token's log probability beside the text it gave. Knows nothing of engines or
// callers. Stop strings apply to the content, not to the reasoning, as in OpenAI's API. Thread
// rule: one thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/types.h"
#include "chat/chat_format.h"
#include "service/stop_matcher.h"
#include "tokenizer/tokenizer.h"

namespace hadal {

class ChoiceText {
 public:
  struct Out {
    std::vector<api::Event> events;  // Delta and ToolCallDelta; none without text or logprobs
    bool stopped = false;            // a stop string is complete: nothing more will come
  };

  // healed: bytes at the beginning that the prompt's reader has seen already: they are not text.
  ChoiceText(int choice, std::unique_ptr<OutputParser> parser, std::vector<std::string> stops,
             size_t healed = 0);

  Out Push(TokenId id, std::optional<api::TokenLogprob> logprob);
  // A token that ended the choice: it counts and has no text.
  void CountStopToken() { ++n_tokens_; }
  // What was held back. cut: the answer did not end by itself, so the beginning of a tag is no
  // text.
  std::vector<api::Event> Finish(bool cut = false);
  // After Finish, or once stopped.
  api::FinishReason FinishReasonOf(api::FinishReason engine) const;
  const std::optional<std::string>& stop() const { return stop_; }  // the string that ended it

  int64_t n_tokens() const { return n_tokens_; }
  int64_t n_reasoning_tokens() const { return n_reasoning_tokens_; }

 private:
  // Reasoning or content. Offsets are bytes of its text.
  struct Lane {
    struct Token {
      int64_t start = 0;  // where the token's text begins
      std::optional<api::TokenLogprob> logprob;
    };
    std::deque<Token> waiting;  // their text is not out yet
    int64_t produced = 0;       // bytes that the parser gave
  };
  void AddReasoning(std::string text, Out& out);
  void AddContent(std::string text, Out& out);
  void AddCallPiece(ToolEvent event, Out& out);
  void AddEvents(OutputParser::Text text, Out& out);
  void DropHealed(std::string& text);
  void Release(Lane& lane, int64_t emitted, api::Delta& delta) const;

  int choice_;
  std::unique_ptr<OutputParser> parser_;
  StopMatcher stops_;
  Lane reasoning_, content_;
  int64_t n_tokens_ = 0, n_reasoning_tokens_ = 0;
  bool stopped_ = false;
  std::optional<std::string> stop_;
  size_t healed_ = 0;  // bytes still to be dropped
};

// For prompts without a chat format: everything is content; tokens flagged special are not shown.
std::unique_ptr<OutputParser> NewPlainTextParser(const Tokenizer& tokenizer);

}  // namespace hadal
