#include "server/http/ollama_request.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace hadal::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kChat = OllamaRoute::kChat;
constexpr auto kGenerate = OllamaRoute::kGenerate;
constexpr int64_t kContext = 4096;

RequestRules Rules(bool refuse_unknown = false) {
  RequestRules rules;
  rules.models = {{"demo", "demo"}, {"r1", "demo"}, {"tagged:latest", "demo"}};
  rules.refuse_unknown_fields = refuse_unknown;
  rules.defaults.temperature = 0.6;
  rules.defaults.top_p = 0.95;
  rules.context = kContext;
  return rules;
}

Result<OllamaRequest> Parse(OllamaRoute route, std::string_view body,
                            const RequestRules& rules = Rules()) {
  HADAL_TRY(Json json, ParseJsonObject(body));
  return ParseOllamaRequest(route, std::move(json), rules);
}
std::string With(std::string body, const std::string& fields) {
  return body + (fields.empty() ? "" : "," + fields) + "}";
}
std::string ChatBody(const std::string& fields) {
  return With(R"({"model":"demo","messages":[{"role":"user","content":"hi"}])", fields);
}
std::string GenerateBody(const std::string& fields) {
  return With(R"({"model":"demo","prompt":"hi")", fields);
}
Result<OllamaRequest> Chat(const std::string& fields) { return Parse(kChat, ChatBody(fields)); }
Result<OllamaRequest> Generate(const std::string& fields) {
  return Parse(kGenerate, GenerateBody(fields));
}
Result<OllamaRequest> Messages(const std::string& messages) {
  return Parse(kChat, R"({"model":"demo","messages":)" + messages + "}");
}
const api::ChatPrompt& ChatOf(const Result<OllamaRequest>& r) {
  return std::get<api::ChatPrompt>(r->request.prompt);
}

void ExpectRefused(const Result<OllamaRequest>& result, std::string_view field,
                   std::string_view what) {
  ASSERT_FALSE(result) << "accepted: " << what;
  EXPECT_EQ(result.error().field, field) << what;
  EXPECT_EQ(InfoOf(result.error().code).http, 400) << what;
  EXPECT_LT(result.error().message.size(), 400u) << what;
  EXPECT_THAT(result.error().message, HasSubstr(std::string(field))) << what;
}

TEST(OllamaRequest, ReadsEveryOption) {
  const auto r = Chat(
      R"("options":{"temperature":0.5,"top_p":0.9,"min_p":0.1,"top_k":40,"repeat_penalty":1.1,)"
      R"("presence_penalty":-1,"frequency_penalty":1,"seed":7,"stop":["a","b"],"num_predict":9,)"
      R"("num_ctx":2048},"logprobs":true,"top_logprobs":3)");
  ASSERT_TRUE(r) << r.error().message;
  const auto& s = r->request.sampling;
  EXPECT_EQ(s.temperature, 0.5);
  EXPECT_EQ(s.top_p, 0.9);
  EXPECT_EQ(s.min_p, 0.1);
  EXPECT_EQ(s.top_k, 40);
  EXPECT_EQ(s.repetition_penalty, 1.1);
  EXPECT_EQ(s.presence_penalty, -1);
  EXPECT_EQ(s.frequency_penalty, 1);
  EXPECT_EQ(s.seed, 7u);
  EXPECT_THAT(s.stop, ElementsAre("a", "b"));
  EXPECT_TRUE(s.logprobs);
  EXPECT_EQ(s.top_logprobs, 3);
  EXPECT_EQ(r->request.max_tokens, 9);
  EXPECT_EQ(r->request.context, 2048);
}

TEST(OllamaRequest, WhatIsLeftOutIsTheModelsOwnAndStreamsByDefault) {
  for (const char* fields : {"", R"("options":null,"think":null,"stream":null,"format":null)"}) {
    const auto r = Chat(fields);
    ASSERT_TRUE(r) << r.error().message;
    EXPECT_TRUE(r->stream);
    EXPECT_EQ(r->request.sampling.temperature, 0.6);
    EXPECT_EQ(r->request.sampling.top_p, 0.95);
    EXPECT_FALSE(r->request.sampling.seed);
    EXPECT_FALSE(r->request.max_tokens);
    EXPECT_FALSE(r->request.context);
    EXPECT_FALSE(r->request.format.constrains());
    EXPECT_FALSE(ChatOf(r).thinking);
    EXPECT_FALSE(ChatOf(r).effort);
    EXPECT_EQ(ChatOf(r).truncation.mode, api::Truncation::Mode::kNone);
  }
  EXPECT_FALSE(Chat(R"("stream":false)")->stream);
}

