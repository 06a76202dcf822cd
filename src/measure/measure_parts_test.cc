// Arithmetic of the parts: distributions, tasks, budgets, the plan of a text, the logits' store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "measure/budget.h"
#include "measure/divergence.h"
#include "measure/logit_store.h"
#include "measure/task_score.h"
#include "measure/text_plan.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(DivergenceTest, IsTheSumOverTheVocabulary) {
  // p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): KL = 1/2 ln 2 - 1/4 ln 2.
  const std::vector<float> p = {std::log(2.f), 0, 0}, q = {7, 7, 7 + std::log(2.f)};
  const PositionLoss loss = CompareLogits(p, q, 2);
  EXPECT_NEAR(loss.kl, std::log(2.0) / 4, 1e-7);
  EXPECT_FALSE(loss.same_top);
  EXPECT_NEAR(loss.before, std::log(4.0), 1e-6);
  EXPECT_NEAR(loss.after, std::log(2.0), 1e-6);
}

TEST(DivergenceTest, EqualLogitsLoseNothingExactly) {
  const std::vector<float> p = {1e4f, -1e4f, 3.25f, 1e-30f};
  const PositionLoss loss = CompareLogits(p, p, std::nullopt);
  EXPECT_EQ(loss.kl, 0);
  EXPECT_TRUE(loss.same_top);
  EXPECT_FALSE(loss.has_target);
}

TEST(DivergenceTest, TiesGoToTheLowestId) {
  EXPECT_TRUE(CompareLogits(std::vector<float>{1, 5, 5}, std::vector<float>{1, 6, 5}, {}).same_top);
  EXPECT_FALSE(
      CompareLogits(std::vector<float>{1, 5, 5}, std::vector<float>{1, 5, 6}, {}).same_top);
}

TEST(DivergenceTest, SummaryHasTheNearestRankPercentileAndPerplexitiesOfTargetsOnly) {
  std::vector<PositionLoss> positions(200);
  for (size_t i = 0; i < 200; ++i) {
    positions[i].kl = static_cast<double>((i * 7) % 200 + 1);  // 1 .. 200 in some order
    positions[i].same_top = i % 4 == 0;
  }
  positions[3].has_target = positions[5].has_target = true;
  positions[3].before = 1, positions[3].after = 2;
  positions[5].before = 3, positions[5].after = 3;
  const TextLoss loss = Summarise(positions);
  EXPECT_EQ(loss.positions, 200);
  EXPECT_DOUBLE_EQ(loss.kl_mean, 100.5);
  EXPECT_NEAR(loss.kl_error, std::sqrt(200.0 * 201 / 12 / 200), 1e-12);  // of 1 .. 200
  EXPECT_EQ(loss.kl_p99, 198);
  EXPECT_EQ(loss.kl_max, 200);
  EXPECT_EQ(loss.top1, 0.25);
  EXPECT_EQ(loss.targets, 2);
  EXPECT_DOUBLE_EQ(loss.perplexity_before, std::exp(2.0));
  EXPECT_DOUBLE_EQ(loss.perplexity_after, std::exp(2.5));
}

Task FieldTask(std::vector<std::pair<std::string, std::string>> fields) {
  Task task;
  task.fields = std::move(fields);
  return task;
}

TEST(TaskScoreTest, F1IsMicroAveragedOverExpectedAndAnsweredFields) {
  const std::vector<Task> tasks = {FieldTask({{"city", "\"Lagos\""}, {"days", "3"}}),
                                   FieldTask({{"city", "\"Oslo\""}}),
                                   FieldTask({{"list", "[1,2]"}, {"deep", "{\"a\":1,\"b\":2}"}})};
  const std::vector<TaskAnswer> answers = {
      {"Here: {\"city\": \"lagos\", \"days\": 3.0, \"extra\": null}", false},  // 1 of 3 right
      {"no idea", true},                                                       // none
      {"{x} {\"list\": [1, 2.0], \"deep\": {\"b\": 2, \"a\": 1}}", false}};    // both
  const TaskScore score = ScoreTasks(tasks, answers);
  EXPECT_EQ(score.tasks, 3);
  EXPECT_EQ(score.cut, 1);
  EXPECT_EQ(score.texts, 0);
  EXPECT_EQ(score.fields, 5);
  EXPECT_EQ(score.answered, 5);
  EXPECT_EQ(score.correct, 3);
  EXPECT_DOUBLE_EQ(score.field_f1, 2.0 * 3 / (5 + 5));
}

