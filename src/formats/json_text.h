// Owns: reading JSON text that comes from outside, with limits, and quoting outside text in
// messages. Must not know what the JSON means. Use: HADAL_TRY(nlohmann::json j, ParseJson(text,
// {.max_depth = 64})); Thread rule: free functions, no state.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace hadal {

struct JsonLimits {
  size_t max_bytes = 1 << 20;
  int max_depth = 64;  // nested objects and arrays; the outermost is depth 1
};

// A whole JSON text. kBadFile: too large, too deep, not valid JSON or UTF-8 (with the byte), or a
// key that an object has twice.
Result<nlohmann::json> ParseJson(std::string_view text, const JsonLimits& limits);

// Outside text as it may stand in a message: in single quotes, control bytes as \xNN, cut at
// 120 bytes.
std::string Quoted(std::string_view text);

}  // namespace hadal
