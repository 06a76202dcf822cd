#include "chat/template_format.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "base/clock.h"
#include "chat/conversation.h"
#include "chat/prompt_writer.h"
#include "chat/token_format.h"
#include "jinja/template.h"
#include "jinja/text.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

// The added tokens by their strings, longest first at each place.
class ControlTokens {
 public:
  explicit ControlTokens(const Tokenizer& tokenizer) {
    for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
      const std::string_view bytes = tokenizer.IsAdded(id) ? tokenizer.BytesOf(id) : "";
      if (bytes.empty()) continue;
      ids_.emplace(bytes, id);
      lengths_.insert(bytes.size());
      begins_[static_cast<unsigned char>(bytes[0])] = true;
    }
  }
  // The token that text begins with; its bytes are the first of `text`.
  std::optional<std::pair<TokenId, size_t>> At(std::string_view text) const {
    if (text.empty() || !begins_[static_cast<unsigned char>(text[0])]) return std::nullopt;
    for (const size_t length : lengths_) {
      if (length > text.size()) continue;
      const auto found = ids_.find(text.substr(0, length));
      if (found != ids_.end()) return std::pair(found->second, length);
    }
    return std::nullopt;
  }

 private:
  std::unordered_map<std::string_view, TokenId> ids_;  // views into the tokenizer
  std::set<size_t, std::greater<>> lengths_;
  bool begins_[256] = {};
};

std::string_view NameOf(api::Role role) {
  switch (role) {
    case api::Role::kSystem:
      return "system";
    case api::Role::kAssistant:
      return "assistant";
    case api::Role::kTool:
      return "tool";
    case api::Role::kDeveloper:
      return "developer";
    case api::Role::kUser:
      break;
  }
  return "user";
}

class TemplateFormat final : public TokenFormat {
 public:
  TemplateFormat(jinja::Template parsed, const Tokenizer& tokenizer, OutputTokens output)
      : TokenFormat(tokenizer, std::move(output),
                    {"<|im_end|>", "<|eot_id|>", "<｜end▁of▁sentence｜>", "<|EOT|>"}),
        template_(std::move(parsed)),
        control_(tokenizer) {}

  std::string_view name() const override { return "template"; }
  bool thinking_by_default() const override { return thinking_by_default_; }

