#include "server/http/dialect.h"

#include "server/http/anthropic_response.h"
#include "server/http/field_reader.h"
#include "server/http/ollama_response.h"
#include "server/http/openai_response.h"

namespace hadal::server {

std::string ErrorBody(Dialect dialect, const Error& error) {
  switch (dialect) {
    case Dialect::kOpenAi:
      return ErrorJson(error);
    case Dialect::kAnthropic:
      return AnthropicErrorBody(error);
    case Dialect::kOllama:
      return OllamaErrorBody(error);
  }
  return ErrorJson(error);
}

Result<std::string> ServedModel(std::string_view name, const RequestRules& rules) {
  const auto served = rules.models.find(name);
  if (served != rules.models.end()) return served->second;
  return FailField(ErrorCode::kNotFound, "model",
                   "the model {} is not served here; GET /v1/models lists what is",
                   Json(name.substr(0, api::Limits::kMaxModelNameBytes))
                       .dump(-1, ' ', false, Json::error_handler_t::replace));
}

Result<api::Truncation> TruncationOf(const Json& value, const std::string& field) {
  using Mode = api::Truncation::Mode;
  Json type = value, strategy = "middle";
  if (value.is_object()) {
    type = value.value("type", Json());
    strategy = value.value("strategy", strategy);
  }
  if (type == "disabled") return api::Truncation{Mode::kNone};
  if (type == "auto" && strategy == "middle") return api::Truncation{Mode::kMiddle};
  if (type == "auto" && strategy == "front") return api::Truncation{Mode::kFront};
  return Invalid(
      field, value,
      "\"disabled\", \"auto\" or {\"type\":\"auto\",\"strategy\":\"middle\" or \"front\"}");
}

}  // namespace hadal::server
