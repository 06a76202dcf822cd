// Owns: rewriting JSON text as Python's json.dumps(ensure_ascii=False) writes it, and taking the
// members of an object apart. Numbers keep their value at any size; key order is kept. Must not
// know what the JSON means. The text is hostile.
// Thread rule: free functions, no state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace hadal {

struct JsonTextLimits {
  size_t max_bytes = 1 << 20;
  int max_depth = 64;  // nested objects and arrays; the outermost is depth 1
};

// indent 0: one line, ", " and ": ". Otherwise as json.dumps(indent=n): one member a line.
// kMalformed: the byte and what is wrong. Refused beside invalid JSON: a key twice in one object,
// half a surrogate pair, a number too large for a double, NaN, too much depth or too many bytes.
Result<std::string> RewriteJson(std::string_view text, int indent = 0,
                                const JsonTextLimits& limits = {});

struct JsonMember {
  std::string key;         // decoded
  bool is_string = false;  // whether the value is a JSON string
  std::string text;        // a string's decoded text, else the value rewritten
};
// kMalformed as above, also when the text is not an object.
Result<std::vector<JsonMember>> JsonMembers(std::string_view text,
                                            const JsonTextLimits& limits = {});

// Appends what stands for `text` (UTF-8) inside a JSON string.
void AppendJsonEscaped(std::string_view text, std::string& out);
// In double quotes.
std::string QuoteJson(std::string_view text);

}  // namespace hadal
