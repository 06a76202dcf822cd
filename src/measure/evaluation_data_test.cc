#include "measure/evaluation_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"

namespace hadal {
namespace {

using testing::HasSubstr;

std::string ErrorOf(std::string_view jsonl, const EvaluationLimits& limits = {}) {
  const auto data = ParseEvaluationData(jsonl, "d.jsonl", limits);
  if (data) return "no error";
  EXPECT_EQ(data.error().code, ErrorCode::kBadFile);
  return data.error().message;
}

TEST(EvaluationDataTest, ReadsTextsAndEveryFormOfTask) {
  const auto data = ParseEvaluationData(
      "\xef\xbb\xbf{\"text\": \"once upon a time\"}\n"
      "{\"text\": \"<x>\", \"special_tokens\": true}\n"
      R"({"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "?"}],)"
      R"( "expected": "42", "thinking": false, "id": [1, {"any": null}]})"
      "\r\n"
      R"({"prompt": "1 + 1 =", "expected": {"sum": 2, "text": "zwei"}})"
      "\n"
      R"({"question": "which card?", "answer": "the H200", "key": "H200"})",
      "d.jsonl");
  ASSERT_TRUE(data.has_value()) << data.error().message;
  ASSERT_EQ(data->texts.size(), 2u);
  EXPECT_EQ(data->texts[0].text, "once upon a time");
  EXPECT_FALSE(data->texts[0].special_tokens);
  EXPECT_TRUE(data->texts[1].special_tokens);
  ASSERT_EQ(data->tasks.size(), 3u);
  const Task &chat = data->tasks[0], &plain = data->tasks[1], &question = data->tasks[2];
  const auto& messages = std::get<api::ChatPrompt>(chat.request.prompt);
  ASSERT_EQ(messages.messages.size(), 2u);
  EXPECT_EQ(messages.messages[0].role, api::Role::kSystem);
  EXPECT_EQ(messages.messages[1].content, "?");
  EXPECT_EQ(messages.thinking, std::optional(false));
  EXPECT_EQ(chat.expected, "42");
  EXPECT_EQ(chat.line, 3);
  EXPECT_EQ(std::get<api::TextPrompt>(plain.request.prompt).text, "1 + 1 =");
  ASSERT_EQ(plain.fields.size(), 2u);
  EXPECT_EQ(plain.fields[0], (std::pair<std::string, std::string>("sum", "2")));
  EXPECT_EQ(plain.fields[1], (std::pair<std::string, std::string>("text", "\"zwei\"")));
  EXPECT_EQ(std::get<api::ChatPrompt>(question.request.prompt).messages[0].content, "which card?");
  EXPECT_EQ(std::get<api::ChatPrompt>(question.request.prompt).thinking, std::nullopt);
  EXPECT_EQ(question.key, "H200");
  EXPECT_EQ(question.line, 5);
}

TEST(EvaluationDataTest, NamesLineAndFieldOfAMistake) {
  const struct {
    const char* line;
    const char* says;
  } cases[] = {
      {"{\"text\": ", "not valid JSON at byte"},
      {"[1]", "must be a JSON object"},
      {"{\"id\": 1}", "none of the fields 'text', 'messages'"},
      {R"({"text": 5})", "'text' must be a string that is not empty"},
      {R"({"text": ""})", "'text' must be a string that is not empty"},
      {R"({"text": "a", "special_tokens": 1})", "'special_tokens' must be true or false"},
      {R"({"text": "a", "text": "b"})", "the key 'text' twice"},
      {R"({"text": "a", "prompt": "b"})", "both 'text' and 'prompt'"},
      {R"({"prompt": "a"})", "no field 'expected'"},
      {R"({"prompt": "a", "expected": []})", "'expected' must be a text or an object"},
      {R"({"prompt": "a", "expected": {}})", "at least one field"},
      {R"({"prompt": "a", "expected": ""})", "'expected' must be a string that is not empty"},
      {R"({"prompt": "a", "expected": "b", "key": "c"})", "both 'expected' and 'key'"},
      {R"({"prompt": "a", "key": {"b": 1}})", "'key' must be a string"},
      {R"({"question": ["a"], "key": "b"})", "'question' must be a string"},
      {R"({"messages": [], "key": "b"})", "'messages' must be an array of 1 to 4096"},
      {R"({"messages": ["hi"], "key": "b"})", "'messages[0]' must be an object"},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}],)"
       R"( "key": "b"})",
       "'messages[1].role' must be"},
      {R"({"messages": [{"role": "user"}], "key": "b"})", "'messages[0].content' must be a string"},
      {R"({"question": "a", "thinking": "yes", "key": "b"})", "'thinking' must be true or false"},
      {"{\"text\": \"\xff\"}", "not valid JSON"},
  };
  for (const auto& c : cases) {
    const std::string error = ErrorOf(std::string("{\"text\": \"fine\"}\n") + c.line);
    EXPECT_THAT(error, HasSubstr(c.says)) << c.line;
    EXPECT_THAT(error, HasSubstr("d.jsonl line 2")) << c.line;
  }
  EXPECT_THAT(ErrorOf("\n \n"), HasSubstr("no line holds a text or a task"));
}

