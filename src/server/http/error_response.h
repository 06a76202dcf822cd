// Owns: headers and errors as every route sends them. Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "net/http_types.h"
#include "net/response_writer.h"
#include "server/http/dialect.h"

namespace hadal::server {

Headers BaseHeaders(std::string_view request_id, std::string_view content_type);
// In the dialect's shape; adds WWW-Authenticate to 401, Allow (when given) to 405, Retry-After to
// 429 and 503.
void SendError(ResponseWriter& writer, Dialect dialect, std::string_view request_id,
               const Error& error, std::string_view allow = {}, double retry_after_seconds = 1);
// Changes with the build, and so with anything that could change an answer for a given seed.
std::string SystemFingerprint();

}  // namespace hadal::server
