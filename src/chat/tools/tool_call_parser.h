// Owns: splitting an answer's text, as it comes in pieces cut anywhere, into content and tool
// calls. Knows nothing of reasoning: give it what follows </think>.
//
// - Content never holds markup: not whole, not cut off, not broken, also where no tool was offered.
//   Broken markup becomes kMalformed events, and reading goes on behind it.
// - Arguments come as they are written. What a model writes that cannot be JSON is passed on too
//   and the call ends with complete = false.
// - A call without the tags around the block is a call. An output that ends inside a call ends the
//   call: complete = false.
// - Tags are known as control tokens (PushControl) and as text, with ASCII bars too. As text they
//   are data inside a JSON string or a parameter's value; see the readers.
// Time is linear in the bytes; memory does not grow with them.
// Thread rule: one parser, one thread.
//
//   ToolCallParser parser(table, ToolMarkup::kDsmlV4, "8f3a");
//   parser.Push("Sure.\n\n<", events); parser.PushControl("｜DSML｜", events); ...
//   const ToolOutcome outcome = parser.Finish(events);
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "chat/tools/call_reader.h"
#include "chat/tools/tool_events.h"
#include "chat/tools/tool_markup.h"

namespace hadal {

class ToolCallParser {
 public:
  // table: of the markup; outlives the parser.
  ToolCallParser(const TagTable& table, ToolMarkup markup, std::string id_prefix);
  ToolCallParser(const ToolCallParser&) = delete;
  ToolCallParser& operator=(const ToolCallParser&) = delete;

  // Events are appended. Bytes that are no UTF-8 become U+FFFD.
  void Push(std::string_view bytes, ToolEvents& events);
  void PushControl(std::string_view token, ToolEvents& events);
  // cut: the output did not end by itself, so what may be a tag's beginning is no text.
  ToolOutcome Finish(ToolEvents& events, bool cut = false);
  // Whether what came ends with what may be a tag's beginning.
  bool holds() const { return !scanner_.held().empty(); }

 private:
  void EndCharacter();

  CallWriter writer_;
  std::unique_ptr<CallReader> reader_;
  TagScanner scanner_;
  std::string pending_;  // the beginning of a character
};

}  // namespace hadal
