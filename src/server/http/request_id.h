// Owns: names of requests and responses. Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace hadal::server {

std::string NewUuid();  // RFC 4122 version 4 from the system's random source

// Whether a client's X-Request-Id may stand in our logs and headers: [A-Za-z0-9._-]{1,64}.
bool IsAcceptableRequestId(std::string_view id);

}  // namespace hadal::server