struct OptionRow {
  std::string name;
  std::vector<std::string> good, bad;
};

TEST(OllamaRequest, EveryOptionIsCheckedAtItsLimits) {
  const std::string over64 = "9223372036854775808";
  const std::vector<OptionRow> rows = {
      {"temperature", {"0", "2", "0.7"}, {"-1", "2.001", "1e308"}},
      {"top_p", {"1", "0.0001"}, {"0", "-1", "1.1"}},
      {"min_p", {"0", "1"}, {"-1", "1.1"}},
      {"top_k", {"-1", "0", "2147483647"}, {"-2", "2147483648", "1.5"}},
      {"repeat_penalty", {"0.01", "10"}, {"0", "-1", "10.5"}},
      {"presence_penalty", {"-2", "2"}, {"-2.1", "2.1"}},
      {"frequency_penalty", {"-2", "2"}, {"-2.1", "2.1"}},
      {"seed", {"-1", "0", "18446744073709551615"}, {"18446744073709551616", "1.5"}},
      {"num_predict", {"-2", "-1", "1", "9223372036854775807"}, {"-3", "0", over64, "1.5"}},
      {"num_ctx", {"1", "4096", "8.0"}, {"-1", "0", "4097", over64}},
      {"num_keep", {"-1", "0", "24"}, {"-2", over64}},
      {"repeat_last_n", {"-1", "0", "64"}, {"-2", over64}},
      {"mirostat", {"0"}, {"1", "2", "-1"}},
      {"tfs_z", {"1", "1.0"}, {"0.5", "2"}},
      {"typical_p", {"1", "1.0"}, {"0.7", "0"}},
      {"penalize_newline", {"true"}, {"false", "1"}},
  };
  for (const auto route : {kChat, kGenerate}) {
    for (const OptionRow& row : rows) {
      const auto body = [&](const std::string& value) {
        const std::string fields = R"("options":{")" + row.name + "\":" + value + "}";
        return route == kChat ? ChatBody(fields) : GenerateBody(fields);
      };
      for (const auto& value : row.good) {
        const auto r = Parse(route, body(value));
        EXPECT_TRUE(r) << row.name << "=" << value << ": " << r.error().message;
      }
      auto bad = row.bad;
      for (const char* junk : {"\"abc\"", "\"1\"", "[]", "[1]", "{}", "99999999999999999999999999",
                               "-99999999999999999999999999"}) {
        bad.push_back(junk);
      }
      for (const auto& value : bad) {
        ExpectRefused(Parse(route, body(value)), "options." + row.name, row.name + "=" + value);
      }
      EXPECT_FALSE(Parse(route, body("1e999999"))) << row.name;
      EXPECT_TRUE(Parse(route, body("null"))) << row.name << ": null is absent";
    }
  }
}

TEST(OllamaRequest, NumCtxBeyondTheServersSaysTheServers) {
  const auto r = Chat(R"("options":{"num_ctx":131072})");
  ASSERT_FALSE(r);
  EXPECT_THAT(r.error().message, HasSubstr("131072"));
  EXPECT_THAT(r.error().message, HasSubstr("at most 4096"));
}

TEST(OllamaRequest, NumPredictBelowZeroIsNoLimitAndSeedMinusOneIsNoSeed) {
  for (const char* none : {"-1", "-2"}) {
    const auto r = Chat(std::string(R"("options":{"seed":-1,"num_predict":)") + none + "}");
    ASSERT_TRUE(r);
    EXPECT_FALSE(r->request.max_tokens);
    EXPECT_FALSE(r->request.sampling.seed);
  }
}

TEST(OllamaRequest, StopIsAStringOrStrings) {
  EXPECT_THAT(Chat(R"("options":{"stop":"x"})")->request.sampling.stop, ElementsAre("x"));
  ExpectRefused(Chat(R"("options":{"stop":[1]})"), "options.stop[0]", "number");
  ExpectRefused(Chat(R"("options":{"stop":""})"), "options.stop", "empty");
  ExpectRefused(Chat(R"("options":{"stop":{}})"), "options.stop", "object");
}

