#include "service/prompt_builder.h"

#include <algorithm>
#include <utility>

#include "chat/tools/tool_validation.h"
#include "tokenizer/utf8.h"

namespace hadal {
namespace {

Status CheckId(int64_t id, int64_t vocab, const char* field) {
  if (id >= 0 && id < vocab) return {};
  return FailField(ErrorCode::kInvalidArgument, field,
                   "{} has the token id {}; ids of this model are 0 to {}", field, id, vocab - 1);
}

size_t BytesOf(const api::Message& message) {
  size_t n = message.content.size();
  for (const api::ToolCall& call : message.tool_calls) n += call.arguments.size();
  return n;
}

}  // namespace

PromptBuilder::PromptBuilder(PromptRules rules, const Tokenizer& tokenizer,
                             const ChatFormat* format, const Error& no_format,
                             const grammar::TokenTrie* trie)
    : rules_(std::move(rules)),
      tokenizer_(tokenizer),
      format_(format),
      no_format_(no_format),
      trie_(trie),
      fim_(FindFimTokens(tokenizer)) {
  for (TokenId id = 0; id < tokenizer_.vocab_size(); ++id) {
    max_token_bytes_ = std::max(max_token_bytes_, tokenizer_.BytesOf(id).size());
  }
}

// A text of n bytes has at least n / (bytes of the longest token) tokens. Normalisation may shrink
// a text, at most threefold (NFC), which the factor covers: no fitting prompt is refused here, and
// a hopeless one costs no tokenising.
Status PromptBuilder::CheckBytes(size_t n_bytes, std::string_view field) const {
  constexpr size_t kShrink = 4;
  const size_t at_least = n_bytes / (max_token_bytes_ * kShrink);
  if (at_least <= static_cast<size_t>(rules_.context)) return {};
  return FailField(ErrorCode::kContextLengthExceeded, std::string(field),
                   "the prompt has more than {} tokens and the context is {} tokens; nothing is "
                   "cut, send a shorter prompt",
                   at_least, rules_.context);
}

Result<Prompt> PromptBuilder::Build(const api::Request& request) const {
  Prompt prompt;
  if (const auto* chat = std::get_if<api::ChatPrompt>(&request.prompt)) {
    HADAL_TRY(prompt, Chat(request, *chat));
  } else if (const auto* text = std::get_if<api::TextPrompt>(&request.prompt)) {
    HADAL_TRY(prompt, Text(*text));
  } else if (const auto* fim = std::get_if<api::FimPrompt>(&request.prompt)) {
    HADAL_TRY(prompt, Fim(*fim));
  } else if (const auto* tokens = std::get_if<api::TokenPrompt>(&request.prompt)) {
    prompt.ids = tokens->ids;
    for (const TokenId id : prompt.ids) HADAL_OK(CheckId(id, rules_.vocab, "prompt"));
  }
  if (prompt.ids.empty()) {
    return FailField(ErrorCode::kInvalidArgument, std::string(prompt.field),
                     "the prompt has no tokens; it must have at least one");
  }
  return prompt;
}

Result<Prompt> PromptBuilder::RenderChat(const api::ChatPrompt& chat,
                                         std::span<const api::Message> messages,
                                         std::string_view response_schema) const {
  // With choice none the model sees the tools, as with OpenAI, and may not call them.
  std::optional<bool> thinking = chat.thinking;
  if (chat.thinking_is_default && format_->must_think()) thinking.reset();
  HADAL_TRY(RenderedPrompt rendered, format_->Render(messages, {.thinking = thinking,
                                                                .tools = chat.tools,
                                                                .response_schema = response_schema,
                                                                .effort = chat.effort}));
  Prompt prompt;
  prompt.ids = EncodePieces(tokenizer_, rendered.pieces);
  prompt.pieces = std::move(rendered.pieces);
  prompt.is_chat = true;
  prompt.starts_in_reasoning = rendered.starts_in_reasoning;
  prompt.field = "messages";
  return prompt;
}

Result<Prompt> PromptBuilder::Chat(const api::Request& request, const api::ChatPrompt& chat) const {
  if (format_ == nullptr) {
    return FailField(
        ErrorCode::kInvalidArgument, "messages",
        "the model {} has no chat format ({}); /v1/completions continues a text, and the "
        "server's --chat-template FILE would give it a format",
        rules_.model, no_format_.message);
  }
  HADAL_OK(ValidateToolChoice(chat.tool_choice, chat.tools));
  const bool truncates = chat.truncation.mode != api::Truncation::Mode::kNone;
  size_t n_bytes = 0;
  for (const api::Message& message : chat.messages) n_bytes += BytesOf(message);
  if (!truncates) HADAL_OK(CheckBytes(n_bytes, "messages"));
  const bool has_schema = request.format.kind == api::AnswerFormat::Kind::kJsonSchema;
  HADAL_TRY(Prompt prompt, RenderChat(chat, chat.messages, has_schema ? request.format.text : ""));
  if (truncates) {
    HADAL_TRY(prompt, Truncated(request, chat, std::move(prompt)));
  }
  HealChat(chat, prompt);
  return prompt;
}

// The fewest turns go that leave the answer its room: max_tokens, else a quarter of the context.
Result<Prompt> PromptBuilder::Truncated(const api::Request& request, const api::ChatPrompt& chat,
                                        Prompt whole) const {
  const int64_t context = ContextOf(request);
  const int64_t room = request.max_tokens.value_or(std::max<int64_t>(1, context / 4));
  const auto fits = [&](const Prompt& p) {
    return static_cast<int64_t>(p.ids.size()) + room <= context;
  };
  if (fits(whole)) return whole;
  const auto n_whole = static_cast<int64_t>(whole.ids.size());
  std::string_view schema;
  if (request.format.kind == api::AnswerFormat::Kind::kJsonSchema) schema = request.format.text;
  const auto mode = chat.truncation.mode;
  size_t most = 0;
  while (WithoutTurns(chat.messages, mode, most + 1)) ++most;
  const auto without = [&](size_t n) -> Result<Prompt> {
    const auto messages = *WithoutTurns(chat.messages, mode, n);
    HADAL_TRY(Prompt prompt, RenderChat(chat, messages, schema));
    prompt.dropped = api::Dropped{static_cast<int64_t>(chat.messages.size() - messages.size()),
                                  n_whole - static_cast<int64_t>(prompt.ids.size())};
    return prompt;
  };
  size_t low = 1, high = most;  // the answer, if there is one, is among these
  std::optional<Prompt> best;
  while (low <= high) {
    const size_t middle = (low + high) / 2;
    HADAL_TRY(Prompt prompt, without(middle));
    if (fits(prompt)) {
      best = std::move(prompt);
      high = middle - 1;
    } else {
      low = middle + 1;
    }
  }
  if (best) return std::move(*best);
  return FailField(
      ErrorCode::kContextLengthExceeded, "messages",
      "the prompt has {} tokens and the context is {} tokens, of which the answer needs "
      "{}; also without every turn that may be left out it is too long",
      n_whole, context, room);
}

// Whether another token begins with these bytes.
bool PromptBuilder::CanGrow(std::string_view bytes) const {
  uint32_t node = 0;
  for (const char c : bytes) {
    uint32_t child = node + 1;
    while (child < trie_->end(node) && trie_->byte(child) != static_cast<uint8_t>(c)) {
      child = trie_->end(child);
    }
    if (child >= trie_->end(node)) return false;
    node = child;
  }
  return trie_->end(node) > node + 1;
}

// How many of the last tokens make together the beginning of a longer token of the vocabulary, at
// most kMostHealed; their bytes go to `heal`. `text` is what the tokens' text ends with: a token
// that begins before it, or inside a character, stays.
size_t PromptBuilder::Unfinished(std::span<const TokenId> ids, std::string_view text,
                                 std::string& heal) const {
  constexpr size_t kMostHealed = 4;
  size_t found = 0;
  if (trie_ == nullptr) return 0;
  std::string bytes;
  for (size_t n = 1; n <= kMostHealed && n < ids.size(); ++n) {
    const std::string_view token = trie_->BytesOf(ids[ids.size() - n]);
    bytes.insert(0, token);
    if (token.empty() || bytes.size() > text.size() || !text.ends_with(bytes)) break;
    if (!IsValidUtf8(bytes) || !CanGrow(bytes)) continue;
    found = n;
    heal = bytes;
  }
  return found;
}

void PromptBuilder::HealChat(const api::ChatPrompt& chat, Prompt& prompt) const {
  if (!chat.messages.back().prefix) return;
  const api::Message& last = chat.messages.back();
  const std::string& text =
      prompt.starts_in_reasoning ? last.reasoning_content.value_or("") : last.content;
  if (!prompt.starts_in_reasoning) prompt.given = last.content;
  const size_t n = Unfinished(prompt.ids, text, prompt.heal);
  prompt.ids.resize(prompt.ids.size() - n);
  if (!prompt.given.empty()) prompt.given.resize(prompt.given.size() - prompt.heal.size());
}

Result<Prompt> PromptBuilder::Text(const api::TextPrompt& text) const {
  HADAL_OK(CheckBytes(text.text.size(), "prompt"));
  Prompt prompt;
  const bool recognise = rules_.special_tokens_in_prompts;
  prompt.ids = tokenizer_.Encode(
      text.text, recognise ? Tokenizer::Special::kRecognise : Tokenizer::Special::kAsText);
  const auto bos = tokenizer_.bos();
  const bool has_bos = bos && !prompt.ids.empty() && prompt.ids.front() == *bos;
  if (bos && tokenizer_.add_bos() && !has_bos) prompt.ids.insert(prompt.ids.begin(), *bos);
  return prompt;
}

Result<Prompt> PromptBuilder::Fim(const api::FimPrompt& fim) const {
  if (!fim_) {
    return FailField(ErrorCode::kInvalidArgument, "suffix",
                     "the model {} cannot fill a gap: its vocabulary has no tokens for that; leave "
                     "suffix out",
                     rules_.model);
  }
  HADAL_OK(CheckBytes(fim.prefix.size() + fim.suffix.size(), "prompt"));
  Prompt prompt;
  std::string_view prefix = fim.prefix;
  // A first id stands for what comes before the prefix.
  std::vector<TokenId> ids = {fim_->begin};
  for (const TokenId id : tokenizer_.Encode(prefix, Tokenizer::Special::kAsText)) ids.push_back(id);
  Unfinished(ids, prefix, prompt.heal);
  prefix.remove_suffix(prompt.heal.size());
  prompt.pieces = FimPieces(*fim_, prefix, fim.suffix);
  prompt.ids = EncodePieces(tokenizer_, prompt.pieces);
  return prompt;
}

int64_t PromptBuilder::ContextOf(const api::Request& request) const {
  return std::min(rules_.context, request.context.value_or(rules_.context));
}

Result<int64_t> PromptBuilder::MaxTokens(const api::Request& request, const Prompt& prompt) const {
  const auto n_prompt = static_cast<int64_t>(prompt.ids.size());
  const int64_t context = ContextOf(request);
  const int64_t left = context - n_prompt;
  if (left < 1) {
    return FailField(ErrorCode::kContextLengthExceeded, std::string(prompt.field),
                     "the prompt has {} tokens and the context is {} tokens, which must hold the "
                     "answer too; nothing is cut, send a shorter prompt",
                     n_prompt, context);
  }
  const int64_t max_tokens = request.max_tokens.value_or(left);
  if (max_tokens > left) {
    return FailField(ErrorCode::kContextLengthExceeded, "max_tokens",
                     "max_tokens is {} and the prompt has {} tokens, but the context is {} tokens; "
                     "max_tokens must be at most {}",
                     max_tokens, n_prompt, context, left);
  }
  return max_tokens;
}

std::optional<std::vector<api::Message>> WithoutTurns(std::span<const api::Message> messages,
                                                      api::Truncation::Mode mode, size_t n_turns) {
  std::vector<size_t> begins;  // of turns; what stands before the first user message is its own
  for (size_t i = 0; i < messages.size(); ++i) {
    const bool instructs =
        messages[i].role == api::Role::kSystem || messages[i].role == api::Role::kDeveloper;
    if (instructs) continue;
    if (begins.empty() || messages[i].role == api::Role::kUser) begins.push_back(i);
  }
  const size_t first = mode == api::Truncation::Mode::kMiddle ? 1 : 0;
  if (begins.size() < first + n_turns + 1) return std::nullopt;  // the last one stays
  const size_t from = begins[first], to = begins[first + n_turns];
  std::vector<api::Message> kept;
  for (size_t i = 0; i < messages.size(); ++i) {
    const bool instructs =
        messages[i].role == api::Role::kSystem || messages[i].role == api::Role::kDeveloper;
    if (i < from || i >= to || instructs) kept.push_back(messages[i]);
  }
  return kept;
}

}  // namespace hadal
