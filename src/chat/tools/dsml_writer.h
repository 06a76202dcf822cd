// Owns: writing calls, the response format and lists of tools in DSML prompts (V3.2, V4).
// Thread rule: free functions.
#pragma once

#include <span>
#include <string_view>

#include "api/types.h"
#include "base/error.h"
#include "chat/tools/markup_writer.h"

namespace hadal {

// ⏎⏎<｜DSML｜BLOCK>⏎ … </｜DSML｜BLOCK>
Status WriteDsmlCalls(MarkupWriter& prompt, const api::Message& message, std::string_view block);
// The tools' JSON, one a line, between the two texts; nothing without tools.
Status WriteDsmlTools(MarkupWriter& prompt, std::span<const api::Tool> tools, std::string_view head,
                      std::string_view tail);
// Nothing when schema is "".
Status WriteResponseFormat(MarkupWriter& prompt, std::string_view schema);

}  // namespace hadal
