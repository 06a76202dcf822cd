// Owns: reading tokenizer.json and tokenizer_config.json into plain, checked data.
// Knows nothing of encoding. Both texts are hostile: every id is in range, every merge refers to
// tokens that exist, every string is bounded, whatever the file says.
// Thread rule: free functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace hadal {

struct TokenizerFile {
  std::vector<std::string> tokens;      // by id, as the file writes them; "" where an id is unused
  std::vector<Merge> merges;            // by rank
  std::vector<AddedToken> added;        // ids below tokens.size(), contents distinct and not empty
  std::optional<TokenId> template_bos;  // first token of the post-processor's template
  PreTokenizerSpec pre_tokenizer;
  bool nfc = false;
  bool ignore_merges = false;
  uint64_t hash_seed = 0;  // from the whole file
};

Result<TokenizerFile> ReadTokenizerJson(std::string_view text, const TokenizerLimits& limits);

struct TokenizerConfig {
  std::optional<std::string> bos_token, eos_token, pad_token;
  std::optional<std::string> eot_token;  // ends a turn where eos does not; only GGUF files say it
  std::optional<bool> add_bos_token;
  std::string chat_template;  // the one named "default" where there are several; "" = none
};

// Empty text gives an empty config.
Result<TokenizerConfig> ReadTokenizerConfig(std::string_view text, const TokenizerLimits& limits);

}  // namespace hadal
