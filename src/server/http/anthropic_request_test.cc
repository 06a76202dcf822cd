#include "server/http/anthropic_request.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace hadal::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

RequestRules Rules(bool refuse_unknown = false) {
  return {.models = {{"demo", "demo"}, {"claude-x", "demo"}},
          .refuse_unknown_fields = refuse_unknown};
}

std::string Repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

Result<AnthropicRequest> Parse(std::string_view body, const RequestRules& rules = Rules(),
                               AnthropicRoute route = AnthropicRoute::kMessages) {
  HADAL_TRY(Json json, ParseJsonObject(body));
  return ParseAnthropicRequest(route, std::move(json), rules);
}
// A good body with `fields` ("\"top_k\":2") added.
Result<AnthropicRequest> With(const std::string& fields, const RequestRules& rules = Rules()) {
  return Parse(R"({"model":"demo","max_tokens":100,"messages":[{"role":"user","content":"hi"}])" +
                   (fields.empty() ? "" : "," + fields) + "}",
               rules);
}
Result<AnthropicRequest> Messages(const std::string& messages,
                                  const RequestRules& rules = Rules()) {
  return Parse(R"({"model":"demo","max_tokens":100,"messages":)" + messages + "}", rules);
}
const api::ChatPrompt& ChatOf(const Result<AnthropicRequest>& result) {
  return std::get<api::ChatPrompt>(result->request.prompt);
}

void ExpectRefused(const Result<AnthropicRequest>& result, std::string_view field,
                   std::string_view what) {
  ASSERT_FALSE(result) << "accepted: " << what;
  EXPECT_EQ(result.error().field, field) << what;
  EXPECT_EQ(InfoOf(result.error().code).http, 400) << what;
  EXPECT_LT(result.error().message.size(), 400u) << what;
  EXPECT_THAT(result.error().message, HasSubstr(std::string(field))) << what;
}

// Every field that is read, each with a value that it may have.
constexpr std::string_view kEverything = R"({
  "model": "demo", "max_tokens": 100,
  "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
             {"type": "text", "text": "Be kind."}],
  "messages": [
    {"role": "user", "content": [{"type": "text", "text": "Weather?"},
                                 {"type": "text", "text": "In Paris."}]},
    {"role": "assistant", "content": [
      {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
      {"type": "redacted_thinking", "data": "eA=="},
      {"type": "text", "text": "I "}, {"type": "text", "text": "look."},
      {"type": "tool_use", "id": "t1", "name": "get", "input": {"b": 1, "a": [2]}},
      {"type": "tool_use", "id": "t2", "name": "get", "input": {}}]},
    {"role": "user", "content": [
      {"type": "text", "text": "And now?"},
      {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "sun"}]},
      {"type": "tool_result", "tool_use_id": "t2", "content": "no", "is_error": true}]}],
  "tools": [{"type": "custom", "name": "get", "description": "Gets.", "strict": true,
             "input_schema": {"type": "object", "properties": {"b": {}, "a": {}}}}],
  "tool_choice": {"type": "tool", "name": "get", "disable_parallel_tool_use": true},
  "thinking": {"type": "enabled", "budget_tokens": 50, "display": "omitted"},
  "output_config": {"effort": "medium",
                    "format": {"type": "json_schema", "schema": {"z": 1, "a": 2}}},
  "temperature": 0.5, "top_p": 0.9, "top_k": 40, "stop_sequences": ["a", "b"], "stream": true,
  "truncation": "auto", "metadata": {"user_id": "u"}, "service_tier": "auto",
  "cache_control": {"type": "ephemeral"}, "container": null, "mcp_servers": []
})";

