// The conversation of a request: the system prompt, and messages whose content is a string or
// blocks. A message of the user becomes one message per tool result, then its text.
#include <array>
#include <string>
#include <utility>

#include "server/http/anthropic_draft.h"
#include "server/http/field_reader.h"

namespace hadal::server::anthropic {
namespace {

using api::Limits;
using api::Role;

constexpr std::string_view kBetweenTexts = "\n\n";

// One message of the client while its blocks are read.
struct Turn {
  Draft& draft;
  api::Message message = {};  // the text, and what else belongs to it
  AnthropicPlace place;
  bool has_text = false;
  bool has_results = false;
};

Status Add(Draft& draft, api::Message message, AnthropicPlace place) {
  auto& messages = draft.chat().messages;
  if (messages.size() == Limits::kMaxMessages) {
    return FailField(ErrorCode::kInvalidArgument, "messages",
                     "messages has more than {} messages and tool results; send at most that many",
                     Limits::kMaxMessages);
  }
  messages.push_back(std::move(message));
  draft.out.names.messages.push_back(std::move(place));
  return {};
}

Result<std::string> ReadTextBlock(Json& block, const std::string& at, const RequestRules& rules) {
  HADAL_OK(RefuseOthers(block, at, rules, {"type", "text", "cache_control", "citations"}));
  return TakeText(block, at, "text");
}

// A string, or text blocks joined.
Result<std::string> ReadTexts(Json& value, const std::string& field, const RequestRules& rules) {
  static constexpr std::string_view kMustBe = "a string or a non-empty array of text blocks";
  if (value.is_string()) return TakeString(value, field);
  if (!value.is_array() || value.empty()) return Invalid(field, value, kMustBe);
  std::string text;
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", field, i);
    HADAL_OK(ExpectObject(value[i], at));
    HADAL_TRY(const Json* type, Required(value[i], at, "type", "\"text\""));
    if (*type != "text") return Invalid(at + ".type", *type, "\"text\"; this model reads text");
    HADAL_TRY(const std::string piece, ReadTextBlock(value[i], at, rules));
    if (i > 0) text += kBetweenTexts;
    text += piece;
  }
  return text;
}

Status ReadText(Json& block, const std::string& at, Turn& turn) {
  HADAL_TRY(const std::string text, ReadTextBlock(block, at, turn.draft.rules));
  const bool joined = turn.has_text && turn.message.role == Role::kUser;
  if (joined) turn.message.content += kBetweenTexts;
  turn.message.content += text;
  turn.has_text = true;
  return {};
}

Status ReadThinkingBlock(Json& block, const std::string& at, Turn& turn) {
  HADAL_OK(RefuseOthers(block, at, turn.draft.rules,
                        {"type", "thinking", "signature", "cache_control"}));
  HADAL_TRY(const std::string thinking, TakeText(block, at, "thinking"));
  turn.message.reasoning_content = turn.message.reasoning_content.value_or("") + thinking;
  return {};
}

// What another server has hidden, no model here can read.
Status DropRedacted(Json&, const std::string&, Turn&) { return {}; }

Status ReadToolUse(Json& block, const std::string& at, Turn& turn) {
  HADAL_OK(RefuseOthers(block, at, turn.draft.rules,
                        {"type", "id", "name", "input", "cache_control", "caller",
                         "partial_json"}));  // as an answer that was cut has it
  api::ToolCall call;
  HADAL_TRY(call.id, TakeText(block, at, "id"));
  HADAL_TRY(call.name, TakeText(block, at, "name"));
  HADAL_TRY(const Json* input, Required(block, at, "input", "an object"));
  HADAL_OK(ExpectObject(*input, at + ".input"));
  call.arguments = input->dump();
  turn.message.tool_calls.push_back(std::move(call));
  return {};
}

Status ReadToolResult(Json& block, const std::string& at, Turn& turn) {
  HADAL_OK(RefuseOthers(block, at, turn.draft.rules,
                        {"type", "tool_use_id", "content", "is_error", "cache_control"}));
  api::Message result;
  result.role = Role::kTool;
  HADAL_TRY(result.tool_call_id, TakeText(block, at, "tool_use_id"));
  if (const Json* is_error = Optional(block, "is_error")) {
    HADAL_TRY(const bool failed, ReadBool(*is_error, at + ".is_error"));
    if (failed) result.content = "Error: ";
  }
  Json* content = Optional(block, "content");
  const bool empty = content == nullptr || (content->is_array() && content->empty());
  if (!empty) {
    HADAL_TRY(const std::string text, ReadTexts(*content, at + ".content", turn.draft.rules));
    result.content += text;
  }
  turn.has_results = true;
  return Add(turn.draft, std::move(result), turn.place);
}

struct BlockKind {
  std::string_view type;
  bool user, assistant;
  Status (*read)(Json& block, const std::string& at, Turn& turn);
};
constexpr std::array kBlocks = {
    BlockKind{"text", true, true, ReadText},
    BlockKind{"thinking", false, true, ReadThinkingBlock},
    BlockKind{"redacted_thinking", false, true, DropRedacted},
    BlockKind{"tool_use", false, true, ReadToolUse},
    BlockKind{"tool_result", true, false, ReadToolResult},
};

Status ReadBlock(Json& block, int index, const std::string& at, Turn& turn) {
  const bool user = turn.message.role == Role::kUser;
  const std::string_view must_be =
      user ? "\"text\" or \"tool_result\" in a message of the user; this model reads text"
           : "\"text\", \"thinking\", \"redacted_thinking\" or \"tool_use\" in a message of the "
             "assistant";
  HADAL_OK(ExpectObject(block, at));
  HADAL_TRY(const Json* type, Required(block, at, "type", must_be));
  for (const BlockKind& kind : kBlocks) {
    if (*type != kind.type || !(user ? kind.user : kind.assistant)) continue;
    turn.place.block = kind.read == ReadToolResult ? index : AnthropicPlace::kNone;
    if (kind.read == ReadToolUse) turn.place.tool_blocks.push_back(index);
    return kind.read(block, at, turn);
  }
  return Invalid(at + ".type", *type, must_be);
}

Status ReadBlocks(Json& blocks, const std::string& field, Turn& turn) {
  for (size_t i = 0; i < blocks.size(); ++i) {
    const int index = static_cast<int>(i);
    HADAL_OK(ReadBlock(blocks[i], index, fmt::format("{}[{}]", field, i), turn));
  }
  turn.place.block = AnthropicPlace::kNone;
  return {};
}

Status ReadContent(Json& content, const std::string& field, Turn& turn) {
  if (turn.message.role == Role::kSystem) {
    HADAL_TRY(turn.message.content, ReadTexts(content, field, turn.draft.rules));
  } else if (content.is_string()) {
    HADAL_TRY(turn.message.content, TakeString(content, field));
  } else if (!content.is_array() || content.empty()) {
    return Invalid(field, content, "a string or a non-empty array of content blocks");
  } else {
    HADAL_OK(ReadBlocks(content, field, turn));
    if (turn.has_results && !turn.has_text) return {};  // nothing but results
  }
  return Add(turn.draft, std::move(turn.message), std::move(turn.place));
}

Status ReadMessage(Json& json, int index, const std::string& at, Draft& draft) {
  static constexpr std::array kRoles = {Role::kUser, Role::kAssistant, Role::kSystem};
  HADAL_OK(ExpectObject(json, at));
  HADAL_TRY(const size_t word, RequiredWord(json, at, "role", {"user", "assistant", "system"}));
  HADAL_OK(RefuseOthers(json, at, draft.rules, {"role", "content"}));
  HADAL_TRY(Json* const content,
            Required(json, at, "content", "a string or an array of content blocks"));
  Turn turn{.draft = draft, .place = {.message = index}};
  turn.message.role = kRoles[word];
  return ReadContent(*content, at + ".content", turn);
}

}  // namespace

Status ReadSystem(Json& value, const std::string& field, Draft& draft) {
  if (value.is_array() && value.empty()) return {};
  HADAL_TRY(draft.system, ReadTexts(value, field, draft.rules));
  return {};
}

Status ReadMessages(Json& value, const std::string& field, Draft& draft) {
  draft.has_messages = true;
  if (!value.is_array() || value.empty()) {
    return Invalid(field, value, "a non-empty array of messages");
  }
  if (value.size() > Limits::kMaxMessages) {
    return Invalid(field, value, fmt::format("at most {} messages", Limits::kMaxMessages));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    HADAL_OK(ReadMessage(value[i], static_cast<int>(i), fmt::format("{}[{}]", field, i), draft));
  }
  api::Message& last = draft.chat().messages.back();
  last.prefix = last.role == Role::kAssistant && last.tool_calls.empty();
  return {};
}

}  // namespace hadal::server::anthropic
