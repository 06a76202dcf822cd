// Owns: the byte-level alphabet: how a vocabulary file writes raw bytes as printable characters
// (GPT-2's table, e.g. "Ġ" for a space). Knows nothing of merges or ids.
// Thread rule: free functions without state.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hadal {

// The character that stands for `byte`, as UTF-8.
std::string ByteLevelChar(uint8_t byte);

// The bytes a token string stands for: each character is looked up in the alphabet; a string with a
// character outside it (an added token such as "<｜User｜>") stands for its own UTF-8 bytes.
// `in_alphabet`, when given, says which of the two it was.
std::string BytesOfToken(std::string_view token, bool* in_alphabet = nullptr);

}  // namespace hadal