TEST(AnthropicRequest, ReadsTheConversation) {
  const auto r = Parse(kEverything, Rules(/*refuse_unknown=*/true));
  ASSERT_TRUE(r) << r.error().message;
  const auto& m = ChatOf(r).messages;
  ASSERT_EQ(m.size(), 6u);
  EXPECT_EQ(m[0].role, api::Role::kSystem);
  EXPECT_EQ(m[0].content, "Be brief.\n\nBe kind.");
  EXPECT_EQ(m[1].role, api::Role::kUser);
  EXPECT_EQ(m[1].content, "Weather?\n\nIn Paris.");
  EXPECT_EQ(m[2].role, api::Role::kAssistant);
  EXPECT_EQ(m[2].content, "I look.");
  EXPECT_EQ(m[2].reasoning_content, "hm");
  EXPECT_FALSE(m[2].prefix);
  ASSERT_EQ(m[2].tool_calls.size(), 2u);
  EXPECT_EQ(m[2].tool_calls[0].id, "t1");
  EXPECT_EQ(m[2].tool_calls[0].name, "get");
  EXPECT_EQ(m[2].tool_calls[0].arguments, R"({"b":1,"a":[2]})");
  EXPECT_EQ(m[3].role, api::Role::kTool);
  EXPECT_EQ(m[3].tool_call_id, "t1");
  EXPECT_EQ(m[3].content, "sun");
  EXPECT_EQ(m[4].tool_call_id, "t2");
  EXPECT_EQ(m[4].content, "Error: no");
  EXPECT_EQ(m[5].role, api::Role::kUser);
  EXPECT_EQ(m[5].content, "And now?");
}

TEST(AnthropicRequest, ReadsEveryOtherField) {
  const auto r = Parse(kEverything, Rules(/*refuse_unknown=*/true));
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(r->stream);
  EXPECT_TRUE(r->hides_thinking);
  EXPECT_EQ(r->request.max_tokens, 100);
  EXPECT_EQ(r->request.sampling.temperature, 0.5);
  EXPECT_EQ(r->request.sampling.top_p, 0.9);
  EXPECT_EQ(r->request.sampling.top_k, 40);
  EXPECT_THAT(r->request.sampling.stop, ElementsAre("a", "b"));
  EXPECT_EQ(r->request.format.kind, api::AnswerFormat::Kind::kJsonSchema);
  EXPECT_EQ(r->request.format.text, R"({"z":1,"a":2})");
  const api::ChatPrompt& chat = ChatOf(r);
  EXPECT_EQ(chat.thinking, true);
  EXPECT_EQ(chat.max_thinking_tokens, 50);
  EXPECT_EQ(chat.effort, api::Effort::kHigh);
  EXPECT_EQ(chat.truncation.mode, api::Truncation::Mode::kMiddle);
  ASSERT_EQ(chat.tools.size(), 1u);
  EXPECT_EQ(chat.tools[0].name, "get");
  EXPECT_EQ(chat.tools[0].description, "Gets.");
  EXPECT_EQ(chat.tools[0].parameters, R"({"type":"object","properties":{"b":{},"a":{}}})");
  EXPECT_TRUE(chat.tools[0].strict);
  EXPECT_EQ(chat.tool_choice.mode, api::ToolChoice::Mode::kNamed);
  EXPECT_EQ(chat.tool_choice.name, "get");
  EXPECT_FALSE(chat.parallel_tool_calls);
}

TEST(AnthropicRequest, WhatIsLeftOutHasAnthropicsDefaults) {
  auto rules = Rules();
  rules.defaults.temperature = 0.6;
  const auto r = With("", rules);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_FALSE(r->stream);
  EXPECT_EQ(r->request.sampling.temperature, 0.6) << "the model's own";
  EXPECT_EQ(ChatOf(r).thinking, false);
  EXPECT_EQ(ChatOf(r).effort, std::nullopt);
  EXPECT_EQ(ChatOf(r).truncation.mode, api::Truncation::Mode::kNone);
  EXPECT_EQ(ChatOf(r).tool_choice.mode, api::ToolChoice::Mode::kAuto);
  EXPECT_TRUE(ChatOf(r).parallel_tool_calls);
  EXPECT_FALSE(r->request.format.constrains());
}

