#include "server/http/error_response.h"

#include <algorithm>
#include <cmath>

#include "base/version.h"
#include "server/http/openai_response.h"

namespace hadal::server {

Headers BaseHeaders(std::string_view request_id, std::string_view content_type) {
  Headers headers;
  headers.Add("Content-Type", content_type);
  headers.Add("X-Request-Id", request_id);
  headers.Add("X-Content-Type-Options", "nosniff");
  return headers;
}

void SendError(ResponseWriter& writer, Dialect dialect, std::string_view request_id,
               const Error& error, std::string_view allow, double retry_after_seconds) {
  const int status = InfoOf(error.code).http;
  Headers headers = BaseHeaders(request_id, "application/json");
  if (status == 401) headers.Add("WWW-Authenticate", "Bearer");
  if (!allow.empty()) headers.Add("Allow", allow);
  if (status == 429 || status == 503) {
    const double seconds = std::clamp(std::ceil(retry_after_seconds), 1.0, 3600.0);
    headers.Add("Retry-After", fmt::format("{:.0f}", seconds));
  }
  writer.Send(status, headers, ErrorBody(dialect, error));
}

std::string SystemFingerprint() { return fmt::format("hadal-{}-{}", Version(), Commit()); }

}  // namespace hadal::server