TEST(OllamaRequest, PenaltiesLookAtEveryTokenOrTheRequestIsRefused) {
  const auto options = [](const char* members) {
    return Chat(std::string(R"("options":{)") + members + "}");
  };
  ExpectRefused(options(R"("repeat_penalty":1.1,"repeat_last_n":64)"), "options.repeat_last_n", "");
  ExpectRefused(options(R"("presence_penalty":1,"repeat_last_n":0)"), "options.repeat_last_n", "");
  EXPECT_TRUE(options(R"("repeat_penalty":1.1,"repeat_last_n":-1)"));
  EXPECT_TRUE(options(R"("repeat_penalty":1.1,"repeat_last_n":4096)"));
  EXPECT_TRUE(options(R"("repeat_penalty":1.0,"repeat_last_n":64)"));
}

TEST(OllamaRequest, HardwareOptionsAndKeepAliveChangeNothing) {
  for (const char* name : {"num_gpu", "num_thread", "num_batch", "use_mmap", "main_gpu", "low_vram",
                           "numa", "use_mlock", "f16_kv", "mirostat_tau", "mirostat_eta"}) {
    for (const char* value : {"0", "-1", "true", "1e300", "\"x\"", "{}", "[]"}) {
      const std::string fields = std::string(R"("options":{")") + name + "\":" + value + "}";
      EXPECT_TRUE(Parse(kChat, ChatBody(fields), Rules(true))) << fields;
    }
  }
  for (const char* value : {"\"5m\"", "0", "-1", "3600", "{}", "null"}) {
    EXPECT_TRUE(Chat(std::string(R"("keep_alive":)") + value)) << value;
    EXPECT_TRUE(Generate(std::string(R"("keep_alive":)") + value)) << value;
  }
}

TEST(OllamaRequest, UnknownFieldsAreIgnoredOrRefusedByTheSetting) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {R"("options":{"n_discard":-1})", "options.n_discard"},
      {R"("options":{"":1})", "options."},
      {R"("frobnicate":[[]])", "frobnicate"},
  };
  for (const auto& [fields, field] : rows) {
    EXPECT_TRUE(Parse(kChat, ChatBody(fields))) << fields;
    ExpectRefused(Parse(kChat, ChatBody(fields), Rules(true)), field, fields);
  }
  const std::string message =
      R"({"model":"demo","messages":[{"role":"user","content":"a","weight":1}]})";
  EXPECT_TRUE(Parse(kChat, message));
  ExpectRefused(Parse(kChat, message, Rules(true)), "messages[0].weight", "weight");
  // Fields of the other route are unknown on this one.
  ExpectRefused(Parse(kChat, ChatBody(R"("prompt":"a")"), Rules(true)), "prompt", "prompt");
  ExpectRefused(Parse(kGenerate, GenerateBody(R"("tools":[])"), Rules(true)), "tools", "tools");
}

TEST(OllamaRequest, TheModelMayHaveTheTagLatest) {
  for (const char* name : {"demo", "demo:latest", "r1", "r1:latest", "tagged:latest"}) {
    const auto r = Parse(kChat, std::string(R"({"model":")") + name +
                                    R"(","messages":[{"role":"user","content":"a"}]})");
    ASSERT_TRUE(r) << name;
    EXPECT_EQ(r->request.model, "demo");
  }
  for (const char* name : {"demo:7b", "x", "demo:latest:latest", ":latest", "../../etc/passwd"}) {
    const auto r = Parse(kChat, std::string(R"({"messages":[],"model":")") + name + "\"}");
    ASSERT_FALSE(r) << name;
    EXPECT_EQ(r.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(r.error().field, "model");
    EXPECT_EQ(r.error().message, std::string("model '") + name + "' not found");
  }
  for (const char* value : {"1", "[]", "{}", "\"\"", "true"}) {
    ExpectRefused(Parse(kChat, std::string(R"({"model":)") + value + "}"), "model", value);
  }
  ExpectRefused(Parse(kChat, R"({"model":")" + std::string(1 << 20, 'm') + "\"}"), "model", "1 MB");
  ExpectRefused(Parse(kChat, R"({"messages":[{"role":"user","content":"a"}]})"), "model", "none");
}

