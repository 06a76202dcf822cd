// LocalChatService: from a request to the engine's tokens and limits.
#include <algorithm>
#include <limits>

#include "service/local_chat_service.h"

namespace hadal {
namespace {

Status CheckId(int64_t id, int64_t vocab, const char* field) {
  if (id >= 0 && id < vocab) return {};
  return FailField(ErrorCode::kInvalidArgument, field,
                   "{} has the token id {}; ids of this model are 0 to {}", field, id, vocab - 1);
}

}  // namespace

// A text of n bytes has at least n / (bytes of the longest token) tokens. Normalisation may shrink
// a text, at most threefold (NFC), which the factor covers: no fitting prompt is refused here, and
// a hopeless one costs no tokenising.
Status LocalChatService::CheckBytes(size_t n_bytes, std::string_view field) const {
  constexpr size_t kShrink = 4;
  const size_t at_least = n_bytes / (max_token_bytes_ * kShrink);
  if (at_least <= static_cast<size_t>(options_.context)) return {};
  return FailField(ErrorCode::kContextLengthExceeded, std::string(field),
                   "the prompt has more than {} tokens and the context is {} tokens; nothing is "
                   "cut, send a shorter prompt",
                   at_least, options_.context);
}

Result<LocalChatService::Prompt> LocalChatService::BuildChatPrompt(
    const api::ChatPrompt& chat) const {
  if (format_ == nullptr) {
    return FailField(
        ErrorCode::kInvalidArgument, "messages",
        "the model {} has no chat format ({}); /v1/completions continues a text, and the "
        "server's --chat-template FILE would give it a format",
        options_.name, no_format_.message);
  }
  size_t n_bytes = 0;
  for (const api::Message& message : chat.messages) n_bytes += message.content.size();
  HADAL_OK(CheckBytes(n_bytes, "messages"));
  HADAL_TRY(const RenderedPrompt rendered,
            format_->Render(chat.messages, RenderOptions{.thinking = chat.thinking}));
  return Prompt{.ids = EncodePieces(*tokenizer_, rendered.pieces),
                .pieces = rendered.pieces,
                .is_chat = true,
                .starts_in_reasoning = rendered.starts_in_reasoning,
                .field = "messages"};
}

Result<LocalChatService::Prompt> LocalChatService::BuildTextPrompt(
    const api::TextPrompt& text) const {
  HADAL_OK(CheckBytes(text.text.size(), "prompt"));
  Prompt prompt{.ids = {}, .field = "prompt"};
  const bool recognise = options_.special_tokens_in_prompts;
  prompt.ids = tokenizer_->Encode(
      text.text, recognise ? Tokenizer::Special::kRecognise : Tokenizer::Special::kAsText);
  const auto bos = tokenizer_->bos();
  const bool has_bos = bos && !prompt.ids.empty() && prompt.ids.front() == *bos;
  if (bos && tokenizer_->add_bos() && !has_bos) prompt.ids.insert(prompt.ids.begin(), *bos);
  return prompt;
}

Result<LocalChatService::Prompt> LocalChatService::BuildPrompt(const api::Request& request) const {
  Prompt prompt{.ids = {}, .field = "prompt"};
  if (const auto* chat = std::get_if<api::ChatPrompt>(&request.prompt)) {
    HADAL_TRY(prompt, BuildChatPrompt(*chat));
  } else if (const auto* text = std::get_if<api::TextPrompt>(&request.prompt)) {
    HADAL_TRY(prompt, BuildTextPrompt(*text));
  } else if (std::holds_alternative<api::FimPrompt>(request.prompt)) {
    return FailField(ErrorCode::kInvalidArgument, "suffix", "suffix is not supported yet");
  } else {
    prompt.ids = std::get<api::TokenPrompt>(request.prompt).ids;
    for (const TokenId id : prompt.ids) HADAL_OK(CheckId(id, vocab_, "prompt"));
  }
  if (prompt.ids.empty()) {
    return FailField(ErrorCode::kInvalidArgument, std::string(prompt.field),
                     "the prompt has no tokens; it must have at least one");
  }
  return prompt;
}

Status LocalChatService::CheckModel(std::string_view model) const {
  if (model == options_.name) return {};
  return FailField(ErrorCode::kNotFound, "model", "the model {} is not served here; {} is",
                   model.substr(0, api::Limits::kMaxModelNameBytes), options_.name);
}

Result<PromptView> LocalChatService::Render(const api::Request& request) {
  HADAL_OK(CheckModel(request.model));
  HADAL_TRY(Prompt prompt, BuildPrompt(request));
  PromptView view;
  HADAL_TRY(view.max_tokens, MaxTokens(request, prompt));
  if (prompt.pieces.empty()) view.pieces.push_back({tokenizer_->Decode(prompt.ids), std::nullopt});
  for (const Piece& piece : prompt.pieces) {
    if (const auto* text = std::get_if<TextPiece>(&piece)) {
      view.pieces.push_back({text->text, std::nullopt});
    } else {
      const TokenId id = std::get<TokenId>(piece);
      view.pieces.push_back({std::string(tokenizer_->BytesOf(id)), id});
    }
  }
  view.ids = std::move(prompt.ids);
  return view;
}

Result<std::vector<int32_t>> LocalChatService::Tokenize(std::string_view model,
                                                        std::string_view text) const {
  HADAL_OK(CheckModel(model));
  return tokenizer_->Encode(text, Tokenizer::Special::kAsText);
}

Result<std::string> LocalChatService::Detokenize(std::string_view model,
                                                 std::span<const int32_t> ids) const {
  HADAL_OK(CheckModel(model));
  for (const int32_t id : ids) HADAL_OK(CheckId(id, vocab_, "ids"));
  return tokenizer_->Decode(ids);
}

Status LocalChatService::CheckTokenIds(const api::Request& request) const {
  for (const auto& [id, bias] : request.sampling.logit_bias) {
    HADAL_OK(CheckId(id, vocab_, "logit_bias"));
  }
  for (const TokenId id : request.sampling.stop_token_ids) {
    HADAL_OK(CheckId(id, vocab_, "stop_token_ids"));
  }
  return {};
}

Result<int64_t> LocalChatService::MaxTokens(const api::Request& request,
                                            const Prompt& prompt) const {
  const auto n_prompt = static_cast<int64_t>(prompt.ids.size());
  const int64_t context = request.context.value_or(options_.context);
  if (context < 1 || context > options_.context) {
    return FailField(ErrorCode::kInvalidArgument, "context",
                     "context is {}; it must be from 1 to {}, the context of this server", context,
                     options_.context);
  }
  const int64_t left = context - n_prompt;
  if (left < 1) {
    const bool asked = request.context.has_value();
    return FailField(ErrorCode::kContextLengthExceeded,
                     asked ? "context" : std::string(prompt.field),
                     "the prompt has {} tokens and {}context is {} tokens, which must hold the "
                     "answer too; nothing is cut, send a shorter prompt",
                     n_prompt, asked ? "" : "the ", context);
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

EngineRequest LocalChatService::EngineRequestOf(const api::Request& request, Prompt& prompt,
                                                int64_t max_tokens) const {
  EngineRequest out;
  out.prompt = std::move(prompt.ids);
  out.max_tokens = max_tokens;
  out.n = request.n;
  out.sampling = request.sampling;
  out.sampling.stop.clear();  // text is not the engine's business
  out.tenant = request.tenant;
  if (!request.sampling.ignore_eos) {
    out.stop_tokens = options_.stop_tokens;
    if (prompt.is_chat) {
      const auto ends = format_->stop_tokens();
      out.stop_tokens.insert(out.stop_tokens.end(), ends.begin(), ends.end());
    }
    if (const auto eos = tokenizer_->eos()) out.stop_tokens.push_back(*eos);
    std::sort(out.stop_tokens.begin(), out.stop_tokens.end());
    const auto unique_end = std::unique(out.stop_tokens.begin(), out.stop_tokens.end());
    out.stop_tokens.erase(unique_end, out.stop_tokens.end());
  }
  if (request.deadline_seconds) {
    out.deadline = Now() + std::chrono::duration_cast<Duration>(
                               std::chrono::duration<double>(*request.deadline_seconds));
  }
  return out;
}

}  // namespace hadal
