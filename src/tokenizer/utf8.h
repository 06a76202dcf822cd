// Owns: reading and repairing UTF-8 one character at a time. Knows nothing of tokens.
// Repair follows the rule of the Unicode standard (and of the reference tokenizer): each maximal
// ill-formed run that could have begun a character becomes one U+FFFD.
// Thread rule: free functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hadal {

struct Utf8Char {
  enum class Kind {
    kValid,
    kInvalid,    // `length` bytes that can never become a character: one U+FFFD
    kIncomplete  // the bytes end inside a character that may still be completed
  };
  Kind kind = Kind::kInvalid;
  uint32_t code_point = 0;  // kValid only
  size_t length = 1;        // bytes taken from the front, >= 1
};

// The character at the front of `bytes`, which must not be empty.
Utf8Char ReadUtf8Char(std::string_view bytes);

bool IsValidUtf8(std::string_view bytes);
// Moves every decided character of `bytes` to `out`, ill-formed ones as U+FFFD; returns how many
// bytes at the end (0..3) are still undecided.
size_t AppendRepairedUtf8(std::string_view bytes, std::string& out);
// The whole of `bytes`; an unfinished character at the end becomes U+FFFD too.
std::string RepairUtf8(std::string_view bytes);

void AppendUtf8(uint32_t code_point, std::string& out);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace hadal
