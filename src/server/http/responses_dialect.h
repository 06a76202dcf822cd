// Owns: OpenAI's Responses API as a dialect. Its errors are those of OpenAI's other routes.
// Thread rule: pure functions.
#pragma once

#include "server/http/dialect.h"

namespace hadal::server {

Result<ParsedRequest> ParseResponses(Json body, const RequestRules& rules);

}  // namespace hadal::server
