// Owns: Anthropic's Messages API as a dialect: answers, token counts, models.
// Thread rule: pure functions.
#pragma once

#include "server/http/dialect.h"

namespace hadal::server {

Result<ParsedRequest> ParseAnthropicMessages(Json body, const RequestRules& rules);

// The body of a message -> {"input_tokens"}: what it would be counted for. A prompt that does not
// fit the context is refused as the message would be, with its count.
Result<std::string> CountAnthropicTokens(Json body, const CallContext& context);

Result<std::string> ReadAnthropicModels(std::string_view name, const CallContext& context);
Result<std::string> ReadAnthropicModel(std::string_view name, const CallContext& context);

}  // namespace hadal::server
