#include "sampling/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>

#include "core/testing_row_summary.h"
#include "sampling/random.h"

namespace hadal {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Row {
  std::vector<float> logits;
  api::Sampling sampling;
  std::vector<TokenId> tokens = {};
  size_t n_prompt = 0;
  int choice = 0;

  SampledToken Sample() const {
    Sampler sampler(static_cast<int64_t>(logits.size()));
    std::vector<float> row = logits;
    SampledToken out;
    const Status status =
        sampler.Sample(row, {&sampling, sampling.seed.value_or(0), choice, tokens, n_prompt}, out);
    EXPECT_TRUE(status.has_value());
    return out;
  }
  // Counts of n draws at successive positions.
  std::map<TokenId, int> Draw(int n) const {
    Sampler sampler(static_cast<int64_t>(logits.size()));
    std::map<TokenId, int> counts;
    std::vector<TokenId> history = tokens;
    SampledToken out;
    for (int i = 0; i < n; ++i) {
      std::vector<float> row = logits;
      const SampleParams params{&sampling, sampling.seed.value_or(0), choice, history,
                                history.size()};
      EXPECT_TRUE(sampler.Sample(row, params, out).has_value());
      ++counts[out.id];
      history.push_back(0);
    }
    return counts;
  }
};

api::Sampling Greedy() {
  api::Sampling s;
  s.temperature = 0;
  return s;
}

// The same rules in double precision over a full sort.
struct Reference {
  std::vector<double> probability;  // of each token after all filters
};
Reference FullSort(const Row& row) {
  const api::Sampling& s = row.sampling;
  std::vector<double> l(row.logits.begin(), row.logits.end());
  for (const auto& [id, bias] : s.logit_bias) l[static_cast<size_t>(id)] += bias;
  for (size_t t = 0; t < l.size(); ++t) {
    const auto id = static_cast<TokenId>(t);
    if (std::count(row.tokens.begin(), row.tokens.end(), id) > 0) {
      l[t] = l[t] > 0 ? l[t] / s.repetition_penalty : l[t] * s.repetition_penalty;
    }
    const auto answer = row.tokens.begin() + static_cast<ptrdiff_t>(row.n_prompt);
    const auto count = static_cast<double>(std::count(answer, row.tokens.end(), id));
    if (count > 0) l[t] -= s.presence_penalty + s.frequency_penalty * count;
  }
  std::vector<size_t> order(l.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return l[a] > l[b] || (l[a] == l[b] && a < b); });
  if (s.top_k > 0 && static_cast<size_t>(s.top_k) < order.size()) {
    order.resize(static_cast<size_t>(s.top_k));
  }
  std::vector<double> p;
  double sum = 0;
  for (const size_t i : order) sum += std::exp((l[i] - l[order[0]]) / s.temperature);
  for (const size_t i : order) p.push_back(std::exp((l[i] - l[order[0]]) / s.temperature) / sum);
  double reached = 0;
  size_t kept = 0;
  while (kept < p.size() && (kept == 0 || reached < s.top_p)) reached += p[kept++];
  while (kept > 1 && p[kept - 1] < s.min_p * p[0]) --kept;
  Reference r;
  r.probability.resize(l.size());
  double total = 0;
  for (size_t i = 0; i < kept; ++i) total += p[i];
  for (size_t i = 0; i < kept; ++i) r.probability[order[i]] = p[i] / total;
  return r;
}

// The token a draw of u falls on, in id order; -1 when u is within 1e-5 of a border.
TokenId Pick(const Reference& r, double u) {
  double sum = 0;
  for (size_t i = 0; i < r.probability.size(); ++i) {
    if (r.probability[i] == 0) continue;
    sum += r.probability[i];
    if (std::fabs(sum - u) < 1e-5) return -1;
    if (u < sum) return static_cast<TokenId>(i);
  }
  return -1;
}

// Pearson's statistic against the reference, over tokens expected at least five times.
void ExpectFollows(const Row& row, int n) {
  const Reference r = FullSort(row);
  const auto counts = row.Draw(n);
  double statistic = 0;
  int cells = 0;
  for (size_t i = 0; i < r.probability.size(); ++i) {
    const auto it = counts.find(static_cast<TokenId>(i));
    const double seen = it == counts.end() ? 0 : it->second;
    if (r.probability[i] == 0) {
      EXPECT_EQ(seen, 0) << "token " << i << " was filtered out";
      continue;
    }
    const double expected = r.probability[i] * n;
    if (expected < 5) continue;
    statistic += (seen - expected) * (seen - expected) / expected;
    ++cells;
  }
  // Mean cells - 1, deviation sqrt(2 * cells): five deviations above is a wrong distribution.
  EXPECT_LT(statistic, cells + 5 * std::sqrt(2.0 * cells));
}

