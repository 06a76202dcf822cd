#include "server/http/responses_request.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace hadal::server {
namespace {

using ::testing::HasSubstr;

RequestRules Rules(bool refuse_unknown = false) {
  RequestRules rules;
  rules.models = {{"demo", "demo"}, {"gpt-5", "demo"}};
  rules.refuse_unknown_fields = refuse_unknown;
  rules.defaults.temperature = 0.6;
  rules.defaults.top_p = 0.95;
  return rules;
}

Result<ResponsesRequest> ParseBody(std::string_view body, const RequestRules& rules = Rules()) {
  HADAL_TRY(Json json, ParseJsonObject(body));
  return ParseResponsesRequest(std::move(json), rules);
}
Result<ResponsesRequest> Parse(const std::string& fields, const RequestRules& rules = Rules()) {
  return ParseBody(R"({"model":"demo","input":"hi")" + (fields.empty() ? "" : "," + fields) + "}",
                   rules);
}
Result<ResponsesRequest> Input(const std::string& input, const RequestRules& rules = Rules()) {
  return ParseBody(R"({"model":"demo","input":)" + input + "}", rules);
}
const api::ChatPrompt& ChatOf(const Result<ResponsesRequest>& r) {
  return std::get<api::ChatPrompt>(r->request.prompt);
}

void ExpectRefused(const Result<ResponsesRequest>& result, std::string_view field,
                   std::string_view what) {
  ASSERT_FALSE(result) << "accepted: " << what;
  EXPECT_EQ(result.error().field, field) << what;
  EXPECT_EQ(InfoOf(result.error().code).http, 400) << what;
  EXPECT_LT(result.error().message.size(), 400u) << what;
  EXPECT_THAT(result.error().message, HasSubstr(std::string(field))) << what;
}

TEST(ResponsesRequest, ReadsEveryField) {
  const auto r = ParseBody(
      R"({"model":"gpt-5","input":"hi","instructions":"be kind","max_output_tokens":9,)"
      R"("temperature":0.5,"top_p":0.9,"parallel_tool_calls":false,"tool_choice":"required",)"
      R"("tools":[{"type":"function","name":"f","description":"d","strict":true,)"
      R"("parameters":{"type":"object","properties":{"z":{},"a":{}}}}],"top_logprobs":3,)"
      R"("text":{"format":{"type":"json_schema","name":"n","schema":{"z":1,"a":2}},)"
      R"("verbosity":"low"},"reasoning":{"effort":"low","summary":"auto"},"stream":true,)"
      R"("truncation":"auto","store":true,"metadata":{"k":"v"},"user":"u","include":[]})");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(r->stream);
  EXPECT_EQ(r->request.model, "demo");
  EXPECT_EQ(r->request.max_tokens, 9);
  EXPECT_EQ(r->request.sampling.temperature, 0.5);
  EXPECT_EQ(r->request.sampling.top_p, 0.9);
  EXPECT_TRUE(r->request.sampling.logprobs);
  EXPECT_EQ(r->request.sampling.top_logprobs, 3);
  EXPECT_EQ(r->request.format.kind, api::AnswerFormat::Kind::kJsonSchema);
  EXPECT_EQ(r->request.format.text, R"({"z":1,"a":2})");
  const api::ChatPrompt& chat = ChatOf(r);
  ASSERT_EQ(chat.messages.size(), 2u);
  EXPECT_EQ(chat.messages[0].role, api::Role::kSystem);
  EXPECT_EQ(chat.messages[0].content, "be kind");
  EXPECT_EQ(chat.messages[1].role, api::Role::kUser);
  EXPECT_EQ(chat.messages[1].content, "hi");
  EXPECT_EQ(chat.thinking, true);
  EXPECT_EQ(chat.effort, api::Effort::kLow);
  EXPECT_EQ(chat.tool_choice.mode, api::ToolChoice::Mode::kRequired);
  EXPECT_FALSE(chat.parallel_tool_calls);
  EXPECT_EQ(chat.truncation.mode, api::Truncation::Mode::kMiddle);
  ASSERT_EQ(chat.tools.size(), 1u);
  EXPECT_EQ(chat.tools[0].name, "f");
  EXPECT_TRUE(chat.tools[0].strict);
  EXPECT_EQ(chat.tools[0].parameters, R"({"type":"object","properties":{"z":{},"a":{}}})");
}

TEST(ResponsesRequest, TheEchoSaysWhatWasUsed) {
  EXPECT_EQ(Parse("")->echo.dump(),
            R"({"background":false,"instructions":null,"max_output_tokens":null,"metadata":{},)"
            R"("parallel_tool_calls":true,"previous_response_id":null,)"
            R"("reasoning":{"effort":null,"summary":null},"store":false,"temperature":0.6,)"
            R"("text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],)"
            R"("top_logprobs":0,"top_p":0.95,"truncation":"disabled"})");
  const auto r = Parse(
      R"("instructions":"s","max_output_tokens":5,"metadata":{"k":"v"},"store":true,)"
      R"("reasoning":{"effort":"high"},"text":{"format":{"type":"json_object"}},)"
      R"("tool_choice":{"type":"function","name":"f"},"tools":[{"type":"function","name":"f"}],)"
      R"("top_logprobs":2,"truncation":"auto","parallel_tool_calls":false,"temperature":0)");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->echo.dump(),
            R"({"background":false,"instructions":"s","max_output_tokens":5,"metadata":{"k":"v"},)"
            R"("parallel_tool_calls":false,"previous_response_id":null,)"
            R"("reasoning":{"effort":"high","summary":null},"store":false,"temperature":0.0,)"
            R"("text":{"format":{"type":"json_object"}},)"
            R"("tool_choice":{"type":"function","name":"f"},)"
            R"("tools":[{"type":"function","name":"f"}],)"
            R"("top_logprobs":2,"top_p":0.95,"truncation":"auto"})");
  EXPECT_EQ(ChatOf(r).tool_choice.name, "f");
}

