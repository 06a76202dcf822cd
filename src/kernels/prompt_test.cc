// Rows of prompts: rounded to bf16 where the backend says so, and otherwise like any other.
#include "kernels/blocks_fixture.h"

namespace hadal::kernels_test {
namespace {

// |result - exact| <= kRounded |x| |w|: both sides lose at most 2^-9 of a value each.
constexpr double kRounded = 0x1p-8;

// A card has none of these; one stands for it.
std::vector<Isa> RoundingIsas() {
  if (kProcessor != Processor::kCpu) return {Isa::kRef};
  std::vector<Isa> isas;
  for (Isa isa : SupportedIsas()) {
    if (isa >= Isa::kAmxEmulated) isas.push_back(isa);
  }
  return isas;
}
// Those that round 16-bit weights at least.
std::vector<Isa> SixteenBitIsas() {
  std::vector<Isa> isas = RoundingIsas();
  if (kProcessor == Processor::kCpu && HasAvx512Bf16()) isas.push_back(Isa::kAvx512);
  return isas;
}

// Those that round blocks of a type: without tiles, the ones whose activations take two bytes.
std::vector<Isa> RoundingIsas(QuantType type) {
  const bool wide = cpu::kBlockFormats[static_cast<int>(type)].x_parts == 2;
  return wide ? SixteenBitIsas() : RoundingIsas();
}

std::vector<std::pair<Isa, int>> WithThreads(const std::vector<Isa>& isas,
                                             const std::vector<int>& threads) {
  std::vector<std::pair<Isa, int>> all;
  for (Isa isa : isas) {
    for (int n : threads) all.emplace_back(isa, n);
  }
  return all;
}

std::unique_ptr<Backend> Make(Isa isa, int threads, bool exact_prompts = false) {
  if constexpr (kProcessor != Processor::kCpu) {
    return MakeCuda({.prompts = exact_prompts ? PromptRounding::kExact : PromptRounding::kAuto,
                     .threads = threads});
  }
  CpuBackendOptions options;
  options.isa = isa;
  options.threads = threads;
  options.exact_prompts = exact_prompts;
  auto backend = NewCpuBackend(options);
  CHECK(backend.has_value());
  return std::move(*backend);
}

// On every kind of card that is emulated: kernels for one generation have others beside them.
template <class F>
void OnEachCard(const F& fn) {
  fn();
#ifdef HADAL_CUDA_EMULATED_TESTS
  const SmallCard other;
  fn();
#endif
}

struct Product {
  std::vector<float> x, bias;
  int64_t n, k;
  std::vector<float> Run(Backend& b, const Weight& w, int64_t row0, int64_t rows, int64_t exact) {
    std::vector<float> part(x.begin() + row0 * k, x.begin() + (row0 + rows) * k);
    std::vector<float> out = Poison(rows * n);
    b.MatMul(View(part, {rows, k}), w, bias.data(), View(out, {rows, n}), exact);
    return out;
  }
};

void CheckMatrixHere(Isa isa, const WeightSource& source, const std::vector<float>& decoded,
                     int64_t rows, Random& random) {
  SCOPED_TRACE(
      fmt::format("{} rows by {} x {} on {}", rows, source.rows, source.cols, NameOf(isa)));
  auto backend = Make(isa, 2), exact = Make(isa, 1, true), many = Make(isa, 7);
  const auto w = backend->PrepareOne(source), w_exact = exact->PrepareOne(source),
             w_many = many->PrepareOne(source);
  ASSERT_TRUE(w && w_exact && w_many);
  Product p{random.Normals(rows * source.cols), random.Normals(source.rows), source.rows,
            source.cols};
  const std::vector<float> answers = p.Run(*backend, **w, 0, rows, kAllRows);
  const std::vector<float> prompts = p.Run(*backend, **w, 0, rows, 0);
  EXPECT_LT(ProductError(prompts, p.x, decoded, p.bias.data(), p.k), kRounded);
  EXPECT_EQ(p.Run(*exact, **w_exact, 0, rows, 0), answers);
  EXPECT_EQ(p.Run(*many, **w_many, 0, rows, 0), prompts);  // in smaller parts
  // Some rows of each kind, and a row alone: the same bits as in their batch.
  const int64_t cut = random.Int(0, static_cast<int>(rows)),
                one = random.Int(0, static_cast<int>(rows) - 1);
  std::vector<float> mixed(answers.begin(), answers.begin() + cut * p.n);
  mixed.insert(mixed.end(), prompts.begin() + cut * p.n, prompts.end());
  EXPECT_EQ(p.Run(*backend, **w, 0, rows, cut), mixed);
  EXPECT_EQ(p.Run(*backend, **w, one, 1, 0),
            std::vector<float>(prompts.begin() + one * p.n, prompts.begin() + (one + 1) * p.n));
}

// Everything that must hold of a matrix: `decoded` are its values.
void CheckMatrix(Isa isa, const WeightSource& source, const std::vector<float>& decoded,
                 int64_t rows, Random& random) {
  OnEachCard([&] { CheckMatrixHere(isa, source, decoded, rows, random); });
}

TEST(PromptRows, BlocksOfEveryTypeAreRoundedOnceAndWhateverTheBatch) {
  Random random(1);
  for (QuantType type : AllQuantTypes()) {
    for (Isa isa : RoundingIsas(type)) {
      const int64_t k = TraitsOf(type).elements * random.Int(1, 5), n = random.Int(1, 300);
      const BlockMatrix m = RandomBlocks(type, n, k, random);
      SCOPED_TRACE(NameOf(type));
      CheckMatrix(isa, m.Source(), m.Decoded(), random.Int(1, 70), random);
    }
  }
}

TEST(PromptRows, SixteenBitWeightsOfRaggedShapesAreRoundedOnceAndWhateverTheBatch) {
  Random random(2);
  const int shapes[][3] = {{1, 1, 1},       {33, 17, 31}, {16, 129, 640},
                           {531, 20, 1100}, {5, 300, 70}, {140, 270, 136}};
  for (Isa isa : SixteenBitIsas()) {
    for (const auto& s : shapes) {
      std::vector<float> w = random.Normals(s[1] * s[2]);
      for (float& v : w) v = F16ToFloat(FloatToF16(v));
      WeightSource source = Source(w, s[1], s[2]);
      CheckMatrix(isa, source, w, s[0], random);
      source.stored = DType::kF16;
      CheckMatrix(isa, source, w, s[0], random);
    }
  }
}

TEST(PromptRows, OnlyMatricesThatAreRoundedMakePromptsDiffer) {
  if (kProcessor != Processor::kCpu) GTEST_SKIP() << "a card rounds these all";
  if (!HasAvx512Bf16()) GTEST_SKIP() << "this CPU has no AVX512_BF16";
  Random random(7);
  Product p{random.Normals(9 * 512), random.Normals(40), 40, 512};
  const std::vector<float> values = random.Normals(40 * 512);
  WeightSource bf16 = Source(values, 40, 512), f16 = bf16;
  f16.stored = DType::kF16;
  const BlockMatrix q4 = RandomBlocks(QuantType::kQ4_K, 40, 512, random);
  const BlockMatrix q6 = RandomBlocks(QuantType::kQ6_K, 40, 512, random);
  auto backend = Make(Isa::kAvx512, 1);
  const auto differs = [&](const Weight& w) {
    return p.Run(*backend, w, 0, 9, 0) != p.Run(*backend, w, 0, 9, kAllRows);
  };
  // What takes activations of one byte is exact; the others are rounded once they are half of all.
  const auto first = backend->PrepareOne(q4.Source()), second = backend->PrepareOne(q4.Source());
  const auto sixth = backend->PrepareOne(q6.Source());
  const auto head = backend->PrepareOne(bf16, WeightUse::kMultiplyExact);  // does not count
  EXPECT_FALSE(backend->rounds_prompts());
  EXPECT_FALSE(differs(**sixth));
  const auto half = backend->PrepareOne(f16);
  EXPECT_TRUE(backend->rounds_prompts());
  const auto whole = backend->PrepareOne(bf16);
  EXPECT_FALSE(differs(**first));
  for (const auto* w : {&sixth, &half, &whole}) EXPECT_TRUE(differs(***w));
}

TEST(PromptRows, TheGatedNetworkOfSixteenBitWeightsIsCloseToItsExactRows) {
  Random random(8);
  constexpr int64_t kHidden = 104, kFfn = 160, kRows = 37;
  std::vector<float> both(static_cast<size_t>(kRows * 2 * kFfn)),
      product(static_cast<size_t>(kRows * kFfn)), x = random.Normals(kRows * kHidden);
  const std::vector<float> gate_up = random.Normals(2 * kFfn * kHidden),
                           down = random.Normals(kHidden * kFfn);
  std::vector<float> alone;  // what one thread made of it
  for (const auto& [isa, threads] : WithThreads(SixteenBitIsas(), {1, 2, 7})) {
    SCOPED_TRACE(fmt::format("{}, {} threads", NameOf(isa), threads));
    auto backend = Make(isa, threads);
    const auto g = backend->PrepareOne(Source(gate_up, 2 * kFfn, kHidden));
    const auto d = backend->PrepareOne(Source(down, kHidden, kFfn));
    ASSERT_TRUE(g && d);
    const auto run = [&](int64_t exact) {
      std::vector<float> out = Poison(kRows * kHidden);
      backend->FeedForward({.x = View(x, {kRows, kHidden}),
                            .gate_up = g->get(),
                            .down = d->get(),
                            .both = View(both, {kRows, 2 * kFfn}),
                            .product = View(product, {kRows, kFfn}),
                            .out = View(out, {kRows, kHidden}),
                            .exact_rows = exact});
      return out;
    };
    const std::vector<float> answers = run(kAllRows), prompts = run(0);
    EXPECT_NE(answers, prompts);
    if (threads == 1) alone = prompts;
    EXPECT_EQ(prompts, alone);
    EXPECT_LT(RelativeError(prompts, {answers.begin(), answers.end()}), 1e-2);
    std::vector<float> mixed(answers.begin(), answers.begin() + 5 * kHidden);
    mixed.insert(mixed.end(), prompts.begin() + 5 * kHidden, prompts.end());
    EXPECT_EQ(run(5), mixed);
  }
}

// A backend may keep what it rounded for the products that follow: of the same values alone.
TEST(PromptRows, ProductsOfAStepSeeWhatWasWrittenLast) {
  Random random(9);
  constexpr int64_t kRows = 9, kIn = 64, kOut = 40;
  const std::vector<float> values = random.Normals(kOut * kIn), norm = random.Normals(kIn);
  const std::vector<float> before = random.Normals(kRows * kIn);
  std::vector<float> delta = random.Normals(kRows * kIn);
  const std::vector<int32_t> zeros(kRows);
  const SeqChunk chunk{0, kRows, 0, zeros.data(), true};
  const StepInput step{zeros, zeros, zeros, {&chunk, 1}, {}};
  for (Isa isa : SixteenBitIsas()) {
    auto backend = Make(isa, 2);
    const auto w = backend->PrepareOne(Source(values, kOut, kIn));
    ASSERT_TRUE(w);
    const Shape in{kRows, kIn};
    std::vector<float> x, normed, out[4];
    const auto product = [&](std::vector<float>& of, std::vector<float>& to) {
      backend->MatMul(View(of, in), **w, nullptr, View(to, {kRows, kOut}), 0);
    };
    const auto compute = [&] {
      product(x, out[0]);
      backend->Add(View(x, in), View(delta, in));
      product(x, out[1]);
      backend->RmsNorm(View(x, in), norm.data(), 1e-5f, View(normed, in));
      product(normed, out[2]);
      backend->AddRmsNorm(View(x, in), View(delta, in), norm.data(), 1e-5f, View(x, in));
      product(x, out[3]);
      return Tensor{};
    };
    const auto run = [&](bool as_step) {
      x = before;
      normed = Poison(kRows * kIn);
      for (auto& o : out) o = Poison(kRows * kOut);
      if (as_step) {
        EXPECT_TRUE(backend->RunStep(step, {0, 16}, {}, compute));
      } else {
        compute();
      }
      return std::vector<std::vector<float>>(out, out + 4);
    };
    const auto alone = run(false);
    EXPECT_EQ(run(true), alone) << NameOf(isa);
  }
}

TEST(PromptRows, AMatrixOfSeveralTypesIsMultipliedPartByPart) {
  Random random(3);
  for (QuantType type : {QuantType::kQ4_K, QuantType::kQ5_K}) {
    const BlockMatrix a = RandomBlocks(type, 40, 512, random);
    const BlockMatrix b = RandomBlocks(QuantType::kQ6_K, 25, 512, random);
    WeightSource source = a.Source();
    source.rows = 65;
    source.blocks.reset();
    source.mixed_blocks = {{40, type}, {25, QuantType::kQ6_K}};
    source.read_blocks = [&](int64_t row, int64_t n, std::byte* out) {
      const BlockMatrix& m = row < 40 ? a : b;
      m.Source().read_blocks(row < 40 ? row : row - 40, n, out);
    };
    std::vector<float> decoded = a.Decoded();
    for (float v : b.Decoded()) decoded.push_back(v);
    for (Isa isa : RoundingIsas(type)) CheckMatrix(isa, source, decoded, 37, random);
  }
}

TEST(PromptRows, WeightsThatMustStayFloatAreNotRounded) {
  Random random(4);
  for (Isa isa : RoundingIsas()) {
    auto backend = Make(isa, 2);
    const std::vector<float> w = random.Normals(20 * 100);
    const auto prepared = backend->PrepareOne(Source(w, 20, 100), WeightUse::kMultiplyF32);
    ASSERT_TRUE(prepared);
    Product p{random.Normals(9 * 100), random.Normals(20), 20, 100};
    EXPECT_EQ(p.Run(*backend, **prepared, 0, 9, 0), p.Run(*backend, **prepared, 0, 9, kAllRows));
  }
}

TEST(PromptRows, TheEmulatedUnitGivesTheBitsOfTheRealOne) {
  if (kProcessor != Processor::kCpu) GTEST_SKIP() << "of the CPU";
  if (BestIsa() != Isa::kAmx) GTEST_SKIP() << "this CPU has no AMX";
  Random random(5);
  for (QuantType type : AllQuantTypes()) {
    const BlockMatrix m = RandomBlocks(type, 70, 1024, random);
    Product p{random.Normals(50 * 1024), random.Normals(70), 70, 1024};
    std::vector<float> out[2];
    for (int i = 0; i < 2; ++i) {
      auto backend = Make(i == 0 ? Isa::kAmx : Isa::kAmxEmulated, 2);
      out[i] = p.Run(*backend, **backend->PrepareOne(m.Source()), 0, 50, 0);
    }
    EXPECT_EQ(out[0], out[1]) << NameOf(type);
  }
}

// A layer of experts and assignments to them; the last expert gets no row, the first one most.
struct Experts {
  int64_t hidden, count, top_k, rows;
  std::vector<float> x, weights;
  std::vector<int32_t> experts;

