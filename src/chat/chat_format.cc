#include "chat/chat_format.h"

#include "chat/deepseek_formats.h"
#include "chat/deepseek_tokens.h"

namespace hadal {

Result<std::unique_ptr<ChatFormat>> ResolveChatFormat(const Tokenizer& tokenizer,
                                                      std::string_view architecture) {
  HADAL_TRY(DeepSeekTokens tokens, FindDeepSeekTokens(tokenizer));
  // These write system texts, efforts and tool results in ways of their own; a prompt in an older
  // format would be answered, but worse.
  if (tokens.has_system || architecture == "deepseek_v4") {
    return Fail(ErrorCode::kUnsupportedModel,
                "the chat format of architecture \"{}\" {}is not supported; supported are those of "
                "DeepSeek-V3, R1 and its distilled models, V3.1 and V3.2",
                architecture, tokens.has_system ? "with a <｜System｜> token " : "");
  }
  if (!tokens.think_begin) return MakeDeepSeekV3(tokenizer, std::move(tokens));
  // Without tools V3.2's encoder writes what V3.1's template does.
  if (tokens.has_search || architecture == "deepseek_v32") {
    return MakeDeepSeekV31(tokenizer, std::move(tokens));
  }
  return MakeDeepSeekR1(tokenizer, std::move(tokens));
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