TEST(TaskScoreTest, TextsAreComparedWholeAndKeysAnywhere) {
  std::vector<Task> tasks(5);
  tasks[0].expected = "42 GB";
  tasks[1].expected = "42 GB";
  tasks[2].expected = "42 GB";
  tasks[3].key = "42 GB";
  tasks[4].key = "42 GB";
  const std::vector<TaskAnswer> answers = {{" 42 GB\n", false},
                                           {"42 GB.", false},
                                           {"42 gb", false},
                                           {"It takes 42 GB.", false},
                                           {"It takes 4 GB.", false}};
  const TaskScore score = ScoreTasks(tasks, answers);
  EXPECT_EQ(score.texts, 5);
  EXPECT_EQ(score.exact, 2);
  EXPECT_EQ(score.fields, 0);
  EXPECT_EQ(score.field_f1, 0);
}

TEST(TaskScoreTest, BracesInsideStringsDoNotCount) {
  EXPECT_EQ(FirstBraces(R"(a {"b": "}\"}", "c": {}} d {})"), R"({"b": "}\"}", "c": {}})");
  EXPECT_EQ(FirstBraces("{{{{"), std::nullopt);
  EXPECT_EQ(FirstBraces("}"), std::nullopt);
  EXPECT_EQ(FirstBraces(R"({"open)"), std::nullopt);
  EXPECT_EQ(FirstBraces(R"({"open\)"), std::nullopt);
}

TEST(TaskScoreTest, HostileAnswersHaveNoFields) {
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "{\"a\":";
  deep += "1" + std::string(1000, '}');
  for (const std::string& answer :
       {deep, std::string(1 << 20, '{'), std::string("{\"a\":1e999}")}) {
    const std::vector<Task> tasks = {FieldTask({{"a", "1"}})};
    const std::vector<TaskAnswer> answers = {{answer, false}};
    EXPECT_EQ(ScoreTasks(tasks, answers).answered, 0);
  }
}

LossReport Measured() {
  LossReport r;
  r.original = "a", r.other = "b.gguf", r.text_name = "built-in text 1", r.backend = "cpu";
  r.text = {.positions = 2048,
            .kl_mean = 0.03,
            .kl_p99 = 0.4,
            .kl_max = 1.5,
            .top1 = 0.9,
            .targets = 2000,
            .perplexity_before = 10,
            .perplexity_after = 10.5};
  r.parameters = 1000;
  r.bytes_before = 2000;
  r.bytes_after = 500;
  return r;
}

TEST(BudgetTest, SaysWhichFigureIsOverWhichLimit) {
  const auto over = [](std::string_view text) {
    const auto budget = ParseBudget(text);
    EXPECT_TRUE(budget.has_value()) << text;
    return OverBudget(Measured(), *budget);
  };
  EXPECT_TRUE(over("kl=0.03,p99=0.4,top1=0.9,ppl=0.06").empty());
  EXPECT_THAT(over("kl=0.02,p99=0.5"),
              ElementsAre("kl (mean KL divergence in nats) is 0.03, the budget is at most 0.02"));
  EXPECT_THAT(over("top1=0.95"), ElementsAre(HasSubstr("is 0.9, the budget is at least 0.95")));
  EXPECT_THAT(over("ppl=0.04"), ElementsAre(HasSubstr("is 0.05")));
  EXPECT_EQ(over("kl=0,p99=0").size(), 2u);
}

TEST(BudgetTest, TaskFiguresAreDropsAndNeedTasks) {
  LossReport r = Measured();
  r.before = TaskScore{.tasks = 9, .texts = 4, .exact = 4, .fields = 5, .field_f1 = 0.9};
  r.after = TaskScore{.tasks = 9, .texts = 4, .exact = 3, .fields = 5, .field_f1 = 0.95};
  EXPECT_TRUE(OverBudget(r, *ParseBudget("exact=0.25,f1=0")).empty());
  EXPECT_THAT(OverBudget(r, *ParseBudget("exact=0.2,f1=0")), ElementsAre(HasSubstr("0.25")));

  EvaluationData data{"d", {}, {FieldTask({{"a", "1"}})}};
  EXPECT_TRUE(CheckBudget(*ParseBudget("kl=1,f1=0"), data).has_value());
  EXPECT_THAT(CheckBudget(*ParseBudget("exact=0"), data).error().message, HasSubstr("'exact'"));
  EXPECT_THAT(CheckBudget(*ParseBudget("f1=0"), {}).error().message, HasSubstr("'f1'"));
}

TEST(BudgetTest, RefusesWhatIsNoLimit) {
  for (const char* text : {"", "kl", "kl=", "kl=x", "kl=-1", "kl=nan", "kl=1,", "kl=1,kl=2",
                           "top1=1.1", "speed=3", "kl=1 ", "kl=1e999"}) {
    EXPECT_FALSE(ParseBudget(text).has_value()) << text;
  }
}

TEST(ReportTest, JsonHasTheFiguresAndFitsTheMetadata) {
  LossReport r = Measured();
  r.original = r.other = std::string(255, 'n');
  r.text_name = r.task_name = std::string(255, 't');
  r.before = TaskScore{.tasks = 9, .texts = 4, .exact = 4, .fields = 5, .field_f1 = 1.0 / 3};
  r.after = r.before;
  const std::string text = ReportJson(r);
  EXPECT_LT(text.size(), 4096u);
  const auto j = nlohmann::json::parse(text);
  EXPECT_EQ(j["text"]["kl_mean_nats"], 0.03);
  EXPECT_EQ(j["text"]["perplexity"]["after"], 10.5);
  EXPECT_EQ(j["bits_per_weight"]["after"], 4.0);
  EXPECT_EQ(j["tasks"]["after"]["exact_rate"], 1.0);
  EXPECT_EQ(j["tasks"]["before"]["field_f1"], 1.0 / 3);
}

TEST(ReportTest, TextSaysOnWhatItWasMeasured) {
  const std::string en = ReportText(Measured(), false), zh = ReportText(Measured(), true);
  EXPECT_THAT(en, HasSubstr("built-in text 1, 2048 positions"));
  EXPECT_THAT(en, HasSubstr("4.00 bits per weight"));
  EXPECT_THAT(zh, HasSubstr("built-in text 1，2048 个位置"));
  EXPECT_THAT(zh, HasSubstr("困惑度: 10.0000 -> 10.5000"));
}

class Demo : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded = Tokenizer::Load(std::filesystem::path(HADAL_SOURCE_DIR) / "models/demo");
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
    tokenizer_ = std::move(*loaded);
  }
  std::unique_ptr<Tokenizer> tokenizer_;
};
using TextPlanTest = Demo;

