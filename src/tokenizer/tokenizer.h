// Owns: bytes <-> ids of one vocabulary: normaliser, pre-tokenizer, byte-level BPE, added tokens.
// Knows nothing of chat formats or models. Source: tokenizer.json as published on hubs.
// Thread rule: immutable after Load; every method may be called from any thread.
//
//   HADAL_TRY(auto tok, Tokenizer::Load("models/demo"));
//   std::vector<int32_t> ids = tok->Encode("who are you?", Tokenizer::Special::kAsText);
//   StreamingDetokenizer out(*tok); std::string text = out.Push(id); ... out.Finish();
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "core/ids.h"

namespace hadal {

struct TokenizerLimits {
  size_t max_file_bytes = 64u << 20;
  size_t max_vocab = 1u << 20;
  size_t max_merges = 2u << 20;
  size_t max_added_tokens = 65536;
  size_t max_token_bytes = 4096;
  size_t max_pattern_bytes = 16384;
  size_t max_template_bytes = 1u << 20;
};

class Tokenizer {
 public:
  enum class Special { kRecognise, kAsText };

  // A directory holding tokenizer.json (tokenizer_config.json and chat_template.jinja are
  // optional), or a .gguf file.
  // kBadFile names the offending entry. Both are hostile input.
  static Result<std::unique_ptr<Tokenizer>> Load(const std::filesystem::path& path,
                                                 const TokenizerLimits& limits = {});
  // The texts of the two files; config_json may be empty. Used by Load and by the fuzz target.
  static Result<std::unique_ptr<Tokenizer>> Parse(std::string_view tokenizer_json,
                                                  std::string_view config_json,
                                                  const TokenizerLimits& limits = {});
  virtual ~Tokenizer() = default;

  // kRecognise: added tokens (special or not) in the text become their ids, as the reference
  // tokenizer does with add_special_tokens=False. kAsText: the text is a user's, so only added
  // tokens that cannot control a model are recognised: single characters that are not special
  // (deepseek-llm adds a few letters, such as "ü"). Invalid UTF-8 is replaced by U+FFFD first.
  virtual std::vector<TokenId> Encode(std::string_view text, Special special) const = 0;
  // All tokens, skip_special = leave out tokens flagged special. Invalid UTF-8 -> U+FFFD.
  virtual std::string Decode(std::span<const TokenId> ids, bool skip_special = false) const = 0;

  // Raw bytes of one token ("" for ids out of range); may be part of a character.
  virtual std::string_view BytesOf(TokenId id) const = 0;
  virtual std::optional<TokenId> IdOf(std::string_view added_token) const = 0;  // by exact string
  virtual bool IsSpecial(TokenId id) const = 0;    // flagged special in the file
  virtual bool IsAdded(TokenId id) const = 0;      // any added token
  virtual int vocab_size() const = 0;              // largest id + 1
  virtual std::optional<TokenId> bos() const = 0;  // from tokenizer_config.json
  virtual std::optional<TokenId> eos() const = 0;
  virtual bool add_bos()
      const = 0;  // add_bos_token of tokenizer_config.json, or the post-processor's BOS
  // Of chat_template.jinja, else of tokenizer_config.json; "" when the checkpoint has none.
  virtual std::string_view chat_template() const { return ""; }
};

// Turns ids into text as they come and never emits half a character: at most 3 bytes are held back.
// Bytes that cannot become a character are emitted as U+FFFD.
class StreamingDetokenizer {
 public:
  explicit StreamingDetokenizer(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  std::string Push(TokenId id);
  std::string PushBytes(std::string_view bytes);
  std::string Finish();  // what is left, as U+FFFD

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;
};

}  // namespace hadal
