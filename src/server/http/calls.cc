#include "server/http/calls.h"

#include <limits>
#include <utility>

#include "server/http/field_reader.h"
#include "server/http/openai_dialect.h"
#include "server/http/openai_response.h"

namespace hadal::server {
namespace {

constexpr size_t kMaxIds = 1 << 20;
constexpr size_t kMaxTextBytes = 4 << 20;

Status RefuseOthers(const Json& body, const RequestRules& rules,
                    std::initializer_list<std::string_view> known) {
  if (!rules.refuse_unknown_fields) return {};
  for (const auto& [name, value] : body.items()) {
    bool found = false;
    for (const std::string_view k : known) found |= name == k;
    if (found) continue;
    const std::string field = name.substr(0, 64);
    return FailField(ErrorCode::kInvalidArgument, field,
                     "the field {} is not known here; leave it out", field);
  }
  return {};
}

// The only model there is may be left out.
Result<std::string> ModelOf(Json& body, const CallContext& context) {
  const auto model = body.find("model");
  if (model == body.end() || model->is_null()) {
    const auto cards = context.service.models();
    if (cards.size() == 1) return cards.front().name;
    return Missing("model", "the name of a served model");
  }
  HADAL_TRY(const std::string name, TakeString(*model, "model"));
  return ServedModel(name, context.rules);
}

}  // namespace

Result<std::string> ReadModels(std::string_view, const CallContext& context) {
  return ModelsBody(context.service.models());
}

Result<std::string> ReadModel(std::string_view name, const CallContext& context) {
  HADAL_TRY(const std::string served, ServedModel(name, context.rules));
  for (const ModelCard& card : context.service.models()) {
    if (card.name == served) return ModelBody(card);
  }
  return FailField(ErrorCode::kNotFound, "model", "the model {} is not served any more", served);
}

Result<std::string> RenderOpenAiChat(Json body, const CallContext& context) {
  HADAL_TRY(ParsedRequest parsed, ParseOpenAiChat(std::move(body), context.rules));
  parsed.request.tenant = context.tenant;
  auto view = context.service.Render(parsed.request);
  if (!view) return tl::make_unexpected(parsed.in_client_words(std::move(view).error()));
  OrderedJson pieces = OrderedJson::array();
  std::string prompt;
  for (const PromptView::Piece& piece : view->pieces) {
    prompt += piece.text;
    OrderedJson json = {{piece.control ? "control" : "text", piece.text}};
    if (piece.control) json["id"] = *piece.control;
    pieces.push_back(std::move(json));
  }
  OrderedJson out = {{"model", parsed.request.model},   {"prompt", std::move(prompt)},
                     {"pieces", std::move(pieces)},     {"ids", view->ids},
                     {"count", view->ids.size()},       {"max_tokens", view->max_tokens},
                     {"context", context.rules.context}};
  if (view->dropped) out["truncation"] = DroppedJson(*view->dropped);
  return ToLine(out);
}

Result<std::string> TokenizeText(Json body, const CallContext& context) {
  HADAL_OK(RefuseOthers(body, context.rules, {"model", "text", "prompt", "content"}));
  HADAL_TRY(const std::string model, ModelOf(body, context));
  for (const char* field : {"text", "prompt", "content"}) {
    const auto text = body.find(field);
    if (text == body.end()) continue;
    HADAL_TRY(const std::string value, TakeString(*text, field));
    if (value.size() > kMaxTextBytes) {
      return Invalid(field, Json(value), fmt::format("a text of at most {} bytes", kMaxTextBytes));
    }
    HADAL_TRY(const auto ids, context.service.Tokenize(model, value));
    return ToLine({{"model", model}, {"ids", ids}, {"tokens", ids}, {"count", ids.size()}});
  }
  return Missing("text", "a string");
}

Result<std::string> DetokenizeIds(Json body, const CallContext& context) {
  HADAL_OK(RefuseOthers(body, context.rules, {"model", "ids", "tokens"}));
  HADAL_TRY(const std::string model, ModelOf(body, context));
  const std::string field = body.contains("ids") || !body.contains("tokens") ? "ids" : "tokens";
  const auto list = body.find(field);
  if (list == body.end()) return Missing(field, "an array of token ids");
  if (!list->is_array() || list->size() > kMaxIds) {
    return Invalid(field, *list, fmt::format("an array of at most {} token ids", kMaxIds));
  }
  std::vector<int32_t> ids;
  for (size_t i = 0; i < list->size(); ++i) {
    if (!(*list)[i].is_number_integer() || (*list)[i] < 0 ||
        (*list)[i] > std::numeric_limits<int32_t>::max()) {
      return FailField(ErrorCode::kInvalidArgument, field, "{}[{}] is {}; it must be a token id",
                       field, i, Shown((*list)[i]));
    }
    ids.push_back((*list)[i].get<int32_t>());
  }
  HADAL_TRY(const std::string text, context.service.Detokenize(model, ids));
  return ToLine({{"model", model}, {"text", text}, {"content", text}});
}

}  // namespace hadal::server
