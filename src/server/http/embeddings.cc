#include "server/http/embeddings.h"

#include <openssl/evp.h>

#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "server/http/field_reader.h"
#include "server/http/openai_response.h"

namespace hadal::server {
namespace {

using Input = std::variant<api::TextPrompt, api::TokenPrompt>;

class EmbeddingsWriter final : public AnswerWriter {
 public:
  EmbeddingsWriter(std::string model, bool base64) : model_(std::move(model)), base64_(base64) {}
  bool streams() const override { return false; }
  std::string_view content_type() const override { return "application/json"; }
  std::string On(api::Event event) override {
    if (auto* embedding = std::get_if<api::Embedding>(&event)) {
      const auto index = static_cast<size_t>(embedding->choice);
      if (values_.size() <= index) values_.resize(index + 1);
      values_[index] = std::move(embedding->values);
    } else if (const auto* done = std::get_if<api::Done>(&event)) {
      usage_ = done->usage;
    }
    return {};
  }
  std::string Body() const override {
    OrderedJson data = OrderedJson::array();
    for (size_t i = 0; i < values_.size(); ++i) {
      OrderedJson item = {{"object", "embedding"}, {"index", i}};
      item["embedding"] = base64_ ? OrderedJson(Base64(values_[i])) : OrderedJson(values_[i]);
      data.push_back(std::move(item));
    }
    return ToLine(
        {{"object", "list"},
         {"data", std::move(data)},
         {"model", model_},
         {"pooling", "mean of the last layer's hidden states before the final norm, length 1"},
         {"usage",
          {{"prompt_tokens", usage_.prompt_tokens}, {"total_tokens", usage_.prompt_tokens}}}});
  }

 private:
  // Little-endian float32, as OpenAI's clients read it.
  static std::string Base64(const std::vector<float>& values) {
    static_assert(std::endian::native == std::endian::little);
    const size_t n = values.size() * sizeof(float);
    std::string out(4 * ((n + 2) / 3) + 1, '\0');
    const int written =
        EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                        reinterpret_cast<const unsigned char*>(values.data()), static_cast<int>(n));
    out.resize(static_cast<size_t>(written));
    return out;
  }

  const std::string model_;
  const bool base64_;
  std::vector<std::vector<float>> values_;
  api::Usage usage_;
};

constexpr std::string_view kInputs =
    "a string, an array of strings, an array of token ids, or an array of arrays of token ids";

Result<Input> ReadInput(Json& value, const std::string& field) {
  if (value.is_string()) {
    HADAL_TRY(std::string text, TakeString(value, field));
    if (text.empty()) return Invalid(field, Json(""), "a text that is not empty");
    return Input(api::TextPrompt{std::move(text)});
  }
  if (!value.is_array() || value.empty()) return Invalid(field, value, kInputs);
  api::TokenPrompt tokens;
  for (size_t i = 0; i < value.size(); ++i) {
    HADAL_TRY(const int64_t id, ReadInteger(value[i], fmt::format("{}[{}]", field, i), 0,
                                            std::numeric_limits<int32_t>::max()));
    tokens.ids.push_back(static_cast<int32_t>(id));
  }
  return Input(std::move(tokens));
}

Result<api::EmbedPrompt> ReadInputs(Json& value) {
  api::EmbedPrompt prompt;
  const bool many = value.is_array() && !value.empty() && !value[0].is_number();
  if (!many) {
    HADAL_TRY(Input input, ReadInput(value, "input"));
    prompt.inputs.push_back(std::move(input));
    return prompt;
  }
  if (value.size() > api::Limits::kMaxEmbedInputs) {
    return Invalid("input", value, fmt::format("at most {} inputs", api::Limits::kMaxEmbedInputs));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    HADAL_TRY(Input input, ReadInput(value[i], fmt::format("input[{}]", i)));
    prompt.inputs.push_back(std::move(input));
  }
  return prompt;
}

}  // namespace

Result<ParsedRequest> ParseEmbeddings(Json body, const RequestRules& rules) {
  ParsedRequest out;
  bool base64 = false, has_input = false;
  for (auto& [name, value] : body.items()) {
    const std::string field = name.substr(0, 64);
    if (value.is_null()) continue;
    if (name == "model") {
      HADAL_TRY(const std::string model, TakeString(value, field));
      HADAL_TRY(out.request.model, ServedModel(model, rules));
    } else if (name == "input") {
      HADAL_TRY(out.request.prompt, ReadInputs(value));
      has_input = true;
    } else if (name == "encoding_format") {
      if (value != "float" && value != "base64") {
        return Invalid(field, value, "\"float\" or \"base64\"");
      }
      base64 = value == "base64";
    } else if (name == "dimensions") {
      return NotSupportedYet(field, "vectors have the model's own width");
    } else if (name != "user" && rules.refuse_unknown_fields) {
      return FailField(ErrorCode::kInvalidArgument, field,
                       "the field {} is not known here; leave it out", field);
    }
  }
  if (out.request.model.empty()) return Missing("model", "the name of a served model");
  if (!has_input) return Missing("input", kInputs);
  out.writer = std::make_unique<EmbeddingsWriter>(out.request.model, base64);
  return out;
}

}  // namespace hadal::server