TEST_F(TextPlanTest, SharesThePositionsAmongAllTexts) {
  const auto chunks = PlanText(*tokenizer_, BuiltInEvaluationData().texts, {2048, 512});
  ASSERT_TRUE(chunks.has_value());
  int64_t positions = 0;
  for (const TextChunk& chunk : *chunks) {
    EXPECT_GE(chunk.size(), 2u);
    EXPECT_LE(chunk.size(), 256u);
    positions += static_cast<int64_t>(chunk.size());
  }
  EXPECT_EQ(positions, 2048);
  EXPECT_EQ(chunks->size(), 8u);
}

TEST_F(TextPlanTest, CutsOneTextIntoChunksThatFollowEachOther) {
  const std::string text = BuiltInEvaluationData().texts[0].text;
  const std::vector<TokenId> ids = tokenizer_->Encode(text, Tokenizer::Special::kAsText);
  const auto chunks =
      PlanText(*tokenizer_, {{text, false}}, {static_cast<int64_t>(ids.size()) + 99, 200});
  ASSERT_TRUE(chunks.has_value());
  const size_t bos = tokenizer_->add_bos() ? 1 : 0;
  std::vector<TokenId> again;
  for (const TextChunk& chunk : *chunks) {
    if (bos == 1) EXPECT_EQ(chunk[0], *tokenizer_->bos());
    EXPECT_LE(chunk.size(), 200u);
    again.insert(again.end(), chunk.begin() + static_cast<ptrdiff_t>(bos), chunk.end());
  }
  again.resize(std::min(again.size(), ids.size()));
  EXPECT_TRUE(std::equal(again.begin(), again.end(), ids.begin()));
  EXPECT_GE(again.size() + 1, ids.size());  // a last chunk of one token is left out
}

