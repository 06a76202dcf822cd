#include "server/http/route_table.h"

#include <array>

#include "server/http/anthropic_dialect.h"
#include "server/http/calls.h"
#include "server/http/embeddings.h"
#include "server/http/ollama_dialect.h"
#include "server/http/openai_dialect.h"
#include "server/http/responses_dialect.h"

namespace hadal::server {
namespace {

Route Get(std::string_view path, ReadCall read, Dialect dialect = Dialect::kOpenAi) {
  return {
      .method = "GET", .path = path, .endpoint = Endpoint::kRead, .dialect = dialect, .read = read};
}
Route Answers(std::string_view path, RequestParser parse, Dialect dialect = Dialect::kOpenAi) {
  return {.method = "POST",
          .path = path,
          .endpoint = Endpoint::kCompletion,
          .dialect = dialect,
          .parse = parse};
}
Route Calls(std::string_view path, DirectCall call, Dialect dialect = Dialect::kOpenAi) {
  return {.method = "POST",
          .path = path,
          .endpoint = Endpoint::kCall,
          .dialect = dialect,
          .call = call};
}
Route Own(std::string_view path, Endpoint endpoint, bool needs_key) {
  return {.method = "GET", .path = path, .endpoint = endpoint, .needs_key = needs_key};
}

// DeepSeek's base addresses are /, /v1 and /beta; OpenAI's is /v1.
const std::array kRoutes = {
    Own("/health", Endpoint::kHealth, false),
    Own("/ready", Endpoint::kReady, false),
    Own("/version", Endpoint::kVersion, true),
    Own("/metrics", Endpoint::kMetrics, true),

    Get("/v1/models", ReadModels),
    Get("/v1/models/{name}", ReadModel),
    Get("/models", ReadModels),
    Answers("/v1/chat/completions", ParseOpenAiChat),
    Answers("/chat/completions", ParseOpenAiChat),
    Answers("/beta/chat/completions", ParseOpenAiChat),
    Answers("/v1/completions", ParseOpenAiText),
    Answers("/completions", ParseOpenAiText),
    Answers("/beta/completions", ParseOpenAiText),
    Answers("/v1/embeddings", ParseEmbeddings),
    Calls("/v1/chat/completions/render", RenderOpenAiChat),
    Calls("/tokenize", TokenizeText),
    Calls("/detokenize", DetokenizeIds),
    Answers("/v1/responses", ParseResponses),
    Answers("/responses", ParseResponses),

    Answers("/api/chat", ParseOllamaChat, Dialect::kOllama),
    Answers("/api/generate", ParseOllamaGenerate, Dialect::kOllama),
    Calls("/api/show", ShowOllamaModel, Dialect::kOllama),
    Get("/api/tags", ReadOllamaTags, Dialect::kOllama),
    Get("/api/ps", ReadOllamaPs, Dialect::kOllama),
    Get("/api/version", ReadOllamaVersion, Dialect::kOllama),

    // Anthropic's base address is /, DeepSeek's for it /anthropic.
    Answers("/v1/messages", ParseAnthropicMessages, Dialect::kAnthropic),
    Answers("/anthropic/v1/messages", ParseAnthropicMessages, Dialect::kAnthropic),
    Calls("/v1/messages/count_tokens", CountAnthropicTokens, Dialect::kAnthropic),
    Calls("/anthropic/v1/messages/count_tokens", CountAnthropicTokens, Dialect::kAnthropic),
    Get("/anthropic/v1/models", ReadAnthropicModels, Dialect::kAnthropic),
    Get("/anthropic/v1/models/{name}", ReadAnthropicModel, Dialect::kAnthropic),

    Own("/", Endpoint::kPage, false),
    Own("/favicon.ico", Endpoint::kPage, false),
    Own("/assets/{name}", Endpoint::kPage, false),
};

// Whether `path` is that of `route`; the rest after its fixed part goes to *name.
bool PathMatches(const Route& route, std::string_view path, std::string_view* name) {
  static constexpr std::string_view kName = "{name}";
  if (!route.path.ends_with(kName)) return path == route.path;
  const std::string_view fixed = route.path.substr(0, route.path.size() - kName.size());
  if (!path.starts_with(fixed) || path.size() == fixed.size()) return false;
  *name = path.substr(fixed.size());
  return true;
}

Dialect DialectOf(std::string_view path) {
  if (path.starts_with("/api/")) return Dialect::kOllama;
  const bool messages = path.starts_with("/v1/messages") || path.starts_with("/anthropic/");
  return messages ? Dialect::kAnthropic : Dialect::kOpenAi;
}

}  // namespace

std::span<const Route> Routes() { return kRoutes; }

RouteMatch MatchRoute(std::string_view method, std::string_view path) {
  RouteMatch match;
  match.dialect = DialectOf(path);
  for (const Route& route : kRoutes) {
    if (!PathMatches(route, path, &match.name)) continue;
    match.path_exists = true;
    match.path_needs_key = route.needs_key;
    match.dialect = route.dialect;
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += route.method;
    if (route.method == "GET") match.allow += ", HEAD";
    if (method == route.method || (method == "HEAD" && route.method == "GET")) {
      match.route = &route;
    }
  }
  if (match.path_exists) match.allow += ", OPTIONS";
  return match;
}

}  // namespace hadal::server
