#include "server/http/ollama_dialect.h"

#include <array>
#include <utility>

#include "base/version.h"
#include "server/http/dialect_fields.h"
#include "server/http/ollama_request.h"
#include "server/http/ollama_response.h"
#include "server/http/openai_response.h"

namespace hadal::server {
namespace {

Result<ParsedRequest> Parse(OllamaRoute route, Json body, const RequestRules& rules) {
  HADAL_TRY(OllamaRequest parsed, ParseOllamaRequest(route, std::move(body), rules));
  ParsedRequest out;
  out.writer =
      std::make_unique<OllamaWriter>(OllamaHead{.model = parsed.request.model,
                                                .route = route,
                                                .stream = parsed.stream,
                                                .logprobs = parsed.request.sampling.logprobs});
  out.request = std::move(parsed.request);
  out.in_client_words = [shape = parsed.shape](Error error) {
    return InOllamaWords(shape, std::move(error));
  };
  return out;
}

// "7.6B", as Ollama writes it.
std::string ParameterSize(int64_t parameters) {
  const auto n = static_cast<double>(parameters);
  if (n >= 1e9) return fmt::format("{:.1f}B", n / 1e9);
  if (n >= 1e6) return fmt::format("{:.1f}M", n / 1e6);
  return fmt::format("{:.1f}K", n / 1e3);
}

Json Details(const ModelCard& card) {
  Json details = {{"family", card.architecture}, {"families", Json::array({card.architecture})}};
  if (card.parameters > 0) details["parameter_size"] = ParameterSize(card.parameters);
  if (!card.weights.empty()) details["quantization_level"] = card.weights;
  details["context_length"] = card.context;
  return details;
}

Json Capabilities(const ModelCard& card) {
  Json out = Json::array({"completion"});
  if (card.tools) out.push_back("tools");
  if (card.thinking) out.push_back("thinking");
  if (card.fim) out.push_back("insert");
  return out;
}

std::string Created(const ModelCard& card) {
  return Rfc3339(std::chrono::system_clock::time_point(std::chrono::seconds(card.created)));
}

}  // namespace

Result<ParsedRequest> ParseOllamaChat(Json body, const RequestRules& rules) {
  return Parse(OllamaRoute::kChat, std::move(body), rules);
}
Result<ParsedRequest> ParseOllamaGenerate(Json body, const RequestRules& rules) {
  return Parse(OllamaRoute::kGenerate, std::move(body), rules);
}

Result<std::string> ReadOllamaVersion(std::string_view, const CallContext&) {
  return ToLine({{"version", Version()}});
}

Result<std::string> ReadOllamaTags(std::string_view, const CallContext& context) {
  Json models = Json::array();
  for (const ModelCard& card : context.service.models()) {
    models.push_back({{"name", card.name},
                      {"model", card.name},
                      {"modified_at", Created(card)},
                      {"details", Details(card)},
                      {"capabilities", Capabilities(card)}});
  }
  return ToLine({{"models", std::move(models)}});
}

Result<std::string> ReadOllamaPs(std::string_view, const CallContext& context) {
  Json models = Json::array();
  for (const ModelCard& card : context.service.models()) {
    models.push_back({{"name", card.name},
                      {"model", card.name},
                      {"details", Details(card)},
                      {"context_length", card.context}});
  }
  return ToLine({{"models", std::move(models)}});
}

Result<std::string> ShowOllamaModel(Json body, const CallContext& context) {
  // Texts that would be shown with the model where Ollama stores them; none is stored here.
  static constexpr std::array kKnown = {"model",  "name",     "verbose",
                                        "system", "template", "options"};
  for (const auto& [name, value] : body.items()) {
    bool known = value.is_null();
    for (const char* field : kKnown) known |= name == field;
    if (!known) HADAL_OK(RefuseUnknownField(PathOf("", name), context.rules));
  }
  const char* field = FindSet(body, "model") != nullptr ? "model" : "name";  // name: older clients
  Json* model = FindSet(body, field);
  if (model == nullptr) return Missing("model", "the name of a served model");
  HADAL_TRY(const std::string name, TakeString(*model, field));
  HADAL_TRY(const std::string served, OllamaModel(name, context.rules));
  for (const ModelCard& card : context.service.models()) {
    if (card.name != served) continue;
    const std::string& arch = card.architecture;
    Json info = {{"general.architecture", arch}};
    if (card.parameters > 0) info["general.parameter_count"] = card.parameters;
    info[arch + ".context_length"] = card.context;
    return ToLine({{"details", Details(card)},
                   {"model_info", std::move(info)},
                   {"capabilities", Capabilities(card)},
                   {"modified_at", Created(card)}});
  }
  return FailField(ErrorCode::kNotFound, "model", "model '{}' not found", served);
}

}  // namespace hadal::server
