// Owns: the parts of tokenizer.json around the vocabulary: normalizer, pre_tokenizer, decoder and
// post_processor. What this build cannot reproduce exactly is refused by name.
// Thread rule: free functions.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/pre_tokenizer.h"

namespace hadal {

// Whether the text is to be composed (NFC).
Result<bool> ReadNormalizer(json::Object root);
Result<PreTokenizerSpec> ReadPreTokenizer(json::Object root, size_t max_pattern_bytes);
Status CheckDecoder(json::Object root);
// The special token a TemplateProcessing puts before a single text, if it does.
Result<std::optional<std::string>> ReadTemplateBos(json::Object root);

}  // namespace hadal
