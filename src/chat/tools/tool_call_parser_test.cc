// What the parser makes of outputs as models write them: whole, cut off, broken, and in the ways of
// which users of other servers complain.
#include "chat/tools/tool_call_parser.h"

#include <gmock/gmock.h>

#include "tokenizer/utf8.h"

namespace hadal {
namespace {

constexpr std::string_view kDsml = "｜DSML｜";

// Events as lines: content in quotes, name(arguments) with ! when incomplete, ~ for what is
// malformed. The output's control tokens are given as tokens when `control`.
class Reading {
 public:
  Reading(ToolMarkup markup, bool control)
      : table_(markup), control_(control), markup_(markup), parser_(table_, markup, "x") {}

  Reading& Push(std::string_view text) {
    while (!text.empty()) {
      size_t at = text.npos, length = 0;
      if (control_) FindControl(text, at, length);
      parser_.Push(text.substr(0, at), events_);
      if (at == text.npos) break;
      parser_.PushControl(text.substr(at, length), events_);
      text.remove_prefix(at + length);
    }
    return *this;
  }
  std::string Finish() {
    outcome = parser_.Finish(events_);
    std::string out;
    for (const ToolEvent& event : events_) {
      switch (event.kind) {
        case ToolEvent::Kind::kContent:
          out += "'" + event.text + "'";
          break;
        case ToolEvent::Kind::kCallBegin:
          ids.push_back(event.id);
          out += event.text + "(";
          break;
        case ToolEvent::Kind::kArguments:
          out += event.text;
          break;
        case ToolEvent::Kind::kCallEnd:
          out += event.complete ? ")" : ")!";
          break;
        case ToolEvent::Kind::kMalformed:
          out += "~" + event.text + "~";
          break;
      }
    }
    return out;
  }
  ToolOutcome outcome;
  std::vector<std::string> ids;

 private:
  void FindControl(std::string_view text, size_t& at, size_t& length) const {
    if (IsDsml(markup_)) {
      at = text.find(kDsml);
      length = kDsml.size();
      return;
    }
    at = text.find("<｜tool");
    if (at != text.npos) length = text.find('>', at) + 1 - at;
  }