// A field that takes only some JSON types: s(tring), n(umber), b(ool), a(rray), o(bject), z for
// null. What it does not take is a 400 that names it.
struct FieldRow {
  std::string pointer;
  std::string takes;
  std::string field;
};
const std::vector<FieldRow> kFields = {
    {"/model", "s", "model"},
    {"/max_tokens", "n", "max_tokens"},
    {"/system", "saz", "system"},
    {"/system/0", "o", "system[0]"},
    {"/system/0/type", "", "system[0].type"},
    {"/system/0/text", "s", "system[0].text"},
    {"/messages", "a", "messages"},
    {"/messages/0", "o", "messages[0]"},
    {"/messages/0/role", "", "messages[0].role"},
    {"/messages/0/content", "sa", "messages[0].content"},
    {"/messages/0/content/0", "o", "messages[0].content[0]"},
    {"/messages/0/content/0/type", "", "messages[0].content[0].type"},
    {"/messages/0/content/1/text", "s", "messages[0].content[1].text"},
    {"/messages/1/content/0/thinking", "s", "messages[1].content[0].thinking"},
    {"/messages/1/content/4/id", "s", "messages[1].content[4].id"},
    {"/messages/1/content/4/name", "s", "messages[1].content[4].name"},
    {"/messages/1/content/4/input", "o", "messages[1].content[4].input"},
    {"/messages/2/content/1/tool_use_id", "s", "messages[2].content[1].tool_use_id"},
    {"/messages/2/content/1/content", "saz", "messages[2].content[1].content"},
    {"/messages/2/content/1/content/0", "o", "messages[2].content[1].content[0]"},
    {"/messages/2/content/1/content/0/type", "", "messages[2].content[1].content[0].type"},
    {"/messages/2/content/1/content/0/text", "s", "messages[2].content[1].content[0].text"},
    {"/messages/2/content/2/is_error", "bz", "messages[2].content[2].is_error"},
    {"/tools", "az", "tools"},
    {"/tools/0", "o", "tools[0]"},
    {"/tools/0/type", "z", "tools[0].type"},
    {"/tools/0/name", "s", "tools[0].name"},
    {"/tools/0/description", "sz", "tools[0].description"},
    {"/tools/0/strict", "bz", "tools[0].strict"},
    {"/tools/0/input_schema", "o", "tools[0].input_schema"},
    {"/tool_choice", "oz", "tool_choice"},
    {"/tool_choice/type", "", "tool_choice.type"},
    {"/tool_choice/name", "s", "tool_choice.name"},
    {"/tool_choice/disable_parallel_tool_use", "bz", "tool_choice.disable_parallel_tool_use"},
    {"/thinking", "oz", "thinking"},
    {"/thinking/type", "", "thinking.type"},
    {"/thinking/budget_tokens", "nz", "thinking.budget_tokens"},
    {"/thinking/display", "z", "thinking.display"},
    {"/output_config", "oz", "output_config"},
    {"/output_config/effort", "z", "output_config.effort"},
    {"/output_config/format", "oz", "output_config.format"},
    {"/output_config/format/type", "", "output_config.format.type"},
    {"/output_config/format/schema", "o", "output_config.format.schema"},
    {"/temperature", "nz", "temperature"},
    {"/top_p", "nz", "top_p"},
    {"/top_k", "nz", "top_k"},
    {"/stop_sequences", "az", "stop_sequences"},
    {"/stop_sequences/1", "s", "stop_sequences[1]"},
    {"/stream", "bz", "stream"},
    {"/truncation", "z", "truncation"},
    {"/container", "z", "container"},
    {"/mcp_servers", "z", "mcp_servers"},
};

TEST(AnthropicRequest, EveryFieldRefusesEveryOtherTypeAndIsNamed) {
  const std::vector<std::pair<char, std::string>> junk = {
      {'z', "null"},      {'b', "true"},   {'b', "false"},
      {'n', "0"},         {'n', "-1"},     {'n', "-9223372036854775808"},
      {'n', "1e300"},     {'n', "0.5"},    {'n', "18446744073709551615"},
      {'s', "\"x\""},     {'s', "\"\""},   {'s', "\"" + std::string(1 << 20, 'x') + "\""},
      {'a', "[1]"},       {'a', "[null]"}, {'o', "{}"},
      {'o', "{\"a\":{}}"}};
  for (const FieldRow& row : kFields) {
    for (const auto& [type, value] : junk) {
      if (row.takes.find(type) != std::string::npos) continue;
      Json body = Json::parse(kEverything);
      body[Json::json_pointer(row.pointer)] = Json::parse(value);
      const auto result = ParseAnthropicRequest(AnthropicRoute::kMessages, body, Rules());
      ExpectRefused(result, row.field, row.pointer + " = " + value.substr(0, 20));
    }
  }
}

