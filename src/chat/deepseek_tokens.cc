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
  HADAL_TRY(OutputTokens output, FindOutputTokens(tokenizer));
  DeepSeekTokens tokens;
  static_cast<OutputTokens&>(tokens) = std::move(output);
  tokens.bos = tokenizer.bos() ? tokenizer.bos() : tokenizer.IdOf(kBos);
  tokens.eos = *eos;
  tokens.user = *user;
  tokens.assistant = *assistant;
  tokens.has_search = tokenizer.IdOf(kSearch).has_value();
  tokens.has_system = tokenizer.IdOf(kSystem).has_value();
  return tokens;
}

}  // namespace hadal
