// Matrices and tables whose source holds F16 values keep them exactly, on every instruction set.
#include <algorithm>
#include <bit>

#include "kernels/backend_fixture.h"
#include "kernels/cpu/cpu_weight.h"
#include "kernels/cpu/kernel_table.h"

namespace hadal::kernels_test {
namespace {

WeightSource F16Source(const std::vector<float>& values, int64_t rows, int64_t cols) {
  WeightSource source = Source(values, rows, cols);
  source.stored = DType::kF16;
  return source;
}

std::vector<float> Halves(Random& random, int64_t n, float scale = 0.1f) {
  std::vector<float> v = random.Normals(n, scale);
  for (float& x : v) x = F16ToFloat(FloatToF16(x));
  return v;
}

// Every F16 value that is finite: zeros of both signs, subnormals and normals.
std::vector<float> AllHalves() {
  std::vector<float> v;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7c00) != 0x7c00) v.push_back(F16ToFloat(static_cast<uint16_t>(bits)));
  }
  return v;
}

struct Product {
  int64_t rows, n, k;
  std::vector<float> x, w, bias;

  Product(Random& random, int64_t rows_in, int64_t n_in, int64_t k_in, float scale = 0.1f)
      : rows(rows_in),
        n(n_in),
        k(k_in),
        x(random.Normals(rows * k)),
        w(Halves(random, n * k, scale)),
        bias(random.Normals(n, scale)) {}

  std::vector<double> Expected() const {
    std::vector<double> out;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = bias[static_cast<size_t>(j)];
        for (int64_t i = 0; i < k; ++i) {
          sum += double{x[static_cast<size_t>(r * k + i)]} * w[static_cast<size_t>(j * k + i)];
        }
        out.push_back(sum);
      }
    }
    return out;
  }
  std::vector<float> On(Backend& backend, const Weight& weight, int64_t first, int64_t count) {
    std::vector<float> part(x.begin() + first * k, x.begin() + (first + count) * k);
    std::vector<float> out = Poison(count * n);
    backend.MatMul(View(part, {count, k}), weight, bias.data(), View(out, {count, n}));
    return out;
  }
};

std::vector<Config> ExactConfigs() {
  std::vector<Config> configs = AllConfigs();
  std::erase_if(configs, [](const Config& c) { return c.format == WeightFormat::kInt8; });
  return configs;
}

class F16OnEveryBackend : public OnEveryBackend {};

// Summation order only, for AMX too: its bf16 tolerance would hide activations in two bf16 parts.
double Tolerance(int64_t k) { return k > 1000 ? 3e-6 : 1e-6; }

TEST_P(F16OnEveryBackend, ProductsAgreeWithDouble) {
  Random random(1);
  auto backend = Make(GetParam(), 2);
  std::vector<std::array<int, 3>> shapes = {{1, 1, 1},      {1, 16, 32},   {3, 17, 33},
                                            {7, 100, 130},  {2, 64, 257},  {70, 33, 129},
                                            {37, 150, 500}, {9, 70, 4099}, {1, 1000, 4100}};
  for (int i = 0; i < 25; ++i) {
    shapes.push_back({random.Int(1, 70), random.Int(1, 200), random.Int(1, 400)});
  }
  for (const auto& s : shapes) {
    Product p(random, s[0], s[1], s[2]);
    const auto w = backend->PrepareOne(F16Source(p.w, p.n, p.k));
    ASSERT_TRUE(w.has_value());
    EXPECT_LT(RelativeError(p.On(*backend, **w, 0, p.rows), p.Expected()), Tolerance(p.k))
        << p.rows << " x " << p.n << " x " << p.k;
  }
}

TEST_P(F16OnEveryBackend, SubnormalsAreMultipliedLikeOthers) {
  Random random(2);
  auto backend = Make(GetParam(), 2);
  for (const int rows : {1, 5, 40}) {
    Product p(random, rows, 50, 200, 1e-5f);  // normal F16 begins at 6.1e-5
    for (const float v : p.w) ASSERT_LT(std::fabs(v), 6.1e-5f);
    const auto w = backend->PrepareOne(F16Source(p.w, p.n, p.k));
    ASSERT_TRUE(w.has_value());
    EXPECT_LT(RelativeError(p.On(*backend, **w, 0, p.rows), p.Expected()), Tolerance(p.k)) << rows;
  }
}

