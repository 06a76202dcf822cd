// Owns: a request's prompt: messages, text, ids or a gap to fill -> the model's tokens, within the
// context; what is left out when the caller allows that; where a prompt is cut so that its last
// token can heal. Knows nothing of engines.
//
// Healing: a prefix that the model continues may end in the middle of a word whose usual token is
// longer ("https:" + "//"). The last tokens that together begin such a token are left out, and the
// output must begin with their bytes.
// Thread rule: immutable.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/types.h"
#include "base/error.h"
#include "chat/chat_format.h"
#include "chat/fim.h"
#include "grammar/token_trie.h"
#include "tokenizer/tokenizer.h"

namespace hadal {

struct Prompt {
  std::vector<TokenId> ids;
  std::vector<Piece> pieces;  // empty for a text or ids
  bool is_chat = false;
  bool starts_in_reasoning = false;
  std::string_view field = "prompt";  // or "messages"
  std::string heal;   // bytes that the output must begin with and that are not shown again
  std::string given;  // of the answer, before `heal`
  std::optional<api::Dropped> dropped;
};

struct PromptRules {
  std::string_view model;
  int64_t context = 0;
  int64_t vocab = 0;
  bool special_tokens_in_prompts = false;
};

class PromptBuilder {
 public:
  // All of them outlive the builder. format may be null: no_format says why. trie may be null:
  // nothing is healed.
  PromptBuilder(PromptRules rules, const Tokenizer& tokenizer, const ChatFormat* format,
                const Error& no_format, const grammar::TokenTrie* trie);

  // Fields named: messages, messages[i].*, tools..., prompt, suffix, max_tokens.
  Result<Prompt> Build(const api::Request& request) const;
  // Of the answer, at most what the context leaves. Fields named: max_tokens, messages, prompt.
  Result<int64_t> MaxTokens(const api::Request& request, const Prompt& prompt) const;
  bool has_fim() const { return fim_.has_value(); }

 private:
  Result<Prompt> Chat(const api::Request& request, const api::ChatPrompt& chat) const;
  Result<Prompt> RenderChat(const api::ChatPrompt& chat, std::span<const api::Message> messages,
                            std::string_view response_schema) const;
  Result<Prompt> Truncated(const api::Request& request, const api::ChatPrompt& chat,
                           Prompt whole) const;
  Result<Prompt> Text(const api::TextPrompt& text) const;
  Result<Prompt> Fim(const api::FimPrompt& fim) const;
  Status CheckBytes(size_t n_bytes, std::string_view field) const;
  int64_t ContextOf(const api::Request& request) const;
  bool CanGrow(std::string_view bytes) const;
  size_t Unfinished(std::span<const TokenId> ids, std::string_view text, std::string& heal) const;
  void HealChat(const api::ChatPrompt& chat, Prompt& prompt) const;

  const PromptRules rules_;
  const Tokenizer& tokenizer_;
  const ChatFormat* const format_;
  const Error& no_format_;
  const grammar::TokenTrie* const trie_;
  const std::optional<FimTokens> fim_;
  size_t max_token_bytes_ = 1;
};

// The messages of whole turns without `n_turns` of those that may go, first by first: a turn is a
// user's message and all that follows it up to the next. System and developer messages and the last
// turn stay; kMiddle keeps the first turn, too. Nothing when so many cannot go.
std::optional<std::vector<api::Message>> WithoutTurns(std::span<const api::Message> messages,
                                                      api::Truncation::Mode mode, size_t n_turns);

}  // namespace hadal