TEST(ResponsesRequest, NullIsAbsent) {
  for (const char* field : {"instructions",
                            "max_output_tokens",
                            "temperature",
                            "top_p",
                            "tools",
                            "tool_choice",
                            "parallel_tool_calls",
                            "text",
                            "reasoning",
                            "stream",
                            "stream_options",
                            "store",
                            "truncation",
                            "top_logprobs",
                            "metadata",
                            "include",
                            "background",
                            "conversation",
                            "prompt",
                            "previous_response_id",
                            "context_management",
                            "moderation",
                            "user",
                            "service_tier"}) {
    EXPECT_TRUE(Parse(std::string("\"") + field + "\":null", Rules(true))) << field;
  }
  ExpectRefused(Input("null"), "input", "null");
  ExpectRefused(ParseBody(R"({"model":"demo"})"), "input", "none");
  ExpectRefused(ParseBody(R"({"input":"a"})"), "model", "none");
}

struct FieldRow {
  std::string name;
  std::vector<std::string> good, bad;
};

TEST(ResponsesRequest, EveryFieldIsCheckedAtItsLimits) {
  const std::string huge(3000, 'x');
  const std::vector<FieldRow> rows = {
      {"temperature", {"0", "2"}, {"-1", "2.1", "1e308", "\"1\"", "[]", "{}", "true"}},
      {"top_p", {"0.001", "1"}, {"0", "-1", "1.1", "\"1\"", "[]"}},
      {"max_output_tokens",
       {"1", "16.0", "9223372036854775807"},
       {"0", "-5", "1.5", "9223372036854775808", "\"5\"", "[]", "{}"}},
      {"top_logprobs", {"0", "20"}, {"-1", "21", "1000000000", "\"3\"", "true"}},
      {"parallel_tool_calls", {"true", "false"}, {"1", "\"true\"", "[]", "{}"}},
      {"stream", {"true", "false"}, {"1", "\"yes\"", "-1", "{}"}},
      {"store", {"true", "false"}, {"1", "\"no\"", "[]"}},
      {"instructions", {"\"\"", "\"a\""}, {"1", "[]", "{}", "true"}},
      {"truncation", {"\"auto\"", "\"disabled\""}, {"\"middle\"", "true", "1", "[]"}},
      {"metadata", {"{}", R"({"a":""})"}, {"[]", "\"a\"", "1"}},
      {"include", {"[]", R"(["reasoning.encrypted_content","x"])"}, {"{}", "\"a\"", "1"}},
      {"background", {"false"}, {"true", "1", "\"no\""}},
      {"conversation", {}, {"\"conv_1\"", R"({"id":"conv_1"})", "1"}},
      {"previous_response_id", {}, {"\"resp_1\"", "1", "{}"}},
      {"prompt", {}, {R"({"id":"pmpt_1"})", "\"x\""}},
      {"context_management", {"[]"}, {R"([{"type":"compaction"}])", "{}", "1"}},
      {"moderation", {}, {R"({"model":"m"})", "true"}},
      {"reasoning", {"{}", R"({"effort":null,"summary":"detailed"})"}, {"\"low\"", "1", "[]"}},
      {"text", {"{}", R"({"format":null})", R"({"verbosity":"high"})"}, {"\"json\"", "1", "[]"}},
      {"tools", {"[]"}, {"{}", "\"f\"", "1", "-1"}},
      {"tool_choice", {"\"none\"", "\"auto\""}, {"\"any\"", "1", "true", "[]"}},
      {"service_tier", {"\"auto\"", "1", "{}"}, {}},
      {"prompt_cache_key", {"\"k\"", "1"}, {}},
      {"max_tool_calls", {"3", "-1", "\"x\""}, {}},
  };
  for (const FieldRow& row : rows) {
    for (const auto& value : row.good) {
      const auto r = Parse("\"" + row.name + "\":" + value, Rules(true));
      EXPECT_TRUE(r) << row.name << "=" << value << ": " << r.error().message;
    }
    for (const auto& value : row.bad) {
      ExpectRefused(Parse("\"" + row.name + "\":" + value), row.name, row.name + "=" + value);
    }
    EXPECT_FALSE(Parse("\"" + row.name + "\":1e999999")) << row.name;
  }
  std::string many;
  for (int i = 0; i < 17; ++i) many += (i ? ",\"" : "\"") + std::to_string(i) + "\":\"\"";
  ExpectRefused(Parse("\"metadata\":{" + many + "}"), "metadata", "17 members");
  ExpectRefused(Parse(R"("metadata":{"a":1})"), "metadata.a", "number");
  ExpectRefused(Parse(R"("metadata":{"a":")" + huge + "\"}"), "metadata.a", "3000 bytes");
  ExpectRefused(Parse(R"("include":[1])"), "include[0]", "number");
  ExpectRefused(Parse(R"("stream_options":{})"), "stream_options", "without stream");
  ExpectRefused(Parse(R"("stream":true,"stream_options":[])"), "stream_options", "array");
  ExpectRefused(Parse(R"("stream":true,"stream_options":{"include_obfuscation":1})"),
                "stream_options.include_obfuscation", "number");
  EXPECT_TRUE(Parse(R"("stream":true,"stream_options":{"include_obfuscation":false})"));
  EXPECT_THAT(Parse(R"("previous_response_id":"r")").error().message,
              HasSubstr("send the whole input"));
}