TEST(AnthropicRequest, NullIsAbsentWhereAFieldIsOptional) {
  for (const FieldRow& row : kFields) {
    if (row.takes.find('z') == std::string::npos) continue;
    Json body = Json::parse(kEverything);
    body[Json::json_pointer(row.pointer)] = nullptr;
    const auto result = ParseAnthropicRequest(AnthropicRoute::kMessages, body, Rules(true));
    EXPECT_TRUE(result) << row.pointer << ": " << result.error().message;
  }
}

TEST(AnthropicRequest, EveryRequiredFieldIsMissed) {
  for (const FieldRow& row : kFields) {
    const Json::json_pointer pointer(row.pointer);
    const bool required = row.takes.find('z') == std::string::npos;
    const bool is_element = std::isdigit(static_cast<unsigned char>(pointer.back()[0])) != 0;
    if (!required || is_element) continue;
    Json body = Json::parse(kEverything);
    body[pointer.parent_pointer()].erase(pointer.back());
    ExpectRefused(ParseAnthropicRequest(AnthropicRoute::kMessages, body, Rules()), row.field,
                  "without " + row.pointer);
  }
}

TEST(AnthropicRequest, NumbersAreCheckedAtTheirLimits) {
  struct Row {
    std::string field;
    std::vector<std::string> good, bad;
    std::string range;
  };
  const std::vector<Row> rows = {
      {"temperature", {"0", "1", "0.3"}, {"-0.1", "1.01", "2", "1e308"}, "0 to 1"},
      {"top_p", {"1", "0.001"}, {"0", "-1", "1.1"}, "above 0 and at most 1"},
      {"top_k", {"0", "1", "2147483647"}, {"-1", "2147483648", "1.5"}, "from 0 to 2147483647"},
      {"max_tokens",
       {"1", "16.0", "9223372036854775807"},
       {"0", "-5", "9223372036854775808", "1.5", "1e300"},
       "1 or more"},
  };
  for (const Row& row : rows) {
    const auto with = [&](const std::string& value) {
      Json body = Json::parse(
          R"({"model":"demo","max_tokens":9,"messages":[{"role":"user","content":"hi"}]})");
      body[row.field] = Json::parse(value);
      return ParseAnthropicRequest(AnthropicRoute::kMessages, body, Rules());
    };
    for (const auto& value : row.good) EXPECT_TRUE(with(value)) << row.field << value;
    for (const auto& value : row.bad) {
      ExpectRefused(with(value), row.field, row.field + "=" + value);
      EXPECT_THAT(with(value).error().message, HasSubstr(row.range));
    }
  }
}

