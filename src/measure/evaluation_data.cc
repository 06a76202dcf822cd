#include "measure/evaluation_data.h"

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "formats/json_text.h"

namespace hadal {
namespace {

using Json = nlohmann::json;

tl::unexpected<Error> BadField(const std::string& field, std::string_view must_be) {
  return FailField(ErrorCode::kBadFile, field, "field {} must be {}", Quoted(field), must_be);
}

Result<std::string> StringOf(const Json& value, const std::string& field) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
    return BadField(field, "a string that is not empty");
  }
  return value.get<std::string>();
}

Result<api::Message> MessageOf(const Json& json, const std::string& at) {
  if (!json.is_object()) return BadField(at, "an object with role and content");
  api::Message message;
  const auto role = json.find("role"), content = json.find("content");
  if (role == json.end() || !role->is_string()) {
    return BadField(at + ".role", "\"system\", \"user\" or \"assistant\"");
  }
  const auto& name = role->get_ref<const std::string&>();
  if (name == "system") {
    message.role = api::Role::kSystem;
  } else if (name == "assistant") {
    message.role = api::Role::kAssistant;
  } else if (name != "user") {
    return BadField(at + ".role", "\"system\", \"user\" or \"assistant\"");
  }
  if (content == json.end() || !content->is_string()) return BadField(at + ".content", "a string");
  message.content = content->get<std::string>();
  return message;
}

Result<api::ChatPrompt> MessagesOf(const Json& json) {
  api::ChatPrompt chat;
  if (!json.is_array() || json.empty() ||
      json.size() > static_cast<size_t>(api::Limits::kMaxMessages)) {
    return BadField("messages",
                    fmt::format("an array of 1 to {} messages", api::Limits::kMaxMessages));
  }
  for (size_t i = 0; i < json.size(); ++i) {
    HADAL_TRY(api::Message message, MessageOf(json[i], fmt::format("messages[{}]", i)));
    chat.messages.push_back(std::move(message));
  }
  return chat;
}

// The first of these keys that the line has; a line with two of them is refused.
Result<std::string> OnlyOneOf(const Json& line, std::initializer_list<const char*> keys) {
  std::string found;
  for (const char* key : keys) {
    if (!line.contains(key)) continue;
    if (!found.empty()) {
      return FailField(ErrorCode::kBadFile, key, "has both {} and {}; give one of them",
                       Quoted(found), Quoted(key));
    }
    found = key;
  }
  return found;
}

Status ReadPrompt(const Json& line, const std::string& key, Task& task) {
  if (key == "prompt") {
    HADAL_TRY(std::string text, StringOf(line["prompt"], key));
    task.request.prompt = api::TextPrompt{std::move(text)};
    return {};
  }
  api::ChatPrompt chat;
  if (key == "messages") {
    HADAL_TRY(chat, MessagesOf(line["messages"]));
  } else {
    HADAL_TRY(std::string text, StringOf(line["question"], key));
    chat.messages.push_back({api::Role::kUser, std::move(text), std::nullopt, false});
  }
  if (const auto thinking = line.find("thinking"); thinking != line.end()) {
    if (!thinking->is_boolean()) return BadField("thinking", "true or false");
    chat.thinking = thinking->get<bool>();
  }
  task.request.prompt = std::move(chat);
  return {};
}

Status ReadExpected(const Json& line, Task& task) {
  HADAL_TRY(const std::string key, OnlyOneOf(line, {"expected", "key"}));
  if (key.empty()) {
    return FailField(ErrorCode::kBadFile, "expected",
                     "has no field 'expected' (text, or an object of fields) and no 'key'");
  }
  const Json& value = line[key];
  if (key == "key") {
    HADAL_TRY(task.key, StringOf(value, key));
  } else if (value.is_object() && !value.empty()) {
    for (const auto& [name, field] : value.items()) task.fields.emplace_back(name, field.dump());
  } else if (value.is_string()) {
    HADAL_TRY(task.expected, StringOf(value, key));
  } else {
    return BadField(key, "a text or an object with at least one field");
  }
  return {};
}

Status ReadLine(std::string_view text, int64_t number, const EvaluationLimits& limits,
                EvaluationData& data) {
  HADAL_TRY(const Json line,
            ParseJson(text, {.max_bytes = limits.max_line_bytes, .max_depth = limits.max_depth}));
  if (!line.is_object()) return Fail(ErrorCode::kBadFile, "must be a JSON object");
  HADAL_TRY(const std::string key, OnlyOneOf(line, {"text", "messages", "prompt", "question"}));
  if (key == "text") {
    EvaluationText out;
    HADAL_TRY(out.text, StringOf(line["text"], key));
    if (const auto special = line.find("special_tokens"); special != line.end()) {
      if (!special->is_boolean()) return BadField("special_tokens", "true or false");
      out.special_tokens = special->get<bool>();
    }
    data.texts.push_back(std::move(out));
    return {};
  }
  if (key.empty()) {
    return FailField(ErrorCode::kBadFile, "messages",
                     "has none of the fields 'text', 'messages', 'prompt' and 'question'");
  }
  Task task;
  task.line = number;
  HADAL_OK(ReadPrompt(line, key, task));
  HADAL_OK(ReadExpected(line, task));
  data.tasks.push_back(std::move(task));
  return {};
}

}  // namespace

Result<EvaluationData> ParseEvaluationData(std::string_view jsonl, std::string_view name,
                                           const EvaluationLimits& limits) {
  EvaluationData data;
  data.name = name;
  if (jsonl.starts_with("\xef\xbb\xbf")) jsonl.remove_prefix(3);
  for (int64_t number = 1; !jsonl.empty(); ++number) {
    const size_t end = jsonl.find('\n');
    const std::string_view line = jsonl.substr(0, end);
    jsonl.remove_prefix(end == std::string_view::npos ? jsonl.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (data.texts.size() + data.tasks.size() == limits.max_lines) {
      return Fail(ErrorCode::kBadFile, "{} line {}: more than {} lines", name, number,
                  limits.max_lines);
    }
    auto read = ReadLine(line, number, limits, data);
    if (!read) {
      return tl::make_unexpected(
          std::move(read).error().In(fmt::format("{} line {}", name, number)));
    }
  }
  if (data.texts.empty() && data.tasks.empty()) {
    return Fail(ErrorCode::kBadFile, "{}: no line holds a text or a task", name);
  }
  return data;
}

Result<EvaluationData> ReadEvaluationData(const std::filesystem::path& jsonl,
                                          const EvaluationLimits& limits) {
  HADAL_TRY(const std::string text, ReadFile(jsonl, limits.max_file_bytes));
  return ParseEvaluationData(text, jsonl.filename().string(), limits);
}

}  // namespace hadal