TEST(OllamaRequest, ThinkIsAFlagOrALevel) {
  const auto think = [](const char* value) { return Chat(std::string(R"("think":)") + value); };
  EXPECT_EQ(ChatOf(think("true")).thinking, true);
  EXPECT_EQ(ChatOf(think("true")).effort, std::nullopt);
  EXPECT_EQ(ChatOf(think("false")).thinking, false);
  EXPECT_EQ(ChatOf(think("\"low\"")).effort, api::Effort::kLow);
  EXPECT_EQ(ChatOf(think("\"medium\"")).effort, api::Effort::kHigh);
  EXPECT_EQ(ChatOf(think("\"high\"")).effort, api::Effort::kHigh);
  EXPECT_EQ(ChatOf(think("\"max\"")).effort, api::Effort::kMax);
  EXPECT_EQ(ChatOf(think("\"max\"")).thinking, true);
  for (const char* bad : {"\"\"", "\"lots\"", "1", "-1", "[]", "{}", "1e300"}) {
    ExpectRefused(think(bad), "think", bad);
  }
}

TEST(OllamaRequest, FormatIsJsonOrASchemaWhoseOrderIsKept) {
  using Kind = api::AnswerFormat::Kind;
  EXPECT_EQ(Chat(R"("format":"")")->request.format.kind, Kind::kText);
  EXPECT_EQ(Chat(R"("format":"json")")->request.format.kind, Kind::kJsonObject);
  const std::string schema = R"({"type":"object","properties":{"z":{},"a":{}}})";
  const auto r = Generate(R"("format":)" + schema);
  ASSERT_TRUE(r);
  EXPECT_EQ(r->request.format.kind, Kind::kJsonSchema);
  EXPECT_EQ(r->request.format.text, schema);
  for (const char* bad : {"\"yaml\"", "1", "-1", "true", "[]", "[{}]"}) {
    ExpectRefused(Chat(std::string(R"("format":)") + bad), "format", bad);
  }
  ExpectRefused(Chat(R"("format":{"description":")" + std::string(2 << 20, 'd') + "\"}"), "format",
                "2 MB");
}

TEST(OllamaRequest, FlagsAndNumbersOfTheTopLevelAreChecked) {
  for (const char* junk : {"\"true\"", "1", "0", "-1", "[]", "{}", "1e300"}) {
    for (const char* field : {"stream", "truncate", "logprobs"}) {
      ExpectRefused(Chat(std::string("\"") + field + "\":" + junk), field, junk);
    }
    ExpectRefused(Generate(std::string(R"("raw":)") + junk), "raw", junk);
    for (const char* field : {"shift", "_debug_render_only"}) {
      ExpectRefused(Chat(std::string("\"") + field + "\":" + junk), field, junk);
    }
  }
  for (const char* bad : {"-1", "21", "1e300", "\"3\"", "true", "[]", "{}"}) {
    ExpectRefused(Chat(std::string(R"("logprobs":true,"top_logprobs":)") + bad), "top_logprobs",
                  bad);
  }
  ExpectRefused(Chat(R"("top_logprobs":3)"), "top_logprobs", "without logprobs");
  EXPECT_TRUE(Chat(R"("logprobs":true,"top_logprobs":20)"));
  for (const char* bad : {"1", "-1", "true", "[]", "\"x\""}) {
    ExpectRefused(Chat(std::string(R"("options":)") + bad), "options", bad);
  }
}

TEST(OllamaRequest, TruncateLeavesOutTurnsOnlyWhenAskedAndShiftIsRefused) {
  EXPECT_EQ(ChatOf(Chat(R"("truncate":true)")).truncation.mode, api::Truncation::Mode::kFront);
  EXPECT_EQ(ChatOf(Chat(R"("truncate":false)")).truncation.mode, api::Truncation::Mode::kNone);
  EXPECT_TRUE(Chat(R"("shift":false)"));
  ExpectRefused(Chat(R"("shift":true)"), "shift", "shift");
  ExpectRefused(Generate(R"("truncate":true)"), "truncate", "one turn");
  EXPECT_TRUE(Generate(R"("truncate":false)"));
  ExpectRefused(Chat(R"("truncate":true,"options":{"num_keep":4})"), "options.num_keep", "keep");
  EXPECT_TRUE(Chat(R"("truncate":true,"options":{"num_keep":0})"));
}

