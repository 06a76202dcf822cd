#include "server/http/openai_request.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace hadal::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

OpenAiRules Rules(bool refuse_unknown = false) {
  return {.models = {{"demo", "demo"}, {"gpt-4o", "demo"}},
          .refuse_unknown_fields = refuse_unknown};
}

std::string Repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

// A good body with `fields` ("\"n\":2") added.
std::string ChatBody(const std::string& fields) {
  return R"({"model":"demo","messages":[{"role":"user","content":"hi"}])" +
         (fields.empty() ? "" : "," + fields) + "}";
}
std::string TextBody(const std::string& fields) {
  return R"({"model":"demo","prompt":"hi")" + (fields.empty() ? "" : "," + fields) + "}";
}

Result<OpenAiRequest> Parse(OpenAiRoute route, std::string_view body,
                            const OpenAiRules& rules = Rules()) {
  HADAL_TRY(Json json, ParseJsonObject(body));
  return ParseOpenAiRequest(route, std::move(json), rules);
}
Result<OpenAiRequest> Chat(const std::string& fields) {
  return Parse(OpenAiRoute::kChat, ChatBody(fields));
}
Result<OpenAiRequest> Text(const std::string& fields) {
  return Parse(OpenAiRoute::kText, TextBody(fields));
}
Result<OpenAiRequest> Messages(const std::string& messages) {
  return Parse(OpenAiRoute::kChat, R"({"model":"demo","messages":)" + messages + "}");
}
Result<OpenAiRequest> Prompt(const std::string& prompt) {
  return Parse(OpenAiRoute::kText, R"({"model":"demo","prompt":)" + prompt + "}");
}

void ExpectRefused(const Result<OpenAiRequest>& result, std::string_view field,
                   std::string_view what) {
  ASSERT_FALSE(result) << "accepted: " << what;
  EXPECT_EQ(result.error().field, field) << what;
  EXPECT_EQ(InfoOf(result.error().code).http, 400) << what;
  EXPECT_LT(result.error().message.size(), 400u) << what;
  EXPECT_THAT(result.error().message, HasSubstr(std::string(field))) << what;
}

// One row per numeric field: {min, max} pass; everything else of the list is a 400 that names it.
struct NumericField {
  std::string name;
  bool chat, text;
  std::vector<std::string> good;
  std::vector<std::string> bad;
  std::string prefix = {};  // other fields needed
};

std::vector<NumericField> NumericFields() {
  const std::string max64 = "9223372036854775807", over64 = "9223372036854775808";
  return {
      {"temperature", true, true, {"0", "2", "0.7", "1"}, {"-1", "-0.001", "2.001", "1e308"}},
      {"top_p", true, true, {"1", "0.0001"}, {"0", "-1", "1.0001", "5"}},
      {"min_p", true, true, {"0", "1"}, {"-1", "1.1"}},
      {"top_k", true, true, {"-1", "0", "1", "2147483647"}, {"-2", "-2147483648", "2147483648"}},
      {"repetition_penalty", true, true, {"0.01", "1", "10"}, {"0", "-1", "10.5"}},
      {"presence_penalty", true, true, {"-2", "0", "2"}, {"-2.1", "2.1"}},
      {"frequency_penalty", true, true, {"-2", "0", "2"}, {"-2.1", "2.1"}},
      {"max_tokens", true, true, {"1", "16", "16.0", max64}, {"-5", "-1", "0", over64, "1.5"}},
      {"max_completion_tokens", true, false, {"1", max64}, {"-5", "0", over64}},
      {"n", true, true, {"1", "8"}, {"-1", "0", "9", "1000000000", over64}},
      {"best_of", false, true, {"1"}, {"-1", "0", "2", "9", "1000000000"}},
      {"seed",
       true,
       true,
       {"0", "-1", "-9223372036854775808", "18446744073709551615"},
       {"18446744073709551616", "1.5"}},
      {"top_logprobs", true, false, {"0", "20"}, {"-1", "21", "1000000000"}, "\"logprobs\":true,"},
      {"logprobs", false, true, {"0", "20"}, {"-1", "21", "1000000000", "true"}},
  };
}

