// Owns: vocabularies as GGUF metadata, in both directions. tokenizer.ggml.model must be "gpt2"
// (byte-level BPE); `pre` names the split rules: deepseek-llm, deepseek-coder, deepseek-v3,
// deepseek-r1-qwen, qwen2, llama-bpe.
// Must not know tensors. Thread rule: free functions.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"
#include "formats/gguf.h"
#include "tokenizer/tokenizer.h"

namespace hadal {

// The files of a tokenizer as published on hubs.
struct TokenizerTexts {
  std::string tokenizer_json;
  std::string config_json;    // bos_token, eos_token, add_bos_token, chat_template; may be empty
  std::string chat_template;  // chat_template.jinja, which wins over config_json's; "" = no file
};

// The files of a directory; only tokenizer.json must be there.
Result<TokenizerTexts> ReadTokenizerTexts(const std::filesystem::path& directory,
                                          const TokenizerLimits& limits = {});

// The tokenizer.json and tokenizer_config.json that say what the metadata says: one reader for both
// kinds of file, and what `hadal convert` writes. kBadFile names the key; kUnsupportedModel another
// vocabulary model or pre-tokenizer, listing those that are read.
Result<TokenizerTexts> TokenizerTextsOfGguf(const GgufMetadata& metadata,
                                            const TokenizerLimits& limits = {});

// Adds tokenizer.ggml.* and tokenizer.chat_template of a hub tokenizer to `metadata`. vocab_size:
// of the embedding; ids the tokenizer lacks become "[PAD<id>]". kUnsupportedModel when its split
// rules are none of the known ones.
Status AddGgufVocabulary(const TokenizerTexts& texts, int64_t vocab_size, GgufMetadata* metadata,
                         const TokenizerLimits& limits = {});

}  // namespace hadal
