#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "kernels/blocks_fixture.h"

namespace hadal::kernels_test {
namespace {

struct Routed {
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

Routed RunRouter(Backend& backend, RouterArgs args, std::vector<float> logits, int64_t n_experts) {
  const auto rows = static_cast<int64_t>(logits.size()) / n_experts;
  Routed out{std::vector<int32_t>(static_cast<size_t>(rows * args.top_k), -1),
             Poison(rows * args.top_k)};
  args.logits = View(logits, {rows, n_experts});
  backend.Route(args, out.experts.data(), out.weights.data());
  return out;
}

// The gate written the other way round: rank groups, sort the experts of the kept ones. float
// scores, so that ties are the same ties.
Routed OracleRow(const RouterArgs& a, const float* logits, int n) {
  std::vector<float> s(static_cast<size_t>(n)), c;
  if (a.score == GateScore::kSigmoid) {
    for (int i = 0; i < n; ++i) s[static_cast<size_t>(i)] = 1.0f / (1.0f + std::exp(-logits[i]));
  } else {
    const float largest = *std::max_element(logits, logits + n);
    float sum = 0;
    for (int i = 0; i < n; ++i) sum += std::exp(logits[i] - largest);
    for (int i = 0; i < n; ++i) s[static_cast<size_t>(i)] = std::exp(logits[i] - largest) / sum;
  }
  c = s;
  for (int i = 0; a.bias && i < n; ++i) c[static_cast<size_t>(i)] += a.bias[i];
  const auto size = static_cast<size_t>(n / a.n_groups);
  std::vector<std::pair<float, int>> groups;  // negated score, id: sorts best first, low id first
  for (int g = 0; g < a.n_groups; ++g) {
    std::vector<float> values(c.begin() + g * static_cast<long>(size),
                              c.begin() + (g + 1) * static_cast<long>(size));
    std::sort(values.rbegin(), values.rend());
    const bool sum = a.group_score == GroupScore::kTopTwoSum && size > 1;
    groups.push_back({-(sum ? values[0] + values[1] : values[0]), g});
  }
  std::sort(groups.begin(), groups.end());
  std::vector<std::pair<float, int>> ranked;
  const int kept = a.group_score == GroupScore::kNone ? a.n_groups : a.top_groups;
  for (int i = 0; i < kept; ++i) {
    const int g = groups[static_cast<size_t>(i)].second;
    for (size_t e = static_cast<size_t>(g) * size; e < (static_cast<size_t>(g) + 1) * size; ++e) {
      ranked.push_back({-c[e], static_cast<int>(e)});
    }
  }
  std::sort(ranked.begin(), ranked.end());
  Routed out;
  float sum = 0;
  for (int k = 0; k < a.top_k; ++k) {
    out.experts.push_back(ranked[static_cast<size_t>(k)].second);
    out.weights.push_back(s[static_cast<size_t>(out.experts.back())]);
    sum += out.weights.back();
  }
  for (float& w : out.weights) w = (a.normalise ? w / (sum + 1e-20f) : w) * a.scale;
  return out;
}

TEST(Router, EveryVariantAgreesWithSortingTheExperts) {
  Random random(1);
  auto backend = Make(Config{}, 2);
  for (int i = 0; i < 200; ++i) {
    RouterArgs a;
    a.n_groups = 1 << random.Int(0, 3);
    const int n = a.n_groups * random.Int(2, 20);
    a.score = random.Int(0, 1) ? GateScore::kSigmoid : GateScore::kSoftmax;
    a.group_score = static_cast<GroupScore>(random.Int(0, 2));
    a.top_groups = random.Int(1, a.n_groups);
    a.top_k =
        random.Int(1, a.group_score == GroupScore::kNone ? n : a.top_groups * (n / a.n_groups));
    a.normalise = random.Int(0, 1);
    a.scale = 2.5f;
    const std::vector<float> bias = random.Normals(n, 2);
    if (random.Int(0, 1)) a.bias = bias.data();
    const int rows = random.Int(1, 9);
    std::vector<float> logits = random.Normals(int64_t{rows} * n);
    for (float& x : logits) x = std::round(x * 2) / 2;  // many ties
    const Routed out = RunRouter(*backend, a, logits, n);
    for (int r = 0; r < rows; ++r) {
      const Routed expected = OracleRow(a, logits.data() + r * n, n);
      for (int k = 0; k < a.top_k; ++k) {
        const auto at = static_cast<size_t>(r * a.top_k + k);
        EXPECT_EQ(out.experts[at], expected.experts[static_cast<size_t>(k)]);
        EXPECT_NEAR(out.weights[at], expected.weights[static_cast<size_t>(k)], 1e-5);
      }
    }
  }
}

TEST(Router, TiesGoToTheLowestId) {
  auto backend = Make(Config{}, 1);
  RouterArgs a;
  a.top_k = 3;
  EXPECT_EQ(RunRouter(*backend, a, std::vector<float>(8, 1.0f), 8).experts,
            (std::vector<int32_t>{0, 1, 2}));
}

TEST(Router, BiasChoosesButDoesNotWeigh) {
  auto backend = Make(Config{}, 1);
  RouterArgs a;
  a.score = GateScore::kSigmoid;
  a.top_k = 1;
  const std::vector<float> bias = {0, 5};
  a.bias = bias.data();
  const Routed out = RunRouter(*backend, a, {3.0f, 0.0f}, 2);
  EXPECT_EQ(out.experts[0], 1);
  EXPECT_FLOAT_EQ(out.weights[0], 0.5f);
}

// A masked group must lose even to experts whose biased score is below zero.
TEST(Router, RejectedGroupsStayRejectedUnderNegativeBiases) {
  auto backend = Make(Config{}, 1);
  RouterArgs a;
  a.score = GateScore::kSigmoid;
  a.group_score = GroupScore::kTopTwoSum;
  a.n_groups = 2;
  a.top_groups = 1;
  a.top_k = 2;
  const std::vector<float> bias = {-3, -3, -4, -4};
  a.bias = bias.data();
  EXPECT_EQ(RunRouter(*backend, a, {0, 1, 2, 3}, 4).experts, (std::vector<int32_t>{1, 0}));
}

TEST(Router, GroupsAreRankedByTheSumOfTwoOrByTheBest) {
  auto backend = Make(Config{}, 1);
  RouterArgs a;
  a.score = GateScore::kSigmoid;
  a.n_groups = 2;
  a.top_groups = 1;
  a.top_k = 1;
  const std::vector<float> logits = {3, -9, -9, 2, 2, -9};
  a.group_score = GroupScore::kMax;
  EXPECT_EQ(RunRouter(*backend, a, logits, 6).experts[0], 0);
  a.group_score = GroupScore::kTopTwoSum;
  EXPECT_EQ(RunRouter(*backend, a, logits, 6).experts[0], 3);
}

TEST(Router, RoutesWhatItScoredAsItRoutesLogits) {
  Random random(8);
  auto backend = Make(Config{}, 2);
  for (const auto& [experts, hidden, groups] : {std::array{9, 40, 1}, std::array{64, 512, 8}}) {
    const std::vector<float> values = random.Normals(int64_t{experts} * hidden);
    const std::vector<float> bias = random.Normals(experts);
    const auto router =
        backend->PrepareOne(Source(values, experts, hidden), WeightUse::kMultiplyF32);
    ASSERT_TRUE(router.has_value());
    RouterArgs args;
    args.bias = bias.data();
    args.group_score = GroupScore::kMax;
    args.n_groups = groups;
    args.top_groups = (groups + 1) / 2;
    args.top_k = 4;
    for (int rows : {1, 3, 4, 6, 130}) {
      std::vector<float> x = random.Normals(int64_t{rows} * hidden);
      std::vector<float> logits = Poison(rows * experts), scratch = logits;
      const Tensor in = View(x, {rows, hidden});
      backend->MatMul(in, **router, nullptr, View(logits, {rows, experts}));
      const Routed expected = RunRouter(*backend, args, logits, experts);
      for (int again = 0; again < 2; ++again) {
        Routed got{std::vector<int32_t>(expected.experts.size(), -1), Poison(rows * args.top_k)};
        args.logits = View(scratch, {rows, experts});
        backend->ScoreAndRoute(in, **router, args, got.experts.data(), got.weights.data());
        EXPECT_EQ(got.experts, expected.experts) << rows << " " << experts;
        EXPECT_EQ(got.weights, expected.weights) << rows << " " << experts;
      }
    }
  }
}

TEST(Router, NanLogitsStillGiveDistinctValidExperts) {
  auto backend = Make(Config{}, 1);
  RouterArgs a;
  a.top_k = 4;
  const std::vector<float> logits(6, std::numeric_limits<float>::quiet_NaN());
  std::vector<int32_t> experts = RunRouter(*backend, a, logits, 6).experts;
  std::sort(experts.begin(), experts.end());
  EXPECT_EQ(std::unique(experts.begin(), experts.end()), experts.end());
  EXPECT_GE(experts.front(), 0);
  EXPECT_LT(experts.back(), 6);
}

// ---- experts

class MoeOnEveryBackend : public OnEveryBackend {
 protected:
  const WeightUse use_ = GetParam().host_experts ? WeightUse::kHostExperts : WeightUse::kMultiply;
};

// A card with the experts of the host too.
std::vector<Config> MoeConfigs() {
  std::vector<Config> configs = AllConfigs();
  if (kProcessor == Processor::kCpu) return configs;
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kBf16}) {
    configs.push_back({BestIsa(), format, DType::kBf16, true});
  }
  return configs;
}

struct MoeProblem {
  int tokens, n_experts, hidden, ffn, top_k;
  std::vector<float> x, gate_up, down, weights, base;
  std::vector<int32_t> experts;