TEST(AnthropicRequest, BadMessagesAreNamedByTheirPath) {
  const auto user = [](const std::string& block) {
    return R"([{"role":"user","content":[{"type":"text","text":"x"},)" + block + "]}]";
  };
  const auto assistant = [](const std::string& block) {
    return R"([{"role":"user","content":"x"},{"role":"assistant","content":[)" + block + "]}]";
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[]", "messages"},
      {R"([{"role":"tool","content":"x"}])", "messages[0].role"},
      {R"([{"role":"user","content":[]}])", "messages[0].content"},
      {R"([{"role":"system","content":[]}])", "messages[0].content"},
      {R"([{"role":"system","content":[{"type":"thinking","thinking":""}]}])",
       "messages[0].content[0].type"},
      {user(R"({"type":"image","source":{"type":"url","url":"file:///etc/passwd"}})"),
       "messages[0].content[1].type"},
      {user(R"({"type":"document","source":{}})"), "messages[0].content[1].type"},
      {user(R"({"type":"tool_use","id":"a","name":"b","input":{}})"),
       "messages[0].content[1].type"},
      {user(R"({"type":"thinking","thinking":"x"})"), "messages[0].content[1].type"},
      {user(R"({"type":"tool_result","tool_use_id":"a","content":[{"type":"image"}]})"),
       "messages[0].content[1].content[0].type"},
      {assistant(R"({"type":"tool_result","tool_use_id":"a"})"), "messages[1].content[0].type"},
      {assistant(R"({"type":"server_tool_use","id":"a","name":"web_search","input":{}})"),
       "messages[1].content[0].type"},
      {assistant(R"({"type":"tool_use","id":"a","name":"b","input":[]})"),
       "messages[1].content[0].input"},
  };
  for (const auto& [messages, field] : cases) {
    ExpectRefused(Messages(messages), field, messages);
  }
  EXPECT_THAT(Messages(user(R"({"type":"image"})")).error().message,
              HasSubstr("is \"image\"; it must be \"text\" or \"tool_result\""));
}

TEST(AnthropicRequest, TheLastMessageOfTheAssistantBeginsTheAnswer) {
  const auto r = Messages(R"([{"role":"user","content":"x"},{"role":"assistant","content":"y"}])");
  ASSERT_TRUE(r);
  EXPECT_TRUE(ChatOf(r).messages[1].prefix);
  const auto calls = Messages(R"([{"role":"user","content":"x"},{"role":"assistant","content":)"
                              R"([{"type":"tool_use","id":"a","name":"b","input":{}}]}])");
  ASSERT_TRUE(calls);
  EXPECT_FALSE(ChatOf(calls).messages[1].prefix) << "its call needs a result first";
  const auto user =
      Messages(R"([{"role":"assistant","content":"y"},{"role":"user","content":"x"}])");
  ASSERT_TRUE(user);
  EXPECT_FALSE(ChatOf(user).messages[0].prefix);
}

TEST(AnthropicRequest, AMessageOfResultsAloneHasNoText) {
  const auto r =
      Messages(R"([{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"},)"
               R"({"type":"tool_result","tool_use_id":"b","content":[],"is_error":true}]}])");
  ASSERT_TRUE(r) << r.error().message;
  ASSERT_EQ(ChatOf(r).messages.size(), 2u);
  EXPECT_EQ(ChatOf(r).messages[0].content, "");
  EXPECT_EQ(ChatOf(r).messages[1].content, "Error: ");
}

TEST(AnthropicRequest, ASystemMessageMayStandInTheConversation) {
  const auto r = Messages(
      R"([{"role":"user","content":"x"},{"role":"system","content":[{"type":"text","text":"s"}]}])");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(ChatOf(r).messages[1].role, api::Role::kSystem);
  EXPECT_EQ(ChatOf(r).messages[1].content, "s");
}

TEST(AnthropicRequest, ToolsOfAnthropicsServersAreRefusedWithTheReason) {
  for (const char* type : {"web_search_20250305", "bash_20250124", "code_execution_20250825"}) {
    const auto r = With(R"("tools":[{"type":")" + std::string(type) + R"(","name":"x"}])");
    ExpectRefused(r, "tools[0].type", type);
    EXPECT_THAT(r.error().message, HasSubstr("web search, are not here"));
  }
}

TEST(AnthropicRequest, EveryToolChoiceIsRead) {
  using Mode = api::ToolChoice::Mode;
  for (const auto& [type, mode] : std::vector<std::pair<std::string, Mode>>{
           {"auto", Mode::kAuto}, {"any", Mode::kRequired}, {"none", Mode::kNone}}) {
    const auto r = With(R"("tool_choice":{"type":")" + type + R"("})");
    ASSERT_TRUE(r) << type;
    EXPECT_EQ(ChatOf(r).tool_choice.mode, mode);
    EXPECT_TRUE(ChatOf(r).parallel_tool_calls);
  }
}

