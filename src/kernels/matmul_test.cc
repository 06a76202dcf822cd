#include "kernels/backend_fixture.h"

namespace hadal::kernels_test {
namespace {

struct Problem {
  int64_t rows, n, k;
  std::vector<float> x, w, bias;

  Problem(Random& random, int64_t rows_in, int64_t n_in, int64_t k_in)
      : rows(rows_in),
        n(n_in),
        k(k_in),
        x(random.Normals(rows * k)),
        w(random.Normals(n * k, 0.1f)),
        bias(random.Normals(n)) {}

  std::vector<double> Expected(const Config& c, bool with_bias) const {
    const std::vector<float> stored = AsStored(w, c);
    std::vector<double> out(static_cast<size_t>(rows * n));
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = with_bias ? bias[static_cast<size_t>(j)] : 0;
        for (int64_t i = 0; i < k; ++i) {
          sum += double{x[static_cast<size_t>(r * k + i)]} * stored[static_cast<size_t>(j * k + i)];
        }
        out[static_cast<size_t>(r * n + j)] = sum;
      }
    }
    return out;
  }
};

std::vector<float> Multiply(Backend& backend, Problem& p, const Weight& w, bool with_bias) {
  std::vector<float> out = Poison(p.rows * p.n);
  backend.MatMul(View(p.x, {p.rows, p.k}), w, with_bias ? p.bias.data() : nullptr,
                 View(out, {p.rows, p.n}));
  return out;
}

TEST_P(OnEveryBackend, MatMulAgreesWithDoubleOnRaggedShapes) {
  Random random(1);
  auto backend = Make(GetParam(), 2);
  const int shapes[][3] = {{1, 1, 1},     {1, 16, 32},   {3, 17, 33},    {7, 100, 130},
                           {2, 64, 257},  {70, 33, 129}, {37, 150, 500}, {1, 1000, 4100},
                           {9, 70, 4099}, {1, 40, 1408}, {18, 33, 1096}};
  for (const auto& s : shapes) {
    Problem p(random, s[0], s[1], s[2]);
    auto w = backend->PrepareOne(Source(p.w, p.n, p.k));
    ASSERT_TRUE(w.has_value());
    for (bool bias : {false, true}) {
      EXPECT_LT(RelativeError(Multiply(*backend, p, **w, bias), p.Expected(GetParam(), bias)),
                GetParam().tolerance())
          << s[0] << " x " << s[1] << " x " << s[2];
    }
  }
}

TEST_P(OnEveryBackend, MatMulAgreesWithDoubleOnRandomShapes) {
  Random random(2);
  auto backend = Make(GetParam(), 3);
  for (int i = 0; i < 25; ++i) {
    Problem p(random, random.Int(1, 70), random.Int(1, 200), random.Int(1, 400));
    auto w = backend->PrepareOne(Source(p.w, p.n, p.k));
    ASSERT_TRUE(w.has_value());
    EXPECT_LT(RelativeError(Multiply(*backend, p, **w, true), p.Expected(GetParam(), true)),
              // Few values of k average out less of the rounding to 8 bits.
              GetParam().tolerance() * (p.k < 16 ? 2 : 1))
        << p.rows << " x " << p.n << " x " << p.k;
  }
}

TEST_P(OnEveryBackend, WeightsKeptInF32StayExact) {
  Random random(3);
  auto backend = Make(GetParam(), 2);
  Problem p(random, 5, 40, 300);
  auto w = backend->PrepareOne(Source(p.w, p.n, p.k), WeightUse::kMultiplyF32);
  ASSERT_TRUE(w.has_value());
  EXPECT_LT(RelativeError(Multiply(*backend, p, **w, true), p.Expected(Config{}, true)), 1e-5);
}

