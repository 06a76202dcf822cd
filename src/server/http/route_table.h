// Owns: the routes of the HTTP front end, as data: documentation, tests and dispatch read one
// table. Thread rule: pure functions over constants.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "server/http/dialect.h"

namespace hadal::server {

enum class Endpoint {
  kHealth,
  kReady,
  kVersion,
  kMetrics,
  kRead,        // Route::read
  kCall,        // Route::call
  kCompletion,  // Route::parse
  kPage,
};

// A GET that is answered from the service: name is what stood for {name}. Body of a 200.
using ReadCall = Result<std::string> (*)(std::string_view name, const CallContext& context);

struct Route {
  std::string_view method;  // a GET route answers HEAD too
  std::string_view path;    // label of metrics and logs; ends in "/{name}" when a name follows
  Endpoint endpoint = Endpoint::kHealth;
  bool needs_key = true;  // when keys are configured
  Dialect dialect = Dialect::kOpenAi;
  RequestParser parse = nullptr;
  DirectCall call = nullptr;
  ReadCall read = nullptr;
};
std::span<const Route> Routes();

struct RouteMatch {
  const Route* route = nullptr;        // null: no such path, or not with this method
  bool path_exists = false;            // 405 instead of 404
  bool path_needs_key = true;          // unknown paths too: strangers learn nothing
  Dialect dialect = Dialect::kOpenAi;  // of errors: the path's, else the one its beginning suggests
  std::string allow;                   // value of Allow, when path_exists
  std::string_view name;               // what stood for {name}
};
RouteMatch MatchRoute(std::string_view method, std::string_view path);

}  // namespace hadal::server
