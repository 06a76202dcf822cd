#include "chat/chat_format.h"

#include "chat/deepseek_chat.h"
#include "chat/deepseek_tokens.h"
#include "chat/native_formats.h"
#include "chat/template_format.h"

namespace hadal {

namespace {

bool HasDeepSeekTurns(const Tokenizer& tokenizer) {
  return tokenizer.IdOf("<｜User｜>") && tokenizer.IdOf("<｜Assistant｜>");
}

// Coder-V2 has the tokens of V2.5 but speaks as V2 does; only its template tells.
bool SpeaksAsLlm(const Tokenizer& tokenizer, std::string_view architecture) {
  if (architecture != "deepseek" && architecture != "deepseek_v2") return false;
  const std::string_view text = tokenizer.chat_template();
  return !HasDeepSeekTurns(tokenizer) ||
         (!text.empty() && text.find("<｜User｜>") == std::string_view::npos);
}

Result<std::unique_ptr<ChatFormat>> ResolveDeepSeek(const Tokenizer& tokenizer,
                                                    std::string_view architecture) {
  HADAL_TRY(const DeepSeekTokens tokens, FindDeepSeekTokens(tokenizer));
  // These write system texts, efforts and tool results in ways of their own; a prompt in an older
  // format would be answered, but worse.
  if (tokens.has_system || architecture == "deepseek_v4") {
    return Fail(ErrorCode::kUnsupportedModel,
                "the chat format of architecture \"{}\" {}is not supported; supported are those of "
                "DeepSeek-V3, R1 and its distilled models, V3.1 and V3.2",
                architecture, tokens.has_system ? "with a <｜System｜> token " : "");
  }
  if (!tokens.think_begin) return MakeDeepSeekChat(tokenizer, ToolPrompt::kV3);
  if (architecture == "deepseek_v32") return MakeDeepSeekChat(tokenizer, ToolPrompt::kV32);
  return MakeDeepSeekChat(tokenizer, tokens.has_search ? ToolPrompt::kV31 : ToolPrompt::kR1);
}

}  // namespace

Result<std::unique_ptr<ChatFormat>> ResolveChatFormat(const Tokenizer& tokenizer,
                                                      std::string_view architecture) {
  HADAL_TRY(const OutputTokens output, FindOutputTokens(tokenizer));
  const bool as_llm = SpeaksAsLlm(tokenizer, architecture);
  if (as_llm) {
    if (auto format = MakeDeepSeekLlm(tokenizer, output)) return format;
  }
  if (!HasDeepSeekTurns(tokenizer)) {
    if (auto format = MakeChatMl(tokenizer, output, architecture)) return format;
    if (auto format = MakeLlama3(tokenizer, output)) return format;
    if (auto format = MakeDeepSeekCoder(tokenizer, output)) return format;
  }
  return ResolveDeepSeek(tokenizer, architecture);
}

Result<std::unique_ptr<ChatFormat>> ChooseChatFormat(const Tokenizer& tokenizer,
                                                     std::string_view architecture,
                                                     const FormatSource& source) {
  const auto from_template = [&](std::string_view text,
                                 std::string_view what) -> Result<std::unique_ptr<ChatFormat>> {
    auto format = MakeTemplateFormat(text, tokenizer);
    if (!format) return tl::make_unexpected(format.error().In(what));
    return format;
  };
  if (source.kind == FormatSource::Kind::kNamed) {
    const auto prompt = DeepSeekPromptNamed(source.text);
    if (prompt) return MakeDeepSeekChat(tokenizer, *prompt);
    return Fail(ErrorCode::kNotFound, "there is no chat format {}", source.text);
  }
  const std::string_view own = tokenizer.chat_template();
  if (source.kind == FormatSource::Kind::kTemplate) {
    return from_template(source.text, "the chat template");
  }
  if (source.kind == FormatSource::Kind::kCheckpoint) {
    if (!own.empty()) return from_template(own, "the checkpoint's chat template");
    return Fail(ErrorCode::kNotFound, "the checkpoint has no chat template");
  }
  auto known = ResolveChatFormat(tokenizer, architecture);
  if (known || own.empty()) return known;
  auto format = from_template(own, "the checkpoint's chat template");
  if (format) return format;
  return Fail(ErrorCode::kUnsupportedModel, "{}; {}", known.error().message,
              format.error().message);
}

std::vector<TokenId> EncodePieces(const Tokenizer& tokenizer, std::span<const Piece> pieces) {
  const std::optional<TokenId> bos = tokenizer.bos();
  const TokenId* first = pieces.empty() ? nullptr : std::get_if<TokenId>(&pieces.front());
  std::vector<TokenId> ids;
  if (bos && (tokenizer.add_bos() || (first != nullptr && *first == *bos))) ids.push_back(*bos);
  std::string text;  // neighbouring texts are tokenised together
  const auto flush = [&] {
    const auto encoded = tokenizer.Encode(text, Tokenizer::Special::kAsText);
    ids.insert(ids.end(), encoded.begin(), encoded.end());
    text.clear();
  };
  for (const Piece& piece : pieces) {
    if (const auto* text_piece = std::get_if<TextPiece>(&piece)) {
      text += text_piece->text;
    } else if (const TokenId id = std::get<TokenId>(piece); id != bos) {
      flush();
      ids.push_back(id);
    }
  }
  flush();
  return ids;
}

}  // namespace hadal