TEST(OllamaMessages, RolesTextAndThinkingAreRead) {
  const auto r = Messages(
      R"([{"role":"system","content":"s"},{"role":"User","content":"u"},)"
      R"({"role":"assistant","content":"a","thinking":"t"},{"role":"user","content":"v"}])");
  ASSERT_TRUE(r) << r.error().message;
  const auto& m = ChatOf(r).messages;
  ASSERT_EQ(m.size(), 4u);
  EXPECT_EQ(m[0].role, api::Role::kSystem);
  EXPECT_EQ(m[1].role, api::Role::kUser);
  EXPECT_EQ(m[2].role, api::Role::kAssistant);
  EXPECT_EQ(m[2].reasoning_content, "t");
  EXPECT_EQ(m[3].content, "v");
  EXPECT_FALSE(m[3].prefix);
}

TEST(OllamaMessages, ALastAssistantMessageIsContinued) {
  const auto r =
      Messages(R"([{"role":"user","content":"u"},{"role":"assistant","content":"Once"}])");
  ASSERT_TRUE(r);
  EXPECT_TRUE(ChatOf(r).messages[1].prefix);
}

TEST(OllamaMessages, ResultsFindTheirCallsByIdByNameOrInOrder) {
  const auto r =
      Messages(R"([{"role":"user","content":"u"},{"role":"assistant","tool_calls":[)"
               R"({"function":{"name":"f","arguments":{"z":1,"a":[2]}}},)"
               R"({"id":"x","function":{"name":"g","arguments":{}}},{"function":{"name":"h"}},)"
               R"({"function":{"index":3,"name":"f","arguments":null}}]},)"
               R"({"role":"tool","content":"1","tool_name":"f"},)"
               R"({"role":"tool","content":"2","tool_call_id":"x","tool_name":"other"},)"
               R"({"role":"tool","content":"3"},{"role":"tool","content":"4","tool_name":"f"}])");
  ASSERT_TRUE(r) << r.error().message;
  const auto& m = ChatOf(r).messages;
  ASSERT_EQ(m[1].tool_calls.size(), 4u);
  EXPECT_EQ(m[1].tool_calls[0].arguments, R"({"z":1,"a":[2]})");
  EXPECT_EQ(m[1].tool_calls[1].id, "x");
  EXPECT_EQ(m[1].tool_calls[2].arguments, "{}");
  EXPECT_EQ(m[2].tool_call_id, m[1].tool_calls[0].id);
  EXPECT_EQ(m[3].tool_call_id, "x");
  EXPECT_EQ(m[4].tool_call_id, m[1].tool_calls[2].id);
  EXPECT_EQ(m[5].tool_call_id, m[1].tool_calls[3].id);
}

TEST(OllamaMessages, EveryBadMessageIsNamed) {
  const std::string calls = R"({"role":"assistant","tool_calls":)";
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"[]", "messages"},
      {"{}", "messages"},
      {"\"hi\"", "messages"},
      {"1", "messages"},
      {"[1]", "messages[0]"},
      {"[null]", "messages[0]"},
      {"[[]]", "messages[0]"},
      {R"([{"content":"a"}])", "messages[0].role"},
      {R"([{"role":"robot","content":"a"}])", "messages[0].role"},
      {R"([{"role":1,"content":"a"}])", "messages[0].role"},
      {R"([{"role":"user"}])", "messages[0].content"},
      {R"([{"role":"user","content":null}])", "messages[0].content"},
      {R"([{"role":"user","content":1}])", "messages[0].content"},
      {R"([{"role":"user","content":[{"type":"text","text":"a"}]}])", "messages[0].content"},
      {R"([{"role":"user","content":"a","images":["aGk="]}])", "messages[0].images"},
      {R"([{"role":"user","content":"a","images":1}])", "messages[0].images"},
      {R"([{"role":"user","content":"a","thinking":"t"}])", "messages[0].thinking"},
      {R"([{"role":"assistant","content":"a","thinking":1}])", "messages[0].thinking"},
      {R"([{"role":"user","content":"a","tool_calls":[{}]}])", "messages[0].tool_calls"},
      {"[" + calls + "{}}]", "messages[0].tool_calls"},
      {"[" + calls + "[1]}]", "messages[0].tool_calls[0]"},
      {"[" + calls + "[{}]}]", "messages[0].tool_calls[0].function"},
      {"[" + calls + R"([{"function":[]}]}])", "messages[0].tool_calls[0].function"},
      {"[" + calls + R"([{"function":{}}]}])", "messages[0].tool_calls[0].function.name"},
      {"[" + calls + R"([{"function":{"name":1}}]}])", "messages[0].tool_calls[0].function.name"},
      {"[" + calls + R"([{"function":{"name":"f","arguments":"{}"}}]}])",
       "messages[0].tool_calls[0].function.arguments"},
      {"[" + calls + R"([{"id":-1,"function":{"name":"f"}}]}])", "messages[0].tool_calls[0].id"},
      {R"([{"role":"tool","content":"a"}])", "messages[0]"},
      {R"([{"role":"tool","content":"a","tool_name":"f"}])", "messages[0].tool_name"},
      {R"([{"role":"tool","content":"a","tool_name":1}])", "messages[0].tool_name"},
      {R"([{"role":"tool","content":"a","tool_call_id":1}])", "messages[0].tool_call_id"},
      {R"([{"role":"tool","tool_call_id":"x"}])", "messages[0].content"},
  };
  for (const auto& [messages, field] : rows) ExpectRefused(Messages(messages), field, messages);
  std::string many = "[", many_calls = "[";
  for (int i = 0; i < 4097; ++i) many += R"({"role":"user","content":"a"},)";
  many.back() = ']';
  ExpectRefused(Messages(many), "messages", "4097 messages");
  for (int i = 0; i < 129; ++i) many_calls += "{},";
  many_calls.back() = ']';
  ExpectRefused(Messages("[" + calls + many_calls + "}]"), "messages[0].tool_calls", "129 calls");
  ExpectRefused(Parse(kChat, R"({"model":"demo"})"), "messages", "none");
  ExpectRefused(Parse(kChat, R"({"model":"demo","messages":null})"), "messages", "null");
}

