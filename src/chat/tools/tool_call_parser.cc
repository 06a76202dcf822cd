#include "chat/tools/tool_call_parser.h"

#include "tokenizer/utf8.h"

namespace hadal {
namespace {

// DSML stands two newlines below the answer.
int NewlinesBeforeBlock(ToolMarkup markup) { return IsDsml(markup) ? 2 : 0; }

}  // namespace

ToolCallParser::ToolCallParser(const TagTable& table, ToolMarkup markup, std::string id_prefix)
    : writer_(std::move(id_prefix), NewlinesBeforeBlock(markup)),
      reader_(IsDsml(markup) ? MakeDsmlCallReader(writer_) : MakeTokenCallReader(markup, writer_)),
      scanner_(table, *reader_) {}

void ToolCallParser::Push(std::string_view bytes, ToolEvents& events) {
  writer_.WriteTo(events);
  pending_ += bytes;
  std::string whole;
  const size_t undecided = AppendRepairedUtf8(pending_, whole);
  pending_.erase(0, pending_.size() - undecided);
  scanner_.Push(whole);
}

void ToolCallParser::EndCharacter() {
  const std::string last = RepairUtf8(pending_);
  pending_.clear();
  scanner_.Push(last);
}

void ToolCallParser::PushControl(std::string_view token, ToolEvents& events) {
  writer_.WriteTo(events);
  EndCharacter();
  scanner_.PushControl(token);
}

ToolOutcome ToolCallParser::Finish(ToolEvents& events, bool cut) {
  writer_.WriteTo(events);
  // An output that ends inside a character was cut: half of a tag's character is no text either.
  const bool in_character = !pending_.empty();
  if (in_character && holds()) {
    pending_.clear();
  } else {
    EndCharacter();
  }
  reader_->End(scanner_.held(), scanner_.held_control() || cut || in_character);
  return writer_.outcome();
}

}  // namespace hadal
