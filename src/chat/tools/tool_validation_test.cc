#include "chat/tools/tool_validation.h"

#include <gmock/gmock.h>

namespace hadal {
namespace {

using api::Message;
using api::Role;
using api::Tool;

std::string FieldOf(const Status& status) { return status ? "" : status.error().field; }
std::string OfTools(const std::vector<Tool>& tools) { return FieldOf(ValidateTools(tools)); }
Tool Named(std::string name, std::string parameters = "") {
  return {.name = std::move(name), .description = {}, .parameters = std::move(parameters)};
}

TEST(ToolValidation, ABadToolIsNamedByItsField) {
  EXPECT_EQ(OfTools({Named("get-weather_2", R"({"type": "object", "properties": {}})")}), "");
  EXPECT_EQ(OfTools({Named("")}), "tools[0].function.name");
  EXPECT_EQ(OfTools({Named("a"), Named("a\n<｜tool▁sep｜>")}), "tools[1].function.name");
  EXPECT_EQ(OfTools({Named(std::string(129, 'a'))}), "tools[0].function.name");
  EXPECT_EQ(OfTools({Named(std::string(128, 'a'))}), "");
  EXPECT_EQ(OfTools({Named("a"), Named("a")}), "tools[1].function.name");
  EXPECT_EQ(OfTools({Named("a", "[]")}), "tools[0].function.parameters");
  EXPECT_EQ(OfTools({Named("a", "{")}), "tools[0].function.parameters");
  EXPECT_EQ(OfTools({Named("a", R"({"type": 123})")}), "tools[0].function.parameters.type");
  EXPECT_EQ(OfTools({Named("a", R"({"type": "hiccup"})")}), "tools[0].function.parameters.type");
  EXPECT_EQ(OfTools({Named("a", R"({"properties": []})")}),
            "tools[0].function.parameters.properties");
  EXPECT_EQ(OfTools({Named("a", std::string(100'000, '['))}), "tools[0].function.parameters");
  std::vector<Tool> many;
  for (int i = 0; i < 2000; ++i) many.push_back(Named("t" + std::to_string(i)));
  EXPECT_EQ(OfTools(many), "tools");
  Tool big = Named("a");
  big.description = std::string(size_t{api::Limits::kMaxToolTextBytes}, 'x');
  EXPECT_EQ(OfTools({big}), "tools");
}

TEST(ToolValidation, AChoiceNamesOneOfTheTools) {
  using Mode = api::ToolChoice::Mode;
  const std::vector<Tool> tools = {Named("a")};
  EXPECT_TRUE(ValidateToolChoice({}, {}));
  EXPECT_TRUE(ValidateToolChoice({Mode::kNamed, "a"}, tools));
  EXPECT_EQ(FieldOf(ValidateToolChoice({Mode::kNamed, "b"}, tools)), "tool_choice.function.name");
  EXPECT_EQ(FieldOf(ValidateToolChoice({Mode::kRequired, ""}, {})), "tool_choice");
}

Message Calls(std::vector<api::ToolCall> calls) {
  Message message{.role = Role::kAssistant, .content = {}, .reasoning_content = {}};
  message.tool_calls = std::move(calls);
  return message;
}
Message ResultOf(std::string id) {
  Message message{.role = Role::kTool, .content = "r", .reasoning_content = {}};
  message.tool_call_id = std::move(id);
  return message;
}
std::string OfMessages(const std::vector<Message>& messages) {
  return FieldOf(ValidateToolMessages(messages));
}

TEST(ToolValidation, ResultsFollowTheirCalls) {
  const Message two = Calls({{"1", "f", "{}"}, {"2", "f", "{\"a\": 1}"}});
  const Message question{.role = Role::kUser, .content = "q", .reasoning_content = {}};
  EXPECT_EQ(OfMessages({question, two, ResultOf("2"), ResultOf("1"), question}), "");
  EXPECT_EQ(OfMessages({two, ResultOf("1"), ResultOf("3")}), "messages[2].tool_call_id");
  EXPECT_EQ(OfMessages({two, ResultOf("1"), ResultOf("1")}), "messages[2].tool_call_id");
  EXPECT_EQ(OfMessages({question, ResultOf("1")}), "messages[1].tool_call_id");
  EXPECT_EQ(OfMessages({two, ResultOf("1"), question}), "messages[0].tool_calls");
  EXPECT_EQ(OfMessages({two, ResultOf("1")}), "messages[0].tool_calls");
  EXPECT_EQ(OfMessages({two, ResultOf("1"), ResultOf("2"), question, ResultOf("1")}),
            "messages[4].tool_call_id");
  EXPECT_EQ(OfMessages({Calls({{"1", "f", "{}"}, {"1", "f", "{}"}})}),
            "messages[0].tool_calls[1].id");
  EXPECT_EQ(OfMessages({Calls({{"", "f", "{}"}})}), "messages[0].tool_calls[0].id");
  EXPECT_EQ(OfMessages({Calls({{"1", "f", "not json"}})}),
            "messages[0].tool_calls[0].function.arguments");
  EXPECT_EQ(OfMessages({Calls({{"1", "f", "[1]"}})}),
            "messages[0].tool_calls[0].function.arguments");
  EXPECT_EQ(OfMessages({Calls({{"1", "a b", "{}"}})}), "messages[0].tool_calls[0].function.name");
  Message wrong = two;
  wrong.role = Role::kUser;
  EXPECT_EQ(OfMessages({wrong}), "messages[0].tool_calls");
}

}  // namespace
}  // namespace hadal