TEST_P(OnEveryBackend, MatMulRowsDoNotDependOnBatchOrThreads) {
  Random random(4);
  auto one = Make(GetParam(), 1), three = Make(GetParam(), 3);
  // Rows of which the second is a whole number of 16 bytes in every format.
  for (const int64_t k : {2500, 1424}) {
    Problem batch(random, 37, 70, k);
    auto w1 = one->PrepareOne(Source(batch.w, batch.n, batch.k));
    auto w3 = three->PrepareOne(Source(batch.w, batch.n, batch.k));
    const std::vector<float> all = Multiply(*one, batch, **w1, true);
    EXPECT_EQ(all, Multiply(*three, batch, **w3, true));
    for (int64_t rows : {1, 2, 3, 5, 6, 16, 17, 33}) {
      for (int64_t first : {0, 4}) {
        Problem part = batch;
        part.rows = rows;
        part.x.assign(batch.x.begin() + first * k, batch.x.begin() + (first + rows) * k);
        const std::vector<float> out = Multiply(*three, part, **w3, true);
        const std::vector<float> expected(all.begin() + first * batch.n,
                                          all.begin() + (first + rows) * batch.n);
        EXPECT_EQ(out, expected) << rows << " rows from " << first;
      }
    }
  }
}

// Routers, of which prompts have many rows and answers few.
TEST_P(OnEveryBackend, ManyRowsOfFloatWeightsHaveTheBitsOfFew) {
  Random random(11);
  auto backend = Make(GetParam(), 2);
  for (const int64_t k : {8, 200, 1368}) {
    Problem many(random, 150, 70, k);
    const auto w = backend->PrepareOne(Source(many.w, many.n, many.k), WeightUse::kMultiplyF32);
    ASSERT_TRUE(w.has_value());
    const std::vector<float> all = Multiply(*backend, many, **w, true);
    EXPECT_LT(RelativeError(all, many.Expected(Config{}, true)), 1e-5);
    for (const int64_t rows : {1, 3, 130}) {
      Problem few = many;
      few.rows = rows;
      few.x.resize(static_cast<size_t>(rows * k));
      EXPECT_EQ(Multiply(*backend, few, **w, true),
                std::vector<float>(all.begin(), all.begin() + rows * many.n));
    }
  }
}

// Few rows of weights and many: what a card cuts in different ways.
TEST_P(OnEveryBackend, BatchesHaveTheBitsOfFewRows) {
  Random random(12);
  auto backend = Make(GetParam(), 2);
  constexpr int64_t kK = 1096, kRows = 100;
  Problem a(random, kRows, 40, kK), b(random, kRows, 330, kK);
  b.x = a.x;
  auto wa = backend->PrepareOne(Source(a.w, a.n, kK)),
       wb = backend->PrepareOne(Source(b.w, b.n, kK));
  const auto run = [&](int64_t first, int64_t rows) {
    std::vector<float> x(a.x.begin() + first * kK, a.x.begin() + (first + rows) * kK);
    std::vector<float> oa(static_cast<size_t>(rows * a.n)), ob(static_cast<size_t>(rows * b.n));
    const Product products[] = {{wa->get(), a.bias.data(), View(oa, {rows, a.n})},
                                {wb->get(), nullptr, View(ob, {rows, b.n})}};
    backend->MatMuls(View(x, {rows, kK}), products, kAllRows);
    return std::pair(oa, ob);
  };
  const auto few = run(kRows - 7, 7);
  EXPECT_LT(RelativeError(run(0, kRows).second, b.Expected(GetParam(), false)),
            GetParam().tolerance());
  for (const int64_t rows : {17, 32, 41, 100}) {
    const auto many = run(kRows - rows, rows);
    EXPECT_EQ(std::vector<float>(many.first.end() - 7 * a.n, many.first.end()), few.first) << rows;
    EXPECT_EQ(std::vector<float>(many.second.end() - 7 * b.n, many.second.end()), few.second)
        << rows;
    Problem p = b;
    p.rows = rows;
    p.x.assign(b.x.end() - rows * kK, b.x.end());
    EXPECT_EQ(Multiply(*backend, p, **wb, false), many.second) << rows;
  }
}

