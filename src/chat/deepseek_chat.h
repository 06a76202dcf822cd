// Owns: the chat formats of DeepSeek's models from V3 on, over their renderers and the parser of
// their answers (chat/tools). Thread rule: immutable; `tokenizer` outlives the format.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "chat/chat_format.h"
#include "chat/tools/tool_format.h"

namespace hadal {

// "deepseek-v3", "deepseek-r1", "deepseek-v3.1", "deepseek-v3.2", "deepseek-v4".
std::optional<ToolPrompt> DeepSeekPromptNamed(std::string_view name);
// kUnsupportedModel names the tokens that are missing.
Result<std::unique_ptr<ChatFormat>> MakeDeepSeekChat(const Tokenizer& tokenizer, ToolPrompt prompt);

}  // namespace hadal
