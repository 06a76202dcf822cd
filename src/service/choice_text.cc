#include "service/choice_text.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace hadal {
namespace {

constexpr int64_t kAll = std::numeric_limits<int64_t>::max();

class PlainTextParser final : public OutputParser {
 public:
  explicit PlainTextParser(const Tokenizer& tokenizer)
      : tokenizer_(tokenizer), detokenizer_(tokenizer) {}
  Text Push(TokenId id) override {
    Text text;
    text.content = tokenizer_.IsSpecial(id) ? detokenizer_.Finish() : detokenizer_.Push(id);
    return text;
  }
  Text Finish() override {
    Text text;
    text.content = detokenizer_.Finish();
    return text;
  }

 private:
  const Tokenizer& tokenizer_;
  StreamingDetokenizer detokenizer_;
};

}  // namespace

std::unique_ptr<OutputParser> NewPlainTextParser(const Tokenizer& tokenizer) {
  return std::make_unique<PlainTextParser>(tokenizer);
}

ChoiceText::ChoiceText(int choice, std::unique_ptr<OutputParser> parser,
                       std::vector<std::string> stops, size_t healed)
    : choice_(choice), parser_(std::move(parser)), stops_(std::move(stops)), healed_(healed) {}

void ChoiceText::DropHealed(std::string& text) {
  const size_t n = std::min(healed_, text.size());
  text.erase(0, n);
  healed_ -= n;
}

// A token waits until a byte at or after its start is out. Tokens that are parts of one character
// have the same start, and so leave together with the character.
void ChoiceText::Release(Lane& lane, int64_t emitted, api::Delta& delta) const {
  while (!lane.waiting.empty() && lane.waiting.front().start < emitted) {
    auto& token = lane.waiting.front();
    if (token.logprob) delta.logprobs.push_back(std::move(*token.logprob));
    ++delta.n_tokens;
    lane.waiting.pop_front();
  }
}

void ChoiceText::AddReasoning(std::string text, Out& out) {
  DropHealed(text);
  reasoning_.produced += static_cast<int64_t>(text.size());
  if (text.empty()) return;
  api::Delta delta;
  delta.choice = choice_;
  delta.in_reasoning = true;
  delta.reasoning = std::move(text);
  Release(reasoning_, reasoning_.produced, delta);
  out.events.push_back(std::move(delta));
}

void ChoiceText::AddContent(std::string text, Out& out) {
  if (stopped_) return;
  DropHealed(text);
  content_.produced += static_cast<int64_t>(text.size());
  auto [passed, matched, stop] = stops_.Push(text);
  stopped_ = out.stopped = matched;
  if (matched) stop_ = std::move(stop);
  if (passed.empty()) return;
  api::Delta delta;
  delta.choice = choice_;
  delta.content = std::move(passed);
  Release(content_, stops_.emitted_bytes(), delta);
  out.events.push_back(std::move(delta));
}

// A call ends what a stop string may have been the beginning of; its tokens are those that wait.
void ChoiceText::AddCallPiece(ToolEvent event, Out& out) {
  if (stopped_) return;
  if (std::string held = stops_.Finish(); !held.empty()) {
    api::Delta delta;
    delta.choice = choice_;
    delta.content = std::move(held);
    Release(content_, stops_.emitted_bytes(), delta);
    out.events.push_back(std::move(delta));
  }
  api::Delta tokens;
  tokens.choice = choice_;
  Release(content_, kAll, tokens);
  api::ToolCallDelta piece;
  piece.choice = choice_;
  piece.call = event.call;
  if (tokens.logprobs.empty()) {
    piece.n_tokens = tokens.n_tokens;
  } else {
    out.events.push_back(std::move(tokens));
  }
  switch (event.kind) {
    case ToolEvent::Kind::kCallBegin:
      piece.first = true;
      piece.id = std::move(event.id);
      piece.name = std::move(event.text);
      break;
    case ToolEvent::Kind::kCallEnd:
      piece.last = true;
      piece.complete = event.complete;
      break;
    default:
      piece.arguments = std::move(event.text);
  }
  out.events.push_back(std::move(piece));
}

void ChoiceText::AddEvents(OutputParser::Text text, Out& out) {
  AddReasoning(std::move(text.reasoning), out);
  AddContent(std::move(text.content), out);
  for (ToolEvent& event : text.events) {
    switch (event.kind) {
      case ToolEvent::Kind::kContent:
        AddContent(std::move(event.text), out);
        break;
      case ToolEvent::Kind::kMalformed:  // never shown; ends as whatever the engine says
        break;
      default:
        AddCallPiece(std::move(event), out);
    }
  }
}

api::FinishReason ChoiceText::FinishReasonOf(api::FinishReason engine) const {
  return stopped_ ? engine : parser_->outcome().FinishReasonOf(engine);
}

ChoiceText::Out ChoiceText::Push(TokenId id, std::optional<api::TokenLogprob> logprob) {
  Out out;
  if (stopped_) return out;
  ++n_tokens_;
  OutputParser::Text text = parser_->Push(id);
  if (text.in_reasoning) ++n_reasoning_tokens_;
  Lane& lane = text.in_reasoning ? reasoning_ : content_;
  lane.waiting.push_back({lane.produced, std::move(logprob)});
  AddEvents(std::move(text), out);
  return out;
}

std::vector<api::Event> ChoiceText::Finish(bool cut) {
  Out out;
  if (stopped_) return {};
  if (cut) parser_->NoteCut();
  AddEvents(parser_->Finish(), out);
  if (stopped_) return std::move(out.events);
  // What looked like the beginning of a stop string is text, and tokens without text still count.
  api::Delta reasoning, content;
  reasoning.choice = content.choice = choice_;
  reasoning.in_reasoning = true;
  Release(reasoning_, kAll, reasoning);
  content.content = stops_.Finish();
  Release(content_, kAll, content);
  if (!reasoning.logprobs.empty()) out.events.push_back(std::move(reasoning));
  if (!content.content.empty() || !content.logprobs.empty()) {
    out.events.push_back(std::move(content));
  }
  return std::move(out.events);
}

}  // namespace hadal
