// Owns: OpenAI's chat completions and text completions, as DeepSeek extends them, as a dialect.
// Thread rule: pure functions.
#pragma once

#include "server/http/dialect.h"

namespace hadal::server {

Result<ParsedRequest> ParseOpenAiChat(Json body, const RequestRules& rules);
Result<ParsedRequest> ParseOpenAiText(Json body, const RequestRules& rules);

}  // namespace hadal::server