TEST_F(TextPlanTest, SpecialTokensOfATextAreTextUnlessItSaysOtherwise) {
  const std::string text = "<｜begin▁of▁sentence｜>on<｜end▁of▁sentence｜>";
  const auto specials = [&](bool special_tokens) {
    const auto chunks = PlanText(*tokenizer_, {{text, special_tokens}}, {64, 64});
    EXPECT_TRUE(chunks.has_value());
    int64_t n = 0;
    for (const TextChunk& chunk : *chunks) {
      for (const TokenId id : chunk) n += tokenizer_->IsSpecial(id);
    }
    return n;
  };
  const int64_t bos = tokenizer_->add_bos() ? 1 : 0;
  EXPECT_EQ(specials(false), bos);
  EXPECT_EQ(specials(true), 2);  // the beginning once, and the end
}

TEST_F(TextPlanTest, RefusesATextWithoutANextToken) {
  EXPECT_FALSE(PlanText(*tokenizer_, {}, {64, 64}).has_value());
  EXPECT_FALSE(PlanText(*tokenizer_, {{"text", false}}, {1, 64}).has_value());
  EXPECT_FALSE(PlanText(*tokenizer_, {{"text", false}}, {64, 1}).has_value());
  EXPECT_FALSE(PlanText(*tokenizer_, {{"text", false}}, {0, 0}).has_value());
}

class LogitStoreTest : public testing::TestWithParam<size_t> {};

TEST_P(LogitStoreTest, GivesBackWhatWasKeptAndLeavesNoFile) {
  const std::filesystem::path directory = testing::TempDir() + "/logit_store_test";
  std::filesystem::create_directory(directory);
  auto store = LogitStore::Create(100, 33, {GetParam(), directory});
  ASSERT_TRUE(store.has_value()) << store.error().message;
  EXPECT_EQ((*store)->in_file(), GetParam() == 0);
  std::vector<float> values(100 * 33);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * 0.37f - 5;
  const std::span<const float> all(values);
  ASSERT_TRUE((*store)->Append(all.first(33 * 40)).has_value());
  ASSERT_TRUE((*store)->Append(all.subspan(33 * 40)).has_value());
  EXPECT_TRUE(std::filesystem::is_empty(directory));  // unlinked while it is in use
  std::vector<float> back(values.size());
  ASSERT_TRUE((*store)->ReadNext(std::span(back).first(33 * 64)).has_value());
  ASSERT_TRUE((*store)->ReadNext(std::span(back).subspan(33 * 64)).has_value());
  EXPECT_EQ(back, values);
  if (GetParam() == 0) {
    std::vector<float> more(33);
    EXPECT_FALSE((*store)->ReadNext(more).has_value());
  }
  std::filesystem::remove_all(directory);
}
INSTANTIATE_TEST_SUITE_P(MemoryAndFile, LogitStoreTest, testing::Values(0, 1u << 20));

TEST(LogitStoreRefusalTest, NamesTheBytesThatAreNeeded) {
  const auto store = LogitStore::Create(int64_t{1} << 40, 1 << 17, {0, testing::TempDir()});
  ASSERT_FALSE(store.has_value());
  EXPECT_THAT(store.error().message, HasSubstr("576460752303423488 bytes are needed"));
  EXPECT_FALSE(LogitStore::Create(int64_t{1} << 62, 1 << 17, {0, "/"}).has_value());
  EXPECT_FALSE(LogitStore::Create(10, 10, {0, "/nowhere"}).has_value());
}

}  // namespace
}  // namespace hadal
