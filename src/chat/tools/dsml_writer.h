// Owns: writing calls, the response format and lists of tools in DSML prompts (V3.2, V4).
// Thread rule: free functions.
#pragma once

#include <span>
#include <string_view>

#include "api/types.h"
#include "base/error.h"
#include "chat/tools/markup_writer.h"

namespace hadal {

// The reasoning after <think>, and </think>.
void WriteReasoning(MarkupWriter& prompt, const api::Message& message);
// The content, then ⏎⏎<｜DSML｜BLOCK>⏎ … </｜DSML｜BLOCK> when there are calls.
Status WriteDsmlAnswer(MarkupWriter& prompt, const api::Message& message, std::string_view block);
// The tools' JSON, one a line, between the two texts; nothing without tools.
Status WriteDsmlTools(MarkupWriter& prompt, std::span<const api::Tool> tools, std::string_view head,
                      std::string_view tail);
// Nothing when schema is "".
Status WriteResponseFormat(MarkupWriter& prompt, std::string_view schema);

}  // namespace hadal
