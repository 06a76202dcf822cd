#include "server/http/route_table.h"

#include <array>

namespace hadal::server {
namespace {

constexpr std::array kRoutes = {
    Route{"GET", "/health", false, Endpoint::kHealth},
    Route{"GET", "/ready", false, Endpoint::kReady},
    Route{"GET", "/version", true, Endpoint::kVersion},
    Route{"GET", "/metrics", true, Endpoint::kMetrics},
    Route{"GET", "/v1/models", true, Endpoint::kModels},
    Route{"GET", "/v1/models/{name}", true, Endpoint::kModel},
    Route{"POST", "/v1/chat/completions", true, Endpoint::kChatCompletions},
    Route{"POST", "/v1/completions", true, Endpoint::kCompletions},
    Route{"GET", "/", false, Endpoint::kPage},
    Route{"GET", "/favicon.ico", false, Endpoint::kPage},
    Route{"GET", "/assets/{name}", false, Endpoint::kPage},
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

}  // namespace

std::span<const Route> Routes() { return kRoutes; }

RouteMatch MatchRoute(std::string_view method, std::string_view path) {
  RouteMatch match;
  for (const Route& route : kRoutes) {
    if (!PathMatches(route, path, &match.name)) continue;
    match.path_exists = true;
    match.path_needs_key = route.needs_key;
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