TEST(EvaluationDataTest, HoldsItsLimits) {
  const EvaluationLimits limits{
      .max_file_bytes = 100, .max_line_bytes = 40, .max_lines = 2, .max_depth = 4};
  const std::string line = "{\"text\": \"x\"}\n";
  EXPECT_EQ(ErrorOf(line + line, limits), "no error");
  EXPECT_THAT(ErrorOf(line + line + line, limits), HasSubstr("line 3: more than 2 lines"));
  EXPECT_THAT(ErrorOf("{\"text\": \"" + std::string(40, 'x') + "\"}", limits),
              HasSubstr("larger than the limit of 40 bytes"));
  EXPECT_THAT(ErrorOf(R"({"text": "a", "b": [[[[1]]]]})", limits), HasSubstr("deeper than 4"));

  const std::filesystem::path path = testing::TempDir() + "/evaluation_data_test.jsonl";
  ASSERT_TRUE(WriteFileAtomically(path, std::string(101, ' ')).has_value());
  EXPECT_THAT(ReadEvaluationData(path, limits).error().message, HasSubstr("limit of 100 bytes"));
  std::filesystem::remove(path);
  EXPECT_EQ(ReadEvaluationData(path, limits).error().code, ErrorCode::kNotFound);
}

TEST(EvaluationDataTest, DeepAndUnclosedLinesAreRefusedWhole) {
  const std::string deep(1 << 20, '[');
  EXPECT_THAT(ErrorOf(deep), HasSubstr("line 1"));
  EXPECT_THAT(ErrorOf("{\"text\":" + deep), HasSubstr("line 1"));
  EXPECT_THAT(ErrorOf(std::string(100, '\0')), HasSubstr("line 1"));
}

TEST(EvaluationDataTest, TheHeldOutQuestionsOfTheBuiltInModelAreTasks) {
  const auto data =
      ReadEvaluationData(std::filesystem::path(HADAL_SOURCE_DIR) / "models/demo/heldout.jsonl");
  ASSERT_TRUE(data.has_value()) << data.error().message;
  EXPECT_EQ(data->tasks.size(), 500u);
  EXPECT_EQ(data->name, "heldout.jsonl");
}

TEST(EvaluationDataTest, TheBuiltInTextIsEnglishAndChineseAndOfTheStatedSize) {
  const EvaluationData data = BuiltInEvaluationData();
  size_t bytes = 0, wide = 0;
  for (const EvaluationText& text : data.texts) {
    bytes += text.text.size();
    for (const char c : text.text) wide += (c & 0x80) != 0;
  }
  EXPECT_GE(data.texts.size(), 6u);
  EXPECT_GT(bytes, 12'000u);
  EXPECT_LT(bytes, 16'000u);
  EXPECT_GT(wide, bytes / 5);
  EXPECT_LT(wide, bytes / 2);
}

}  // namespace
}  // namespace hadal
