#include "kernels/backend_fixture.h"

namespace hadal::kernels_test {
namespace {

class ElementwiseOnEveryBackend : public OnEveryBackend {};

std::vector<double> NormOracle(const std::vector<float>& x, const std::vector<float>& weight,
                               float eps) {
  const size_t n = weight.size();
  std::vector<double> out(x.size());
  for (size_t r = 0; r < x.size(); r += n) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += double{x[r + i]} * x[r + i];
    for (size_t i = 0; i < n; ++i) {
      out[r + i] = x[r + i] / std::sqrt(sum / static_cast<double>(n) + eps) * weight[i];
    }
  }
  return out;
}

TEST_P(ElementwiseOnEveryBackend, RmsNormAgreesWithDouble) {
  Random random(1);
  auto backend = Make(GetParam(), 3);
  for (int n : {1, 7, 16, 31, 64, 100, 128, 1536, 7168}) {
    for (int rows : {1, 5, 40}) {
      std::vector<float> x = random.Normals(int64_t{rows} * n), w = random.Normals(n);
      std::vector<float> out = Poison(int64_t{rows} * n);
      const std::vector<double> expected = NormOracle(x, w, 1e-6f);
      backend->RmsNorm(View(x, {rows, n}), w.data(), 1e-6f, View(out, {rows, n}));
      EXPECT_LT(RelativeError(out, expected), 1e-5) << n;
      backend->RmsNorm(View(x, {rows, n}), w.data(), 1e-6f, View(x, {rows, n}));
      EXPECT_EQ(x, out) << "in place, n " << n;
    }
  }
}

TEST_P(ElementwiseOnEveryBackend, AddRmsNormAddsThenNormalises) {
  Random random(2);
  auto backend = Make(GetParam(), 2);
  std::vector<float> x = random.Normals(6 * 77), delta = random.Normals(6 * 77);
  std::vector<float> w = random.Normals(77), out = Poison(6 * 77), sum = x;
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += delta[i];
  std::vector<float> y = x;
  backend->AddRmsNorm(View(x, {6, 77}), View(delta, {6, 77}), w.data(), 1e-5f, View(out, {6, 77}));
  EXPECT_EQ(x, sum);
  EXPECT_LT(RelativeError(out, NormOracle(sum, w, 1e-5f)), 1e-5);
  backend->Add(View(y, {6, 77}), View(delta, {6, 77}));
  EXPECT_EQ(y, sum);
}

TEST_P(ElementwiseOnEveryBackend, SwiGluAgreesWithDoubleOverTheWholeRange) {
  Random random(3);
  auto backend = Make(GetParam(), 2);
  for (int ffn : {1, 15, 16, 33, 1408}) {
    std::vector<float> both = random.Normals(int64_t{3} * 2 * ffn, 20), out = Poison(3 * ffn);
    both[0] = -200;  // silu underflows to -0
    std::vector<double> expected;
    for (int r = 0; r < 3; ++r) {
      for (int i = 0; i < ffn; ++i) {
        const double g = both[static_cast<size_t>(r * 2 * ffn + i)];
        expected.push_back(g / (1 + std::exp(-g)) *
                           both[static_cast<size_t>(r * 2 * ffn + ffn + i)]);
      }
    }
    backend->SwiGlu(View(both, {3, 2 * ffn}), View(out, {3, ffn}));
    for (size_t i = 0; i < out.size(); ++i) {
      EXPECT_NEAR(out[i], expected[i], 2e-6 * std::fabs(expected[i]) + 1e-30) << i;
    }
  }
}

TEST_P(ElementwiseOnEveryBackend, RopeRotatesTheDefinedPairs) {
  Random random(4);
  auto backend = Make(GetParam(), 2);
  for (int dims : {2, 8, 16, 24, 64, 128}) {
    for (auto pairing : {RopePairing::kHalfSplit, RopePairing::kAdjacent}) {
      const int heads = 3, head_dim = dims + 10, offset = 5, rows = 4, pairs = dims / 2;
      const std::vector<float> cos = random.Normals(20 * pairs), sin = random.Normals(20 * pairs);
      std::vector<float> x = random.Normals(rows * heads * head_dim);
      const std::vector<int32_t> positions = {0, 19, 7, 7};
      std::vector<double> expected(x.begin(), x.end());
      for (int t = 0; t < rows; ++t) {
        for (int h = 0; h < heads; ++h) {
          for (int i = 0; i < pairs; ++i) {
            const bool half = pairing == RopePairing::kHalfSplit;
            const int base = (t * heads + h) * head_dim + offset;
            const auto a = static_cast<size_t>(base + (half ? i : 2 * i));
            const auto b = static_cast<size_t>(base + (half ? i + pairs : 2 * i + 1));
            const auto at = static_cast<size_t>(positions[static_cast<size_t>(t)] * pairs + i);
            expected[a] = double{x[a]} * cos[at] - double{x[b]} * sin[at];
            expected[b] = double{x[b]} * cos[at] + double{x[a]} * sin[at];
          }
        }
      }
      backend->Rope(View(x, {rows, heads, head_dim}), offset,
                    {dims, pairing, cos.data(), sin.data()}, positions);
      EXPECT_LT(RelativeError(x, expected), 1e-6) << dims;
    }
  }
}

TEST_P(ElementwiseOnEveryBackend, StoreKvWritesItsColumnsOnly) {
  Random random(5);
  auto backend = Make(GetParam(), 2);
  std::vector<float> src = random.Normals(3 * 50);
  const std::vector<int32_t> slots = {9, 0, 4};
  for (DType dtype : {DType::kF32, DType::kBf16}) {
    std::vector<float> f32(10 * 40, -7);
    std::vector<uint16_t> half(10 * 40, FloatToBf16(-7));
    const bool bf16 = dtype == DType::kBf16;
    const KvView cache{bf16 ? static_cast<void*>(half.data()) : f32.data(), dtype, 40, 5};
    backend->StoreKv(View(src, {3, 50}), 11, 33, slots, 4, cache);
    for (int slot = 0; slot < 10; ++slot) {
      for (int d = 0; d < 40; ++d) {
        float expected = -7;
        for (int t = 0; t < 3; ++t) {
          if (slots[static_cast<size_t>(t)] == slot && d >= 4 && d < 37) {
            expected = src[static_cast<size_t>(t * 50 + 11 + d - 4)];
          }
        }
        const auto at = static_cast<size_t>(slot * 40 + d);
        if (bf16) {
          EXPECT_EQ(half[at], FloatToBf16(expected)) << slot << ' ' << d;
        } else {
          EXPECT_EQ(f32[at], expected) << slot << ' ' << d;
        }
      }
    }
  }
}

// Rows of a cache of F8_E4M3, stored at once or by their parts, are those of the definition; other
// slots stay.
TEST(Fp8Cache, StoresTheNearestCodesAndAPowerOfTwoForEveryGroup) {
  if (kProcessor == Processor::kCpu) GTEST_SKIP() << "a card's cache";
  Random random(8);
  auto backend = Make({}, 1);
  const std::vector<int32_t> slots = {3, 0};
  for (const KvRow& row : {KvRow{48, 16}, KvRow{84, 21}, KvRow{576, 128, 64}, KvRow{11, 128, 4}}) {
    std::vector<float> src = random.Normals(2 * row.width);
    for (float& v : src) v *= std::exp2(static_cast<float>(random.Int(-20, 20)));
    const float special[] = {0, -0.0f, 60000, -1e30f, 448, 449, 1.75f, 1e-40f};
    for (const float v : special) src[static_cast<size_t>(random.Int(0, 10))] = v;
    for (int64_t i = 0; i < 5; ++i) src[static_cast<size_t>(row.width + i)] = i == 0 ? NAN : 3;
    const float ties[16] = {448, 17, 19, -21, 0x1.8p-9f, 0x1.4p-7f};
    if (row.group == 16) std::ranges::copy(ties, src.end() - 16);
    const auto bytes = static_cast<size_t>(row.Bytes(DType::kF8E4M3));
    std::vector<uint8_t> expected(4 * bytes, 0x5a), whole = expected, parts = expected;
    for (size_t r = 0; r < 2; ++r) {
      const auto first = src.begin() + static_cast<std::ptrdiff_t>(r) * row.width;
      std::vector<float> values(first, first + row.width);
      EncodeFp8Row(row, values.data(), expected.data() + static_cast<size_t>(slots[r]) * bytes);
    }
    const KvView to{whole.data(), DType::kF8E4M3, row.width, 4, row.group, row.kept};
    KvView by_parts = to;
    by_parts.data = parts.data();
    const Tensor x = View(src, {2, row.width});
    backend->StoreKv(x, 0, row.width, slots, 0, to);
    for (int64_t at = 0; at < row.width;) {
      const int64_t end = at < row.codes() ? std::min(at + row.group, row.codes()) : row.width;
      backend->StoreKv(x, at, end - at, slots, at, by_parts);
      at = end;
    }
    EXPECT_EQ(whole, expected) << row.width;
    EXPECT_EQ(parts, expected) << row.width;
  }
}

// Within a step heads are rotated and stored by one kernel, outside by several.
TEST(Fp8Cache, HeadsAreStoredAsTheirPartsAre) {
  if (kProcessor == Processor::kCpu) GTEST_SKIP() << "a card's cache";
  Random random(9);
  auto backend = Make({}, 1);
  const KvRow row{210, 64, 18};
  std::vector<float> latent = random.Normals(3 * 192), part = random.Normals(3 * 18);
  std::vector<float> rotated = part, cos = random.Normals(8 * 9), sin = random.Normals(8 * 9);
  const RopeTable rope{18, RopePairing::kAdjacent, cos.data(), sin.data()};
  const std::vector<int32_t> slots = {3, 0, 2}, positions = {7, 0, 5}, none = {0};
  const std::vector<TokenId> tokens(3);
  const auto bytes = static_cast<size_t>(4 * row.Bytes(DType::kF8E4M3));
  std::vector<uint8_t> fused(bytes, 0x5a), separate = fused;
  KvView cache{fused.data(), DType::kF8E4M3, row.width, 4, row.group, row.kept};
  const auto heads = [&](std::vector<float>& x) {
    return std::vector<Heads>{
        {.x = View(latent, {3, 1, 192}), .cache = &cache},
        {.x = View(x, {3, 1, 18}), .rope = &rope, .cache = &cache, .at = 192}};
  };
  const StepInput step{tokens, positions, slots, {}, none};
  float nothing = 0;
  const Status done = backend->RunStep(step, {}, &nothing, [&] {
    backend->PrepareHeads(heads(part), positions, slots);
    return Tensor{};
  });
  ASSERT_TRUE(done.has_value());
  cache.data = separate.data();
  backend->PrepareHeads(heads(rotated), positions, slots);
  EXPECT_EQ(fused, separate);
  EXPECT_NE(separate, std::vector<uint8_t>(bytes, 0x5a));
}

TEST_P(ElementwiseOnEveryBackend, Bf16ConversionMatchesTheDefinitionForSpecialValues) {
  auto backend = Make(GetParam(), 1);
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> src = {0.0f,    -0.0f,          inf,
                            -inf,    1.0f + 0x1p-8f, 1.0f + 3 * 0x1p-8f,
                            3.4e38f, 1e-40f,         std::numeric_limits<float>::quiet_NaN(),
                            -1.5f};
  while (src.size() < 48) src.push_back(src[src.size() % 10]);
  std::vector<uint16_t> half(48);
  const std::vector<int32_t> slots = {0};
  backend->StoreKv(View(src, {1, 48}), 0, 48, slots, 0, {half.data(), DType::kBf16, 48, 1});
  for (size_t i = 0; i < 48; ++i) {
    if (std::isnan(src[i])) {
      EXPECT_TRUE(std::isnan(Bf16ToFloat(half[i])));
    } else {
      EXPECT_EQ(half[i], FloatToBf16(src[i])) << src[i];
    }
  }
}

TEST_P(ElementwiseOnEveryBackend, EmbedGatherAndCopyMoveWholeRows) {
  Random random(6);
  auto backend = Make(GetParam(), 2);
  const std::vector<float> values = random.Normals(30 * 19);
  auto table = backend->PrepareEmbedding(Source(values, 30, 19));
  ASSERT_TRUE(table.has_value());
  const std::vector<TokenId> ids = {29, 0, 7, 7};
  std::vector<float> out = Poison(4 * 19);
  backend->Embed(**table, ids, View(out, {4, 19}));
  for (size_t t = 0; t < 4; ++t) {
    for (size_t d = 0; d < 19; ++d) {
      const float v = values[static_cast<size_t>(ids[t]) * 19 + d];
      const bool f32 = GetParam().format == WeightFormat::kF32;
      EXPECT_EQ(out[t * 19 + d], f32 ? v : Bf16ToFloat(FloatToBf16(v)));
    }
  }
  const std::vector<int32_t> rows = {3, 1};
  std::vector<float> gathered = Poison(2 * 19), copied = Poison(2 * 19);
  backend->GatherRows(View(out, {4, 19}), rows, View(gathered, {2, 19}));
  EXPECT_TRUE(std::equal(gathered.begin(), gathered.begin() + 19, out.begin() + 3 * 19));
  EXPECT_TRUE(std::equal(gathered.begin() + 19, gathered.end(), out.begin() + 19));
  backend->CopyToHost(View(gathered, {2, 19}), copied.data());
  EXPECT_EQ(copied, gathered);
}

// More than a card's backend copies at once, and rows that are padded at the end.
TEST_P(ElementwiseOnEveryBackend, LargeTablesKeepEveryRow) {
  constexpr int64_t kRows = 3000, kCols = 4001;
  auto backend = Make(GetParam(), 2);
  WeightSource source;
  source.name = "w";
  source.rows = kRows;
  source.cols = kCols;
  const auto value = [](int64_t row, int64_t col) {
    return Bf16ToFloat(static_cast<uint16_t>(0x3f80 + (row * 31 + col) % 128));
  };
  source.decode = [&](int64_t row0, int64_t n, float* out) {
    for (int64_t i = 0; i < n * kCols; ++i) out[i] = value(row0 + i / kCols, i % kCols);
  };
  const auto table = backend->PrepareEmbedding(source);
  ASSERT_TRUE(table.has_value());
  std::vector<float> out = Poison(kCols);
  for (const TokenId id : {0, 1023, 2095, 2096, 2097, 2999}) {
    backend->Embed(**table, std::vector{id}, View(out, {1, kCols}));
    backend->Wait();
    int64_t wrong = 0;
    for (int64_t i = 0; i < kCols; ++i) wrong += out[static_cast<size_t>(i)] != value(id, i);
    EXPECT_EQ(wrong, 0) << id;
  }
}

TEST_P(ElementwiseOnEveryBackend, MemoryIsZeroAndUploadsKeepTheirValues) {
  auto backend = Make(GetParam(), 1);
  auto memory = backend->Allocate(1000);
  ASSERT_TRUE(memory.has_value());
  EXPECT_GE((*memory)->size(), 1000u);
  EXPECT_EQ(ReadFloats((*memory)->data(), 250), std::vector<float>(250, 0.0f));
  const std::vector<float> values = {1, 2, 3};
  auto uploaded = backend->Upload(values);
  ASSERT_TRUE(uploaded.has_value());
  backend->Wait();
  EXPECT_EQ(ReadFloats((*uploaded)->data(), 3), values);
  EXPECT_EQ(backend->kv_dtype(), GetParam().kv);
}

TEST_P(ElementwiseOnEveryBackend, RowsDoNotDependOnTheirNeighbours) {
  Random random(7);
  auto backend = Make(GetParam(), 3);
  const int n = 1000;
  std::vector<float> x = random.Normals(37 * 2 * n), w = random.Normals(2 * n);
  std::vector<float> norm = Poison(37 * 2 * n), glu = Poison(37 * n);
  backend->RmsNorm(View(x, {37, 2 * n}), w.data(), 1e-6f, View(norm, {37, 2 * n}));
  backend->SwiGlu(View(x, {37, 2 * n}), View(glu, {37, n}));
  for (int r : {0, 1, 18, 36}) {
    std::vector<float> row(x.begin() + r * 2 * n, x.begin() + (r + 1) * 2 * n);
    std::vector<float> one = Poison(2 * n), half = Poison(n);
    backend->RmsNorm(View(row, {1, 2 * n}), w.data(), 1e-6f, View(one, {1, 2 * n}));
    backend->SwiGlu(View(row, {1, 2 * n}), View(half, {1, n}));
    EXPECT_TRUE(std::equal(one.begin(), one.end(), norm.begin() + r * 2 * n));
    EXPECT_TRUE(std::equal(half.begin(), half.end(), glu.begin() + r * n));
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, ElementwiseOnEveryBackend, testing::ValuesIn(AllConfigs()),
                         ConfigName);

}  // namespace
}  // namespace hadal::kernels_test
