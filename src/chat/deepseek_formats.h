// Owns: the list of chat formats; one file each. `tokenizer` must outlive the format.
// Thread rule: formats are immutable; every method may be called from any thread.
#pragma once

#include <memory>
#include <string_view>

#include "chat/chat_format.h"
#include "chat/deepseek_tokens.h"

namespace hadal {

// V3, V3-0324: no reasoning.
std::unique_ptr<ChatFormat> MakeDeepSeekV3(const Tokenizer& tokenizer, DeepSeekTokens tokens);
// R1, R1-0528 and the models distilled from them: always reasons.
std::unique_ptr<ChatFormat> MakeDeepSeekR1(const Tokenizer& tokenizer, DeepSeekTokens tokens);
// V3.1: reasons or not, as the request says.
std::unique_ptr<ChatFormat> MakeDeepSeekV31(const Tokenizer& tokenizer, DeepSeekTokens tokens);

}  // namespace hadal
