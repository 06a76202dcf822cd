// Owns: splitting a model's tokens into reasoning and content around <think> and </think>.
// Knows nothing of messages or prompts.
//
// - </think> ends the reasoning, as its token or as its text however tokens spell it. In content it
//   is ordinary text; its token is never shown.
// - <think> as the very first output starts the reasoning when the prompt has not, and is dropped
//   when it has. Elsewhere it is text; its token is never shown.
// - White space: one newline directly before </think>, one directly after a <think> in the output
//   and all newlines directly after </think> belong to the tags and are dropped; all else stays.
// - Control tokens are never shown. What could be the beginning of a tag is held back until it is
//   decided. Text is always whole characters.
// Thread rule: one parser, one thread.
#pragma once

#include <string>

#include "chat/chat_format.h"
#include "chat/output_tokens.h"

namespace hadal {

class ReasoningParser final : public OutputParser {
 public:
  // Both must outlive the parser. Without think tokens in `tokens` everything is content.
  ReasoningParser(const Tokenizer& tokenizer, const OutputTokens& tokens, bool starts_in_reasoning);

  Text Push(TokenId id) override;
  Text Finish() override;

 private:
  void Append(std::string text, Text& out);
  void Decide(Text& out);
  bool DecideStart();  // false: more text is needed
  void BeginReasoning();
  void EndReasoning(Text& out);
  void EmitContent(Text& out);

  const OutputTokens& tokens_;
  StreamingDetokenizer detokenizer_;
  std::string held_;  // decoded, not yet emitted
  bool in_reasoning_;
  bool at_start_;               // nothing but held_ has come: <think> may still begin the output
  bool drop_newline_ = false;   // after <think>: one
  bool drop_newlines_ = false;  // after </think>: all
};

}  // namespace hadal
