#include "service/guide_maker.h"

#include <algorithm>
#include <utility>

#include "chat/tools/answer_parser.h"
#include "service/answer_guide.h"

namespace hadal {
namespace {

std::vector<TokenId> MarkupTokens(const Tokenizer& tokenizer, const ChatFormat* format) {
  std::vector<TokenId> ids;
  if (format == nullptr || !format->tool_markup()) return ids;
  const ToolTokens tokens(tokenizer, *format->tool_markup());
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokens.Has(id)) ids.push_back(id);
  }
  return ids;
}

}  // namespace

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

Result<std::shared_ptr<const grammar::Constraint>> GuideMaker::ConstraintOf(
    const api::Request& request) const {
  using Kind = api::AnswerFormat::Kind;
  grammar::ConstraintSource source;
  source.text = request.format.text;
  switch (request.format.kind) {
    case Kind::kText:
      return nullptr;
    case Kind::kJsonObject:
      source.kind = grammar::ConstraintKind::kJsonObject;
      break;
    case Kind::kJsonSchema:
      source.kind = grammar::ConstraintKind::kJsonSchema;
      break;
    case Kind::kRegex:
      source.kind = grammar::ConstraintKind::kRegex;
      break;
    case Kind::kGrammar:
      source.kind = grammar::ConstraintKind::kGbnf;
      break;
  }
  auto constraint = cache_->Get(source);
  if (constraint) return constraint;
  Error error = constraint.error();
  return tl::make_unexpected(Error{
      error.code,
      error.field.empty() ? error.message : fmt::format("{} (at {})", error.message, error.field),
      "response_format"});
}

Result<std::vector<std::shared_ptr<TokenGuide>>> GuideMaker::Make(const api::Request& request,
                                                                  const Prompt& prompt,
                                                                  int64_t max_tokens) const {
  std::vector<std::shared_ptr<TokenGuide>> guides;
  const auto* chat = std::get_if<api::ChatPrompt>(&request.prompt);
  const bool constrains = request.format.constrains();
  if (trie_ == nullptr) {
    if (!constrains) return guides;
    return FailField(ErrorCode::kInvalidArgument, "response_format",
                     "this model's vocabulary does not fit its weights, so answers cannot be "
                     "constrained");
  }
  auto rules = std::make_shared<GuideRules>();
  rules->trie = trie_;
  HADAL_TRY(rules->answer, ConstraintOf(request));
  if (rules->answer != nullptr && request.sampling.ignore_eos) {
    return FailField(ErrorCode::kInvalidArgument, "ignore_eos",
                     "ignore_eos cannot be combined with a format of the answer");
  }
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
  if (rules->answer == nullptr && !bounds && rules->heal.empty()) return guides;
  for (int i = 0; i < request.n; ++i) {
    auto guide = AnswerGuide::Make(rules);
    if (!guide) {
      Error error = guide.error();
      error.field = "messages";
      return tl::make_unexpected(std::move(error));
    }
    guides.push_back(std::move(*guide));
  }
  return guides;
}

}  // namespace hadal