TEST(ResponsesRequest, UnknownFieldsAreIgnoredOrRefusedByTheSetting) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {R"("frobnicate":1)", "frobnicate"},
      {R"("text":{"x":1})", "text.x"},
      {R"("reasoning":{"x":1})", "reasoning.x"},
      {R"("stream":true,"stream_options":{"x":1})", "stream_options.x"},
      {R"("tools":[{"type":"function","name":"f","x":1}])", "tools[0].x"},
  };
  for (const auto& [fields, field] : rows) {
    EXPECT_TRUE(Parse(fields)) << fields;
    ExpectRefused(Parse(fields, Rules(true)), field, fields);
  }
  const std::string item = R"([{"role":"user","content":"a","x":1}])";
  EXPECT_TRUE(Input(item));
  ExpectRefused(Input(item, Rules(true)), "input[0].x", "x");
}

TEST(ResponsesRequest, LogprobsComeWhenIncludedOrCounted) {
  EXPECT_FALSE(Parse(R"("top_logprobs":0)")->request.sampling.logprobs);
  const auto r = Parse(R"("include":["message.output_text.logprobs"])");
  EXPECT_TRUE(r->request.sampling.logprobs);
  EXPECT_EQ(r->request.sampling.top_logprobs, 0);
}

TEST(ResponsesRequest, EffortIsInTheModelsWords) {
  const auto effort = [](const std::string& value) {
    return Parse(R"("reasoning":{"effort":)" + value + "}");
  };
  using api::Effort;
  const std::vector<std::pair<std::string, Effort>> rows = {
      {"minimal", Effort::kLow}, {"low", Effort::kLow},    {"medium", Effort::kHigh},
      {"high", Effort::kHigh},   {"xhigh", Effort::kHigh}, {"max", Effort::kMax},
      {"ultra", Effort::kMax}};
  for (const auto& [name, expected] : rows) {
    const auto r = effort("\"" + name + "\"");
    ASSERT_TRUE(r) << name;
    EXPECT_EQ(ChatOf(r).thinking, true);
    EXPECT_EQ(ChatOf(r).effort, expected) << name;
  }
  EXPECT_EQ(ChatOf(effort("\"none\"")).thinking, false);
  EXPECT_FALSE(ChatOf(effort("\"none\"")).effort);
  EXPECT_FALSE(ChatOf(Parse("")).thinking);
  for (const char* bad : {"\"lots\"", "1", "true", "[]", "{}"}) {
    ExpectRefused(effort(bad), "reasoning.effort", bad);
  }
}