  // Renders a plain question: what fails for it would fail for every request.
  Status Probe() {
    const api::Message question{api::Role::kUser, "Hi", std::nullopt, false};
    auto rendered = RenderText(std::span(&question, 1), {}, /*ask=*/true);
    if (!rendered) {
      return Fail(ErrorCode::kBadFile, "it cannot render a plain question: {}",
                  rendered.error().message);
    }
    thinking_by_default_ = EndsInReasoning(PiecesOf(*rendered));
    return {};
  }

  Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                const RenderOptions& options) const override {
    HADAL_TRY(const Conversation conversation, ReadConversation(messages, options));
    const bool continues = conversation.continuation.has_value();
    if (continues && conversation.continuation->content.empty()) {
      if (!conversation.continuation->reasoning.empty()) {
        const std::string field =
            fmt::format("messages[{}].reasoning_content", messages.size() - 1);
        return FailField(ErrorCode::kInvalidArgument, field,
                         "{} alone cannot be continued with a chat template; send content too",
                         field);
      }
      // An empty answer to be continued is an answer to be begun.
      return Finish(RenderText(messages.first(messages.size() - 1), options, /*ask=*/true));
    }
    auto rendered = RenderText(messages, options, /*ask=*/!continues);
    if (rendered && continues) {
      HADAL_OK(CutAfter(*rendered, conversation.continuation->content, messages.size() - 1));
    }
    return Finish(std::move(rendered));
  }

 private:
  Result<jinja::Rendered> RenderText(std::span<const api::Message> messages,
                                     const RenderOptions& options, bool ask) const {
    Json data = Json::object(), trusted = Json::object();
    Json& list = data["messages"] = Json::array();
    Json& roles = trusted["messages"] = Json::array();
    for (const api::Message& message : messages) {
      Json entry = {{"role", NameOf(message.role)}, {"content", message.content}};
      if (message.reasoning_content) entry["reasoning_content"] = *message.reasoning_content;
      if (message.prefix) entry["prefix"] = true;
      list.push_back(std::move(entry));
      // One of four words, so <|user|> may be made of it.
      roles.push_back({{"role", NameOf(message.role)}});
    }
    trusted["add_generation_prompt"] = ask;
    if (const auto bos = tokenizer_.bos()) trusted["bos_token"] = tokenizer_.BytesOf(*bos);
    if (const auto eos = tokenizer_.eos()) trusted["eos_token"] = tokenizer_.BytesOf(*eos);
    if (options.thinking) {
      trusted["thinking"] = trusted["enable_thinking"] = *options.thinking;
    }
    jinja::RenderClock clock;
    clock.unix_seconds = UnixSeconds();
    auto rendered = template_.Render(data, trusted, clock);
    if (rendered) return rendered;
    if (rendered.error().code == ErrorCode::kInvalidArgument) {
      return FailField(ErrorCode::kInvalidArgument, "messages", "{}", rendered.error().message);
    }
    return FailField(ErrorCode::kInvalidArgument, "messages",
                     "the chat template of this model fails with these messages: {}",
                     rendered.error().message);
  }

  // Ends the text with the answer to be continued, as transformers' continue_final_message does:
  // white space at its ends may have been trimmed by the template.
  static Status CutAfter(jinja::Rendered& rendered, std::string_view answer, size_t index) {
    jinja::Text text;
    text.Append(answer, false);
    const std::string stripped = jinja::Strip(text, nullptr, jinja::Ends()).bytes;
    std::string typed = rendered.text;  // the answer is never among what the template wrote
    for (size_t i = 0; i < typed.size(); ++i) {
      if (rendered.trusted[i] != 0) typed[i] = '\xFF';
    }
    const size_t at = jinja::FindLast(typed, stripped);
    if (at == jinja::kNotFound || stripped.empty()) {
      const std::string field = fmt::format("messages[{}].content", index);
      return FailField(ErrorCode::kInvalidArgument, field,
                       "{} cannot be continued: the chat template of this model does not write it "
                       "as it is",
                       field);
    }
    const std::string tail = jinja::Strip(text, nullptr, {.right = false}).bytes;
    const bool kept = std::string_view(rendered.text).substr(at).starts_with(tail);
    rendered.text.resize(at + (kept ? tail : stripped).size());
    rendered.trusted.resize(rendered.text.size());
    return {};
  }

  std::vector<Piece> PiecesOf(const jinja::Rendered& rendered) const {
    PromptWriter prompt;
    const std::string_view text = rendered.text;
    size_t text_begin = 0, run_end = 0;
    for (size_t at = 0; at < text.size();) {
      if (rendered.trusted[at] == 0) {
        ++at;
        continue;
      }
      if (at >= run_end) run_end = std::min(rendered.trusted.find('\0', at), text.size());
      const auto token = control_.At(text.substr(at, run_end - at));
      if (!token) {
        ++at;
        continue;
      }
      prompt.Text(text.substr(text_begin, at - text_begin)).Token(token->first);
      at += token->second;
      text_begin = at;
    }
    return prompt.Text(text.substr(text_begin)).Finish(false).pieces;
  }

  // Whether the answer begins inside <think>: the last <think> is open and no answer has ended.
  bool EndsInReasoning(std::span<const Piece> pieces) const {
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
      const TokenId* id = std::get_if<TokenId>(&*piece);
      if (id == nullptr) continue;
      if (output_.think_begin && *id == *output_.think_begin) return true;
      if (output_.think_end && *id == *output_.think_end) return false;
      if (std::find(stop_tokens_.begin(), stop_tokens_.end(), *id) != stop_tokens_.end()) break;
    }
    return false;
  }

  Result<RenderedPrompt> Finish(Result<jinja::Rendered> rendered) const {
    if (!rendered) return tl::make_unexpected(std::move(rendered).error());
    RenderedPrompt prompt;
    prompt.pieces = PiecesOf(*rendered);
    prompt.starts_in_reasoning = EndsInReasoning(prompt.pieces);
    return prompt;
  }

  const jinja::Template template_;
  const ControlTokens control_;
  bool thinking_by_default_ = false;
};

}  // namespace

Result<std::unique_ptr<ChatFormat>> MakeTemplateFormat(std::string_view source,
                                                       const Tokenizer& tokenizer) {
  HADAL_TRY(OutputTokens output, FindOutputTokens(tokenizer));
  HADAL_TRY(jinja::Template parsed, jinja::Template::Parse(source));
  auto format = std::make_unique<TemplateFormat>(std::move(parsed), tokenizer, std::move(output));
  HADAL_OK(format->Probe());
  return format;
}

}  // namespace hadal
