// Owns: checking tools, the choice among them, and calls and results in a conversation, before
// anything is rendered. Must not know formats. All of it is hostile.
// kInvalidArgument names the field: tools[i].function.name, tool_choice.function.name,
// messages[i].tool_calls[j].function.arguments, messages[i].tool_call_id ...
// Thread rule: free functions.
#pragma once

#include <span>

#include "api/types.h"
#include "base/error.h"

namespace hadal {

// Counts, sizes, names ([A-Za-z0-9_-], once each), parameters: JSON of a schema whose type, where
// given, is object. What the schema's other keywords say is for its compiler to check.
Status ValidateTools(std::span<const api::Tool> tools);

// A named choice names one of the tools; required and named need tools.
Status ValidateToolChoice(const api::ToolChoice& choice, std::span<const api::Tool> tools);

// Calls only in assistant messages, with ids that differ and JSON objects as arguments; after them
// the result of each call, once each, before any other message.
Status ValidateToolMessages(std::span<const api::Message> messages);

}  // namespace hadal