TEST(ResponsesRequest, TextFormatsAreRead) {
  using Kind = api::AnswerFormat::Kind;
  const auto format = [](const std::string& value) {
    return Parse(R"("text":{"format":)" + value + "}");
  };
  EXPECT_EQ(format(R"({"type":"text"})")->request.format.kind, Kind::kText);
  EXPECT_EQ(format(R"({"type":"json_object"})")->request.format.kind, Kind::kJsonObject);
  ExpectRefused(format("1"), "text.format", "number");
  ExpectRefused(format("{}"), "text.format.type", "none");
  ExpectRefused(format(R"({"type":"yaml"})"), "text.format.type", "yaml");
  ExpectRefused(format(R"({"type":"json_schema"})"), "text.format.schema", "none");
  ExpectRefused(format(R"({"type":"json_schema","schema":"x"})"), "text.format.schema", "string");
  ExpectRefused(format(R"({"type":"json_schema","schema":null})"), "text.format.schema", "null");
}

TEST(ResponsesTools, EveryBadToolAndChoiceIsNamed) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {R"("tools":[1])", "tools[0]"},
      {R"("tools":[null])", "tools[0]"},
      {R"("tools":[{}])", "tools[0].type"},
      {R"("tools":[{"type":"function"}])", "tools[0].name"},
      {R"("tools":[{"type":"function","name":1}])", "tools[0].name"},
      {R"("tools":[{"type":"function","name":"f","parameters":[]}])", "tools[0].parameters"},
      {R"("tools":[{"type":"function","name":"f","strict":"x"}])", "tools[0].strict"},
      {R"("tools":[{"type":"function","name":"f","description":1}])", "tools[0].description"},
      {R"("tool_choice":{})", "tool_choice.type"},
      {R"("tool_choice":{"type":"web_search"})", "tool_choice.type"},
      {R"("tool_choice":{"type":"allowed_tools","mode":"auto"})", "tool_choice.type"},
      {R"("tool_choice":{"type":"function"})", "tool_choice.name"},
      {R"("tool_choice":{"type":"function","name":-1})", "tool_choice.name"},
  };
  for (const auto& [fields, field] : rows) ExpectRefused(Parse(fields), field, fields);
  const auto built_in = Parse(R"("tools":[{"type":"function","name":"f"},{"type":"web_search"}])");
  ExpectRefused(built_in, "tools[1].type", "web_search");
  EXPECT_THAT(built_in.error().message, HasSubstr("\"web_search\""));
  EXPECT_TRUE(Parse(R"("tools":[{"type":"function","name":"f","parameters":null,"strict":null}])"));
  std::string many = "[";
  for (int i = 0; i < 129; ++i) many += R"({"type":"function","name":"f"},)";
  many.back() = ']';
  ExpectRefused(Parse("\"tools\":" + many), "tools", "129 tools");
}