std::vector<float> RandomLogits(std::mt19937& rng, size_t n, float deviation) {
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> logits(n);
  for (float& l : logits) l = normal(rng);
  return logits;
}

TEST(Philox, GivesThePublishedKnownAnswers) {
  using V = std::array<uint32_t, 4>;
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}), (V{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (V{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Sampler, GreedyTakesTheLowestIdOnTies) {
  EXPECT_EQ((Row{{1, 5, 5, 2}, Greedy()}).Sample().id, 1);
  std::vector<float> many(1000, 0.25f);
  many[777] = many[333] = 3;
  EXPECT_EQ((Row{many, Greedy()}).Sample().id, 333);
}

TEST(Sampler, NeverChoosesALogitThatIsNotFinite) {
  EXPECT_EQ((Row{{kNan, kInf, -kInf, -5}, Greedy()}).Sample().id, 3);
  Row row{{kNan, 1, kInf, 1, -kInf}, {}};
  const auto counts = row.Draw(500);
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_TRUE(counts.contains(1) && counts.contains(3));
}

TEST(Sampler, OnlyTokensOfTheMaskAreChosenWhateverElseSays) {
  Sampler sampler(70);
  api::Sampling sampling;
  sampling.logit_bias = {{3, 100.0}};
  sampling.logprobs = true;
  std::vector<uint64_t> mask = {uint64_t{1} << 5, uint64_t{1} << 1};  // 5 and 65
  std::map<TokenId, int> counts;
  for (int i = 0; i < 200; ++i) {
    std::vector<float> row(70, 0.0f);
    row[3] = 50;
    SampledToken out;
    const std::vector<TokenId> tokens(static_cast<size_t>(i));
    SampleParams params{&sampling, 1, 0, tokens, 0};
    params.mask = mask;
    ASSERT_TRUE(sampler.Sample(row, params, out));
    ++counts[out.id];
    EXPECT_LT(out.logprob, -40) << "of the model's own distribution";
  }
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_GT(counts[5], 50);
  EXPECT_GT(counts[65], 50);
  mask = {uint64_t{1} << 5, 0};
  std::vector<float> row(70, 0.0f);
  row[5] = -kInf;
  SampledToken out;
  SampleParams params{&sampling, 1, 0, {}, 0};
  params.mask = mask;
  EXPECT_FALSE(sampler.Sample(row, params, out));
}

TEST(Sampler, RefusesARowWithoutAFiniteLogit) {
  Sampler sampler(3);
  std::vector<float> row = {kNan, -kInf, kInf};
  const api::Sampling s;
  SampledToken out;
  const Status status = sampler.Sample(row, {&s, 1, 0, {}, 0}, out);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kInternal);
}

TEST(Sampler, RepetitionPenaltyCountsPromptAndAnswerOnce) {
  Row row{{4, 3.5f, -1, -1.5f}, Greedy(), {0, 0, 0, 2}, 2};
  row.sampling.repetition_penalty = 1.2;  // 4 / 1.2 = 3.33 < 3.5
  EXPECT_EQ(row.Sample().id, 1);
  row.sampling.repetition_penalty = 1.1;  // 4 / 1.1 = 3.64, once although it occurs three times
  EXPECT_EQ(row.Sample().id, 0);
  Row negative{{-1, -1.5f}, Greedy(), {0}, 1};
  negative.sampling.repetition_penalty = 1.6;  // -1 * 1.6 < -1.5
  EXPECT_EQ(negative.Sample().id, 1);
}

TEST(Sampler, PresenceAndFrequencyPenaltiesCountTheAnswerOnly) {
  Row row{{2, 1.4f, 0}, Greedy(), {0, 0, 0, 0}, 2};
  row.sampling.presence_penalty = 0.5;  // 2 - 0.5 > 1.4
  EXPECT_EQ(row.Sample().id, 0);
  row.sampling.frequency_penalty = 0.1;  // 2 - 0.5 - 2 * 0.1 < 1.4
  EXPECT_EQ(row.Sample().id, 1);
  row.n_prompt = 4;  // nothing of it is answer
  EXPECT_EQ(row.Sample().id, 0);
  row.n_prompt = 2;
  row.sampling.frequency_penalty = -0.1;  // 2 - 0.5 + 0.2
  EXPECT_EQ(row.Sample().id, 0);
}

TEST(Sampler, LogitBiasOfOneHundredForcesAndForbids) {
  Row row{{3, 2, 1, 0}, {}};
  row.sampling.logit_bias = {{3, 100}};
  EXPECT_EQ(row.Draw(300).at(3), 300);
  row.sampling.logit_bias = {{0, -100}};
  const auto counts = row.Draw(300);
  EXPECT_FALSE(counts.contains(0));
  EXPECT_EQ(counts.size(), 3u);
}

TEST(Sampler, BiasCannotBringBackWhatTheModelForbids) {
  Row row{{-kInf, 1}, Greedy()};
  row.sampling.logit_bias = {{0, 100}};
  EXPECT_EQ(row.Sample().id, 1);
}

TEST(Sampler, TheSameSeedGivesTheSameTokensAndAnotherDoesNot) {
  std::mt19937 rng(5);
  Row row{RandomLogits(rng, 50, 0.5f), {}};
  const auto sequence = [&](uint64_t seed, int choice) {
    std::vector<TokenId> ids;
    row.sampling.seed = seed;
    row.choice = choice;
    row.tokens.clear();
    for (int i = 0; i < 40; ++i) {
      ids.push_back(row.Sample().id);
      row.tokens.push_back(0);
    }
    return ids;
  };
  EXPECT_EQ(sequence(1, 0), sequence(1, 0));
  EXPECT_NE(sequence(1, 0), sequence(2, 0));
  EXPECT_NE(sequence(1, 0), sequence(1, 1));
  EXPECT_NE(sequence(1, 0), sequence(1 + (uint64_t{1} << 32), 0)) << "all 64 bits of a seed count";
}

TEST(Sampler, FollowsTheDistribution) {
  std::mt19937 rng(11);
  for (const double temperature : {0.3, 1.0, 2.0}) {
    Row row{RandomLogits(rng, 60, 1.5f), {}};
    row.sampling.seed = 99;
    row.sampling.temperature = temperature;
    ExpectFollows(row, 40000);
    row.sampling.top_k = 7;
    ExpectFollows(row, 40000);
    row.sampling.top_p = 0.8;
    ExpectFollows(row, 40000);
    row.sampling.top_k = 0;
    ExpectFollows(row, 40000);
    row.sampling.min_p = 0.15;
    ExpectFollows(row, 40000);
  }
}

TEST(Sampler, TopPKeepsAtLeastOneTokenAndTheOneThatReachesIt) {
  Row row{{0, 0, 0, 0}, {}};  // a quarter each
  row.sampling.top_p = 1e-9;
  EXPECT_EQ(row.Draw(200).at(0), 200);
  row.sampling.top_p = 0.25;
  EXPECT_EQ(row.Draw(200).at(0), 200);
  row.sampling.top_p = 0.26;
  EXPECT_THAT(row.Draw(500), testing::ElementsAre(testing::Key(0), testing::Key(1)));
}

TEST(Sampler, MinPIsRelativeToTheMostLikely) {
  Row row{{std::log(0.5f), std::log(0.3f), std::log(0.2f)}, {}};
  row.sampling.min_p = 0.5;  // at least 0.25
  EXPECT_THAT(row.Draw(500), testing::ElementsAre(testing::Key(0), testing::Key(1)));
  row.sampling.min_p = 1;
  EXPECT_EQ(row.Draw(200).at(0), 200);
}

TEST(Sampler, TopKOfOneIsGreedyWithTheLowestIdOnTies) {
  Row row{{1, 4, 4, 0}, {}};
  row.sampling.top_k = 1;
  row.sampling.temperature = 2;
  EXPECT_EQ(row.Draw(200).at(1), 200);
}

TEST(Sampler, GivesWhatAFullSortGivesInRandomCases) {
  std::mt19937 rng(2024);
  const auto uniform = [&] { return std::uniform_real_distribution<double>()(rng); };
  int compared = 0;
  for (int i = 0; i < 4000; ++i) {
    Row row{RandomLogits(rng, 2 + rng() % 700, 0.2f + 4 * static_cast<float>(uniform())), {}};
    const auto n = static_cast<uint32_t>(row.logits.size());
    if (rng() % 4 == 0) {  // many ties
      for (float& l : row.logits) l = std::round(l);
    }
    api::Sampling& s = row.sampling;
    s.seed = rng();
    s.temperature = 0.1 + 1.9 * uniform();
    if (rng() % 2) s.top_p = 0.02 + 0.97 * uniform();
    if (rng() % 2) s.top_k = static_cast<int32_t>(1 + rng() % (n + 3));
    if (rng() % 3 == 0) s.min_p = uniform() * 0.3;
    if (rng() % 3 == 0) s.repetition_penalty = 0.5 + uniform();
    if (rng() % 3 == 0) s.presence_penalty = 4 * uniform() - 2;
    if (rng() % 3 == 0) s.frequency_penalty = 4 * uniform() - 2;
    for (uint32_t b = rng() % 4; b > 0; --b) {
      s.logit_bias.emplace_back(static_cast<int32_t>(rng() % n), 6 * uniform() - 3);
    }
    for (uint32_t t = rng() % 50; t > 0; --t) row.tokens.push_back(static_cast<TokenId>(rng() % n));
    row.n_prompt = row.tokens.empty() ? 0 : rng() % row.tokens.size();
    const double u = UniformDraw(*s.seed, 0, static_cast<int64_t>(row.tokens.size()));
    const TokenId expected = Pick(FullSort(row), u);
    if (expected < 0) continue;
    ++compared;
    ASSERT_EQ(row.Sample().id, expected) << "case " << i;
  }
  EXPECT_GT(compared, 3500);
}

TEST(Sampler, GivesWhatAFullSortGivesOverALargeVocabulary) {
  std::mt19937 rng(77);
  for (int i = 0; i < 24; ++i) {
    Row row{RandomLogits(rng, 20000, i % 3 == 0 ? 0.1f : 3), {}};
    if (i % 2 == 0) row.sampling.top_p = 0.5 + 0.02 * i;
    if (i % 4 == 1) row.sampling.top_k = 5000;
    if (i % 4 == 3) row.sampling.top_k = 100;
    row.sampling.seed = rng();
    const TokenId expected = Pick(FullSort(row), UniformDraw(*row.sampling.seed, 0, 0));
    if (expected >= 0) EXPECT_EQ(row.Sample().id, expected) << "case " << i;
  }
}

TEST(Sampler, LogprobsAreOfTheModelsOwnDistribution) {
  Row row{{1, 3, 3, 2}, Greedy()};
  row.sampling.logprobs = true;
  row.sampling.top_logprobs = 3;
  row.sampling.logit_bias = {{0, 50}};  // changes the choice, not the logprobs
  const SampledToken out = row.Sample();
  const double lse = std::log(std::exp(1.0) + 2 * std::exp(3.0) + std::exp(2.0));
  EXPECT_EQ(out.id, 0);
  EXPECT_NEAR(out.logprob, 1 - lse, 1e-6);
  ASSERT_EQ(out.top.size(), 3u);
  EXPECT_EQ(out.top[0].first, 1) << "ties by lowest id";
  EXPECT_EQ(out.top[1].first, 2);
  EXPECT_EQ(out.top[2].first, 3);
  EXPECT_NEAR(out.top[2].second, 2 - lse, 1e-6);
}

TEST(Sampler, TopLogprobsOfALargeRowAreThoseOfASort) {
  std::mt19937 rng(8);
  Row row{RandomLogits(rng, 129280, 2), {}};
  for (float& l : row.logits) l = std::round(l * 8) / 8;  // ties
  row.sampling.logprobs = true;
  row.sampling.top_logprobs = 20;
  std::vector<TokenId> order(row.logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<TokenId>(i);
  std::sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    const float x = row.logits[static_cast<size_t>(a)], y = row.logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  });
  const SampledToken out = row.Sample();
  ASSERT_EQ(out.top.size(), 20u);
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(out.top[i].first, order[i]) << i;
}

TEST(Sampler, ScratchOfOneRowDoesNotLeakIntoTheNext) {
  std::mt19937 rng(4);
  const Row plain{RandomLogits(rng, 300, 1), {}};
  Row penalised = plain;
  penalised.tokens = {1, 2, 2, 3};
  penalised.sampling.repetition_penalty = 5;
  penalised.sampling.frequency_penalty = 2;
  penalised.sampling.logprobs = true;
  penalised.sampling.top_k = 5;
  Sampler sampler(300);
  SampledToken out;
  for (int i = 0; i < 3; ++i) {
    for (const Row* row : {&std::as_const(penalised), &plain}) {
      std::vector<float> logits = row->logits;
      ASSERT_TRUE(sampler.Sample(logits, {&row->sampling, 0, 0, row->tokens, 0}, out).has_value());
      const SampledToken alone = row->Sample();
      EXPECT_EQ(out.id, alone.id);
      EXPECT_EQ(out.top, alone.top);
    }
  }
}

// ---- summaries

// The draw of a summary is that of its row, wherever it says that it is enough.
TEST(Summary, DrawsWhatTheRowDraws) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  int drawn = 0, refused = 0;
  for (int round = 0; round < 4000; ++round) {
    Row row;
    row.logits.resize(round % 3 == 0 ? 40 : 500);
    const float spread = round % 2 == 0 ? 1.0f : 4.0f;
    for (float& v : row.logits) v = std::round(normal(random) * spread * 8) / 8;  // with ties
    if (round % 5 == 0) row.logits[7] = kNan;
    if (round % 7 == 0) row.logits[9] = kInf;
    row.sampling.temperature = round % 4 == 0 ? 0 : 0.2 * (1 + round % 6);
    row.sampling.top_p = round % 3 == 1 ? 0.9 : 1.0;
    row.sampling.min_p = round % 5 == 2 ? 0.05 : 0.0;
    row.sampling.top_k = round % 6 == 3 ? 20 : 0;
    row.sampling.seed = static_cast<uint64_t>(round);
    const RowSummary summary = SummaryOf(row.logits, static_cast<float>(row.sampling.temperature));
    Sampler sampler(static_cast<int64_t>(row.logits.size()));
    SampledToken out;
    const auto enough =
        sampler.SampleSummary(summary, {&row.sampling, *row.sampling.seed, 0, {}, 0}, out);
    ASSERT_TRUE(enough.has_value());
    if (!*enough) {
      ++refused;
      continue;
    }
    ++drawn;
    ASSERT_EQ(out.id, row.Sample().id) << round;
  }
  EXPECT_GT(drawn, 2500);
  EXPECT_GT(refused, 300);
}