TEST_P(OnEveryBackend, AGatedNetworkOfABatchHasTheBitsOfFewRows) {
  Random random(13);
  auto backend = Make(GetParam(), 2);
  constexpr int64_t kHidden = 328, kRows = 70;
  for (const int64_t ffn : {24, 300}) {
    const std::vector<float> both = random.Normals(2 * ffn * kHidden, 0.1f),
                             down = random.Normals(ffn * kHidden, 0.1f),
                             x = random.Normals(kRows * kHidden);
    const auto gate_up = backend->PrepareOne(Source(both, 2 * ffn, kHidden)),
               of_down = backend->PrepareOne(Source(down, kHidden, ffn));
    const auto run = [&](int64_t rows) {
      std::vector<float> last(x.end() - rows * kHidden, x.end()), out = Poison(rows * kHidden);
      std::vector<float> scratch = Poison(rows * 2 * ffn), product = Poison(rows * ffn);
      backend->FeedForward({.x = View(last, {rows, kHidden}),
                            .gate_up = gate_up->get(),
                            .down = of_down->get(),
                            .both = View(scratch, {rows, 2 * ffn}),
                            .product = View(product, {rows, ffn}),
                            .out = View(out, {rows, kHidden})});
      return out;
    };
    const std::vector<float> few = run(7);
    for (const int64_t rows : {20, 33, 70}) {
      const std::vector<float> many = run(rows);
      EXPECT_EQ(std::vector<float>(many.end() - 7 * kHidden, many.end()), few)
          << rows << " " << ffn;
    }
  }
}

// One of them kept as float32, so that the operation takes several layouts.
TEST_P(OnEveryBackend, SeveralProductsOfOneInputAreThoseOfEach) {
  Random random(8);
  auto backend = Make(GetParam(), 3);
  Problem a(random, 9, 150, 256), b(random, 9, 40, 256), c(random, 9, 7, 256);
  a.x = b.x = c.x;
  auto wa = backend->PrepareOne(Source(a.w, a.n, a.k));
  auto wb = backend->PrepareOne(Source(b.w, b.n, b.k), WeightUse::kMultiplyF32);
  auto wc = backend->PrepareOne(Source(c.w, c.n, c.k));
  std::vector<float> oa(9 * 150), ob(9 * 40), oc(9 * 7);
  const Product products[] = {{wa->get(), a.bias.data(), View(oa, {9, 150})},
                              {wb->get(), nullptr, View(ob, {9, 40})},
                              {wc->get(), c.bias.data(), View(oc, {9, 7})}};
  for (int64_t exact : {kAllRows, int64_t{4}, int64_t{0}}) {
    backend->MatMuls(View(a.x, {9, 256}), products, exact);
    const auto alone = [&](Problem& p, const Weight& w, const float* bias) {
      std::vector<float> out(static_cast<size_t>(9 * p.n));
      backend->MatMul(View(p.x, {9, 256}), w, bias, View(out, {9, p.n}), exact);
      return out;
    };
    EXPECT_EQ(oa, alone(a, **wa, a.bias.data())) << exact;
    EXPECT_EQ(ob, alone(b, **wb, nullptr)) << exact;
    EXPECT_EQ(oc, alone(c, **wc, c.bias.data())) << exact;
  }
}

