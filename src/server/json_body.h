// Owns: bytes of a request body -> JSON document, within limits that hold while parsing.
// Knows nothing of any dialect. The bytes are hostile: no input may crash, hang, or use memory out
// of proportion to its size.
//
// Decisions: a UTF-8 BOM before the document is skipped (RFC 8259, 8.1 lets a parser do so, and
// some Windows clients send it); a lone surrogate escape is refused; duplicate keys are refused,
// because two parsers of one request could see two different requests; NaN, Infinity and numbers
// beyond a double are refused; a NUL inside a string is data. Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"

namespace hadal::server {

using Json = nlohmann::ordered_json;  // schemas keep the order of their properties

struct JsonLimits {
  size_t max_depth = 64;
  size_t max_values = 2'000'000;  // of all kinds; a long prompt of token ids is one array
  size_t max_members = 400'000;   // keys of all objects, which cost ~100 bytes each
};

// A JSON object, or kMalformed with byte position and, where one is known, the top-level field.
Result<Json> ParseJsonObject(std::string_view body, const JsonLimits& limits = {});

}  // namespace hadal::server
