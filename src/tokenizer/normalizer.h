// Owns: the text normalisation that tokenizer.json asks for: nothing, or Unicode NFC.
// Knows nothing of tokens. Linear in the text but for runs of combining marks, which are sorted
// (n log n): a text of marks in adverse order costs no more than any other.
// Thread rule: free function without state.
#pragma once

#include <string>
#include <string_view>

namespace hadal {

// NFC of valid UTF-8. Returns `text` itself when it is already composed for certain (no character
// at or above U+0300), else a view of `storage`.
std::string_view NormalizeNfc(std::string_view text, std::string& storage);

}  // namespace hadal
