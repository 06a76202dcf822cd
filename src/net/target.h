// Owns: reading of a request target: its form, its authority, its path.
// The decoded path is refused rather than repaired: dot segments are kNotFound, control characters,
// bad escapes and invalid UTF-8 are kMalformed.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace hadal {

struct Target {
  std::string authority;  // only of an absolute target, "http://host:port/path"
  std::string path;       // decoded; "*" for OPTIONS *
  std::string query;      // still percent-encoded
};
Result<Target> ParseTarget(std::string_view method, std::string_view target);

// %XX decoded. kMalformed for a bad escape. With plus_is_space, '+' is a space (query values).
Result<std::string> PercentDecode(std::string_view text, bool plus_is_space = false);

}  // namespace hadal
