// Owns: the calls that are answered from the service at once: models, rendering, tokens.
// Thread rule: pure functions.
#pragma once

#include "server/http/dialect.h"

namespace hadal::server {

Result<std::string> ReadModels(std::string_view name, const CallContext& context);
Result<std::string> ReadModel(std::string_view name, const CallContext& context);

// A chat completion's body -> {"prompt","pieces":[{"text"},{"control","id"}],"ids","count",
// "max_tokens","context"}: the exact prompt that the model would be given.
Result<std::string> RenderOpenAiChat(Json body, const CallContext& context);
// {"model","text" or "prompt"} -> {"model","ids","count"}. A text stays text: what is spelled like
// a control token is not one.
Result<std::string> TokenizeText(Json body, const CallContext& context);
// {"model","ids"} -> {"model","text"}
Result<std::string> DetokenizeIds(Json body, const CallContext& context);

}  // namespace hadal::server