TEST(AnthropicRequest, ThinkingIsOnOffOrAdaptiveAndItsBudgetIsBelowMaxTokens) {
  const auto adaptive = With(R"("thinking":{"type":"adaptive"})");
  ASSERT_TRUE(adaptive);
  EXPECT_EQ(ChatOf(adaptive).thinking, true);
  EXPECT_EQ(ChatOf(adaptive).max_thinking_tokens, std::nullopt);
  const auto off = With(R"("thinking":{"type":"disabled"},"output_config":{"effort":"max"})");
  ASSERT_TRUE(off);
  EXPECT_EQ(ChatOf(off).thinking, false);
  EXPECT_EQ(ChatOf(off).effort, std::nullopt) << "there is no thinking to bound";
  EXPECT_TRUE(With(R"("thinking":{"type":"enabled","budget_tokens":99})"));
  EXPECT_TRUE(With(R"("thinking":{"type":"enabled"})"));
  for (const char* budget : {"100", "1000", "0", "-1", "1e300", "1.5"}) {
    ExpectRefused(
        With(R"("thinking":{"type":"enabled","budget_tokens":)" + std::string(budget) + "}"),
        "thinking.budget_tokens", budget);
  }
}

TEST(AnthropicRequest, EffortIsReadInDeepSeeksSteps) {
  using enum api::Effort;
  const std::vector<std::pair<std::string, api::Effort>> steps = {
      {"minimal", kLow}, {"low", kLow}, {"medium", kHigh}, {"high", kHigh},
      {"xhigh", kHigh},  {"max", kMax}, {"ultra", kMax}};
  for (const auto& [word, step] : steps) {
    const auto r =
        With(R"("thinking":{"type":"adaptive"},"output_config":{"effort":")" + word + R"("})");
    ASSERT_TRUE(r) << word;
    EXPECT_EQ(ChatOf(r).effort, step) << word;
  }
}

TEST(AnthropicRequest, TheAnswersFormatHasTwoNamesOfWhichOneIsUsed) {
  const std::string format = R"({"type":"json_schema","schema":{"type":"object"}})";
  const auto r = With("\"output_format\":" + format);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->request.format.text, R"({"type":"object"})");
  EXPECT_EQ(r->names.format, "output_format");
  ExpectRefused(With("\"output_config\":{\"format\":" + format + "},\"output_format\":" + format),
                "output_format", "both");
  ExpectRefused(With(R"("output_format":{"type":"json_schema","schema":{"x":")" +
                     std::string(1 << 20, 'x') + "\"}}"),
                "output_format.schema", "a schema of 1 MB");
}

TEST(AnthropicRequest, TruncationIsOffOrTakesFromTheMiddleOrTheFront) {
  using Mode = api::Truncation::Mode;
  const std::vector<std::pair<std::string, Mode>> good = {
      {R"("disabled")", Mode::kNone},
      {R"("auto")", Mode::kMiddle},
      {R"({"type":"auto"})", Mode::kMiddle},
      {R"({"type":"auto","strategy":"middle"})", Mode::kMiddle},
      {R"({"type":"auto","strategy":"front"})", Mode::kFront},
      {R"({"type":"disabled"})", Mode::kNone}};
  for (const auto& [value, mode] : good) {
    const auto r = With("\"truncation\":" + value);
    ASSERT_TRUE(r) << value;
    EXPECT_EQ(ChatOf(r).truncation.mode, mode) << value;
  }
  for (const char* bad : {R"("front")", R"({"type":"auto","strategy":"back"})",
                          R"({"type":"auto","strategy":1})", R"({"strategy":"front"})"}) {
    ExpectRefused(With("\"truncation\":" + std::string(bad)), "truncation", bad);
  }
}

