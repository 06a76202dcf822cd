// Summaries of rows of logits, against their definition.
#include "core/testing_row_summary.h"
#include "kernels/backend_fixture.h"

namespace hadal::kernels_test {
namespace {

std::vector<RowSummary> Summarise(Backend& backend, std::vector<float>& logits, int64_t vocab,
                                  const std::vector<float>& temperatures) {
  const auto rows = static_cast<int64_t>(temperatures.size());
  std::vector<int32_t> index(temperatures.size()), blocks(temperatures.size());
  std::iota(index.begin(), index.end(), 0);
  std::vector<SeqChunk> chunks;
  for (int32_t r = 0; r < rows; ++r) chunks.push_back({r, 1, 0, blocks.data()});
  std::vector<RowSummary> summaries(temperatures.size());
  StepResult result;
  result.summaries = summaries.data();
  result.temperatures = temperatures;
  const Status status = backend.RunStep({index, index, index, chunks, index}, {0, 16}, result,
                                        [&] { return View(logits, {rows, vocab}); });
  EXPECT_TRUE(status.has_value()) << status.error().message;
  return summaries;
}

TEST(Summaries, AgreeWithTheirDefinition) {
  Random random(1);
  auto backend = Make(Config{}, 1);
  for (const int64_t vocab : {1, 7, 63, 64, 65, 319, 1024, 1025, 5000, 32000, 33793, 152064}) {
    SCOPED_TRACE(vocab);
    const std::vector<float> temperatures = {0.0f, 1.0f, 0.3f};
    std::vector<float> logits = random.Normals(3 * vocab, 3);
    for (int64_t i = 0; i < vocab; ++i) {  // the second row: few values, so many ties
      float& v = logits[static_cast<size_t>(vocab + i)];
      v = std::round(v);
      if (i % 5 == 0) v = -std::numeric_limits<float>::infinity();
      if (i % 11 == 0) v = std::numeric_limits<float>::quiet_NaN();
      if (i % 13 == 0) v = std::numeric_limits<float>::infinity();
      if (i % 7 == 0) v = i % 2 == 0 ? 0.0f : -0.0f;
    }
    const auto got = Summarise(*backend, logits, vocab, temperatures);
    for (size_t r = 0; r < 3; ++r) {
      const auto row =
          std::span(logits).subspan(r * static_cast<size_t>(vocab), static_cast<size_t>(vocab));
      const RowSummary want = SummaryOf(row, temperatures[r]);
      ASSERT_EQ(got[r].n, want.n) << r;
      for (int32_t i = 0; i < want.n; ++i) {
        ASSERT_EQ(got[r].values[i], want.values[i]) << r << " " << i;
        ASSERT_EQ(got[r].ids[i], want.ids[i]) << r << " " << i;
      }
      EXPECT_NEAR(got[r].mass, want.mass, 1e-5 * want.mass) << r;
    }
  }
}

// All of the likeliest tokens are neighbours, so there are many to choose from.
TEST(Summaries, OfRowsInOrderAgreeWithTheirDefinition) {
  auto backend = Make(Config{}, 1);
  for (const int64_t vocab : {300, 20000, 140001}) {
    std::vector<float> logits(static_cast<size_t>(3 * vocab));
    for (int64_t i = 0; i < vocab; ++i) {
      const float v = static_cast<float>(i) / static_cast<float>(vocab);
      logits[static_cast<size_t>(i)] = v;
      logits[static_cast<size_t>(vocab + i)] = 1 - v;
      logits[static_cast<size_t>(2 * vocab + i)] = 3;
    }
    const auto got = Summarise(*backend, logits, vocab, {1.0f, 0.7f, 1.0f});
    for (size_t r = 0; r < 3; ++r) {
      const auto n = static_cast<size_t>(vocab);
      const RowSummary want = SummaryOf(std::span(logits).subspan(r * n, n), r == 1 ? 0.7f : 1.0f);
      EXPECT_EQ(std::ranges::equal(got[r].ids, want.ids), true) << vocab << " " << r;
      EXPECT_EQ(std::ranges::equal(got[r].values, want.values), true) << vocab << " " << r;
      EXPECT_NEAR(got[r].mass, want.mass, 1e-5 * want.mass) << vocab << " " << r;
    }
  }
}

TEST(Summaries, OfRowsWithoutAFiniteLogitAreEmpty) {
  auto backend = Make(Config{}, 1);
  std::vector<float> logits(2000, std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(Summarise(*backend, logits, 2000, {1.0f})[0].n, 0);
}

}  // namespace
}  // namespace hadal::kernels_test
