#include "chat/tools/answer_parser.h"

#include <utility>

namespace hadal {
namespace {

constexpr std::string_view kDsmlToken = "｜DSML｜";
constexpr std::string_view kTokenBegin = "<｜tool▁";

}  // namespace

ToolTokens::ToolTokens(const Tokenizer& tokenizer, ToolMarkup markup)
    : is_markup(static_cast<size_t>(tokenizer.vocab_size())) {
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.IsAdded(id)) continue;
    const std::string_view bytes = tokenizer.BytesOf(id);
    is_markup[static_cast<size_t>(id)] =
        IsDsml(markup) ? bytes == kDsmlToken : bytes.starts_with(kTokenBegin);
  }
}

AnswerParser::AnswerParser(const Shared& shared, bool starts_in_reasoning, std::string id_prefix)
    : shared_(shared),
      reasoning_(shared.tokenizer, shared.output, starts_in_reasoning),
      calls_(shared.table, shared.markup, std::move(id_prefix)),
      detokenizer_(shared.tokenizer) {}

OutputParser::Text AnswerParser::Push(TokenId id) {
  Text step;
  if (shared_.tools.Has(id)) {
    if (!answering_) {
      Take(reasoning_.Finish(), step);
      // DSML's < came as text of the reasoning, two newlines before it.
      if (IsDsml(shared_.markup) && step.reasoning.ends_with('<')) {
        step.reasoning.pop_back();
        while (step.reasoning.ends_with('\n')) step.reasoning.pop_back();
      }
      answering_ = true;
    }
    calls_.Push(detokenizer_.Finish(), step.events);
    calls_.PushControl(shared_.tokenizer.BytesOf(id), step.events);
    step.in_reasoning = false;
    return step;
  }
  if (!answering_) {
    Take(reasoning_.Push(id), step);
    return step;
  }
  const bool hidden = id < 0 || static_cast<size_t>(id) >= shared_.output.hidden.size() ||
                      shared_.output.hidden[static_cast<size_t>(id)];
  const bool is_think = id == shared_.output.think_begin || id == shared_.output.think_end;
  if (!hidden && !is_think) calls_.Push(detokenizer_.Push(id), step.events);
  return step;
}

OutputParser::Text AnswerParser::Finish() {
  constexpr std::string_view kHalfCharacter = "\xEF\xBF\xBD";
  Text step;
  std::string tail;
  if (!answering_) {
    Text last = reasoning_.Finish();
    tail = std::exchange(last.content, {});
    Take(last, step);
  }
  tail += detokenizer_.Finish();
  const bool in_character = tail.ends_with(kHalfCharacter);
  if (in_character) tail.resize(tail.size() - kHalfCharacter.size());
  calls_.Push(tail, step.events);
  // Half of a tag's character is a part of the tag.
  if (in_character && !calls_.holds()) calls_.Push(kHalfCharacter, step.events);
  outcome_ = calls_.Finish(step.events, cut_ || in_character);
  return step;
}

void AnswerParser::Take(const Text& text, Text& step) {
  step.reasoning += text.reasoning;
  step.in_reasoning = text.in_reasoning;
  if (!text.content.empty()) calls_.Push(text.content, step.events);
}

}  // namespace hadal