TEST(AnthropicRequest, StopSequencesHaveLimits) {
  EXPECT_TRUE(With("\"stop_sequences\":[]"));
  EXPECT_TRUE(With("\"stop_sequences\":[" + Repeat("\"a\",", 15) + "\"a\"]"));
  ExpectRefused(With("\"stop_sequences\":[" + Repeat("\"a\",", 16) + "\"a\"]"), "stop_sequences",
                "17");
  ExpectRefused(With("\"stop_sequences\":[\"a\",\"\"]"), "stop_sequences[1]", "empty");
  ExpectRefused(With("\"stop_sequences\":[\"" + std::string(1025, 'a') + "\"]"),
                "stop_sequences[0]", "long");
  ExpectRefused(With("\"stop_sequences\":\"a\""), "stop_sequences", "a string");
}

TEST(AnthropicRequest, UnknownFieldsAreIgnoredOrRefusedWhereverTheyStand) {
  const std::vector<std::pair<std::string, std::string>> places = {
      {"", "x"},
      {"/messages/0", "messages[0].x"},
      {"/messages/0/content/0", "messages[0].content[0].x"},
      {"/messages/1/content/0", "messages[1].content[0].x"},
      {"/messages/1/content/4", "messages[1].content[4].x"},
      {"/messages/2/content/1", "messages[2].content[1].x"},
      {"/messages/2/content/1/content/0", "messages[2].content[1].content[0].x"},
      {"/system/0", "system[0].x"},
      {"/tools/0", "tools[0].x"},
      {"/tool_choice", "tool_choice.x"},
      {"/thinking", "thinking.x"},
      {"/output_config", "output_config.x"},
      {"/output_config/format", "output_config.format.x"},
  };
  for (const auto& [pointer, field] : places) {
    Json body = Json::parse(kEverything);
    body[Json::json_pointer(pointer)]["x"] = {{"y", 1}};
    EXPECT_TRUE(ParseAnthropicRequest(AnthropicRoute::kMessages, body, Rules())) << pointer;
    ExpectRefused(ParseAnthropicRequest(AnthropicRoute::kMessages, body, Rules(true)), field,
                  pointer);
  }
}

TEST(AnthropicRequest, CacheControlIsAcceptedOnEverythingAndChangesNothing) {
  const auto plain = Parse(kEverything);
  Json body = Json::parse(kEverything);
  const Json cache = {{"type", "ephemeral"}, {"ttl", "1h"}};
  body["tools"][0]["cache_control"] = cache;
  for (Json& message : body["messages"]) {
    for (Json& block : message["content"]) block["cache_control"] = cache;
  }
  const auto r = ParseAnthropicRequest(AnthropicRoute::kMessages, body, Rules(true));
  ASSERT_TRUE(r) << r.error().message;
  ASSERT_EQ(ChatOf(r).messages.size(), ChatOf(plain).messages.size());
  for (size_t i = 0; i < ChatOf(r).messages.size(); ++i) {
    EXPECT_EQ(ChatOf(r).messages[i].content, ChatOf(plain).messages[i].content);
  }
}

TEST(AnthropicRequest, AModelIsKnownByNameOrAlias) {
  const auto alias =
      Parse(R"({"model":"claude-x","max_tokens":1,"messages":[{"role":"user","content":"x"}]})");
  ASSERT_TRUE(alias);
  EXPECT_EQ(alias->request.model, "demo");
  const auto unknown = Parse(R"({"messages":[],"model":"claude-opus"})");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(unknown.error().field, "model");
}

TEST(AnthropicRequest, CountingNeedsNoMaxTokens) {
  const char* body = R"({"model":"demo","messages":[{"role":"user","content":"x"}]})";
  ExpectRefused(Parse(body), "max_tokens", "a message");
  EXPECT_TRUE(Parse(body, Rules(), AnthropicRoute::kCountTokens));
}

TEST(AnthropicRequest, AtMost4096MessagesAndResultsAreTaken) {
  const auto many = [](int n) {
    return "[" + Repeat(R"({"role":"user","content":"x"},)", n - 1) +
           R"({"role":"user","content":"x"}])";
  };
  const auto most = Messages(many(4096));
  ASSERT_TRUE(most);
  EXPECT_EQ(ChatOf(most).messages.size(), 4096u);
  ExpectRefused(Messages(many(4097)), "messages", "4097 messages");
  const auto results = [](int n) {
    return R"([{"role":"user","content":[)" +
           Repeat(R"({"type":"tool_result","tool_use_id":"a"},)", n - 1) +
           R"({"type":"tool_result","tool_use_id":"a"}]}])";
  };
  EXPECT_TRUE(Messages(results(4096)));
  ExpectRefused(Messages(results(4097)), "messages", "4097 results");
}

