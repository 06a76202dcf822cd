// Owns: the metadata keys and token types by which a GGUF file describes its vocabulary.
// Thread rule: constants.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace hadal::vocabulary {

inline constexpr std::string_view kModel = "tokenizer.ggml.model";
inline constexpr std::string_view kPre = "tokenizer.ggml.pre";
inline constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
inline constexpr std::string_view kTokenType = "tokenizer.ggml.token_type";
inline constexpr std::string_view kMerges = "tokenizer.ggml.merges";
inline constexpr std::string_view kBos = "tokenizer.ggml.bos_token_id";
inline constexpr std::string_view kEos = "tokenizer.ggml.eos_token_id";
inline constexpr std::string_view kEot = "tokenizer.ggml.eot_token_id";
inline constexpr std::string_view kPadding = "tokenizer.ggml.padding_token_id";
inline constexpr std::string_view kAddBos = "tokenizer.ggml.add_bos_token";
inline constexpr std::string_view kChatTemplate = "tokenizer.chat_template";
// Written where a tokenizer differs from the published one of its split rules; llama.cpp, which
// never composes text, ignores them.
inline constexpr std::string_view kNfc = "hadal.tokenizer.nfc";
inline constexpr std::string_view kIgnoreMerges = "hadal.tokenizer.ignore_merges";

enum TokenType : int64_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

// The name of an id that only the embedding has.
inline std::string PadToken(size_t id) { return fmt::format("[PAD{}]", id); }

}  // namespace hadal::vocabulary
