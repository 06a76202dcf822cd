// Owns: turning what a reader of markup finds into events: numbering of calls, ids, joining of
// pieces, the white space around a block. Must not know any markup.
// Thread rule: one parser, one thread.
#pragma once

#include <string>
#include <string_view>

#include "chat/tools/tool_events.h"

namespace hadal {

class CallWriter {
 public:
  // Ids are call_00_PREFIX, call_01_PREFIX, ...
  CallWriter(std::string id_prefix, int newlines_before_block)
      : id_prefix_(std::move(id_prefix)), most_held_(newlines_before_block) {}

  // Where events go until the next call.
  void WriteTo(ToolEvents& events) { events_ = &events; }

  // At the end of the content so far, as many newlines as may belong to a block are held back.
  void Content(std::string_view text);
  void ReleaseNewlines();
  void BeginBlock() { held_newlines_ = 0; }
  // White space directly after a block is dropped.
  void EndBlock() { after_block_ = true; }

  // False: there are too many calls; nothing was written.
  bool BeginCall(std::string_view name);
  void Arguments(std::string_view json);
  void EndCall(bool complete);
  void Malformed(std::string_view text);

  bool in_call() const { return in_call_; }
  ToolOutcome& outcome() { return outcome_; }

 private:
  ToolEvent& Join(ToolEvent::Kind kind, int call);

  std::string id_prefix_;
  int most_held_;
  int held_newlines_ = 0;
  bool after_block_ = false;
  bool in_call_ = false;
  ToolOutcome outcome_;
  ToolEvents* events_ = nullptr;
};

}  // namespace hadal
