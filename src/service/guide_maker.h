// Owns: a request's rules for its answer -> one guide per choice: constraints compiled once and
// kept in a bounded cache, the bound of the reasoning, what a healed prompt must go on with. Knows
// nothing of engines. Thread rule: every method from any thread.
#pragma once

#include <memory>
#include <vector>

#include "api/types.h"
#include "base/error.h"
#include "chat/chat_format.h"
#include "grammar/constraint_cache.h"
#include "sampling/token_guide.h"
#include "service/prompt_builder.h"

namespace hadal {

class GuideMaker {
 public:
  // format may be null. stops: the tokens that may end an answer. All outlive the maker.
  // trie null: the vocabulary does not fit the model's, so nothing can be constrained.
  GuideMaker(const Tokenizer& tokenizer, const ChatFormat* format,
             std::shared_ptr<const grammar::TokenTrie> trie);

  struct Made {
    std::vector<std::shared_ptr<TokenGuide>> guides;  // one for each choice, or none at all
    std::vector<std::string> not_enforced;            // fields
  };
  // No guides when everything may come. kInvalidArgument names
  // response_format, tools[i].function.parameters, tool_choice, messages or ignore_eos.
  Result<Made> Make(const api::Request& request, const Prompt& prompt, int64_t max_tokens) const;
  grammar::ConstraintCache::Counts counts() const;

 private:
  Result<std::shared_ptr<const grammar::Constraint>> Constrain(const api::Request& request) const;

  const ChatFormat* const format_;
  const std::shared_ptr<const grammar::TokenTrie> trie_;
  std::unique_ptr<grammar::ConstraintCache> cache_;
  std::vector<TokenId> markup_;  // tokens of tool calls
};

// The tokens of tool calls that the vocabulary has: a trie for the maker knows them as control
// tokens.
std::vector<TokenId> MarkupTokens(const Tokenizer& tokenizer, const ChatFormat* format);

// The tokens that the reasoning may take of an answer of max_tokens; nothing: as many as it likes.
std::optional<int64_t> ThinkingBudget(const api::ChatPrompt& chat, int64_t max_tokens);

}  // namespace hadal