TEST(OpenAiRequest, EveryNumericFieldIsCheckedAtItsLimits) {
  for (const NumericField& f : NumericFields()) {
    for (const auto route : {OpenAiRoute::kChat, OpenAiRoute::kText}) {
      const bool chat = route == OpenAiRoute::kChat;
      if (!(chat ? f.chat : f.text)) continue;
      const auto body = [&](const std::string& value) {
        const std::string fields = f.prefix + "\"" + f.name + "\":" + value;
        return chat ? ChatBody(fields) : TextBody(fields);
      };
      for (const auto& value : f.good) {
        const auto result = Parse(route, body(value));
        EXPECT_TRUE(result) << f.name << "=" << value << ": " << result.error().message;
      }
      auto bad = f.bad;
      for (const char* junk : {"\"abc\"", "\"1\"", "[]", "[1]", "{}", "1e999999", "-1e999999",
                               "99999999999999999999999999", "-99999999999999999999999999"}) {
        bad.push_back(junk);
      }
      for (const auto& value : bad) {
        ExpectRefused(Parse(route, body(value)), f.name, f.name + "=" + value);
      }
      EXPECT_FALSE(Parse(route, body("NaN"))) << f.name;
      EXPECT_TRUE(Parse(route, body("null"))) << f.name << ": null is absent";
    }
  }
}

TEST(OpenAiRequest, ReadsEverySamplingField) {
  const auto r = Chat(
      R"("temperature":0.5,"top_p":0.9,"min_p":0.1,"top_k":40,"repetition_penalty":1.1,)"
      R"("presence_penalty":-1,"frequency_penalty":1,"seed":-1,"stop":["a","b"],)"
      R"("stop_token_ids":[3],"logit_bias":{"5":-100,"7":1.5},"logprobs":true,"top_logprobs":3,)"
      R"("n":2,"max_tokens":9,"ignore_eos":true)");
  ASSERT_TRUE(r) << r.error().message;
  const auto& s = r->request.sampling;
  EXPECT_EQ(s.temperature, 0.5);
  EXPECT_EQ(s.top_p, 0.9);
  EXPECT_EQ(s.min_p, 0.1);
  EXPECT_EQ(s.top_k, 40);
  EXPECT_EQ(s.repetition_penalty, 1.1);
  EXPECT_EQ(s.presence_penalty, -1);
  EXPECT_EQ(s.frequency_penalty, 1);
  EXPECT_EQ(s.seed, UINT64_MAX);
  EXPECT_THAT(s.stop, ElementsAre("a", "b"));
  EXPECT_THAT(s.stop_token_ids, ElementsAre(3));
  EXPECT_THAT(s.logit_bias, ElementsAre(std::pair(5, -100.0), std::pair(7, 1.5)));
  EXPECT_TRUE(s.logprobs);
  EXPECT_EQ(s.top_logprobs, 3);
  EXPECT_EQ(r->request.n, 2);
  EXPECT_EQ(r->request.max_tokens, 9);
  EXPECT_TRUE(s.ignore_eos);
}

TEST(OpenAiRequest, TheDefaultsAreThoseOfTheApi) {
  const auto r = Chat("");
  ASSERT_TRUE(r);
  EXPECT_FALSE(r->stream);
  EXPECT_FALSE(r->include_usage);
  EXPECT_EQ(r->request.n, 1);
  EXPECT_EQ(r->request.max_tokens, std::nullopt);
  EXPECT_EQ(r->request.sampling.temperature, 1.0);
  EXPECT_EQ(std::get<api::ChatPrompt>(r->request.prompt).thinking, std::nullopt);
}

