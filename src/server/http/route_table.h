// Owns: the routes of the HTTP front end, as data: documentation, tests and dispatch read one
// table. Thread rule: pure functions over constants.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace hadal::server {

enum class Endpoint {
  kHealth,
  kReady,
  kVersion,
  kMetrics,
  kModels,
  kModel,
  kChatCompletions,
  kCompletions,
  kPage,
};

struct Route {
  std::string_view method;  // a GET route answers HEAD too
  std::string_view path;    // label of metrics and logs; ends in "/{name}" when a name follows
  bool needs_key = true;    // when keys are configured
  Endpoint endpoint;
};
std::span<const Route> Routes();

struct RouteMatch {
  const Route* route = nullptr;  // null: no such path, or not with this method
  bool path_exists = false;      // 405 instead of 404
  bool path_needs_key = true;    // unknown paths too: strangers learn nothing
  std::string allow;             // value of Allow, when path_exists
  std::string_view name;         // what stood for {name}
};
RouteMatch MatchRoute(std::string_view method, std::string_view path);

}  // namespace hadal::server