TEST(Summary, RefusesWhatItCannotKnow) {
  std::vector<float> flat(1000, 1.0f);
  const RowSummary summary = SummaryOf(flat, 1.0f);
  Sampler sampler(1000);
  SampledToken out;
  const auto draws = [&](const std::function<void(api::Sampling&)>& change) {
    api::Sampling s;
    change(s);
    const auto enough = sampler.SampleSummary(summary, {&s, 1, 0, {}, 0}, out);
    return enough.has_value() && *enough;
  };
  EXPECT_FALSE(draws([](api::Sampling&) {}));
  EXPECT_FALSE(draws([](api::Sampling& s) { s.top_p = 0.5; }));
  EXPECT_FALSE(draws([](api::Sampling& s) { s.min_p = 0.5; }));
  EXPECT_FALSE(draws([](api::Sampling& s) { s.top_k = 65; }));
  EXPECT_TRUE(draws([](api::Sampling& s) { s.top_k = 64; }));
  EXPECT_TRUE(draws([](api::Sampling& s) { s.top_p = 0.06; }));
  EXPECT_TRUE(draws([](api::Sampling& s) { s.temperature = 0; }));
  const std::function<void(api::Sampling&)> needs_row[] = {
      [](api::Sampling& s) { s.logprobs = true; },
      [](api::Sampling& s) { s.logit_bias = {{1, 2.0}}; },
      [](api::Sampling& s) { s.repetition_penalty = 1.1; },
      [](api::Sampling& s) { s.presence_penalty = 0.5; },
      [](api::Sampling& s) { s.frequency_penalty = 0.5; }};
  for (const auto& change : needs_row) {
    EXPECT_FALSE(draws([&](api::Sampling& s) {
      s.temperature = 0;
      change(s);
    }));
  }
}

