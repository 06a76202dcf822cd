// Owns: one choice's tokens -> deltas: text, split by the output parser, without stop strings, each
// token's log probability beside the text it gave. Knows nothing of engines or callers.
// Stop strings apply to the content, not to the reasoning, as in OpenAI's API.
// Thread rule: one thread at a time.
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
    std::vector<api::Delta> deltas;  // none without text or log probabilities
    bool stopped = false;            // a stop string is complete: nothing more will come
  };

  ChoiceText(int choice, std::unique_ptr<OutputParser> parser, std::vector<std::string> stops);

  Out Push(TokenId id, std::optional<api::TokenLogprob> logprob);
  // A token that ended the choice: it counts and has no text.
  void CountStopToken() { ++n_tokens_; }
  std::vector<api::Delta> Finish();  // what was held back

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
  void Release(Lane& lane, int64_t emitted, api::Delta& delta) const;

  int choice_;
  std::unique_ptr<OutputParser> parser_;
  StopMatcher stops_;
  Lane reasoning_, content_;
  int64_t n_tokens_ = 0, n_reasoning_tokens_ = 0;
  bool stopped_ = false;
};

// For prompts without a chat format: everything is content; tokens flagged special are not shown.
std::unique_ptr<OutputParser> NewPlainTextParser(const Tokenizer& tokenizer);

}  // namespace hadal
