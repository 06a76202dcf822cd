// Owns: what a parser of tool calls says, in order. Plain data.
#pragma once

#include <string>
#include <vector>

#include "api/types.h"

namespace hadal {

struct ToolEvent {
  enum class Kind {
    kContent,    // text of the answer; never markup
    kCallBegin,  // text: the function's name
    kArguments,  // text: the next piece of the call's JSON text, whole UTF-8
    kCallEnd,    // complete: its pieces make one JSON object and nothing of it was lost
    kMalformed,  // text: markup and what stood in it that means nothing; for logs, never shown
  };
  Kind kind = Kind::kContent;
  int call = -1;  // calls are numbered from 0
  std::string text;
  std::string id;         // kCallBegin
  bool complete = false;  // kCallEnd

  bool operator==(const ToolEvent&) const = default;
};
// Neighbouring pieces of one kind (and call) are joined.
using ToolEvents = std::vector<ToolEvent>;

struct ToolOutcome {
  int calls = 0;
  int incomplete_calls = 0;
  bool in_block_at_end = false;  // the output ended inside markup
  bool malformed = false;        // there were kMalformed events

  // engine: why the tokens ended. Calls turn a stop into tool_calls; a length stays a length.
  api::FinishReason FinishReasonOf(api::FinishReason engine) const {
    return engine == api::FinishReason::kStop && calls > 0 ? api::FinishReason::kToolCalls : engine;
  }
};

}  // namespace hadal
