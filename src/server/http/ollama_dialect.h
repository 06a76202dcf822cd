// Owns: Ollama's API as a dialect: its answers, and the calls that tell of the models. What Hadal
// does not know of a model (size, digest, template, when it would be unloaded) is left out rather
// than invented. Thread rule: pure functions.
#pragma once

#include "server/http/dialect.h"

namespace hadal::server {

Result<ParsedRequest> ParseOllamaChat(Json body, const RequestRules& rules);
Result<ParsedRequest> ParseOllamaGenerate(Json body, const RequestRules& rules);

Result<std::string> ReadOllamaVersion(std::string_view name, const CallContext& context);
Result<std::string> ReadOllamaTags(std::string_view name, const CallContext& context);
// The models in memory, which here are all.
Result<std::string> ReadOllamaPs(std::string_view name, const CallContext& context);
Result<std::string> ShowOllamaModel(Json body, const CallContext& context);

}  // namespace hadal::server
