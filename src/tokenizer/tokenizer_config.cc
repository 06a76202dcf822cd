#include <simdjson.h>

#include "tokenizer/tokenizer_file.h"

namespace hadal {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr size_t kMaxJsonDepth = 64;

tl::unexpected<Error> FailJson(simdjson::error_code code) {
  return Fail(ErrorCode::kBadFile, "tokenizer_config.json is not JSON: {}",
              simdjson::error_message(code));
}

// A string, an object with the string "content", or null.
Result<std::optional<std::string>> ReadToken(ondemand::value value, std::string_view key) {
  bool null = false;
  if (value.is_null().get(null) == simdjson::SUCCESS && null) return std::nullopt;
  std::string_view text;
  ondemand::object object;
  if (value.get_string().get(text) == simdjson::SUCCESS) return std::optional(std::string(text));
  if (value.get_object().get(object) == simdjson::SUCCESS &&
      object["content"].get_string().get(text) == simdjson::SUCCESS) {
    return std::optional(std::string(text));
  }
  return FailField(ErrorCode::kBadFile, std::string(key),
                   "{} of tokenizer_config.json must be a string, null or an object with a string "
                   "\"content\"",
                   key);
}

Result<std::optional<bool>> ReadBool(ondemand::value value, std::string_view key) {
  bool null = false, flag = false;
  if (value.is_null().get(null) == simdjson::SUCCESS && null) return std::nullopt;
  if (value.get_bool().get(flag) == simdjson::SUCCESS) return std::optional(flag);
  return FailField(ErrorCode::kBadFile, std::string(key),
                   "{} of tokenizer_config.json is not true or false", key);
}

// A string, null, or a list of {"name": ..., "template": ...}, of which "default" is taken.
Result<std::string> ReadTemplate(ondemand::value value) {
  bool null = false;
  if (value.is_null().get(null) == simdjson::SUCCESS && null) return std::string();
  std::string_view text;
  if (value.get_string().get(text) == simdjson::SUCCESS) return std::string(text);
  const auto malformed = [] {
    return FailField(ErrorCode::kBadFile, "chat_template",
                     "chat_template of tokenizer_config.json must be a string, null or a list of "
                     "objects with the strings \"name\" and \"template\"");
  };
  ondemand::array list;
  if (value.get_array().get(list) != simdjson::SUCCESS) return malformed();
  std::string result;
  for (auto entry : list) {
    std::string_view name;
    ondemand::object object;
    if (entry.get_object().get(object) != simdjson::SUCCESS ||
        object["name"].get_string().get(name) != simdjson::SUCCESS ||
        object["template"].get_string().get(text) != simdjson::SUCCESS) {
      return malformed();
    }
    if (name == "default") result = text;
  }
  return result;
}

Status ReadMember(ondemand::field field, TokenizerConfig& config) {
  std::string_view key;
  if (const auto code = field.unescaped_key().get(key)) return FailJson(code);
  for (const auto& [name, token] :
       {std::pair("bos_token", &config.bos_token), std::pair("eos_token", &config.eos_token),
        std::pair("pad_token", &config.pad_token), std::pair("eot_token", &config.eot_token)}) {
    if (key != name) continue;
    HADAL_TRY(*token, ReadToken(field.value(), name));
    return {};
  }
  if (key == "add_bos_token") {
    HADAL_TRY(config.add_bos_token, ReadBool(field.value(), "add_bos_token"));
  } else if (key == "chat_template") {
    HADAL_TRY(config.chat_template, ReadTemplate(field.value()));
  }
  return {};
}

}  // namespace

// Read on demand, for members of no interest hold what a strict parser refuses: published files
// write model_max_length as an integer of 31 digits.
Result<TokenizerConfig> ReadTokenizerConfig(std::string_view text, const TokenizerLimits& limits) {
  TokenizerConfig config;
  if (text.empty()) return config;
  if (text.size() > limits.max_file_bytes) {
    return Fail(ErrorCode::kBadFile, "tokenizer_config.json has {} bytes; the limit is {}",
                text.size(), limits.max_file_bytes);
  }
  const simdjson::padded_string padded(text);
  ondemand::parser parser;
  ondemand::document document;
  ondemand::object object;
  if (const auto code = parser.allocate(text.size() + 64, kMaxJsonDepth)) return FailJson(code);
  if (const auto code = parser.iterate(padded).get(document)) return FailJson(code);
  if (const auto code = document.get_object().get(object)) return FailJson(code);
  for (auto member : object) {
    ondemand::field field;
    if (const auto code = std::move(member).get(field)) return FailJson(code);
    HADAL_OK(ReadMember(field, config));
  }
  if (config.chat_template.size() > limits.max_template_bytes) {
    return FailField(ErrorCode::kBadFile, "chat_template",
                     "chat_template of tokenizer_config.json has {} bytes; the limit is {}",
                     config.chat_template.size(), limits.max_template_bytes);
  }
  return config;
}

}  // namespace hadal
