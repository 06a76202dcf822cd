// Owns: the six pre-tokenizers that a GGUF file can name (tokenizer.ggml.pre), with the patterns of
// the published tokenizer.json files, and recognising them in a tokenizer.json.
// Knows nothing of vocabularies.
// Use: const SplitRules* rules = FindSplitRules("deepseek-v3");
// Thread rule: free functions over constants.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "tokenizer/pre_tokenizer.h"

namespace hadal {

struct SplitRules {
  std::string_view name;
  std::span<const std::string_view> patterns;  // applied in sequence
  bool digits = false;                         // then every digit is cut off
  bool trim_offsets = true;                    // as published; no effect on ids
  bool nfc = false;                            // the text is composed first
  bool ignore_merges = false;
  bool add_bos = false;  // when the file does not say
};

// By name or alias; nullptr when it is none of the known ones.
const SplitRules* FindSplitRules(std::string_view pre);
// The rules that cut as `spec` does; nullptr when none does. Two names stand for the same rules:
// the beginning-of-sentence token tells which family it is.
const SplitRules* RecogniseSplitRules(const PreTokenizerSpec& spec, std::string_view bos_token);
// "deepseek-llm, deepseek-coder, ..." for messages.
std::string KnownSplitRules();

// The pre_tokenizer member of tokenizer.json.
std::string PreTokenizerJson(const SplitRules& rules);

}  // namespace hadal
