// Answers from hostile bytes, read whole and in pieces: the same events, no markup in content,
// calls that begin and end in order, arguments that are an object wherever a call says it is
// complete. Input: one byte (markup, whether tags are tokens), one byte that decides the cuts, the
// answer.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "chat/tools/json_progress.h"
#include "chat/tools/tool_call_parser.h"
#include "tokenizer/utf8.h"

namespace hadal {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

struct NoTags final : TagReceiver {
  void OnText(std::string_view) override {}
  void OnTag(ToolTag, std::string_view, bool) override { std::abort(); }
  void OnBrokenTag(std::string_view, bool) override { std::abort(); }
};

// The next control token in `text`; npos when there is none.
size_t FindToken(ToolMarkup markup, std::string_view text, size_t& length) {
  if (IsDsml(markup)) {
    length = std::string_view("｜DSML｜").size();
    return text.find("｜DSML｜");
  }
  size_t best = text.npos;
  for (const std::string_view token :
       {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>", "<｜tool▁sep｜>", "<｜tool▁outputs▁begin｜>"}) {
    const size_t at = text.find(token);
    if (at >= best) continue;
    best = at;
    length = token.size();
  }
  return best;
}

ToolEvents Read(const TagTable& table, ToolMarkup markup, bool tokens, std::string_view text,
                uint32_t cuts, ToolOutcome& outcome) {
  ToolCallParser parser(table, markup, "x");
  ToolEvents events;
  const auto push = [&](std::string_view part) {
    while (!part.empty()) {
      size_t length = part.size();
      if (cuts != 0) {
        cuts = cuts * 1664525u + 1013904223u;
        length = std::min<size_t>(part.size(), 1 + (cuts >> 24) % 7);
      }
      parser.Push(part.substr(0, length), events);
      part.remove_prefix(length);
    }
  };
  while (tokens && !text.empty()) {
    size_t length = 0;
    const size_t at = FindToken(markup, text, length);
    if (at == text.npos) break;
    push(text.substr(0, at));
    parser.PushControl(text.substr(at, length), events);
    text.remove_prefix(at + length);
  }
  push(text);
  outcome = parser.Finish(events);
  return events;
}

void Check(const TagTable& table, const ToolEvents& events, const ToolOutcome& outcome) {
  int calls = 0;
  bool open = false;
  JsonProgress json;
  for (const ToolEvent& event : events) {
    Require(IsValidUtf8(event.text));
    switch (event.kind) {
      case ToolEvent::Kind::kContent: {
        Require(!open);
        NoTags no_tags;
        TagScanner(table, no_tags).Push(event.text);
        break;
      }
      case ToolEvent::Kind::kCallBegin:
        Require(!open && event.call == calls++ && !event.text.empty());
        open = true;
        json = {};
        break;
      case ToolEvent::Kind::kArguments:
        Require(open);
        for (const char c : event.text) json.Push(c);
        break;
      case ToolEvent::Kind::kCallEnd:
        Require(open);
        if (event.complete) Require(json.CompleteAtEnd() && json.is_object());
        open = false;
        break;
      case ToolEvent::Kind::kMalformed:
        Require(outcome.malformed);
        break;
    }
  }
  Require(!open && outcome.calls == calls);
}

}  // namespace
}  // namespace hadal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hadal;
  if (size < 2) return 0;
  static const TagTable* const tables[] = {
      new TagTable(ToolMarkup::kFenced), new TagTable(ToolMarkup::kPlain),
      new TagTable(ToolMarkup::kDsmlV32), new TagTable(ToolMarkup::kDsmlV4)};
  const auto markup = static_cast<ToolMarkup>(data[0] & 3);
  const TagTable& table = *tables[data[0] & 3];
  const bool tokens = (data[0] & 4) != 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  ToolOutcome outcome;
  const ToolEvents whole = Read(table, markup, tokens, text, 0, outcome);
  Check(table, whole, outcome);
  Require(Read(table, markup, tokens, text, 1u + data[1], outcome) == whole);
  return 0;
}