  MoeProblem(Random& random, int tokens_in, int n, int hidden_in, int ffn_in, int k)
      : tokens(tokens_in), n_experts(n), hidden(hidden_in), ffn(ffn_in), top_k(k) {
    x = random.Normals(int64_t{tokens} * hidden);
    gate_up = random.Normals(int64_t{n} * 2 * ffn * hidden, 0.2f);
    down = random.Normals(int64_t{n} * hidden * ffn, 0.2f);
    weights = random.Normals(int64_t{tokens} * k);
    base = random.Normals(int64_t{tokens} * hidden);
    std::vector<int32_t> ids(static_cast<size_t>(n));
    std::iota(ids.begin(), ids.end(), 0);
    for (int t = 0; t < tokens; ++t) {
      std::shuffle(ids.begin(), ids.end(), random.engine());
      experts.insert(experts.end(), ids.begin(), ids.begin() + k);
    }
  }

  std::vector<double> Expected(const Config& c) const {
    const std::vector<float> gu = AsStored(gate_up, c), dn = AsStored(down, c);
    std::vector<double> out(base.begin(), base.end());
    for (int t = 0; t < tokens; ++t) {
      for (int k = 0; k < top_k; ++k) {
        const int e = experts[static_cast<size_t>(t * top_k + k)];
        std::vector<double> h(static_cast<size_t>(2 * ffn));
        for (int f = 0; f < 2 * ffn; ++f) {
          for (int i = 0; i < hidden; ++i) {
            h[static_cast<size_t>(f)] +=
                double{gu[static_cast<size_t>((e * 2 * ffn + f) * hidden + i)]} *
                x[static_cast<size_t>(t * hidden + i)];
          }
        }
        for (int f = 0; f < ffn; ++f) {
          const double g = h[static_cast<size_t>(f)];
          h[static_cast<size_t>(f)] = g / (1 + std::exp(-g)) * h[static_cast<size_t>(ffn + f)];
        }
        for (int i = 0; i < hidden; ++i) {
          double y = 0;
          for (int f = 0; f < ffn; ++f) {
            y += h[static_cast<size_t>(f)] * dn[static_cast<size_t>((e * hidden + i) * ffn + f)];
          }
          out[static_cast<size_t>(t * hidden + i)] +=
              double{weights[static_cast<size_t>(t * top_k + k)]} * y;
        }
      }
    }
    return out;
  }