TEST(AnthropicRequest, DeepSchemasAndInputsEndAtTheBodysDepth) {
  const auto nested = [](int depth) {
    return Repeat(R"({"a":)", depth) + "1" + Repeat("}", depth);
  };
  const auto tool = [&](int depth) {
    return With(R"("tools":[{"name":"x","input_schema":)" + nested(depth) + "}]");
  };
  EXPECT_TRUE(tool(60));
  EXPECT_EQ(tool(100).error().code, ErrorCode::kMalformed);
  EXPECT_EQ(tool(100'000).error().field, "tools");
}

TEST(AnthropicRequest, ErrorsOfTheServiceAreSaidInTheClientsWords) {
  const auto r = Parse(kEverything);
  ASSERT_TRUE(r);
  const std::vector<std::pair<std::string, std::string>> fields = {
      {"model", "model"},
      {"messages", "messages"},
      {"messages[0].content", "system"},
      {"messages[1].content", "messages[0].content"},
      {"messages[1].role", "messages[0].role"},
      {"messages[2].tool_calls", "messages[1].content"},
      {"messages[2].tool_calls[0].id", "messages[1].content[4].id"},
      {"messages[2].tool_calls[1].function.name", "messages[1].content[5].name"},
      {"messages[2].tool_calls[1].function.arguments", "messages[1].content[5].input"},
      {"messages[2].tool_calls[9].id", "messages[1].content[9].id"},
      {"messages[2].reasoning_content", "messages[1].content"},
      {"messages[2].prefix", "messages[1].role"},
      {"messages[3].tool_call_id", "messages[2].content[1].tool_use_id"},
      {"messages[4].tool_call_id", "messages[2].content[2].tool_use_id"},
      {"messages[4].content", "messages[2].content[2].content"},
      {"messages[4].role", "messages[2].content[2].type"},
      {"messages[5].content", "messages[2].content"},
      {"messages[6].content", "messages[6].content"},
      {"tools", "tools"},
      {"tools[0].function", "tools[0]"},
      {"tools[0].function.name", "tools[0].name"},
      {"tools[0].function.parameters.type", "tools[0].input_schema.type"},
      {"tool_choice", "tool_choice"},
      {"tool_choice.function.name", "tool_choice.name"},
      {"parallel_tool_calls", "tool_choice.disable_parallel_tool_use"},
      {"max_tokens", "max_tokens"},
      {"max_completion_tokens", "max_tokens"},
      {"stop", "stop_sequences"},
      {"stop[1]", "stop_sequences[1]"},
      {"stop_token_ids", "stop_token_ids"},
      {"thinking", "thinking"},
      {"reasoning_effort", "output_config.effort"},
      {"response_format", "output_config.format"},
      {"response_format.json_schema", "output_config.format"},
      {"response_format.json_schema.schema.type", "output_config.format.schema.type"},
      {"", ""},
  };
  for (const auto& [from, to] : fields) {
    const Error error = InFieldsOf(r->names, {ErrorCode::kInvalidArgument, from + " is bad", from});
    EXPECT_EQ(error.field, to);
    EXPECT_EQ(error.message, to + " is bad");
  }
}

TEST(AnthropicRequest, AModelThatAlwaysThinksSaysWhatToSend) {
  const Error refusal{ErrorCode::kInvalidArgument,
                      "thinking is disabled, but this model always reasons", "thinking"};
  EXPECT_THAT(InFieldsOf(With("")->names, refusal).message,
              HasSubstr("thinking is off when it is left out"));
  EXPECT_EQ(InFieldsOf(With(R"("thinking":{"type":"disabled"})")->names, refusal).message,
            refusal.message);
}

}  // namespace
}  // namespace hadal::server