TEST(OpenAiRequest, AModelIsKnownByNameOrAlias) {
  const auto alias = Parse(OpenAiRoute::kText, R"({"model":"gpt-4o","prompt":"x"})");
  ASSERT_TRUE(alias);
  EXPECT_EQ(alias->request.model, "demo");
  for (const char* name : {"../../etc/passwd", "Demo", "demo ", "\\u0000", "\\n\\\"x"}) {
    const auto r =
        Parse(OpenAiRoute::kText, R"({"model":")" + std::string(name) + R"(","prompt":"x"})");
    ASSERT_FALSE(r) << name;
    EXPECT_EQ(r.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(r.error().field, "model");
  }
  for (const std::string& value : {std::string("\"\""), "\"" + std::string(1 << 20, 'm') + "\"",
                                   std::string("7"), std::string("[]"), std::string("null")}) {
    ExpectRefused(Parse(OpenAiRoute::kText, "{\"model\":" + value + ",\"prompt\":\"x\"}"), "model",
                  value.substr(0, 20));
  }
  ExpectRefused(Parse(OpenAiRoute::kText, R"({"prompt":"x"})"), "model", "no model");
}

TEST(OpenAiRequest, BadMessagesAreNamedByTheirPath) {
  ExpectRefused(Parse(OpenAiRoute::kChat, R"({"model":"demo"})"), "messages", "absent");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[]", "messages"},
      {"null", "messages"},
      {"{}", "messages"},
      {"\"hi\"", "messages"},
      {"[1]", "messages[0]"},
      {"[null]", "messages[0]"},
      {"[[]]", "messages[0]"},
      {R"([{"content":"x"}])", "messages[0].role"},
      {R"([{"role":null,"content":"x"}])", "messages[0].role"},
      {R"([{"role":"wizard","content":"x"}])", "messages[0].role"},
      {R"([{"role":7,"content":"x"}])", "messages[0].role"},
      {R"([{"role":"user"}])", "messages[0].content"},
      {R"([{"role":"user","content":null}])", "messages[0].content"},
      {R"([{"role":"user","content":{"a":1}}])", "messages[0].content"},
      {R"([{"role":"user","content":3}])", "messages[0].content"},
      {R"([{"role":"user","content":[]}])", "messages[0].content"},
      {R"([{"role":"user","content":["x"]}])", "messages[0].content[0]"},
      {R"([{"role":"user","content":[{"text":"x"}]}])", "messages[0].content[0].type"},
      {R"([{"role":"user","content":[{"type":"text"}]}])", "messages[0].content[0].text"},
      {R"([{"role":"user","content":[{"type":"text","text":5}]}])", "messages[0].content[0].text"},
      {R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url",)"
       R"("image_url":{"url":"file:///etc/passwd"}}]}])",
       "messages[0].content[1].type"},
      {R"([{"role":"user","content":"a"},{"role":"user","content":1}])", "messages[1].content"},
      {R"([{"role":"user","content":"a","prefix":true}])", "messages[0].prefix"},
      {R"([{"role":"assistant","content":"a","prefix":"x"}])", "messages[0].prefix"},
      {R"([{"role":"assistant","content":"a","prefix":true},{"role":"user","content":"b"}])",
       "messages[0].prefix"},
      {R"([{"role":"user","content":"a","reasoning_content":"b"}])",
       "messages[0].reasoning_content"},
      {R"([{"role":"assistant","content":"a","reasoning_content":1}])",
       "messages[0].reasoning_content"},
      {R"([{"role":"assistant","content":"a","tool_calls":[{"id":"1"}]}])",
       "messages[0].tool_calls[0].type"},
  };
  for (const auto& [messages, field] : cases) ExpectRefused(Messages(messages), field, messages);
}

TEST(OpenAiRequest, ReadsMessages) {
  const auto r = Messages(
      R"([{"role":"developer","content":"s","name":"n"},)"
      R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b\u0000"}]},)"
      R"({"role":"assistant","content":"c","reasoning_content":"r","tool_calls":[],"prefix":true}])");
  ASSERT_TRUE(r) << r.error().message;
  const auto& m = std::get<api::ChatPrompt>(r->request.prompt).messages;
  ASSERT_EQ(m.size(), 3u);
  EXPECT_EQ(m[0].role, api::Role::kDeveloper);
  EXPECT_EQ(m[1].content, std::string("ab\0", 3));
  EXPECT_EQ(m[2].role, api::Role::kAssistant);
  EXPECT_EQ(m[2].reasoning_content, "r");
  EXPECT_TRUE(m[2].prefix);
}