  std::vector<float> Run(Backend& b, const Weight& gu, const Weight& dn, int first, int n,
                         int64_t exact_rows = kAllRows) {
    std::vector<float> in(x.begin() + first * hidden, x.begin() + (first + n) * hidden);
    std::vector<float> out(base.begin() + first * hidden, base.begin() + (first + n) * hidden);
    MoeArgs a;
    a.x = View(in, {n, hidden});
    a.gate_up = &gu;
    a.down = &dn;
    a.experts = experts.data() + first * top_k;
    a.weights = weights.data() + first * top_k;
    a.top_k = top_k;
    a.out = View(out, {n, hidden});
    a.exact_rows = exact_rows;
    b.MixExperts(a);
    return out;
  }
};

TEST_P(MoeOnEveryBackend, AddsTheWeightedExpertsOfEachToken) {
  Random random(2);
  auto backend = Make(GetParam(), 3);
  const int shapes[][5] = {
      {1, 4, 32, 16, 2}, {33, 8, 72, 40, 3}, {600, 5, 24, 20, 2}, {5, 3, 130, 50, 3}};
  for (const auto& d : shapes) {
    MoeProblem p(random, d[0], d[1], d[2], d[3], d[4]);
    auto gu = PrepareStack(*backend, p.gate_up, p.n_experts, 2 * p.ffn, p.hidden, use_);
    auto dn = PrepareStack(*backend, p.down, p.n_experts, p.hidden, p.ffn, use_);
    EXPECT_LT(RelativeError(p.Run(*backend, *gu, *dn, 0, p.tokens), p.Expected(GetParam())),
              GetParam().tolerance() * 2)
        << p.tokens << " tokens";
  }
}

TEST_P(MoeOnEveryBackend, TokensDoNotDependOnTheirNeighboursOrThreads) {
  Random random(3);
  MoeProblem p(random, 37, 6, 200, 70, 3);
  auto one = Make(GetParam(), 1), three = Make(GetParam(), 3);
  auto gu1 = PrepareStack(*one, p.gate_up, 6, 140, 200, use_);
  auto dn1 = PrepareStack(*one, p.down, 6, 200, 70, use_);
  auto gu3 = PrepareStack(*three, p.gate_up, 6, 140, 200, use_);
  auto dn3 = PrepareStack(*three, p.down, 6, 200, 70, use_);
  const std::vector<float> all = p.Run(*one, *gu1, *dn1, 0, 37);
  EXPECT_EQ(all, p.Run(*three, *gu3, *dn3, 0, 37));
  for (int t = 0; t < 37; ++t) {
    const std::vector<float> expected(all.begin() + t * 200, all.begin() + (t + 1) * 200);
    EXPECT_EQ(p.Run(*three, *gu3, *dn3, t, 1), expected) << "token " << t;
  }
}

// Scratch memory of a large poisoned call is reused by the next one.
TEST_P(MoeOnEveryBackend, NothingLeaksFromOneCallToTheNext) {
  Random random(4);
  MoeProblem p(random, 9, 4, 100, 50, 2);
  auto backend = Make(GetParam(), 2), fresh = Make(GetParam(), 2);
  auto gu = PrepareStack(*backend, p.gate_up, 4, 100, 100, use_);
  auto dn = PrepareStack(*backend, p.down, 4, 100, 50, use_);
  MoeProblem poisoned(random, 40, 4, 100, 50, 2);
  poisoned.x = Poison(40 * 100);
  poisoned.Run(*backend, *gu, *dn, 0, 40);
  auto fresh_gu = PrepareStack(*fresh, p.gate_up, 4, 100, 100, use_);
  auto fresh_dn = PrepareStack(*fresh, p.down, 4, 100, 50, use_);
  EXPECT_EQ(p.Run(*backend, *gu, *dn, 0, 9), p.Run(*fresh, *fresh_gu, *fresh_dn, 0, 9));
}

// Both stacks in blocks, of different types; and a token alone gives what it gives among others.
TEST_P(MoeOnEveryBackend, ExpertsInBlocksAreTheDecodedOnes) {
  Random random(5);
  auto backend = Make(GetParam(), 3);
  const QuantType types[][2] = {{QuantType::kQ4_K, QuantType::kQ8_0},
                                {QuantType::kQ2_K, QuantType::kQ5_1},
                                {QuantType::kIQ4_XS, QuantType::kU4Z},
                                {QuantType::kQ6_K, QuantType::kMXFP4}};
  for (const auto& [first, second] : types) {
    const int tokens = kProcessor == Processor::kCpu ? 29 : 10;
    MoeProblem p(random, tokens, 5, 512, 96, 3);
    const BlockMatrix gu = RandomBlocks(first, 5 * 192, 512, random);
    const BlockMatrix dn = RandomBlocks(second, 5 * 512, 96, random);
    p.gate_up = gu.Decoded();
    p.down = dn.Decoded();
    const auto gu_stack = PrepareBlockStack(*backend, gu, 5, use_);
    const auto dn_stack = PrepareBlockStack(*backend, dn, 5, use_);
    const std::vector<float> all = p.Run(*backend, *gu_stack, *dn_stack, 0, tokens);
    const double tolerance = std::max(BlockTolerance(first, 1e-4), BlockTolerance(second, 1e-4));
    EXPECT_LT(RelativeError(all, p.Expected(Config{})), tolerance) << NameOf(first);
    for (int t = 0; t < tokens; ++t) {
      const std::vector<float> expected(all.begin() + t * 512, all.begin() + (t + 1) * 512);
      EXPECT_EQ(p.Run(*backend, *gu_stack, *dn_stack, t, 1), expected) << "token " << t;
    }
  }
}

// What is left to the reader of the sum comes to the same bits: with experts and a network of one
// type and of two, for one token and several, of lengths that are whole tiles and are not, and in a
// step, where a norm gives its rows in other forms as well.
TEST_P(MoeOnEveryBackend, ANetworkBesideTheExpertsAddsToTheirSum) {
  Random random(6);
  auto backend = Make(GetParam(), 2);
  constexpr int kHidden = 512, kFfn = 256;
  const QuantType types[][4] = {
      {QuantType::kQ4_K, QuantType::kQ6_K, QuantType::kQ4_K, QuantType::kQ8_0},
      {QuantType::kQ4_0, QuantType::kQ4_0, QuantType::kQ4_0, QuantType::kQ4_0},
      {QuantType::kQ6_K, QuantType::kQ4_K, QuantType::kQ4_K, QuantType::kQ5_0}};
  for (size_t i = 0; i <= std::size(types); ++i) {
    for (const int ffn : {96, 128}) {
      MoeProblem p(random, 3, 5, kHidden, ffn, 3);
      // In blocks, and after those of all types, not.
      const auto prepare = [&](size_t which, int64_t count, int64_t rows, int64_t cols,
                               WeightUse use) {
        return i < std::size(types)
                   ? PrepareBlockStack(*backend,
                                       RandomBlocks(types[i][which], count * rows, cols, random),
                                       count, use)
                   : PrepareStack(*backend, random.Normals(count * rows * cols, 0.1f), count, rows,
                                  cols, use);
      };
      const auto gate_up = prepare(0, 1, 2 * kFfn, kHidden, WeightUse::kMultiply);
      const auto down = prepare(1, 1, kHidden, kFfn, WeightUse::kMultiply);
      const auto gu = prepare(2, 5, 2 * ffn, kHidden, use_);
      const auto dn = prepare(3, 5, kHidden, ffn, use_);
      std::vector<float> norm = random.Normals(kHidden);
      for (int n : {1, 3}) {
        const Shape shape = {n, kHidden};
        std::vector<float> both = Poison(n * 2 * kFfn), product = Poison(n * kFfn);
        std::vector<float> in(p.x.begin(), p.x.begin() + n * kHidden), out = Poison(n * kHidden);
        const FfnArgs f{.x = View(in, shape),
                        .gate_up = gate_up.get(),
                        .down = down.get(),
                        .both = View(both, {n, 2 * kFfn}),
                        .product = View(product, {n, kFfn}),
                        .out = View(out, shape)};
        MoeArgs a;
        a.x = f.x;
        a.gate_up = gu.get();
        a.down = dn.get();
        a.experts = p.experts.data();
        a.weights = p.weights.data();
        a.top_k = p.top_k;
        a.out = f.out;
        const auto run = [&](bool apart, bool norms) {
          std::vector<float> x(p.base.begin(), p.base.begin() + n * kHidden), normed = x;
          if (apart) backend->FeedForward(f);
          if (apart) backend->MixExperts(a);
          const Delta delta = apart ? Delta(f.out) : backend->FeedForwardAndMix(f, a);
          if (!norms) {
            backend->Add(View(x, shape), delta);
          } else {
            backend->AddRmsNorm(View(x, shape), delta, norm.data(), 1e-5f, View(normed, shape));
            x.insert(x.end(), normed.begin(), normed.end());
          }
          return x;
        };
        const auto run_in_step = [&](bool apart) {
          std::vector<float> before(p.x.begin(), p.x.begin() + n * kHidden), result;
          std::vector<int32_t> index(static_cast<size_t>(n)), blocks(index);
          std::iota(index.begin(), index.end(), 0);
          std::vector<SeqChunk> chunks;
          for (int32_t r = 0; r < n; ++r) chunks.push_back({r, 1, 0, blocks.data()});
          const auto done =
              backend->RunStep({index, index, index, chunks, {}}, {0, 16}, {}, [&]() -> Tensor {
                backend->RmsNorm(View(before, shape), norm.data(), 1e-5f, f.x);
                result = run(apart, true);
                return {};
              });
          EXPECT_TRUE(done.has_value());
          return result;
        };
        for (bool norms : {false, true}) {
          const std::vector<float> expected = run(true, norms);
          EXPECT_EQ(run(false, norms), expected) << i << " " << n << " " << norms;
        }
        run_in_step(false);  // what it asks of the norm is there the next time
        const std::vector<float> in_step = run_in_step(false), apart = run_in_step(true);
        const std::vector<float> expected = run(true, true);
        EXPECT_EQ(in_step, expected) << i << " " << n << " " << ffn;
        EXPECT_EQ(apart, expected) << i << " " << n << " " << ffn;
      }
    }
  }
}

// Bit by bit what the CPU's backend adds to nothing: rows of answers, of prompts, of both, and more
// than are mixed at a time.
TEST(HostExperts, AreTheOnesOfTheCpu) {
  if (kProcessor == Processor::kCpu) GTEST_SKIP() << "of a card";
  Random random(7);
  for (const Isa isa : SupportedIsas()) {
    SCOPED_TRACE(NameOf(isa));
    const CpuBackendOptions options{.isa = isa, .weights = WeightFormat::kBf16, .threads = 2};
    const auto cpu = NewCpuBackend(options);
    ASSERT_TRUE(cpu.has_value());
    const auto card = Make({isa, WeightFormat::kBf16, DType::kBf16}, 2);
    MoeProblem p(random, 2100, 4, 64, 32, 2);
    const auto cpu_gu = PrepareStack(**cpu, p.gate_up, 4, 64, 64);
    const auto cpu_dn = PrepareStack(**cpu, p.down, 4, 64, 32);
    const auto gu = PrepareStack(*card, p.gate_up, 4, 64, 64, WeightUse::kHostExperts);
    const auto dn = PrepareStack(*card, p.down, 4, 64, 32, WeightUse::kHostExperts);
    EXPECT_EQ(gu->bytes(), cpu_gu->bytes());
    const std::vector<float> base = std::exchange(p.base, std::vector<float>(p.base.size(), 0.0f));
    for (const int exact : {2100, 2060, 5, 0}) {
      std::vector<float> expected = p.Run(**cpu, *cpu_gu, *cpu_dn, 0, 2100, exact);
      for (size_t i = 0; i < base.size(); ++i) expected[i] += base[i];
      MoeProblem of = p;
      of.base = base;
      EXPECT_EQ(of.Run(*card, *gu, *dn, 0, 2100, exact), expected) << exact;
    }
  }
}

// What goes wrong on the host's side is the step's error, and only that step's.
TEST(HostExperts, AnErrorFailsTheStep) {
  if (kProcessor == Processor::kCpu) GTEST_SKIP() << "of a card";
  Random random(6);
  const auto backend = Make({BestIsa(), WeightFormat::kBf16, DType::kBf16}, 2);
  MoeProblem p(random, 3, 4, 64, 32, 2);
  const auto gu = PrepareStack(*backend, p.gate_up, 4, 64, 64, WeightUse::kHostExperts);
  const auto dn = PrepareStack(*backend, p.down, 4, 64, 32, WeightUse::kHostExperts);
  const std::vector<float> expected = p.Run(*backend, *gu, *dn, 0, 3);
  std::vector<float> got;
  const auto step = [&] {
    const int32_t zeros[1] = {};
    const SeqChunk chunk{.n_rows = 1, .blocks = zeros};
    return backend->RunStep({zeros, zeros, zeros, {&chunk, 1}, {}}, {0, 16}, {}, [&] {
      got = p.Run(*backend, *gu, *dn, 0, 3);
      return Tensor{};
    });
  };
  for (const int32_t wrong : {-1, 4}) {
    const int32_t right = std::exchange(p.experts[3], wrong);
    const Status status = step();
    p.experts[3] = right;
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code, ErrorCode::kInternal);
    EXPECT_EQ(status.error().message, fmt::format("the card chose expert {} of 4", wrong));
    EXPECT_TRUE(step().has_value());
    EXPECT_EQ(got, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Experts, MoeOnEveryBackend, testing::ValuesIn(MoeConfigs()), ConfigName);

}  // namespace
}  // namespace hadal::kernels_test
