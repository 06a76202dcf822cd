// Owns: writing strings into JSON text. Used where a vocabulary of a hundred thousand tokens is
// written without a document in memory. Knows nothing of what is written.
// Thread rule: free functions.
#pragma once

#include <string>
#include <string_view>

namespace hadal::json {

// `text`, valid UTF-8, with its quotes.
inline void AppendString(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

inline std::string String(std::string_view text) {
  std::string out;
  AppendString(out, text);
  return out;
}

}  // namespace hadal::json