TEST(OpenAiRequest, TooManyMessagesAreRefusedByTheirCount) {
  const std::string one = R"({"role":"user","content":"x"},)";
  std::string many = "[" + Repeat(one, 100'000);
  many.back() = ']';
  ExpectRefused(Messages(many), "messages", "100 000 messages");
  many = "[" + Repeat(one, api::Limits::kMaxMessages);
  many.back() = ']';
  EXPECT_TRUE(Messages(many));
}

TEST(OpenAiRequest, APromptIsTextOrOneListOfIds) {
  EXPECT_EQ(std::get<api::TextPrompt>(Prompt(R"("x")")->request.prompt).text, "x");
  EXPECT_EQ(std::get<api::TextPrompt>(Prompt(R"([" y"])")->request.prompt).text, " y");
  EXPECT_THAT(std::get<api::TokenPrompt>(Prompt("[1,2]")->request.prompt).ids, ElementsAre(1, 2));
  EXPECT_THAT(std::get<api::TokenPrompt>(Prompt("[[0]]")->request.prompt).ids, ElementsAre(0));
  for (const char* bad :
       {"[]", "[[]]", "null", "7", "{}", "true", "[null]", "[[[1]]]", "[{}]", R"(["a","b"])",
        "[[1],[2]]", "[-1]", "[2147483648]", "[1.5]", "[1e999]", R"([1,"a"])", R"(["a",1])",
        "[18446744073709551615]", "[-9223372036854775808]"}) {
    ExpectRefused(Prompt(bad), "prompt", bad);
  }
  ExpectRefused(Parse(OpenAiRoute::kText, R"({"model":"demo"})"), "prompt", "absent");
}

TEST(OpenAiRequest, StopIsOneStringOrAFew) {
  EXPECT_THAT(Chat(R"("stop":"x")")->request.sampling.stop, ElementsAre("x"));
  EXPECT_TRUE(Chat(R"("stop":[])"));
  EXPECT_TRUE(Chat(R"("stop":null)"));
  ExpectRefused(Chat(R"("stop":"")"), "stop", "empty");
  ExpectRefused(Chat(R"("stop":["a",""])"), "stop[1]", "empty");
  ExpectRefused(Chat(R"("stop":[1])"), "stop[0]", "number");
  ExpectRefused(Chat(R"("stop":{})"), "stop", "object");
  ExpectRefused(Chat("\"stop\":[\"x\"" + Repeat(",\"x\"", 9999) + "]"), "stop", "10 000");
  ExpectRefused(Chat("\"stop\":\"" + std::string(1025, 'x') + "\""), "stop", "long");
  ExpectRefused(Chat(R"("stop_token_ids":[-1])"), "stop_token_ids[0]", "negative");
  ExpectRefused(Chat(R"("stop_token_ids":5)"), "stop_token_ids", "number");
}

TEST(OpenAiRequest, LogitBiasIsAnObjectOfIds) {
  for (const char* bad : {"[]", "5", "\"x\"", R"({"x":1})", R"({"-1":1})", R"({"1.5":1})",
                          R"({"":1})", R"({" 1":1})", R"({"99999999999":1})"}) {
    ExpectRefused(Chat("\"logit_bias\":" + std::string(bad)), "logit_bias", bad);
  }
  for (const char* bad : {"101", "-101", "null", "\"1\"", "1e308"}) {
    ExpectRefused(Chat("\"logit_bias\":{\"7\":" + std::string(bad) + "}"), "logit_bias.7", bad);
  }
  std::string many;
  for (int i = 0; i < 1025; ++i) many += fmt::format("{}\"{}\":1", i ? "," : "", i);
  ExpectRefused(Chat("\"logit_bias\":{" + many + "}"), "logit_bias", "1025 entries");
  EXPECT_TRUE(Chat(R"("logit_bias":{"1000000000":1})"));  // beyond the vocabulary: the service's
}

TEST(OpenAiRequest, WhatIsLeftOutHasTheModelsOwnDefault) {
  const auto defaults =
      SamplingOf({.temperature = 0.6, .top_p = 0.95, .top_k = -1, .repetition_penalty = 1.5});
  ASSERT_TRUE(defaults);
  OpenAiRules rules = Rules();
  rules.defaults = *defaults;
  for (const char* fields : {"", R"("temperature":null,"top_p":null,"repetition_penalty":null)"}) {
    const auto sampling = Parse(OpenAiRoute::kChat, ChatBody(fields), rules)->request.sampling;
    EXPECT_EQ(sampling.temperature, 0.6);
    EXPECT_EQ(sampling.top_p, 0.95);
    EXPECT_EQ(sampling.top_k, 0);
    EXPECT_EQ(sampling.repetition_penalty, 1.5);
  }
  const auto given = Parse(OpenAiRoute::kText,
                           TextBody(R"("temperature":1,"top_p":1,"top_k":7,)"
                                    R"("repetition_penalty":1)"),
                           rules)
                         ->request.sampling;
  EXPECT_EQ(given.temperature, 1);
  EXPECT_EQ(given.top_p, 1);
  EXPECT_EQ(given.top_k, 7);
  EXPECT_EQ(given.repetition_penalty, 1);
  const api::Sampling none = *SamplingOf({});
  EXPECT_EQ(none.temperature, api::Sampling().temperature);
  EXPECT_EQ(none.top_p, api::Sampling().top_p);
}

TEST(OpenAiRequest, ADefaultThatNoRequestCouldSendIsRefused) {
  const auto field = [](const SamplingDefaults& defaults) {
    const auto sampling = SamplingOf(defaults);
    EXPECT_FALSE(sampling);
    if (sampling) return std::string("accepted");
    EXPECT_EQ(sampling.error().code, ErrorCode::kBadConfig);
    EXPECT_THAT(sampling.error().message, HasSubstr("generation_config.json"));
    return sampling.error().field;
  };
  EXPECT_EQ(field({.temperature = 2.5}), "temperature");
  EXPECT_EQ(field({.top_p = 0.0}), "top_p");
  EXPECT_EQ(field({.top_k = int64_t{1} << 40}), "top_k");
  EXPECT_EQ(field({.repetition_penalty = 0.0}), "repetition_penalty");
}

TEST(OpenAiRequest, StreamIsABooleanAndItsOptionsNeedIt) {
  EXPECT_TRUE(Chat(R"("stream":true)")->stream);
  for (const char* bad : {"\"yes\"", "\"true\"", "1", "0", "[]", "{}"}) {
    ExpectRefused(Chat("\"stream\":" + std::string(bad)), "stream", bad);
  }
  const auto r = Chat(R"("stream":true,"stream_options":{"include_usage":true})");
  ASSERT_TRUE(r);
  EXPECT_TRUE(r->include_usage);
  ExpectRefused(Chat(R"("stream_options":{"include_usage":true})"), "stream_options", "no stream");
  ExpectRefused(Chat(R"("stream":false,"stream_options":{})"), "stream_options", "stream false");
  ExpectRefused(Chat(R"("stream":true,"stream_options":[])"), "stream_options", "array");
  ExpectRefused(Chat(R"("stream":true,"stream_options":{"include_usage":1})"),
                "stream_options.include_usage", "number");
}

TEST(OpenAiRequest, ThinkingComesFromEitherFieldAndTheModelsOwnWins) {
  const auto thinking = [](const std::string& fields) {
    return std::get<api::ChatPrompt>(Chat(fields)->request.prompt).thinking;
  };
  EXPECT_EQ(thinking(R"("thinking":{"type":"enabled"})"), true);
  EXPECT_EQ(thinking(R"("thinking":{"type":"disabled"})"), false);
  EXPECT_EQ(thinking(R"("reasoning_effort":"none")"), false);
  EXPECT_EQ(thinking(R"("reasoning_effort":"high")"), true);
  EXPECT_EQ(thinking(R"("reasoning_effort":"high","thinking":{"type":"disabled"})"), false);
  ExpectRefused(Chat(R"("thinking":true)"), "thinking", "bool");
  ExpectRefused(Chat(R"("thinking":{})"), "thinking.type", "empty");
  ExpectRefused(Chat(R"("thinking":{"type":"maybe"})"), "thinking.type", "maybe");
  ExpectRefused(Chat(R"("reasoning_effort":"huge")"), "reasoning_effort", "huge");
  ExpectRefused(Chat(R"("reasoning_effort":3)"), "reasoning_effort", "3");
}

TEST(OpenAiRequest, FieldsThatContradictEachOtherAreRefused) {
  ExpectRefused(Chat(R"("max_tokens":5,"max_completion_tokens":6)"), "max_tokens", "both");
  EXPECT_EQ(Chat(R"("max_tokens":5,"max_completion_tokens":5)")->request.max_tokens, 5);
  ExpectRefused(Chat(R"("top_logprobs":3)"), "top_logprobs", "without logprobs");
  ExpectRefused(Chat(R"("top_logprobs":3,"logprobs":false)"), "top_logprobs", "logprobs false");
  ExpectRefused(Chat(R"("logprobs":5)"), "logprobs", "a number in chat");
  ExpectRefused(Text(R"("best_of":3,"n":2)"), "best_of", "best_of 3");
  EXPECT_TRUE(Text(R"("best_of":2,"n":2)"));
  EXPECT_TRUE(Text(R"("echo":true)")->request.echo);
  ExpectRefused(Text(R"("echo":true,"logprobs":1)"), "echo", "echo and logprobs");
  ExpectRefused(Text(R"("echo":"yes")"), "echo", "string");
}

TEST(OpenAiRequest, WhatIsNotSupportedYetIsRefusedUnlessItAsksForNothing) {
  for (const char* field :
       {R"("functions":[{}])", R"("function_call":{"name":"x"})", R"("chat_template":"{{x}}")",
        R"("audio":{})", R"("modalities":["text","audio"])", R"("prediction":{})",
        R"("web_search_options":{})"}) {
    const std::string text = field;
    const std::string name = text.substr(1, text.find('"', 1) - 1);
    const auto r = Chat(text);
    ExpectRefused(r, name, text);
    EXPECT_THAT(r.error().message, HasSubstr("not supported yet"));
  }
  EXPECT_TRUE(Chat(R"("tools":[],"tool_choice":"none","response_format":{"type":"text"})"));
  EXPECT_TRUE(Chat(R"("tools":null,"audio":null,"modalities":["text"],"functions":[])"));
  EXPECT_TRUE(Text(R"("suffix":null)"));
}

TEST(OpenAiRequest, ReadsToolsInTheCallersOrder) {
  const auto r = Chat(
      R"("tools":[{"type":"function","function":{"name":"f","description":"d","strict":true,)"
      R"("parameters":{"type":"object","properties":{"z":{},"a":{}}}}},)"
      R"({"type":"function","function":{"name":"g","parameters":{}}}],)"
      R"("tool_choice":{"type":"function","function":{"name":"g"}},"parallel_tool_calls":false)");
  ASSERT_TRUE(r) << r.error().message;
  const auto& chat = std::get<api::ChatPrompt>(r->request.prompt);
  ASSERT_EQ(chat.tools.size(), 2u);
  EXPECT_EQ(chat.tools[0].parameters, R"({"type":"object","properties":{"z":{},"a":{}}})");
  EXPECT_EQ(chat.tools[0].description, "d");
  EXPECT_TRUE(chat.tools[0].strict);
  EXPECT_EQ(chat.tools[1].parameters, "");
  EXPECT_EQ(chat.tool_choice.mode, api::ToolChoice::Mode::kNamed);
  EXPECT_EQ(chat.tool_choice.name, "g");
  EXPECT_FALSE(chat.parallel_tool_calls);
}

TEST(OpenAiRequest, WrongToolsAreNamedByTheirPath) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("tools":"x")", "tools"},
      {R"("tools":{})", "tools"},
      {R"("tools":[3])", "tools[0]"},
      {R"("tools":[{"type":"function"}])", "tools[0].function"},
      {R"("tools":[{"type":"web_search"}])", "tools[0].type"},
      {R"("tools":[{"type":"function","function":{}}])", "tools[0].function.name"},
      {R"("tools":[{"type":"function","function":{"name":5}}])", "tools[0].function.name"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":[]}}])",
       "tools[0].function.parameters"},
      {R"("tools":[{"type":"function","function":{"name":"f","strict":"yes"}}])",
       "tools[0].function.strict"},
      {R"("tool_choice":"some")", "tool_choice"},
      {R"("tool_choice":{"type":"function"})", "tool_choice.function"},
      {R"("tool_choice":{"type":"function","function":{}})", "tool_choice.function.name"},
      {R"("parallel_tool_calls":1)", "parallel_tool_calls"}};
  for (const auto& [fields, field] : cases) ExpectRefused(Chat(fields), field, fields);
}

