// Owns: vocabularies that need no file: the 256 bytes, some hundred merges of common words, filler
// words up to the published size, and the control tokens of a family at their published ids, with a
// short chat template that writes them.
// Must not know tensors or configurations. Thread rule: free functions.
#pragma once

#include <optional>
#include <string_view>

#include "base/error.h"
#include "core/ids.h"
#include "formats/gguf.h"

namespace hadal {

struct VocabularyEnds {
  TokenId bos = 0, eos = 0;
};
// vocabulary: "llm", "coder", "v3", "r1", "v3.1", "r1-qwen", "r1-llama" or "r1-qwen3".
VocabularyEnds EndsOfVocabulary(std::string_view vocabulary);

// Adds tokenizer.ggml.* and tokenizer.chat_template for `size` ids.
Status AddMadeUpVocabulary(std::string_view vocabulary, int64_t size, GgufMetadata* metadata);

}  // namespace hadal
