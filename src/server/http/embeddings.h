// Owns: OpenAI's /v1/embeddings as a dialect: mean-pooled hidden states, labelled as such.
// Thread rule: pure functions.
#pragma once

#include "server/http/dialect.h"

namespace hadal::server {

// {"model", "input": a string, an array of strings, of ids or of arrays of ids, "encoding_format":
// "float" or "base64"}; dimensions is refused. Fields named: model, input, encoding_format.
Result<ParsedRequest> ParseEmbeddings(Json body, const RequestRules& rules);

}  // namespace hadal::server
