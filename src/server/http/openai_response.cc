#include "server/http/openai_response.h"

#include <utility>

namespace hadal::server {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

std::string_view ErrorType(int http_status) {
  if (http_status == 429) return "rate_limit_error";
  return http_status >= 500 ? "server_error" : "invalid_request_error";
}

// {"content": [...], "refusal": null}, and DeepSeek's "reasoning_content" beside it.
OrderedJson ChatLogprobsObject(std::span<const api::TokenLogprob> content,
                               std::span<const api::TokenLogprob> reasoning) {
  OrderedJson out = {{"content", ChatLogprobs(content)}, {"refusal", nullptr}};
  if (!reasoning.empty()) out["reasoning_content"] = ChatLogprobs(reasoning);
  return out;
}

OrderedJson CallsJson(std::span<const api::ToolCall> calls) {
  OrderedJson out = OrderedJson::array();
  for (size_t i = 0; i < calls.size(); ++i) {
    out.push_back({{"index", i},
                   {"id", calls[i].id},
                   {"type", "function"},
                   {"function", {{"name", calls[i].name}, {"arguments", calls[i].arguments}}}});
  }
  return out;
}

void Append(std::vector<api::TokenLogprob>& to, std::vector<api::TokenLogprob>& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

std::string ToLine(const OrderedJson& json) {
  const std::string text = json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  std::string line;
  line.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = std::string_view(text).substr(i);
    if (rest.starts_with("\xe2\x80\xa8") || rest.starts_with("\xe2\x80\xa9")) {
      line += rest[2] == '\xa8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else if (rest.starts_with("\xc2\x85")) {
      line += "\\u0085";
      i += 1;
    } else {
      line += text[i];
    }
  }
  return line;
}

std::string_view FinishName(api::FinishReason reason) {
  switch (reason) {
    case api::FinishReason::kStop:
      return "stop";
    case api::FinishReason::kLength:
      return "length";
    case api::FinishReason::kToolCalls:
      return "tool_calls";
    case api::FinishReason::kCancelled:
      return "cancelled";
    case api::FinishReason::kError:
      return "error";
  }
  return "error";
}

OrderedJson UsageJson(const api::Usage& u) {
  return {{"prompt_tokens", u.prompt_tokens},
          {"completion_tokens", u.completion_tokens},
          {"total_tokens", u.prompt_tokens + u.completion_tokens},
          {"prompt_cache_hit_tokens", u.cached_tokens},
          {"prompt_cache_miss_tokens", u.prompt_tokens - u.cached_tokens},
          {"prompt_tokens_details", {{"cached_tokens", u.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", u.reasoning_tokens}}}};
}

OrderedJson DroppedJson(const api::Dropped& dropped) {
  return {{"dropped_messages", dropped.messages}, {"dropped_tokens", dropped.tokens}};
}

std::string_view ErrorCodeOf(const Error& error) {
  if (error.code == ErrorCode::kNotFound && error.field == "model") return "model_not_found";
  return InfoOf(error.code).wire;
}

std::string ErrorJson(const Error& error) {
  OrderedJson body = {{"message", error.message},
                      {"type", ErrorType(InfoOf(error.code).http)},
                      {"param", nullptr},
                      {"code", ErrorCodeOf(error)}};
  if (!error.field.empty()) body["param"] = error.field;
  return ToLine({{"error", std::move(body)}});
}

namespace {
OrderedJson ModelJson(const ModelCard& card) {
  return {{"id", card.name},
          {"object", "model"},
          {"created", card.created},
          {"owned_by", "hadal"},
          {"context_length", card.context},
          {"architecture", card.architecture},
          {"chat", card.chat}};
}
}  // namespace

std::string ModelBody(const ModelCard& model) { return ToLine(ModelJson(model)); }

std::string ModelsBody(std::span<const ModelCard> models) {
  OrderedJson data = OrderedJson::array();
  for (const ModelCard& card : models) data.push_back(ModelJson(card));
  return ToLine({{"object", "list"}, {"data", std::move(data)}});
}

OrderedJson StreamWriter::Chunk(OrderedJson choices) const {
  OrderedJson chunk = {
      {"id", head_.id},
      {"object", head_.route == OpenAiRoute::kChat ? "chat.completion.chunk" : "text_completion"},
      {"created", head_.created},
      {"model", head_.model},
      {"system_fingerprint", head_.fingerprint},
      {"choices", std::move(choices)}};
  chunk["usage"] = nullptr;  // on all but the last chunk
  return chunk;
}

// As DeepSeek's streams: who thinks first has both texts in every delta, the other one null, so
// that clients may read a member without asking whether it is there.
void StreamWriter::AddRole(int index, bool thinks, std::vector<std::string>& out) {
  Choice& choice = choices_[index];
  if (head_.route != OpenAiRoute::kChat || std::exchange(choice.role_sent, true)) return;
  choice.thinks = thinks;
  OrderedJson delta = {{"role", "assistant"}, {"content", ""}};
  if (thinks) delta = {{"role", "assistant"}, {"content", nullptr}, {"reasoning_content", ""}};
  out.push_back(ToLine(Chunk({{{"index", index},
                               {"delta", std::move(delta)},
                               {"logprobs", nullptr},
                               {"finish_reason", nullptr}}})));
}

OrderedJson StreamWriter::ChatChoice(const api::Delta& delta) {
  OrderedJson text = OrderedJson::object();
  const bool both = choices_[delta.choice].thinks;
  if (delta.in_reasoning) {
    if (both) text["content"] = nullptr;
    text["reasoning_content"] = delta.reasoning;
  } else {
    text["content"] = delta.content;
    if (both) text["reasoning_content"] = nullptr;
  }
  OrderedJson choice = {{"index", delta.choice}, {"delta", std::move(text)}, {"logprobs", nullptr}};
  if (head_.logprobs && !delta.logprobs.empty()) {
    using Span = std::span<const api::TokenLogprob>;
    choice["logprobs"] = delta.in_reasoning ? ChatLogprobsObject({}, delta.logprobs)
                                            : ChatLogprobsObject(Span(delta.logprobs), {});
  }
  choice["finish_reason"] = nullptr;
  return choice;
}

// The first piece names the call, as OpenAI's and DeepSeek's streams do.
OrderedJson StreamWriter::CallChunk(const api::ToolCallDelta& delta) const {
  OrderedJson call = {{"index", delta.call}};
  if (delta.first) {
    call["id"] = delta.id;
    call["type"] = "function";
    call["function"] = {{"name", delta.name}, {"arguments", delta.arguments}};
  } else {
    call["function"] = {{"arguments", delta.arguments}};
  }
  OrderedJson choices = OrderedJson::array();
  choices.push_back({{"index", delta.choice},
                     {"delta", {{"tool_calls", OrderedJson::array({std::move(call)})}}},
                     {"logprobs", nullptr},
                     {"finish_reason", nullptr}});
  return Chunk(std::move(choices));
}

OrderedJson StreamWriter::TextChoice(const api::Delta& delta) {
  OrderedJson choice = {{"index", delta.choice}, {"text", delta.content}, {"logprobs", nullptr}};
  int64_t& characters = choices_[delta.choice].characters;
  if (head_.logprobs && !delta.logprobs.empty()) {
    choice["logprobs"] = TextLogprobs(characters).Add(delta.logprobs);
  }
  characters += CountCharacters(delta.content);
  choice["finish_reason"] = nullptr;
  return choice;
}

OrderedJson StreamWriter::FinishChunk(const api::Finished& finished) {
  OrderedJson choice = {{"index", finished.choice}};
  if (head_.route == OpenAiRoute::kChat) {
    choice["delta"] = {{"content", ""}};
    if (choices_[finished.choice].thinks) choice["delta"]["reasoning_content"] = nullptr;
  } else {
    choice["text"] = "";
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = FinishName(finished.reason);
  OrderedJson choices = OrderedJson::array();
  choices.push_back(std::move(choice));
  return Chunk(std::move(choices));
}

void StreamWriter::Flush(std::vector<std::string>& out) {
  if (finish_) out.push_back(ToLine(*finish_));
  finish_.reset();
}

std::vector<std::string> StreamWriter::On(const api::Event& event) {
  std::vector<std::string> out;
  const bool chat = head_.route == OpenAiRoute::kChat;
  std::visit(Overloaded{
                 [&](const api::Delta& delta) {
                   AddRole(delta.choice, delta.in_reasoning, out);
                   const bool logprobs = head_.logprobs && !delta.logprobs.empty();
                   if (delta.content.empty() && delta.reasoning.empty() && !logprobs) return;
                   OrderedJson choices = OrderedJson::array();
                   choices.push_back(chat ? ChatChoice(delta) : TextChoice(delta));
                   out.push_back(ToLine(Chunk(std::move(choices))));
                 },
                 [&](const api::ToolCallDelta& call) {
                   AddRole(call.choice, false, out);
                   if (call.first || !call.arguments.empty())
                     out.push_back(ToLine(CallChunk(call)));
                 },
                 [&](const api::Finished& finished) {
                   AddRole(finished.choice, false, out);
                   Flush(out);
                   finish_ = FinishChunk(finished);
                 },
                 [&](const api::Done& done) {
                   // DeepSeek's streams have the usage in the last chunk; OpenAI's, when asked for,
                   // in one of its own without choices.
                   if (finish_ && !include_usage_) (*finish_)["usage"] = UsageJson(done.usage);
                   if (finish_ && done.dropped) {
                     (*finish_)["truncation"] = DroppedJson(*done.dropped);
                   }
                   Flush(out);
                   if (include_usage_) {
                     OrderedJson chunk = Chunk(OrderedJson::array());
                     chunk["usage"] = UsageJson(done.usage);
                     out.push_back(ToLine(chunk));
                   }
                   out.push_back("[DONE]");
                 },
                 [&](const api::Failed& failed) { out.push_back(ErrorJson(failed.error)); },
                 [](const api::Embedding&) {},
             },
             event);
  return out;
}

void ResponseCollector::On(api::Event event) {
  std::visit(
      Overloaded{
          [&](api::Delta& delta) {
            Choice& choice = choices_[delta.choice];
            choice.content += delta.content;
            choice.reasoning += delta.reasoning;
            if (!head_.logprobs) return;
            Append(delta.in_reasoning ? choice.reasoning_logprobs : choice.content_logprobs,
                   delta.logprobs);
          },
          [&](api::ToolCallDelta& delta) {
            auto& calls = choices_[delta.choice].calls;
            if (delta.first) calls.push_back({std::move(delta.id), std::move(delta.name), ""});
            if (!calls.empty()) calls.back().arguments += delta.arguments;
          },
          [&](api::Finished& finished) { choices_[finished.choice].reason = finished.reason; },
          [&](api::Done& done) {
            usage_ = done.usage;
            dropped_ = done.dropped;
          },
          [&](api::Failed& failed) { failure_ = std::move(failed.error); },
          [](api::Embedding&) {},
      },
      event);
}

OrderedJson ResponseCollector::ChatChoice(int index, const Choice& c) const {
  OrderedJson message = {{"role", "assistant"}, {"content", c.content}};
  if (!c.reasoning.empty()) message["reasoning_content"] = c.reasoning;
  if (!c.calls.empty()) message["tool_calls"] = CallsJson(c.calls);
  OrderedJson out = {{"index", index}, {"message", std::move(message)}, {"logprobs", nullptr}};
  if (head_.logprobs) {
    out["logprobs"] = ChatLogprobsObject(c.content_logprobs, c.reasoning_logprobs);
  }
  out["finish_reason"] = FinishName(c.reason);
  return out;
}

OrderedJson ResponseCollector::TextChoice(int index, const Choice& c) const {
  OrderedJson out = {{"index", index}, {"text", c.content}, {"logprobs", nullptr}};
  if (head_.logprobs) out["logprobs"] = TextLogprobs().Add(c.content_logprobs);
  out["finish_reason"] = FinishName(c.reason);
  return out;
}

std::string ResponseCollector::Body() const {
  const bool chat = head_.route == OpenAiRoute::kChat;
  OrderedJson choices = OrderedJson::array();
  for (const auto& [index, choice] : choices_) {
    choices.push_back(chat ? ChatChoice(index, choice) : TextChoice(index, choice));
  }
  OrderedJson body = {{"id", head_.id},
                      {"object", chat ? "chat.completion" : "text_completion"},
                      {"created", head_.created},
                      {"model", head_.model},
                      {"system_fingerprint", head_.fingerprint},
                      {"choices", std::move(choices)},
                      {"usage", UsageJson(usage_.value_or(api::Usage{}))}};
  if (dropped_) body["truncation"] = DroppedJson(*dropped_);
  return ToLine(body);
}

}  // namespace hadal::server