// One value of k and an input of 1 give the weights themselves; and one of eight.
TEST_P(F16OnEveryBackend, EveryFiniteValueIsMultipliedExactly) {
  auto backend = Make(GetParam(), 2);
  std::vector<float> values = AllHalves();
  if (kProcessor != Processor::kCpu) {  // every 11th is enough of an emulated card's time
    for (size_t i = 0; i < values.size() / 11; ++i) values[i] = values[i * 11];
    values.resize(values.size() / 11);
  }
  const auto n = static_cast<int64_t>(values.size());
  for (const int64_t k : {1, 8}) {
    std::vector<float> in(static_cast<size_t>(n * k));
    for (int64_t i = 0; i < n; ++i)
      in[static_cast<size_t>(i * k + i % k)] = values[static_cast<size_t>(i)];
    const auto w = backend->PrepareOne(F16Source(in, n, k));
    ASSERT_TRUE(w.has_value());
    for (const int64_t rows : {1, 20}) {
      std::vector<float> x(static_cast<size_t>(rows * k), 1.0f), out = Poison(rows * n);
      backend->MatMul(View(x, {rows, k}), **w, nullptr, View(out, {rows, n}));
      for (int64_t r = 0; r < rows; ++r) {
        EXPECT_TRUE(std::equal(values.begin(), values.end(), out.begin() + r * n));
      }
    }
  }
}

TEST_P(F16OnEveryBackend, RowsDoNotDependOnBatchOrThreads) {
  Random random(3);
  Product p(random, 37, 150, kProcessor == Processor::kCpu ? 2500 : 1416);
  auto one = Make(GetParam(), 1), three = Make(GetParam(), 3);
  const auto w1 = one->PrepareOne(F16Source(p.w, p.n, p.k));
  const auto w3 = three->PrepareOne(F16Source(p.w, p.n, p.k));
  const std::vector<float> all = p.On(*one, **w1, 0, p.rows);
  EXPECT_EQ(all, p.On(*three, **w3, 0, p.rows));
  for (const int64_t rows : {1, 2, 3, 5, 6, 16, 17, 33}) {
    for (const int64_t first : {0, 4}) {
      EXPECT_EQ(p.On(*three, **w3, first, rows),
                std::vector(all.begin() + first * p.n, all.begin() + (first + rows) * p.n))
          << rows << " rows from " << first;
    }
  }
}

TEST_P(F16OnEveryBackend, AValueIsResidentInTwoBytesUnlessFloat32IsAskedFor) {
  auto backend = Make(GetParam(), 1);
  const std::vector<float> values(256 * 500, 0.5f);
  const bool f32 = GetParam().format == WeightFormat::kF32;
  const size_t bytes = values.size() * (f32 ? 4 : 2);
  EXPECT_EQ((*backend->PrepareOne(F16Source(values, 256, 500)))->bytes(), bytes);
  EXPECT_EQ((*backend->PrepareEmbedding(F16Source(values, 256, 500)))->bytes(), bytes);
  EXPECT_EQ((*backend->PrepareOne(F16Source(values, 256, 500), WeightUse::kMultiplyF32))->bytes(),
            values.size() * 4);
}

// A stack has one layout: where some sources hold values out of the range of F16, none is F16.
TEST_P(F16OnEveryBackend, AStackOfWhichSomeAreNotF16IsNot) {
  auto backend = Make(GetParam(), 1);
  const int64_t hidden = 32, ffn = 16, experts = 2;
  const auto up_size = static_cast<size_t>(2 * ffn * hidden);
  const std::vector<float> small(up_size, 0.5f), large(up_size, 1048576.0f);
  const WeightSource sources[] = {F16Source(small, 2 * ffn, hidden),
                                  Source(large, 2 * ffn, hidden)};
  const auto up = backend->Prepare(sources, WeightUse::kMultiply);
  const std::vector<float> down_values(static_cast<size_t>(hidden * ffn), 1.0f);
  const WeightSource downs[] = {F16Source(down_values, hidden, ffn),
                                F16Source(down_values, hidden, ffn)};
  const auto down = backend->Prepare(downs, WeightUse::kMultiply);
  ASSERT_TRUE(up.has_value() && down.has_value());
  std::vector<float> x(hidden, 1.0f / 32), out(hidden, 0.0f);
  const std::vector<float> weight = {1};
  for (int32_t expert = 0; expert < experts; ++expert) {
    const std::vector<int32_t> chosen = {expert};
    std::fill(out.begin(), out.end(), 0.0f);
    MoeArgs args;
    args.x = View(x, {1, hidden});
    args.gate_up = up->get();
    args.down = down->get();
    args.experts = chosen.data();
    args.weights = weight.data();
    args.top_k = 1;
    args.out = View(out, {1, hidden});
    backend->MixExperts(args);
    const double v = expert == 0 ? 0.5 : 1048576.0;
    const double expected = 16 * v * v / (1 + std::exp(-v));
    for (const float o : out) EXPECT_NEAR(o, expected, 1e-5 * expected) << expert;
  }
}

