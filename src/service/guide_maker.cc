#include "service/guide_maker.h"

#include <algorithm>
#include <utility>

#include "chat/tools/answer_parser.h"
#include "chat/tools/tool_grammar.h"
#include "service/answer_guide.h"

namespace hadal {
std::vector<TokenId> MarkupTokens(const Tokenizer& tokenizer, const ChatFormat* format) {
  std::vector<TokenId> ids;
  if (format == nullptr || !format->tool_markup()) return ids;
  const ToolTokens tokens(tokenizer, *format->tool_markup());
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokens.Has(id)) ids.push_back(id);
  }
  return ids;
}

std::optional<int64_t> ThinkingBudget(const api::ChatPrompt& chat, int64_t max_tokens) {
  if (chat.max_thinking_tokens) return *chat.max_thinking_tokens;
  if (!chat.effort) return std::nullopt;
  switch (*chat.effort) {
    case api::Effort::kLow:
      return max_tokens / 4;
    case api::Effort::kHigh:
      return max_tokens - max_tokens / 4;
    case api::Effort::kMax:
      return max_tokens - max_tokens / 16;
  }
  return std::nullopt;
}

GuideMaker::GuideMaker(const Tokenizer& tokenizer, const ChatFormat* format,
                       std::shared_ptr<const grammar::TokenTrie> trie)
    : format_(format), trie_(std::move(trie)), markup_(MarkupTokens(tokenizer, format)) {
  if (trie_ != nullptr) {
    cache_ = std::make_unique<grammar::ConstraintCache>(trie_, grammar::ConstraintCache::Options{});
  }
}

grammar::ConstraintCache::Counts GuideMaker::counts() const {
  return cache_ != nullptr ? cache_->counts() : grammar::ConstraintCache::Counts{};
}

// None: everything may come. With tools there always is one, also where the model may not call
// them: no markup can leak.
Result<std::shared_ptr<const grammar::Constraint>> GuideMaker::Constrain(
    const api::Request& request) const {
  const auto* chat = std::get_if<api::ChatPrompt>(&request.prompt);
  AnswerRules rules;
  rules.format = request.format;
  if (chat != nullptr && !chat->tools.empty()) {
    rules.markup = format_->tool_markup();
    rules.tools = chat->tools;
    rules.choice = chat->tool_choice;
    rules.parallel = chat->parallel_tool_calls;
  }
  if (!rules.format.constrains() && rules.tools.empty()) return nullptr;
  const std::string_view field = rules.format.constrains() ? "response_format" : "tools";
  if (trie_ == nullptr) {
    return FailField(ErrorCode::kInvalidArgument, std::string(field),
                     "this model's vocabulary does not fit its weights, so answers cannot be "
                     "constrained");
  }
  if (request.sampling.ignore_eos) {
    return FailField(ErrorCode::kInvalidArgument, "ignore_eos",
                     "ignore_eos cannot be combined with {}", field);
  }
  return ConstraintOf(std::move(rules), *cache_);
}

Result<GuideMaker::Made> GuideMaker::Make(const api::Request& request, const Prompt& prompt,
                                          int64_t max_tokens) const {
  Made made;
  const auto* chat = std::get_if<api::ChatPrompt>(&request.prompt);
  HADAL_TRY(auto answer, Constrain(request));
  if (trie_ == nullptr) return made;
  if (answer != nullptr) {
    for (const Error& warning : answer->warnings()) made.not_enforced.push_back(warning.field);
  }
  auto rules = std::make_shared<GuideRules>();
  rules->trie = trie_;
  rules->answer = std::move(answer);
  rules->starts_in_reasoning = prompt.starts_in_reasoning;
  rules->given = prompt.given;
  rules->heal = prompt.heal;
  if (chat != nullptr) {
    rules->think_begin = format_->think_begin();
    rules->think_end = format_->think_end();
    rules->close_reasoning = format_->end_of_reasoning();
    rules->max_thinking_tokens = ThinkingBudget(*chat, max_tokens);
    rules->never_in_reasoning = markup_;
  }
  const bool bounds = rules->max_thinking_tokens && rules->think_end;
  if (rules->answer == nullptr && !bounds && rules->heal.empty()) return made;
  for (int i = 0; i < request.n; ++i) {
    auto guide = AnswerGuide::Make(rules);
    if (!guide) {
      Error error = guide.error();
      error.field = "messages";
      return tl::make_unexpected(std::move(error));
    }
    made.guides.push_back(std::move(*guide));
  }
  return made;
}

}  // namespace hadal