TEST(Summary, AMaskIsKeptWhenNothingIsDrawn) {
  Row row;
  for (int i = 0; i < 200; ++i) row.logits.push_back(static_cast<float>(200 - i));
  const RowSummary summary = SummaryOf(row.logits, 0);
  Sampler sampler(200);
  SampledToken out;
  std::vector<uint64_t> mask(4);
  api::Sampling greedy = Greedy(), drawn;
  drawn.top_k = 5;
  mask[0] = uint64_t{1} << 12 | uint64_t{1} << 40;
  const auto allowed = sampler.SampleSummary(summary, {&greedy, 1, 0, {}, 0, mask}, out);
  ASSERT_TRUE(allowed.has_value() && *allowed);
  EXPECT_EQ(out.id, 12);
  EXPECT_FALSE(*sampler.SampleSummary(summary, {&drawn, 1, 0, {}, 0, mask}, out));
  mask = {0, 0, uint64_t{1} << 20, 0};  // token 148, beyond the summary
  EXPECT_FALSE(*sampler.SampleSummary(summary, {&greedy, 1, 0, {}, 0, mask}, out));
}

TEST(Summary, ARowWithoutAFiniteLogitIsAnError) {
  Sampler sampler(3);
  SampledToken out;
  const api::Sampling s = Greedy();
  EXPECT_FALSE(sampler.SampleSummary(RowSummary{}, {&s, 1, 0, {}, 0}, out).has_value());
}

}  // namespace
}  // namespace hadal