  TagTable table_;
  bool control_;
  ToolMarkup markup_;
  ToolCallParser parser_;
  ToolEvents events_;
};

// As text and as tokens; both must agree.
std::string Read(ToolMarkup markup, std::string_view text) {
  const std::string as_text = Reading(markup, false).Push(text).Finish();
  EXPECT_EQ(Reading(markup, true).Push(text).Finish(), as_text);
  return as_text;
}
std::string V3(std::string_view text) { return Read(ToolMarkup::kFenced, text); }
std::string V31(std::string_view text) { return Read(ToolMarkup::kPlain, text); }
std::string V4(std::string_view text) { return Read(ToolMarkup::kDsmlV4, text); }

TEST(ToolCallParser, V3CallsStandInFences) {
  constexpr std::string_view kTwo =
      "Let me see.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n"
      "```json\n{\"city\": \"北京\"}\n```<｜tool▁call▁end｜>\n"
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\":1,\"b\":2.5}\n"
      "```<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
  EXPECT_EQ(V3(kTwo), "'Let me see.'get_weather({\"city\": \"北京\"})add({\"a\":1,\"b\":2.5})");
  Reading reading(ToolMarkup::kFenced, true);
  reading.Push(kTwo).Finish();
  EXPECT_THAT(reading.ids, ::testing::ElementsAre("call_00_x", "call_01_x"));
  EXPECT_EQ(reading.outcome.calls, 2);
  EXPECT_EQ(reading.outcome.incomplete_calls, 0);
  EXPECT_FALSE(reading.outcome.in_block_at_end || reading.outcome.malformed);
  EXPECT_EQ(reading.outcome.FinishReasonOf(api::FinishReason::kStop),
            api::FinishReason::kToolCalls);
  EXPECT_EQ(reading.outcome.FinishReasonOf(api::FinishReason::kLength), api::FinishReason::kLength);
}

TEST(ToolCallParser, V31CallsStandBetweenTokens) {
  EXPECT_EQ(V31("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>a<｜tool▁sep｜>{\"x\": 1}"
                "<｜tool▁call▁end｜><｜tool▁call▁begin｜>b<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
                "<｜tool▁calls▁end｜>"),
            "a({\"x\": 1})b({})");
}

TEST(ToolCallParser, EitherWayOfV3IsReadWhereTheOtherIsExpected) {
  EXPECT_EQ(
      V31("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>a\n```json\n{\"x\": "
          "1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
      "a({\"x\": 1})");
  EXPECT_EQ(V3("<｜tool▁call▁begin｜>a<｜tool▁sep｜>{\"x\": 1}<｜tool▁call▁end｜>"),
            "a({\"x\": 1})");
  EXPECT_EQ(V31("<｜tool▁call▁begin｜>a<｜tool▁sep｜>```json\n{}\n```<｜tool▁call▁end｜>"),
            "a({})");
}

TEST(ToolCallParser, DsmlParametersBecomeJson) {
  EXPECT_EQ(
      V4("I look.\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"search\">\n"
         "<｜DSML｜parameter name=\"q\" string=\"true\">a \"b\"\n\\ </p> 2>&1</｜DSML｜parameter>\n"
         "<｜DSML｜parameter name=\"n\" string=\"false\">3</｜DSML｜parameter>\n"
         "<｜DSML｜parameter name=\"l\" string=\"false\">[1,{\"k\": \"v\"}]</｜DSML｜parameter>\n"
         "</｜DSML｜invoke>\n<｜DSML｜invoke name=\"now\">\n</｜DSML｜invoke>\n"
         "</｜DSML｜tool_calls>"),
      "'I look.'search({\"q\": \"a \\\"b\\\"\\n\\\\ </p> 2>&1\", \"n\": 3, \"l\": [1,{\"k\": "
      "\"v\"}]})now({})");
  EXPECT_EQ(Read(ToolMarkup::kDsmlV32,
                 "\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter "
                 "name=\"arguments\" string=\"true\"></｜DSML｜parameter>\n</｜DSML｜invoke>\n"
                 "</｜DSML｜function_calls>"),
            "f({\"arguments\": \"\"})");
}

TEST(ToolCallParser, AsciiBarsAndOtherGapsAreMarkupToo) {
  EXPECT_EQ(V4("<|DSML|tool_calls><|DSML|invoke name=\"f\"><|DSML|parameter name=\"a\" "
               "string=\"true\">x</|DSML|parameter></|DSML|invoke></|DSML|tool_calls>"),
            "f({\"a\": \"x\"})");
  EXPECT_EQ(
      V4("<｜DSML｜ calls>\n<｜DSML｜ invoke name=\"f\">\n</｜DSML｜ invoke>\n</｜DSML｜ calls>"),
      "f({})");
  EXPECT_EQ(Reading(ToolMarkup::kFenced, false)
                .Push("<|tool_calls_begin|><|tool_call_begin|>function<|tool_sep|>f\n{}"
                      "<|tool_call_end|><|tool_calls_end|>")
                .Finish(),
            "f({})");
}

TEST(ToolCallParser, AMissingWrapperIsRecovered) {
  EXPECT_EQ(V4("ok\n\n<｜DSML｜invoke name=\"f\">\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"g\">\n"
               "</｜DSML｜invoke>\n</｜DSML｜tool_calls>"),
            "'ok'f({})g({})");
  EXPECT_EQ(V4("<｜DSML｜invoke name=\"f\"></｜DSML｜invoke>\n\nDone."), "f({})'Done.'");
  EXPECT_EQ(V31("ok<｜tool▁call▁begin｜>f<｜tool▁sep｜>{}<｜tool▁call▁end｜>"), "'ok'f({})");
  // The end of a call or a block is missing.
  EXPECT_EQ(V31("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}<｜tool▁call▁begin｜>g"
                "<｜tool▁sep｜>{}<｜tool▁calls▁end｜>"),
            "f({})g({})");
  EXPECT_EQ(V4("<｜DSML｜tool_calls><｜DSML｜invoke name=\"f\"><｜DSML｜invoke name=\"g\">"
               "</｜DSML｜tool_calls>"),
            "f({})g({})");
}

TEST(ToolCallParser, ALostFirstBracketOfATokenIsPutBack) {
  TagTable table(ToolMarkup::kDsmlV4);
  ToolCallParser parser(table, ToolMarkup::kDsmlV4, "x");
  ToolEvents events;
  parser.PushControl(kDsml, events);
  parser.Push("invoke name=\"f\"></", events);
  parser.PushControl(kDsml, events);
  parser.Push("invoke>", events);
  EXPECT_EQ(parser.Finish(events).calls, 1);
  EXPECT_EQ(events.size(), 3u);
}

TEST(ToolCallParser, AnOutputThatEndsInsideABlockGivesWhatIsThere) {
  constexpr std::string_view kWhole =
      "Hi\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" "
      "string=\"true\">xyz</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>";
  const auto cut_after = [&](std::string_view part) {
    return V4(kWhole.substr(0, kWhole.find(part) + part.size()));
  };
  EXPECT_EQ(cut_after("<｜DS"), "'Hi'~<｜DS~");
  EXPECT_EQ(cut_after("invoke na"), "'Hi'~<｜DSML｜invoke na~");
  EXPECT_EQ(cut_after("name=\"f"), "'Hi'~f~");
  EXPECT_EQ(cut_after("name=\"f\">"), "'Hi'f()!");
  EXPECT_EQ(cut_after("string=\"true\">x"), "'Hi'f({\"a\": \"x)!");
  EXPECT_EQ(cut_after("xyz</｜DSML｜param"), "'Hi'f({\"a\": \"xyz~</｜DSML｜param~)!");
  EXPECT_EQ(cut_after("/｜DSML｜parameter>"), "'Hi'f({\"a\": \"xyz\")!");
  EXPECT_EQ(cut_after("/｜DSML｜invoke>"), "'Hi'f({\"a\": \"xyz\"})");
  EXPECT_EQ(V31("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": \"b"),
            "f({\"a\": \"b)!");
  EXPECT_EQ(V3("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>na"),
            "~functionna~");
  Reading reading(ToolMarkup::kPlain, true);
  reading.Push("<｜tool▁call▁begin｜>f<｜tool▁sep｜>{").Finish();
  EXPECT_TRUE(reading.outcome.in_block_at_end);
  EXPECT_EQ(reading.outcome.incomplete_calls, 1);
}

TEST(ToolCallParser, BrokenMarkupIsNeverContent) {
  EXPECT_EQ(V4("a <｜DSML｜foo bar=\"x\"> b"), "'a '~<｜DSML｜foo bar=\"x\">~' b'");
  EXPECT_EQ(V4("a </｜DSML｜invoke> b"), "'a '~</｜DSML｜invoke>~' b'");
  EXPECT_EQ(V4("<｜DSML｜tool_calls>junk<｜DSML｜invoke name=\"f\">\nmore</｜DSML｜invoke>"
               "</｜DSML｜tool_calls>"),
            "~junk~f(~more~{})!");
  EXPECT_EQ(V4("<｜DSML｜parameter name=\"a\" string=\"true\">x</｜DSML｜parameter>"),
            "~<｜DSML｜parameter name=\"a\"string=\"true\">x</｜DSML｜parameter>~");
  EXPECT_EQ(V31("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁call▁end｜>"
                "<｜tool▁calls▁end｜>bye"),
            "~f~'bye'");
  EXPECT_EQ(V31("<｜tool▁call▁begin｜><｜tool▁sep｜>é<｜tool▁call▁end｜>"),
            "~é<｜tool▁call▁end｜>~");
  EXPECT_EQ(V31("a<｜tool▁call▁end｜>b"), "'a'~<｜tool▁call▁end｜>~'b'");
  EXPECT_EQ(V3("<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>made up<｜tool▁output▁end｜>"
               "<｜tool▁outputs▁end｜>so"),
            "~<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>made up<｜tool▁output▁end｜>"
            "<｜tool▁outputs▁end｜>~'so'");
}

TEST(ToolCallParser, ArgumentsThatAreNotJsonArePassedOnAndSaidToBe) {
  EXPECT_EQ(V31("<｜tool▁call▁begin｜>f<｜tool▁sep｜>{'a': 1}<｜tool▁call▁end｜>"), "f({'a': 1})!");
  EXPECT_EQ(
      V3("<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{a}\n```<｜tool▁call▁end｜>"),
      "f({a})!");
  EXPECT_EQ(V31("<｜tool▁call▁begin｜>f<｜tool▁sep｜>[1]<｜tool▁call▁end｜>"), "f([1])!");
  EXPECT_EQ(V31("<｜tool▁call▁begin｜>f<｜tool▁sep｜>{} or so<｜tool▁call▁end｜>"), "f({}~orso~)!");
  EXPECT_EQ(V31("<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": \"1\n2\"}<｜tool▁call▁end｜>"),
            "f({\"a\": \"1\\n2\"})");  // a raw newline is repaired
  EXPECT_EQ(V31("<｜tool▁call▁begin｜>f<｜tool▁sep｜><｜tool▁call▁end｜>"), "f({})");
  EXPECT_EQ(V3("<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n<｜tool▁call▁end｜>"), "f({})");
}

std::string Parameter(std::string_view attribute, std::string_view value) {
  return V4(
      fmt::format("<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\"{}>{}"
                  "</｜DSML｜parameter>\n</｜DSML｜invoke>",
                  attribute, value));
}

TEST(ToolCallParser, AValueThatIsNotTheJsonItSaysIsAString) {
  constexpr std::string_view kJson = " string=\"false\"";
  EXPECT_EQ(Parameter(kJson, " true "), "f({\"a\": true})");
  EXPECT_EQ(Parameter(kJson, "\"x\""), "f({\"a\": \"x\"})");
  EXPECT_EQ(Parameter(kJson, "hello"), "f({\"a\": \"hello\"})");
  EXPECT_EQ(Parameter(kJson, "[see \"x\"]"), "f({\"a\": \"[see \\\"x\\\"]\"})");
  EXPECT_EQ(Parameter(kJson, "12 apples"), "f({\"a\": \"12 apples\"})");
  EXPECT_EQ(Parameter(kJson, ""), "f({\"a\": \"\"})");
  EXPECT_EQ(Parameter("", "12"), "f({\"a\": \"12\"})");
  const std::string list = "[" + std::string(9000, ' ') + "1]";
  EXPECT_EQ(Parameter(kJson, list), "f({\"a\": " + list + "})");
  const std::string late = "[" + std::string(9000, ' ') + "x]";  // too late to become a string
  EXPECT_EQ(Parameter(kJson, late), "f({\"a\": " + late + "})!");
  const std::string spaces(5000, ' ');
  EXPECT_EQ(Parameter(kJson, spaces), "f({\"a\": \"" + spaces + "\"})");
}

TEST(ToolCallParser, AParameterGivenTwiceCountsOnceAndTheCallSaysSo) {
  EXPECT_EQ(V4("<｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\" string=\"false\">1"
               "</｜DSML｜parameter><｜DSML｜parameter name=\"a\" string=\"false\">2"
               "</｜DSML｜parameter></｜DSML｜invoke>"),
            "f({\"a\": 1~a2~})!");
}

TEST(ToolCallParser, TagsInsideStringsAreDataUnlessTheyAreTokens) {
  constexpr std::string_view kCall =
      "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": \"<｜tool▁call▁end｜>\"}<｜tool▁call▁end｜>";
  EXPECT_EQ(Reading(ToolMarkup::kPlain, false).Push(kCall).Finish(),
            "f({\"a\": \"<｜tool▁call▁end｜>\"})");
  EXPECT_EQ(Reading(ToolMarkup::kPlain, true).Push(kCall).Finish(),
            "f({\"a\": \")!'\"}'~"
            "<｜tool▁call▁end｜>~");
  // A value begun with the token holds the tags that are text.
  TagTable table(ToolMarkup::kDsmlV4);
  ToolCallParser parser(table, ToolMarkup::kDsmlV4, "x");
  ToolEvents events;
  const auto tag = [&](std::string_view before, std::string_view after) {
    parser.Push(before, events);
    parser.PushControl(kDsml, events);
    parser.Push(after, events);
  };
  tag("<", "invoke name=\"f\">\n");
  tag("<", "parameter name=\"a\" string=\"true\">");
  parser.Push("a</｜DSML｜parameter>b</｜DSML｜invoke>c<｜DSML｜x", events);
  tag("</", "parameter>");
  tag("</", "invoke>");
  parser.Finish(events);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1].text, "{\"a\": \"a</｜DSML｜parameter>b</｜DSML｜invoke>c<｜DSML｜x\"}");
  EXPECT_TRUE(events[2].complete);
}

TEST(ToolCallParser, OrdinaryTextIsLeftAlone) {
  for (const char* text : {"a < b <| c </ d <｜ e", "if (x <y) {\n\n}\n\n\n", "<", "a\n\n", "</",
                           "<think>", "<｜User｜>", "北京 🙂 <", "\n\n\n\n", "<tool_call>"}) {
    EXPECT_EQ(V4(text), "'" + std::string(text) + "'");
    EXPECT_EQ(V3(text), "'" + std::string(text) + "'");
  }
  EXPECT_EQ(V4("bad \xFF\xE5\x8C utf"), "'bad \xEF\xBF\xBD\xEF\xBF\xBD utf'");
}

TEST(ToolCallParser, CallsBeyondTheLimitAreNotMade) {
  std::string text = "<｜tool▁calls▁begin｜>";
  for (int i = 0; i < api::Limits::kMaxToolCalls + 5; ++i) {
    text += "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜>";
  }
  Reading reading(ToolMarkup::kPlain, true);
  reading.Push(text).Finish();
  EXPECT_EQ(reading.outcome.calls, api::Limits::kMaxToolCalls);
  EXPECT_TRUE(reading.outcome.malformed);
}

}  // namespace
}  // namespace hadal
