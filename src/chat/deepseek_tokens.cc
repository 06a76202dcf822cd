#include "chat/deepseek_tokens.h"

#include <string>
#include <string_view>

namespace hadal {
namespace {

// The bars are U+FF5C, the low line is U+2581.
constexpr std::string_view kBos = "<｜begin▁of▁sentence｜>";
constexpr std::string_view kEos = "<｜end▁of▁sentence｜>";
constexpr std::string_view kUser = "<｜User｜>";
constexpr std::string_view kAssistant = "<｜Assistant｜>";
constexpr std::string_view kSystem = "<｜System｜>";
constexpr std::string_view kSearch = "<｜search▁begin｜>";
constexpr std::string_view kThink = "<think>";
constexpr std::string_view kEndOfThink = "</think>";

bool IsWrittenAsControl(std::string_view token) {
  return (token.starts_with("<｜") && token.ends_with("｜>")) ||
         (token.starts_with("<|") && token.ends_with("|>"));
}

std::vector<bool> FindHidden(const Tokenizer& tokenizer) {
  std::vector<bool> hidden(static_cast<size_t>(tokenizer.vocab_size()));
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    hidden[static_cast<size_t>(id)] =
        tokenizer.IsAdded(id) &&
        (tokenizer.IsSpecial(id) || IsWrittenAsControl(tokenizer.BytesOf(id)));
  }
  return hidden;
}

}  // namespace

Result<DeepSeekTokens> FindDeepSeekTokens(const Tokenizer& tokenizer) {
  const auto user = tokenizer.IdOf(kUser);
  const auto assistant = tokenizer.IdOf(kAssistant);
  const auto eos = tokenizer.eos() ? tokenizer.eos() : tokenizer.IdOf(kEos);
  if (!user || !assistant || !eos) {
    std::string missing;
    for (const auto& [token, found] :
         {std::pair(kUser, user.has_value()), std::pair(kAssistant, assistant.has_value()),
          std::pair(kEos, eos.has_value())}) {
      if (!found) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", token);
    }
    return Fail(ErrorCode::kUnsupportedModel,
                "no chat format fits this tokenizer: it lacks {} (looked for {}, {} and an end "
                "token such as {})",
                missing, kUser, kAssistant, kEos);
  }
  DeepSeekTokens tokens;
  tokens.bos = tokenizer.bos() ? tokenizer.bos() : tokenizer.IdOf(kBos);
  tokens.eos = *eos;
  tokens.user = *user;
  tokens.assistant = *assistant;
  const auto think = tokenizer.IdOf(kThink), end_of_think = tokenizer.IdOf(kEndOfThink);
  if (think.has_value() != end_of_think.has_value()) {
    return Fail(ErrorCode::kUnsupportedModel,
                "no chat format fits this tokenizer: it has {} but lacks {}",
                think ? kThink : kEndOfThink, think ? kEndOfThink : kThink);
  }
  tokens.think_begin = think;
  tokens.think_end = end_of_think;
  tokens.has_search = tokenizer.IdOf(kSearch).has_value();
  tokens.has_system = tokenizer.IdOf(kSystem).has_value();
  tokens.hidden = FindHidden(tokenizer);
  return tokens;
}

}  // namespace hadal