TEST(OllamaMessages, ALoadRequestSaysThatNothingIsToBeLoaded) {
  EXPECT_THAT(Messages("[]").error().message, HasSubstr("the model is loaded"));
  for (const char* body : {R"({"model":"demo"})", R"({"model":"demo","prompt":""})",
                           R"({"model":"demo","prompt":"","keep_alive":0})"}) {
    const auto r = Parse(kGenerate, body);
    ExpectRefused(r, "prompt", body);
    EXPECT_THAT(r.error().message, HasSubstr("the model is loaded"));
  }
}

TEST(OllamaTools, KeepTheFunctionAsItWasWritten) {
  const std::string function =
      R"({"name":"f","parameters":{"type":"object","properties":{"z":{},"a":{}}},"description":"d"})";
  const auto r = Chat(R"("tools":[{"type":"function","function":)" + function +
                      R"(},{"type":"function","function":{"name":"g"}}])");
  ASSERT_TRUE(r) << r.error().message;
  const auto& tools = ChatOf(r).tools;
  ASSERT_EQ(tools.size(), 2u);
  EXPECT_EQ(tools[0].name, "f");
  EXPECT_EQ(tools[0].description, "d");
  EXPECT_EQ(tools[0].parameters, R"({"type":"object","properties":{"z":{},"a":{}}})");
  EXPECT_EQ(tools[0].source_json, function);
  EXPECT_EQ(tools[1].parameters, "");
  EXPECT_TRUE(Chat(R"("tools":[])"));
  EXPECT_TRUE(Chat(R"("tools":null)"));
}

TEST(OllamaTools, EveryBadToolIsNamed) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"{}", "tools"},
      {"1", "tools"},
      {"\"f\"", "tools"},
      {"[1]", "tools[0]"},
      {"[null]", "tools[0]"},
      {"[{}]", "tools[0].type"},
      {R"([{"type":"web_search"}])", "tools[0].type"},
      {R"([{"type":1,"function":{"name":"f"}}])", "tools[0].type"},
      {R"([{"type":"function","function":1}])", "tools[0].function"},
      {R"([{"type":"function","function":{}}])", "tools[0].function.name"},
      {R"([{"type":"function","function":{"name":-1}}])", "tools[0].function.name"},
      {R"([{"type":"function","function":{"name":"f","description":[]}}])",
       "tools[0].function.description"},
      {R"([{"type":"function","function":{"name":"f","parameters":"x"}}])",
       "tools[0].function.parameters"},
  };
  for (const auto& [tools, field] : rows) ExpectRefused(Chat(R"("tools":)" + tools), field, tools);
}

