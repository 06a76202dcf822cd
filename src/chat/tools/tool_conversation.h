// Owns: what the renderers of conversations with tools have in common: the system text, results in
// the order of their calls, a tool as JSON. Views into the messages.
// Thread rule: free functions.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "api/types.h"
#include "base/error.h"

namespace hadal {

// A message to render, never kSystem.
struct ToolTurn {
  const api::Message* message;
  size_t index;  // in the caller's list
};

struct ToolConversation {
  // System messages, wherever they stand, joined by a blank line. DeepSeek's encoders write a later
  // one where it stands, without anything around it.
  std::string system;
  bool has_system = false;
  // The results that follow one assistant message are in the order of its calls: formats without
  // ids know a result by its place.
  std::vector<ToolTurn> turns;
  const api::Message* continuation = nullptr;  // the last message, with prefix; not in turns
};

// Validates tools and messages. developer_is_system: the format has no developer.
Result<ToolConversation> ReadToolConversation(std::span<const api::Message> messages,
                                              std::span<const api::Tool> tools,
                                              bool developer_is_system);

// The function object as json.dumps writes it.
Result<std::string> ToolJson(const api::Tool& tool, int indent = 0);
// Its parameters; {} when it has none.
Result<std::string> ParametersJson(const api::Tool& tool);

}  // namespace hadal