TEST_P(OnEveryBackend, ANanInTheInputOrTheWeightsIsNotHidden) {
  Random random(5);
  auto backend = Make(GetParam(), 1);
  Problem p(random, 3, 20, 300);
  p.x[300 + 7] = std::numeric_limits<float>::quiet_NaN();
  auto w = backend->PrepareOne(Source(p.w, p.n, p.k));
  std::vector<float> out = Multiply(*backend, p, **w, false);
  for (int j = 0; j < 20; ++j) {
    EXPECT_TRUE(std::isnan(out[static_cast<size_t>(20 + j)]));
    EXPECT_TRUE(std::isfinite(out[static_cast<size_t>(j)]));
  }
  Problem q(random, 2, 20, 300);
  q.w[5 * 300 + 299] = std::numeric_limits<float>::quiet_NaN();
  auto bad = backend->PrepareOne(Source(q.w, q.n, q.k));
  out = Multiply(*backend, q, **bad, false);
  EXPECT_TRUE(std::isnan(out[5]));
  EXPECT_TRUE(std::isfinite(out[4]));
}

TEST_P(OnEveryBackend, AnInfiniteActivationGivesInfinitiesOfTheRightSign) {
  if (GetParam().format == WeightFormat::kInt8) GTEST_SKIP() << "an infinity has no scale";
  Random random(6);
  auto backend = Make(GetParam(), 1);
  Problem p(random, 3, 20, 300);
  p.x[300 + 7] = -std::numeric_limits<float>::infinity();
  auto w = backend->PrepareOne(Source(p.w, p.n, p.k));
  const std::vector<float> out = Multiply(*backend, p, **w, false);
  for (size_t j = 0; j < 20; ++j) {
    const float expected = std::copysign(std::numeric_limits<float>::infinity(), -p.w[j * 300 + 7]);
    EXPECT_EQ(out[20 + j], expected);
    EXPECT_TRUE(std::isfinite(out[j]));
  }
}

TEST_P(OnEveryBackend, ResidentBytesFollowTheFormat) {
  auto backend = Make(GetParam(), 1);
  const std::vector<float> values(256 * 512, 0.5f);
  auto w = backend->PrepareOne(Source(values, 256, 512));
  const double per_value = static_cast<double>((*w)->bytes()) / (256 * 512);
  const double expected[] = {4, 2, 1 + 1.0 / 16};
  EXPECT_DOUBLE_EQ(per_value, expected[static_cast<int>(GetParam().format)]);
}

TEST(Backend, RefusesShapesThatDoNotFit) {
  auto backend = Make(Config{}, 1);
  const std::vector<float> values(12);
  const WeightSource sources[] = {Source(values, 3, 4), Source(values, 4, 3)};
  auto w = backend->Prepare(sources, WeightUse::kMultiply);
  ASSERT_FALSE(w.has_value());
  EXPECT_EQ(w.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(backend->PrepareOne(Source(values, 0, 4)).has_value());
  EXPECT_FALSE(backend->PrepareOne(Source(values, int64_t{1} << 40, 1 << 20)).has_value());
}

TEST(Backend, RefusesWhatThisCpuDoesNotRun) {
  if (BestIsa() == Isa::kAmx) GTEST_SKIP() << "this CPU runs every isa";
  auto backend = NewCpuBackend({.isa = Isa::kAmx});
  ASSERT_FALSE(backend.has_value());
  EXPECT_EQ(backend.error().field, "isa");
  EXPECT_NE(backend.error().message.find("it runs ref"), std::string::npos);
}

TEST(Backend, RefusesImpossibleThreadsAndCacheTypes) {
  EXPECT_FALSE(NewCpuBackend({.threads = 0}).has_value());
  EXPECT_FALSE(NewCpuBackend({.kv_dtype = DType::kI8}).has_value());
}

TEST(WeightFormat, NamesParseBack) {
  for (auto f : {WeightFormat::kF32, WeightFormat::kBf16, WeightFormat::kInt8}) {
    EXPECT_EQ(*ParseWeightFormat(NameOf(f)), f);
  }
  EXPECT_FALSE(ParseWeightFormat("int4").has_value());
}

INSTANTIATE_TEST_SUITE_P(MatMul, OnEveryBackend, testing::ValuesIn(AllConfigs()), ConfigName);

}  // namespace
}  // namespace hadal::kernels_test
