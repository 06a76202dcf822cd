// Owns: the interface of what reads tool calls out of tags and text; one reader per way of writing
// calls. Thread rule: one parser, one thread.
#pragma once

#include <memory>
#include <string_view>

#include "chat/tools/call_writer.h"
#include "chat/tools/tool_markup.h"

namespace hadal {

class CallReader : public TagReceiver {
 public:
  // No more comes. held: the beginning of a tag that has not ended; control: as in OnTag.
  virtual void End(std::string_view held, bool control) = 0;

 protected:
  // Whether a tag's beginning that the output ends with is ordinary text: a lone "<" is, "<｜to" is
  // not.
  static bool IsPlainHeld(std::string_view held, bool control) {
    return !control && held.size() <= 3 && held.find("\xEF") == held.npos;
  }
};

// `writer` outlives the reader.
std::unique_ptr<CallReader> MakeTokenCallReader(ToolMarkup markup, CallWriter& writer);
std::unique_ptr<CallReader> MakeDsmlCallReader(CallWriter& writer);

}  // namespace hadal