  Experts(Random& random, int64_t hidden_in, int64_t count_in, int64_t top_k_in, int64_t rows_in)
      : hidden(hidden_in), count(count_in), top_k(top_k_in), rows(rows_in) {
    x = random.Normals(rows * hidden);
    weights = random.Normals(rows * top_k);
    for (int64_t r = 0; r < rows; ++r) {
      const int first = random.Int(0, 2) == 0 ? random.Int(0, static_cast<int>(count) - 2) : 0;
      for (int64_t k = 0; k < top_k; ++k) {
        experts.push_back((first + static_cast<int>(k)) % static_cast<int>(count - 1));
      }
    }
  }
  std::vector<float> Run(Backend& backend, const Weight& gate_up, const Weight& down, int64_t row0,
                         int64_t n, int64_t exact) {
    std::vector<float> in(x.begin() + row0 * hidden, x.begin() + (row0 + n) * hidden);
    std::vector<float> out(static_cast<size_t>(n * hidden));
    backend.MixExperts({.x = View(in, {n, hidden}),
                        .gate_up = &gate_up,
                        .down = &down,
                        .experts = experts.data() + row0 * top_k,
                        .weights = weights.data() + row0 * top_k,
                        .top_k = static_cast<int>(top_k),
                        .out = View(out, {n, hidden}),
                        .exact_rows = exact});
    return out;
  }
  // Answers and prompts side by side; rows of prompts alone.
  void Check(Backend& backend, const Weight& gate_up, const Weight& down) {
    const auto run = [&](int64_t row0, int64_t n, int64_t exact) {
      return Run(backend, gate_up, down, row0, n, exact);
    };
    const std::vector<float> answers = run(0, rows, kAllRows), prompts = run(0, rows, 0);
    EXPECT_NE(answers, prompts);
    const auto values = [&](const std::vector<float>& v, int64_t first, int64_t n) {
      return std::vector<float>(v.begin() + first * hidden, v.begin() + (first + n) * hidden);
    };
    for (int64_t r = 0; r < rows; ++r) {
      const std::vector<float> exact = values(answers, r, 1);
      EXPECT_LT(RelativeError(values(prompts, r, 1), {exact.begin(), exact.end()}), 0.15) << r;
    }
    const int64_t cut = rows / 3, one = rows / 2;
    std::vector<float> mixed = values(answers, 0, cut);
    const std::vector<float> rest = values(prompts, cut, rows - cut);
    mixed.insert(mixed.end(), rest.begin(), rest.end());
    EXPECT_EQ(run(0, rows, cut), mixed);
    EXPECT_EQ(run(one, 1, 0), values(prompts, one, 1));
  }
};

TEST(PromptRows, ExpertsInBlocksTakeRowsOfEachKindAsTheyWouldAlone) {
  Random random(6);
  constexpr int64_t kHidden = 256, kFfn = 256, kExperts = 4;
  for (QuantType type : AllQuantTypes()) {
    SCOPED_TRACE(NameOf(type));
    const BlockMatrix gate_up = RandomBlocks(type, kExperts * 2 * kFfn, kHidden, random);
    const BlockMatrix down = RandomBlocks(type, kExperts * kHidden, kFfn, random);
    Experts e(random, kHidden, kExperts, 2, type == QuantType::kQ4_K ? 300 : 40);
    for (Isa isa : RoundingIsas(type)) {
      OnEachCard([&] {
        auto backend = Make(isa, 2);
        const auto g = PrepareBlockStack(*backend, gate_up, kExperts);
        const auto d = PrepareBlockStack(*backend, down, kExperts);
        e.Check(*backend, *g, *d);
      });
    }
  }
}

TEST(PromptRows, ExpertsOfRaggedShapesTakeRowsOfEachKindAsTheyWouldAlone) {
  if (kProcessor == Processor::kCpu) GTEST_SKIP() << "the CPU leaves such experts exact";
  Random random(9);
  const int shapes[][3] = {{72, 40, 330}, {104, 24, 33}, {200, 136, 70}};  // hidden, ffn, rows
  for (const auto& s : shapes) {
    const int64_t hidden = s[0], ffn = s[1];
    constexpr int64_t kExperts = 4;
    const std::vector<float> gate_up = random.Normals(kExperts * 2 * ffn * hidden),
                             down = random.Normals(kExperts * hidden * ffn);
    Experts e(random, hidden, kExperts, 2, s[2]);
    for (Isa isa : SixteenBitIsas()) {
      OnEachCard([&] {
        auto backend = Make(isa, 2);
        const auto g = PrepareStack(*backend, gate_up, kExperts, 2 * ffn, hidden);
        const auto d = PrepareStack(*backend, down, kExperts, hidden, ffn);
        e.Check(*backend, *g, *d);
      });
    }
  }
}

}  // namespace
}  // namespace hadal::kernels_test