TEST(ResponsesInput, ItemsOfOneAnswerBecomeOneMessageAgain) {
  const auto r = Input(
      R"([{"role":"user","content":"a"},)"
      R"({"type":"message","role":"developer","content":[{"type":"input_text","text":"d1"},)"
      R"({"type":"input_text","text":"d2"}]},)"
      R"({"type":"reasoning","id":"rs_1","summary":[],"content":[)"
      R"({"type":"reasoning_text","text":"think"}],"encrypted_content":null},)"
      R"({"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[)"
      R"({"type":"output_text","text":"I call","annotations":[]}]},)"
      R"({"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"a\":1}"},)"
      R"({"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},)"
      R"({"type":"function_call_output","call_id":"c1","output":"1"},)"
      R"({"type":"function_call_output","call_id":"c2","output":[)"
      R"({"type":"input_text","text":"2"}]},)"
      R"({"type":"reasoning","summary":[{"type":"summary_text","text":"sum"}]},)"
      R"({"type":"function_call","call_id":"c3","name":"f","arguments":"{}"}])");
  ASSERT_TRUE(r) << r.error().message;
  const auto& m = ChatOf(r).messages;
  ASSERT_EQ(m.size(), 6u);
  EXPECT_EQ(m[1].role, api::Role::kDeveloper);
  EXPECT_EQ(m[1].content, "d1d2");
  EXPECT_EQ(m[2].role, api::Role::kAssistant);
  EXPECT_EQ(m[2].content, "I call");
  EXPECT_EQ(m[2].reasoning_content, "think");
  ASSERT_EQ(m[2].tool_calls.size(), 2u);
  EXPECT_EQ(m[2].tool_calls[0].id, "c1");
  EXPECT_EQ(m[2].tool_calls[0].arguments, R"({"a":1})");
  EXPECT_EQ(m[3].role, api::Role::kTool);
  EXPECT_EQ(m[3].tool_call_id, "c1");
  EXPECT_EQ(m[4].content, "2");
  EXPECT_EQ(m[5].reasoning_content, "sum");
  EXPECT_EQ(m[5].tool_calls[0].id, "c3");
}

TEST(ResponsesInput, NextAnswersStayApartAndReasoningAloneIsDropped) {
  const auto r =
      Input(R"([{"type":"reasoning","summary":[{"type":"summary_text","text":"lost"}]},)"
            R"({"role":"user","content":"a"},{"role":"assistant","content":"x"},)"
            R"({"role":"assistant","content":""},{"role":"user","content":"b"},)"
            R"({"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"1"}]},)"
            R"({"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"2"}]},)"
            R"({"role":"assistant","content":"y"},{"type":"reasoning","summary":[]}])");
  ASSERT_TRUE(r) << r.error().message;
  const auto& m = ChatOf(r).messages;
  ASSERT_EQ(m.size(), 5u);
  EXPECT_FALSE(m[0].reasoning_content);
  EXPECT_EQ(m[1].content, "x");
  EXPECT_EQ(m[2].role, api::Role::kAssistant);
  EXPECT_EQ(m[2].content, "");
  EXPECT_EQ(m[4].content, "y");
  EXPECT_EQ(m[4].reasoning_content, "12");
  ExpectRefused(Input(R"([{"type":"reasoning","summary":[]}])"), "input", "reasoning alone");
}