TEST(OpenAiRequest, ReadsEveryWayToSayWhatAnAnswerMustLookLike) {
  using Kind = api::AnswerFormat::Kind;
  const std::tuple<const char*, Kind, const char*> cases[] = {
      {R"("response_format":{"type":"text"})", Kind::kText, ""},
      {R"("response_format":{"type":"json_object"})", Kind::kJsonObject, ""},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":{"z":1,"a":2}}})",
       Kind::kJsonSchema, R"({"z":1,"a":2})"},
      {R"("response_format":{"type":"regex","pattern":"a*"})", Kind::kRegex, "a*"},
      {R"("response_format":{"type":"grammar","grammar":"root ::= x"})", Kind::kGrammar,
       "root ::= x"},
      {R"("grammar":"root ::= x")", Kind::kGrammar, "root ::= x"},
      {R"("json_schema":{})", Kind::kJsonSchema, "{}"},
      {R"("guided_json":{"a":1})", Kind::kJsonSchema, R"({"a":1})"},
      {R"("guided_regex":"a*")", Kind::kRegex, "a*"},
      {R"("guided_choice":["a\"b","c\\"])", Kind::kGrammar, R"(root ::= "a\"b" | "c\\")"},
      {R"("structured_outputs":{"regex":"x"})", Kind::kRegex, "x"}};
  for (const auto& [fields, kind, text] : cases) {
    const auto r = Chat(fields);
    ASSERT_TRUE(r) << fields << ": " << r.error().message;
    EXPECT_EQ(r->request.format.kind, kind) << fields;
    EXPECT_EQ(r->request.format.text, text);
  }
  const std::pair<const char*, const char*> wrong[] = {
      {R"("response_format":"hiccup")", "response_format"},
      {R"("response_format":{})", "response_format.type"},
      {R"("response_format":{"type":"yaml"})", "response_format.type"},
      {R"("response_format":{"type":"json_schema"})", "response_format.json_schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{}})",
       "response_format.json_schema.schema"},
      {R"("response_format":{"type":"regex"})", "response_format.pattern"},
      {R"("guided_choice":[])", "guided_choice"},
      {R"("guided_choice":[1])", "guided_choice[0]"},
      {R"("grammar":"")", "grammar"},
      {R"("guided_json":{},"guided_regex":"x")", "guided_regex"}};
  for (const auto& [fields, field] : wrong) ExpectRefused(Chat(fields), field, fields);
}