// Of one input, where each form takes x in other parts.
TEST_P(F16OnEveryBackend, ProductsOfSeveralFormsAreThoseOfEach) {
  Random random(31);
  auto backend = Make(GetParam(), 2);
  constexpr int64_t kK = 192, kMost = 20;
  Product halves(random, kMost, 40, kK), floats(random, kMost, 70, kK);
  floats.x = halves.x;
  const auto w = backend->PrepareOne(F16Source(halves.w, 40, kK));
  const auto v = backend->PrepareOne(Source(floats.w, 70, kK));
  ASSERT_TRUE(w && v);
  for (const int64_t rows : {1, 9, 20}) {
    std::vector<float> x(halves.x.begin(), halves.x.begin() + rows * kK);
    std::vector<float> of_w = Poison(rows * 40), of_v = Poison(rows * 70);
    const hadal::Product both[] = {{w->get(), halves.bias.data(), View(of_w, {rows, 40})},
                                   {v->get(), floats.bias.data(), View(of_v, {rows, 70})}};
    backend->MatMuls(View(x, {rows, kK}), both, kAllRows);
    EXPECT_EQ(of_w, halves.On(*backend, **w, 0, rows)) << rows;
    EXPECT_EQ(of_v, floats.On(*backend, **v, 0, rows)) << rows;
  }
}

INSTANTIATE_TEST_SUITE_P(F16, F16OnEveryBackend, testing::ValuesIn(ExactConfigs()), ConfigName);

class F16TableOnEveryBackend : public OnEveryBackend {};

TEST_P(F16TableOnEveryBackend, RowsComeBackBitByBit) {
  auto backend = Make(GetParam(), 2);
  const std::vector<float> values = AllHalves();
  for (const int64_t cols : {2, 31}) {  // 31 is one of the factors of their number
    const int64_t rows = static_cast<int64_t>(values.size()) / cols;
    const auto table = backend->PrepareEmbedding(F16Source(values, rows, cols));
    ASSERT_TRUE(table.has_value());
    std::vector<TokenId> ids;
    for (int64_t i = 0; i < rows; ++i) ids.push_back(static_cast<TokenId>(rows - 1 - i));
    std::vector<float> out = Poison(rows * cols);
    backend->Embed(**table, ids, View(out, {rows, cols}));
    for (int64_t i = 0; i < rows * cols; ++i) {
      const int64_t from = (rows - 1 - i / cols) * cols + i % cols;
      ASSERT_EQ(std::bit_cast<uint32_t>(out[static_cast<size_t>(i)]),
                std::bit_cast<uint32_t>(values[static_cast<size_t>(from)]));
    }
  }
}

// int8 is asked for to save memory: matrices of F16 values become int8 like others.
TEST(F16Weights, MatricesFollowInt8) {
  const std::vector<float> values(256 * 512, 0.5f);
  for (const Config& c : AllConfigs()) {
    if (c.format != WeightFormat::kInt8) continue;
    auto backend = Make(c, 1);
    EXPECT_EQ((*backend->PrepareOne(F16Source(values, 256, 512)))->bytes(),
              (*backend->PrepareOne(Source(values, 256, 512)))->bytes())
        << NameOf(c.isa);
  }
}

INSTANTIATE_TEST_SUITE_P(F16, F16TableOnEveryBackend, testing::ValuesIn(AllConfigs()), ConfigName);

// The reference backend keeps float32, so the definition itself is called here.
TEST(F16Kernels, EveryInstructionSetAgreesWithTheDefinition) {
  Random random(4);
  cpu::KernelTable table = {};
  cpu::FillRef(&table);
  for (const Isa isa : SupportedIsas()) {
#if defined(__x86_64__)
    if (isa == Isa::kAvx2) cpu::FillAvx2(&table);
    if (isa == Isa::kAvx512) cpu::FillAvx512(&table);
    if (isa == Isa::kAmxEmulated) cpu::FillAmxEmulated(&table);
    if (isa == Isa::kAmx) cpu::FillAmx(&table);
#endif
    for (int i = 0; i < 10; ++i) {
      const Product p(random, random.Int(1, 20), random.Int(1, 100), random.Int(1, 300));
      const int64_t panels = (p.n + cpu::kPanel - 1) / cpu::kPanel;
      std::vector<std::byte> packed(static_cast<size_t>(panels * cpu::PanelBytesF16(p.k)));
      cpu::PackRows(cpu::Layout::kPanelF16, p.w.data(), 0, p.n, p.k, packed.data());
      std::vector<float> out = Poison(p.rows * p.n);
      cpu::MatMulTile t = {};
      t.x = p.x.data();
      t.ldx = t.k = p.k;
      t.w = packed.data();
      t.bias = p.bias.data();
      t.out = out.data();
      t.ldo = t.n = p.n;
      t.m = p.rows;
      t.panel1 = panels;
      table.matmul_f16(t);
      EXPECT_LT(RelativeError(out, p.Expected()), Tolerance(p.k))
          << NameOf(isa) << " " << p.rows << " x " << p.n << " x " << p.k;
    }
  }
}

}  // namespace
}  // namespace hadal::kernels_test
