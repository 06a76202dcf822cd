// Owns: GGUF files of small models that load, vocabulary included, for cases that damage them.
// Tests only. Thread rule: free functions.
#pragma once

#include "gguf_draft.h"

namespace hadal::malformed {

// llama: 2 layers, width 24, 4 heads over 2 of 8, feed-forward 20, 260 tokens.
GgufDraft TinyDenseGguf();
// deepseek2: 2 layers (the first dense), 3 heads of 6 + 4, values 5, latent 7, 6 experts of 10.
GgufDraft TinyLatentGguf();

constexpr uint32_t kTinyVocabulary = 260;  // 256 bytes, 2 merges, 2 control tokens

// Bytes of an array after its type.
std::string TextArray(const std::vector<std::string>& texts);
std::vector<std::string> TinyTokens();

}  // namespace hadal::malformed