TEST(OpenAiRequest, ReadsBudgetsTruncationAndTheTwoTemplateSwitches) {
  const auto chat_of = [](const std::string& fields) {
    const auto r = Chat(fields);
    EXPECT_TRUE(r) << fields << ": " << r.error().message;
    return std::get<api::ChatPrompt>(r->request.prompt);
  };
  EXPECT_EQ(chat_of(R"("thinking":{"type":"enabled","budget_tokens":7})").max_thinking_tokens, 7);
  EXPECT_EQ(chat_of(R"("reasoning_effort":"minimal")").effort, api::Effort::kLow);
  EXPECT_EQ(chat_of(R"("reasoning_effort":"medium")").effort, api::Effort::kHigh);
  EXPECT_EQ(chat_of(R"("reasoning_effort":"ultra")").effort, api::Effort::kMax);
  EXPECT_FALSE(chat_of(R"("reasoning_effort":"none")").effort);
  EXPECT_EQ(chat_of(R"("chat_template_kwargs":{"enable_thinking":false})").thinking, false);
  EXPECT_EQ(chat_of(R"("truncation":"auto")").truncation.mode, api::Truncation::Mode::kMiddle);
  EXPECT_EQ(chat_of(R"("truncation":{"type":"auto","strategy":"front"})").truncation.mode,
            api::Truncation::Mode::kFront);
  EXPECT_EQ(chat_of(R"("truncation":"disabled")").truncation.mode, api::Truncation::Mode::kNone);
  ExpectRefused(Chat(R"("thinking":{"type":"disabled","budget_tokens":7})"),
                "thinking.budget_tokens", "a budget without thinking");
  ExpectRefused(Chat(R"("thinking":{"type":"enabled","budget_tokens":-1})"),
                "thinking.budget_tokens", "negative");
  ExpectRefused(Chat(R"("chat_template_kwargs":{"a":1})"), "chat_template_kwargs.a", "unknown");
  ExpectRefused(Chat(R"("truncation":"always")"), "truncation", "unknown");
  ExpectRefused(Chat(R"("truncation":{"type":"auto","strategy":"back"})"), "truncation", "back");
}

