// Owns: the list of renderers; one file per way of writing. Thread rule: free functions.
#pragma once

#include "chat/tools/markup_writer.h"
#include "chat/tools/tool_format.h"

namespace hadal {

Result<RenderedPrompt> RenderFenced(const FormatTokens& tokens, bool is_r1,
                                    std::span<const api::Message> messages,
                                    const ToolRenderOptions& options);
Result<RenderedPrompt> RenderV31(const FormatTokens& tokens, std::span<const api::Message> messages,
                                 const ToolRenderOptions& options);
Result<RenderedPrompt> RenderV32(const FormatTokens& tokens, std::span<const api::Message> messages,
                                 const ToolRenderOptions& options);
Result<RenderedPrompt> RenderV4(const FormatTokens& tokens, std::span<const api::Message> messages,
                                const ToolRenderOptions& options);

// The answer to be continued, or none, where the generation begins: think tag, reasoning, content.
RenderedPrompt BeginAnswer(MarkupWriter& prompt, const api::Message* continuation, bool thinking);

}  // namespace hadal
