// The built-in model, which is trained, against the greedy answers that transformers computed for
// it in float32.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include "base/cpu_info.h"
#include "base/file.h"
#include "models/testing_golden.h"
#include "models/testing_model.h"

namespace hadal {
namespace {

constexpr const char* kGoldens = HADAL_SOURCE_DIR "/tests/golden/demo";
constexpr float kNearTie = 0.1f;  // below it rounding may choose the other token

struct Answer {
  std::vector<TokenId> prompt, output;  // output: with its end token
  double smallest_margin = 0;           // top 1 minus top 2, over the output
};

std::vector<TokenId> IdsOf(simdjson::dom::element array) {
  std::vector<TokenId> ids;
  const simdjson::dom::array numbers = array.get_array().value();
  for (const int64_t id : numbers) ids.push_back(static_cast<TokenId>(id));
  return ids;
}

std::vector<Answer> ReadAnswers() {
  std::vector<Answer> out;
  const auto text = ReadFile(std::string(kGoldens) + "/answers.jsonl", 1u << 20);
  EXPECT_TRUE(text.has_value()) << text.error().message;
  if (!text) return out;
  const simdjson::padded_string padded(*text);
  simdjson::dom::parser parser;
  simdjson::dom::document_stream stream;
  EXPECT_EQ(parser.parse_many(padded).get(stream), simdjson::SUCCESS);
  for (auto row : stream) {
    out.push_back({IdsOf(row["prompt_ids"].value()), IdsOf(row["output_ids"].value()),
                   row["smallest_margin"].get_double().value()});
    EXPECT_FALSE(out.back().output.empty());
    EXPECT_GT(out.back().smallest_margin, kNearTie) << "answer " << out.size() - 1;
  }
  EXPECT_GE(out.size(), 22u);
  return out;
}

TokenId Largest(std::span<const float> row) {
  return static_cast<TokenId>(std::max_element(row.begin(), row.end()) - row.begin());
}

class DemoTest : public testing::Test {
 protected:
  void Load(Isa isa, DType kv_dtype = DType::kBf16, WeightFormat weights = WeightFormat::kBf16) {
    model_.reset();
    backend_ = NewBackend(isa, MlaForm::kAuto, kv_dtype, weights);
    ASSERT_NE(backend_, nullptr);
    LoadOptions options;
    options.max_step_tokens = options.max_logit_rows = 128;
    auto model = LoadModel(HADAL_SOURCE_DIR "/models/demo", *backend_, options);
    ASSERT_TRUE(model.has_value()) << model.error().message;
    model_ = std::move(*model);
  }

  // Goes on from the prompt, one token per step, for `n` tokens.
  std::vector<TokenId> Greedy(const std::vector<TokenId>& prompt, size_t n) {
    constexpr int32_t kBlockTokens = 16;
    std::vector<TokenId> all = prompt;
    all.resize(prompt.size() + n);
    const int32_t n_blocks = static_cast<int32_t>(all.size()) / kBlockTokens + 2;
    auto kv = KvStorage::Allocate(*backend_, model_->kv_layout(), n_blocks, kBlockTokens);
    EXPECT_TRUE(kv.has_value());
    if (!kv) return {};
    TestSequence sequence(all, kBlockTokens, n_blocks - 1);
    const auto vocab = static_cast<size_t>(model_->info().vocab);
    for (size_t at = prompt.size(); at < all.size(); ++at) {
      TestStep step;
      step.Add(sequence, static_cast<int32_t>(at) - sequence.done, kBlockTokens);
      std::vector<float> logits(step.rows() * vocab);
      const Status status = model_->Forward(step.input(), **kv, logits.data());
      EXPECT_TRUE(status.has_value()) << status.error().message;
      if (!status) return {};
      sequence.tokens[at] = Largest(std::span(logits).last(vocab));
    }
    return {sequence.tokens.begin() + static_cast<ptrdiff_t>(prompt.size()), sequence.tokens.end()};
  }

  // How many tokens of the answer are the largest logit after the golden's own tokens before them.
  size_t TeacherForcedMatches(const Answer& answer) {
    std::vector<TokenId> ids = answer.prompt;
    ids.insert(ids.end(), answer.output.begin(), answer.output.end());
    const auto logits = AllLogits(*model_, *backend_, ids, 64);
    const auto vocab = static_cast<size_t>(model_->info().vocab);
    EXPECT_EQ(logits.size(), ids.size() * vocab);
    if (logits.size() != ids.size() * vocab) return 0;
    size_t matches = 0;
    for (size_t i = 0; i < answer.output.size(); ++i) {
      const size_t row = answer.prompt.size() + i - 1;
      matches += Largest(std::span(logits).subspan(row * vocab, vocab)) == answer.output[i];
    }
    return matches;
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
};

TEST_F(DemoTest, GreedyAnswersAgreeOnTheReference) {
  ASSERT_NO_FATAL_FAILURE(Load(Isa::kRef));
  const auto answers = ReadAnswers();
  for (size_t i = 0; i < answers.size(); i += 6) {  // it is slow
    EXPECT_EQ(Greedy(answers[i].prompt, answers[i].output.size()), answers[i].output) << i;
  }
}

TEST_F(DemoTest, GreedyAnswersAgreeOnTheBestInstructionSet) {
  ASSERT_NO_FATAL_FAILURE(Load(BestIsa()));
  const auto answers = ReadAnswers();
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(Greedy(answers[i].prompt, answers[i].output.size()), answers[i].output) << i;
  }
}

// int8 is a lossy format: weights and activations keep 8 bits, with a scale for each 128 of them.
// It is held to staying near: 4.0 % and no other token were measured on AVX2, 3.3 % on AVX-512.
TEST_F(DemoTest, Int8WeightsStayNearAndKeepTheAnswers) {
  if (BestIsa() == Isa::kRef) GTEST_SKIP() << "this CPU runs the reference only";
  const Golden golden = ReadGolden(kGoldens);
  const auto answers = ReadAnswers();
  for (const Isa isa : SupportedIsas()) {
    if (isa == Isa::kRef) continue;  // keeps float32
    SCOPED_TRACE(NameOf(isa));
    ASSERT_NO_FATAL_FAILURE(Load(isa, DType::kBf16, WeightFormat::kInt8));
    for (const int32_t chunk : {128, 1}) {
      const auto logits = AllLogits(*model_, *backend_, golden.ids, chunk);
      EXPECT_LE(RelativeError(logits, golden, 95), 0.06) << "chunks of " << chunk;
    }
    size_t matches = 0, positions = 0;
    for (const Answer& answer : answers) {
      matches += TeacherForcedMatches(answer);
      positions += answer.output.size();
    }
    EXPECT_GE(matches * 100, positions * 99) << matches << " of " << positions;
  }
}

}  // namespace
}  // namespace hadal