TEST(OpenAiRequest, ASuffixMakesAGapToFill) {
  const auto r = Text(R"("suffix":"x")");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(std::get<api::FimPrompt>(r->request.prompt).suffix, "x");
  EXPECT_TRUE(std::holds_alternative<api::TextPrompt>(Text(R"("suffix":"")")->request.prompt));
  ExpectRefused(Parse(OpenAiRoute::kText, R"({"model":"demo","prompt":[1],"suffix":"x"})"),
                "prompt", "ids with a suffix");
}

TEST(OpenAiRequest, UnknownFieldsAreIgnoredOrRefusedBySetting) {
  for (const char* field : {"\"repeat_last_n\":1000000000", "\"n_discard\":-1", "\"id_slot\":99999",
                            "\"\":1", "\"slot_id\":\"x\"", "\"cache_prompt\":{\"a\":[1]}"}) {
    EXPECT_TRUE(Chat(field)) << field;
    const std::string text = field;
    ExpectRefused(Parse(OpenAiRoute::kChat, ChatBody(field), Rules(true)),
                  text.substr(1, text.find('"', 1) - 1), field);
  }
  EXPECT_TRUE(Parse(OpenAiRoute::kChat,
                    ChatBody(R"("user":"u","metadata":{"a":"b"},"store":false,"service_tier":"x")"),
                    Rules(true)));
  ExpectRefused(
      Parse(OpenAiRoute::kChat,
            R"({"model":"demo","messages":[{"role":"user","content":"x","foo":1}]})", Rules(true)),
      "messages[0].foo", "unknown in a message");
  ExpectRefused(Parse(OpenAiRoute::kChat, ChatBody("\"stream\":true,\"stream_options\":{\"x\":1}"),
                      Rules(true)),
                "stream_options.x", "unknown option");
  // Fields of the other route are unknown fields.
  EXPECT_TRUE(Chat("\"prompt\":5"));
  ExpectRefused(Parse(OpenAiRoute::kChat, ChatBody("\"prompt\":5"), Rules(true)), "prompt",
                "prompt");
}

TEST(OpenAiRequest, SpecialTokenStringsStayOrdinaryText) {
  const auto r = Messages(R"([{"role":"user","content":"<｜User｜><think>"}])");
  ASSERT_TRUE(r);
  EXPECT_EQ(std::get<api::ChatPrompt>(r->request.prompt).messages[0].content, "<｜User｜><think>");
}

}  // namespace
}  // namespace hadal::server