TEST(ResponsesInput, EveryBadItemIsNamed) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"[]", "input"},
      {"{}", "input"},
      {"1", "input"},
      {"true", "input"},
      {"[1]", "input[0]"},
      {"[null]", "input[0]"},
      {"[[]]", "input[0]"},
      {"[{}]", "input[0].type"},
      {R"([{"type":1}])", "input[0].type"},
      {R"([{"type":"item_reference","id":"x"}])", "input[0].type"},
      {R"([{"type":"web_search_call"}])", "input[0].type"},
      {R"([{"type":"message","content":"a"}])", "input[0].role"},
      {R"([{"role":"tool","content":"a"}])", "input[0].role"},
      {R"([{"role":1,"content":"a"}])", "input[0].role"},
      {R"([{"role":"user"}])", "input[0].content"},
      {R"([{"role":"user","content":null}])", "input[0].content"},
      {R"([{"role":"user","content":1}])", "input[0].content"},
      {R"([{"role":"user","content":{}}])", "input[0].content"},
      {R"([{"role":"user","content":["a"]}])", "input[0].content[0]"},
      {R"([{"role":"user","content":[{}]}])", "input[0].content[0].type"},
      {R"([{"role":"user","content":[{"type":"input_image","image_url":"file:///etc/passwd"}]}])",
       "input[0].content[0].type"},
      {R"([{"role":"user","content":[{"type":"input_text"}]}])", "input[0].content[0].text"},
      {R"([{"role":"user","content":[{"type":"input_text","text":-1}]}])",
       "input[0].content[0].text"},
      {R"([{"role":"assistant","content":[{"type":"refusal"}]}])", "input[0].content[0].refusal"},
      {R"([{"type":"function_call"}])", "input[0].call_id"},
      {R"([{"type":"function_call","call_id":1}])", "input[0].call_id"},
      {R"([{"type":"function_call","call_id":"c"}])", "input[0].name"},
      {R"([{"type":"function_call","call_id":"c","name":"f"}])", "input[0].arguments"},
      {R"([{"type":"function_call","call_id":"c","name":"f","arguments":{}}])",
       "input[0].arguments"},
      {R"([{"type":"function_call_output"}])", "input[0].call_id"},
      {R"([{"type":"function_call_output","call_id":"c"}])", "input[0].output"},
      {R"([{"type":"function_call_output","call_id":"c","output":1}])", "input[0].output"},
      {R"([{"type":"function_call_output","call_id":"c","output":[{"type":"input_file"}]}])",
       "input[0].output[0].type"},
      {R"([{"type":"reasoning","content":"a"}])", "input[0].content"},
      {R"([{"type":"reasoning","content":[{"type":"text","text":"a"}]}])",
       "input[0].content[0].type"},
      {R"([{"type":"reasoning","summary":[{"type":"summary_text","text":1}]}])",
       "input[0].summary[0].text"},
  };
  for (const auto& [input, field] : rows) ExpectRefused(Input(input), field, input);
  std::string many = "[";
  for (int i = 0; i < 4097; ++i) many += R"({"role":"user","content":"a"},)";
  many.back() = ']';
  ExpectRefused(Input(many), "input", "4097 items");
}

TEST(ResponsesWords, ErrorsOfTheServiceAreSaidInTheItemsTheyAreAbout) {
  const auto parsed =
      ParseBody(R"({"model":"demo","instructions":"s","input":[{"role":"user","content":"a"},)"
                R"({"type":"reasoning","summary":[{"type":"summary_text","text":"t"}]},)"
                R"({"role":"assistant","content":"b"},)"
                R"({"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},)"
                R"({"type":"function_call","call_id":"c2","name":"f","arguments":"{}"},)"
                R"({"type":"function_call_output","call_id":"c1","output":"1"},)"
                R"({"type":"function_call","call_id":"c3","name":"f","arguments":"{}"}]})");
  ASSERT_TRUE(parsed) << parsed.error().message;
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"messages", "input"},
      {"messages[0].content", "instructions"},
      {"messages[1].content", "input[0].content"},
      {"messages[2].content", "input[2].content"},
      {"messages[2].reasoning_content", "input[1]"},
      {"messages[2].tool_calls", "input[2]"},
      {"messages[2].tool_calls[0].id", "input[3].call_id"},
      {"messages[2].tool_calls[1].function.arguments", "input[4].arguments"},
      {"messages[2].tool_calls[1].function.name", "input[4].name"},
      {"messages[2].tool_calls[7].id", "input[2]"},
      {"messages[3].tool_call_id", "input[5].call_id"},
      {"messages[3].content", "input[5].output"},
      {"messages[4].tool_calls[0].id", "input[6].call_id"},
      {"messages[4].tool_calls", "input[6]"},
      {"messages[99].content", "input"},
      {"messages[x].content", "input[x].content"},
      {"tools[2].function.parameters.type", "tools[2].parameters.type"},
      {"tools[2].function", "tools[2]"},
      {"tools", "tools"},
      {"tool_choice.function.name", "tool_choice.name"},
      {"tool_choice", "tool_choice"},
      {"max_tokens", "max_output_tokens"},
      {"thinking", "reasoning.effort"},
      {"response_format.json_schema.schema", "text.format.schema"},
      {"response_format", "text.format"},
      {"temperature", "temperature"},
      {"", ""},
  };
  for (const auto& [field, expected] : rows) {
    const Error error =
        InResponsesWords(parsed->shape, {ErrorCode::kInvalidArgument, field + " is 7", field});
    EXPECT_EQ(error.field, expected) << field;
    EXPECT_EQ(error.message, expected + " is 7") << field;
  }
  const auto text = Parse("");
  EXPECT_EQ(
      InResponsesWords(text->shape, {ErrorCode::kInvalidArgument, "", "messages[0].content"}).field,
      "input");
}

}  // namespace
}  // namespace hadal::server
