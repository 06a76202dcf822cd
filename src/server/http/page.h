// Owns: how the files of the chat page are answered: policy of what the page may load, caching,
// compression, revalidation. Knows nothing of keys: the page is public, its API calls are not.
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "net/http_types.h"

namespace hadal::server {

struct PageAnswer {
  int status;  // 200, 304, or 404 when there is no such file
  Headers headers;
  std::string body;
};
PageAnswer AnswerPage(const HttpRequest& request, std::string_view request_id);

}  // namespace hadal::server
