// Owns: splitting a model's tokens into reasoning, content and tool calls. A control token of tool
// markup inside the reasoning ends it: the model forgot </think>.
// Thread rule: one parser, one thread.
#pragma once

#include <string>
#include <vector>

#include "chat/reasoning_parser.h"
#include "chat/tools/tool_call_parser.h"

namespace hadal {

// Immutable; the tokens whose bytes are tags of tool markup or a part of one.
struct ToolTokens {
  ToolTokens(const Tokenizer& tokenizer, ToolMarkup markup);
  bool Has(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < is_markup.size() &&
           is_markup[static_cast<size_t>(id)];
  }
  std::vector<bool> is_markup;  // by id
};

// Its content comes as events.
class AnswerParser final : public OutputParser {
 public:
  struct Shared {  // outlive the parser
    const Tokenizer& tokenizer;
    const OutputTokens& output;
    const ToolTokens& tools;
    const TagTable& table;
    ToolMarkup markup;
  };
  AnswerParser(const Shared& shared, bool starts_in_reasoning, std::string id_prefix);

  Text Push(TokenId id) override;
  void NoteCut() override { cut_ = true; }
  Text Finish() override;
  ToolOutcome outcome() const override { return outcome_; }

 private:
  void Take(const Text& text, Text& step);

  const Shared shared_;
  ReasoningParser reasoning_;
  ToolCallParser calls_;
  bool cut_ = false;
  bool answering_ = false;  // markup has come: all further tokens are the answer's
  StreamingDetokenizer detokenizer_;
  ToolOutcome outcome_;
};

}  // namespace hadal
