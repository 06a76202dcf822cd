#include "server/http/anthropic_dialect.h"

#include <utility>

#include "server/http/anthropic_request.h"
#include "server/http/anthropic_response.h"
#include "server/http/openai_response.h"
#include "server/http/request_id.h"

namespace hadal::server {

Result<ParsedRequest> ParseAnthropicMessages(Json body, const RequestRules& rules) {
  HADAL_TRY(AnthropicRequest parsed,
            ParseAnthropicRequest(AnthropicRoute::kMessages, std::move(body), rules));
  AnthropicHead head{.id = "msg_" + NewUuid(),
                     .model = parsed.request.model,
                     .hides_thinking = parsed.hides_thinking};
  ParsedRequest out;
  out.writer =
      parsed.stream ? NewAnthropicStream(std::move(head)) : NewAnthropicWhole(std::move(head));
  out.request = std::move(parsed.request);
  out.in_client_words = [names = std::move(parsed.names)](Error error) {
    return InFieldsOf(names, std::move(error));
  };
  return out;
}

Result<std::string> CountAnthropicTokens(Json body, const CallContext& context) {
  HADAL_TRY(AnthropicRequest parsed,
            ParseAnthropicRequest(AnthropicRoute::kCountTokens, std::move(body), context.rules));
  parsed.request.max_tokens.reset();  // an answer's length does not matter here
  parsed.request.tenant = context.tenant;
  auto view = context.service.Render(parsed.request);
  if (!view) return tl::make_unexpected(InFieldsOf(parsed.names, std::move(view).error()));
  return ToLine({{"input_tokens", view->ids.size()}});
}

Result<std::string> ReadAnthropicModels(std::string_view, const CallContext& context) {
  return AnthropicModelsBody(context.service.models());
}

Result<std::string> ReadAnthropicModel(std::string_view name, const CallContext& context) {
  HADAL_TRY(const std::string served, ServedModel(name, context.rules));
  for (const ModelCard& card : context.service.models()) {
    if (card.name == served) return AnthropicModelBody(card);
  }
  return FailField(ErrorCode::kNotFound, "model", "the model {} is not served any more", served);
}

}  // namespace hadal::server