TEST(OllamaGenerate, IsAChatOfOneTurnATextOrAGap) {
  const auto chat = Generate(R"("system":"s","think":"low")");
  ASSERT_TRUE(chat);
  ASSERT_EQ(ChatOf(chat).messages.size(), 2u);
  EXPECT_EQ(ChatOf(chat).messages[0].role, api::Role::kSystem);
  EXPECT_EQ(ChatOf(chat).messages[1].content, "hi");
  EXPECT_EQ(ChatOf(chat).thinking, true);
  EXPECT_EQ(ChatOf(chat).effort, api::Effort::kLow);
  const auto text = Generate(R"("raw":true,"system":"","template":"","think":false,"context":[])");
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(std::get<api::TextPrompt>(text->request.prompt).text, "hi");
  const auto gap = Parse(kGenerate, R"({"model":"demo","suffix":"}"})");
  ASSERT_TRUE(gap);
  EXPECT_EQ(std::get<api::FimPrompt>(gap->request.prompt).prefix, "");
  EXPECT_EQ(std::get<api::FimPrompt>(gap->request.prompt).suffix, "}");
}

TEST(OllamaGenerate, WhatCannotBeHonouredIsRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {R"("template":"{{ .Prompt }}")", "template"},
      {R"("template":1)", "template"},
      {R"("context":[1,2])", "context"},
      {R"("context":-1)", "context"},
      {R"("images":["aGk="])", "images"},
      {R"("images":{})", "images"},
      {R"("width":512)", "width"},
      {R"("height":512)", "height"},
      {R"("steps":4)", "steps"},
      {R"("raw":true,"system":"s")", "system"},
      {R"("raw":true,"think":true)", "think"},
      {R"("raw":true,"suffix":"s")", "raw"},
      {R"("suffix":"s","system":"s")", "system"},
      {R"("suffix":"s","think":"high")", "think"},
      {R"("suffix":1)", "suffix"},
      {R"("suffix":[])", "suffix"},
      {R"("system":{})", "system"},
      {R"("system":-1)", "system"},
  };
  for (const auto& [fields, field] : rows) ExpectRefused(Generate(fields), field, fields);
  for (const char* bad : {"1", "[]", "{}", "true", "[1,2]"}) {
    ExpectRefused(Parse(kGenerate, std::string(R"({"model":"demo","prompt":)") + bad + "}"),
                  "prompt", bad);
  }
}

TEST(OllamaWords, ErrorsOfTheServiceAreSaidInTheClientsFields) {
  const auto said = [](OllamaShape shape, std::string field) {
    return InOllamaWords(shape, {ErrorCode::kInvalidArgument, field + " is 7", field});
  };
  const std::vector<std::array<std::string, 3>> rows = {
      {"max_tokens", "options.num_predict", "options.num_predict"},
      {"thinking", "think", "think"},
      {"response_format", "format", "format"},
      {"response_format.json_schema.schema", "format", "format"},
      {"repetition_penalty", "options.repeat_penalty", "options.repeat_penalty"},
      {"messages", "messages", "prompt"},
      {"messages[0].content", "messages[0].content", "system"},
      {"messages[1].content", "messages[1].content", "prompt"},
      {"messages[10].reasoning_content", "messages[10].thinking", "prompt"},
      {"messages[1].prefix", "messages[1]", "prompt"},
      {"messages[1].tool_calls[0].id", "messages[1].tool_calls[0].id", "prompt"},
      {"tools[0].function.name", "tools[0].function.name", "tools[0].function.name"},
      {"suffix", "suffix", "suffix"},
      {"", "", ""},
  };
  for (const auto& [field, chat, generate] : rows) {
    EXPECT_EQ(said({kChat, false}, field).field, chat);
    EXPECT_EQ(said({kChat, false}, field).message, chat + " is 7");
    EXPECT_EQ(said({kGenerate, true}, field).field, generate);
  }
  EXPECT_EQ(said({kGenerate, false}, "messages[0].content").field, "prompt");
  const Error error =
      InOllamaWords({kChat, false},
                    {ErrorCode::kContextLengthExceeded,
                     "max_tokens is 9; max_tokens must be at most 5, my_max_tokens", "max_tokens"});
  EXPECT_EQ(error.message,
            "options.num_predict is 9; options.num_predict must be at most 5, my_max_tokens");
  EXPECT_THAT(error.message, Not(HasSubstr("options.options")));
}

}  // namespace
}  // namespace hadal::server
