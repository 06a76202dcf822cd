// Owns: the list of chat formats that are not DeepSeek-V3's and its successors'; one file each.
// Each returns null when the tokenizer lacks its tokens. `tokenizer` must outlive the format.
// Thread rule: formats are immutable; every method may be called from any thread.
#pragma once

#include <memory>
#include <string_view>

#include "chat/chat_format.h"
#include "chat/output_tokens.h"

namespace hadal {

// DeepSeek LLM, MoE, V2 and Coder-V2: "User: ...", "Assistant:" as plain text.
std::unique_ptr<ChatFormat> MakeDeepSeekLlm(const Tokenizer& tokenizer, const OutputTokens& output);
// DeepSeek Coder (first version), instruct: "### Instruction:", <|EOT|>.
std::unique_ptr<ChatFormat> MakeDeepSeekCoder(const Tokenizer& tokenizer,
                                              const OutputTokens& output);
// <|im_start|>, <|im_end|>: Qwen and others.
std::unique_ptr<ChatFormat> MakeChatMl(const Tokenizer& tokenizer, const OutputTokens& output,
                                       std::string_view architecture);
// <|start_header_id|>, <|eot_id|>.
std::unique_ptr<ChatFormat> MakeLlama3(const Tokenizer& tokenizer, const OutputTokens& output);

}  // namespace hadal
