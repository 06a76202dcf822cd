#include "chat/reasoning_parser.h"

#include <algorithm>

namespace hadal {
namespace {

constexpr std::string_view kThink = "<think>";
constexpr std::string_view kEndOfThink = "</think>";
constexpr std::string_view kNewlineEndOfThink = "\n</think>";

// Length of the longest end of `text` that is a beginning of `tag`, the whole tag excepted.
size_t PartialTagLength(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

ReasoningParser::ReasoningParser(const Tokenizer& tokenizer, const OutputTokens& tokens,
                                 bool starts_in_reasoning)
    : tokens_(tokens),
      detokenizer_(tokenizer),
      in_reasoning_(starts_in_reasoning),
      at_start_(tokens.think_begin.has_value()) {}

OutputParser::Text ReasoningParser::Push(TokenId id) {
  Text out;
  out.in_reasoning = in_reasoning_;
  if (id == tokens_.think_begin) {
    if (at_start_ && held_.empty()) BeginReasoning();
    out.in_reasoning = in_reasoning_;
  } else if (id == tokens_.think_end) {
    if (!in_reasoning_) return out;
    Append(detokenizer_.Finish(), out);
    if (in_reasoning_) EndReasoning(out);
  } else if (id < 0 || static_cast<size_t>(id) >= tokens_.hidden.size() ||
             !tokens_.hidden[static_cast<size_t>(id)]) {
    Append(detokenizer_.Push(id), out);
    if (in_reasoning_) out.in_reasoning = true;
  }
  return out;
}

OutputParser::Text ReasoningParser::Finish() {
  Text out;
  out.in_reasoning = in_reasoning_;
  Append(detokenizer_.Finish(), out);
  out.in_reasoning = in_reasoning_;
  (in_reasoning_ ? out.reasoning : out.content) += held_;
  held_.clear();
  at_start_ = false;
  return out;
}

void ReasoningParser::Append(std::string text, Text& out) {
  if (text.empty()) return;
  held_ += text;
  Decide(out);
}

void ReasoningParser::Decide(Text& out) {
  if (at_start_ && !DecideStart()) return;
  if (!in_reasoning_) return EmitContent(out);
  if (drop_newline_ && !held_.empty()) {
    if (held_.front() == '\n') held_.erase(0, 1);
    drop_newline_ = false;
  }
  const size_t end = held_.find(kEndOfThink);
  if (end != std::string::npos) {
    std::string content = held_.substr(end + kEndOfThink.size());
    held_.resize(end);
    EndReasoning(out);
    held_ = std::move(content);
    return EmitContent(out);
  }
  const size_t keep =
      std::max(PartialTagLength(held_, kEndOfThink), PartialTagLength(held_, kNewlineEndOfThink));
  out.reasoning.append(held_, 0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
}

bool ReasoningParser::DecideStart() {
  if (held_.size() < kThink.size() && kThink.starts_with(held_)) return false;
  at_start_ = false;
  if (held_.starts_with(kThink)) {
    held_.erase(0, kThink.size());
    BeginReasoning();
  }
  return true;
}

void ReasoningParser::BeginReasoning() {
  in_reasoning_ = true;
  at_start_ = false;
  drop_newline_ = true;
}

// held_ is the rest of the reasoning.
void ReasoningParser::EndReasoning(Text& out) {
  if (held_.ends_with('\n')) held_.pop_back();
  out.reasoning += held_;
  held_.clear();
  in_reasoning_ = false;
  at_start_ = false;
  drop_newlines_ = true;
}

void ReasoningParser::EmitContent(Text& out) {
  if (drop_newlines_) {
    held_.erase(0, std::min(held_.find_first_not_of('\n'), held_.size()));
    drop_newlines_ = held_.empty();
  }
  out.content += held_;
  held_.clear();
}

}  // namespace hadal
