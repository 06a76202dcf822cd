// Matrices in blocks through the backend, for every type and instruction set, against the reference
// decoders and double.
#include <algorithm>

#include "kernels/blocks_fixture.h"

namespace hadal::kernels_test {
namespace {

// Relative to the norms of the two rows. Rounding the activations to steps of 2^-15 of their
// group's largest moves a group by at most sqrt(32) 2^-16 = 8.6e-5 of its own length, so a product
// by no more (Cauchy and Schwarz), and for random data far less. See BlockTolerance for steps of 1
// / 127.
constexpr double kWorst = 1e-4;
constexpr double kTypical = 2e-5;

class BlocksOnEveryBackend : public OnEveryBackend {};

std::vector<float> Multiply(Backend& backend, std::vector<float> x, const Weight& w,
                            const float* bias = nullptr) {
  const int64_t rows = static_cast<int64_t>(x.size()) / w.cols();
  std::vector<float> out = Poison(rows * w.rows());
  backend.MatMul(View(x, {rows, w.cols()}), w, bias, View(out, {rows, w.rows()}));
  return out;
}

WeightPtr PrepareOne(Backend& backend, const BlockMatrix& m) {
  return PrepareBlockStack(backend, m, 1);
}

TEST_P(BlocksOnEveryBackend, ProductsAgreeWithTheDecodedBlocks) {
  Random random(1);
  auto backend = Make(GetParam(), 2);
  for (QuantType type : AllQuantTypes()) {
    const int64_t block = TraitsOf(type).elements;
    const int64_t shapes[][3] = {{1, 1, 1},
                                 {1, 16, 1},
                                 {2, 17, 2},
                                 {70, 33, 1},
                                 {3, 100, 3},
                                 {random.Int(4, 69), random.Int(1, 90), random.Int(1, 5)},
                                 {random.Int(1, 9), random.Int(30, 200), 4096 / block}};
    for (const auto& s : shapes) {
      const int64_t k = s[2] * block;
      const BlockMatrix m = RandomBlocks(type, s[1], k, random);
      const auto w = PrepareOne(*backend, m);
      const std::vector<float> x = random.Normals(s[0] * k), bias = random.Normals(s[1]);
      const std::vector<float> values = m.Decoded();
      for (const float* b : {static_cast<const float*>(nullptr), bias.data()}) {
        EXPECT_LT(ProductError(Multiply(*backend, x, *w, b), x, values, b, k),
                  BlockTolerance(type, kTypical))
            << NameOf(type) << " " << s[0] << " x " << s[1] << " x " << k;
      }
    }
  }
}

// A row with one 1 in it picks a column of weights out: each must be the decoded one.
TEST_P(BlocksOnEveryBackend, EveryWeightKeepsItsValue) {
  Random random(2);
  auto backend = Make(GetParam(), 2);
  for (QuantType type : AllQuantTypes()) {
    const int64_t k = 2 * TraitsOf(type).elements, n = 19;
    const BlockMatrix m = RandomBlocks(type, n, k, random);
    const auto w = PrepareOne(*backend, m);
    std::vector<float> x(static_cast<size_t>(k * k));
    for (int64_t i = 0; i < k; ++i) x[static_cast<size_t>(i * k + i)] = 1;
    const std::vector<float> out = Multiply(*backend, x, *w), values = m.Decoded();
    for (int64_t j = 0; j < n; ++j) {
      const auto row = values.begin() + j * k;
      float largest = 0;
      for (int64_t i = 0; i < k; ++i) largest = std::max(largest, std::fabs(row[i]));
      for (int64_t i = 0; i < k; ++i) {
        ASSERT_NEAR(out[static_cast<size_t>(i * n + j)], row[i], 5e-7f * largest)
            << NameOf(type) << " row " << j << " weight " << i;
      }
    }
  }
}

// All codes, sub-scales and mins at their largest or smallest, under scales at the ends of f16.
TEST_P(BlocksOnEveryBackend, ExtremeBlocksAgreeWithTheDecodedOnes) {
  Random random(3);
  auto backend = Make(GetParam(), 1);
  const uint16_t halves[] = {0x03ff, 0x83ff, 0x0001, 0x7bff, 0xfbff, 0x0000, 0x8000, 0x3c00};
  for (QuantType type : AllQuantTypes()) {
    const int64_t k = 512, n = 32;
    const auto [d, d_min] = HalvesOf(type);
    for (int fill : {0x00, 0xff, 0x7f, 0x80}) {
      BlockMatrix m = RandomBlocks(type, n, k, random);
      std::fill(m.bytes.begin(), m.bytes.end(), static_cast<std::byte>(fill));
      for (int64_t b = 0; b < m.blocks(); ++b) {
        m.SetHalf(b, d, halves[b * n / m.blocks() % 8]);
        m.SetHalf(b, d_min, halves[b * n / m.blocks() / 4]);
        // Of MXFP4 the fill is the exponent: its smallest are subnormal, its largest value
        // infinite.
        if (type == QuantType::kMXFP4 && fill == 0xff) {
          m.bytes[static_cast<size_t>(b * TraitsOf(type).bytes)] = std::byte{0xf0};
        }
      }
      const auto w = PrepareOne(*backend, m);
      const std::vector<float> x = random.Normals(5 * k);
      // A min that cancels its scale leaves float rounding of what was there before.
      EXPECT_LT(ProductError(Multiply(*backend, x, *w), x, m.Decoded(), nullptr, k),
                BlockTolerance(type, kWorst))
          << NameOf(type) << " filled with " << fill;
    }
  }
}

TEST_P(BlocksOnEveryBackend, OutliersZerosAndTinyActivationsAgree) {
  Random random(4);
  auto backend = Make(GetParam(), 2);
  for (QuantType type : AllQuantTypes()) {
    const int64_t k = 1024, n = 40, rows = 7;
    const BlockMatrix m = RandomBlocks(type, n, k, random);
    const auto w = PrepareOne(*backend, m);
    std::vector<float> x = random.Normals(rows * k);
    for (int64_t r = 0; r < rows; ++r) {
      float* row = x.data() + r * k;
      if (r == 1) std::fill(row, row + k, 0.0f);
      if (r == 2) std::fill(row, row + k, 1e-38f);
      if (r == 3) std::fill(row + 32, row + k, 0.0f);
      if (r >= 4) row[random.Int(0, 1023)] *= r == 5 ? -1e4f : 1e4f;
      if (r == 6) std::for_each(row, row + k, [](float& v) { v *= 1e-12f; });
    }
    const std::vector<float> out = Multiply(*backend, x, *w), values = m.Decoded();
    // Groups below 1e-30 count as zero.
    std::fill(x.begin() + 2 * k, x.begin() + 3 * k, 0.0f);
    if (GetParam().format == WeightFormat::kF32) continue;
    EXPECT_LT(ProductError(out, x, values, nullptr, k), BlockTolerance(type, kWorst))
        << NameOf(type);
  }
}

TEST_P(BlocksOnEveryBackend, RowsDoNotDependOnBatchOrThreads) {
  Random random(5);
  auto one = Make(GetParam(), 1), three = Make(GetParam(), 3);
  for (QuantType type : AllQuantTypes()) {
    const int64_t k = 1280, n = kProcessor == Processor::kCpu ? 150 : 20, rows = 23;
    const BlockMatrix m = RandomBlocks(type, n, k, random);
    const auto w1 = PrepareOne(*one, m), w3 = PrepareOne(*three, m);
    const std::vector<float> x = random.Normals(rows * k);
    const std::vector<float> all = Multiply(*one, x, *w1);
    EXPECT_EQ(all, Multiply(*three, x, *w3)) << NameOf(type);
    for (int64_t count : {1, 2, 3, 4, 5, 7, 8, 9, 13}) {
      for (int64_t first : {0, 3, 10}) {
        const std::vector<float> part(x.begin() + first * k, x.begin() + (first + count) * k);
        const std::vector<float> expected(all.begin() + first * n,
                                          all.begin() + (first + count) * n);
        EXPECT_EQ(Multiply(*three, part, *w3), expected) << NameOf(type) << " " << count;
      }
    }
  }
}

// The product of x, of whose rows at most `together` are multiplied at a time.
std::vector<float> MultiplyInParts(Backend& backend, const std::vector<float>& x, const Weight& w,
                                   int64_t together, const float* bias = nullptr) {
  std::vector<float> out;
  const int64_t step = together * w.cols();
  for (int64_t at = 0; at < static_cast<int64_t>(x.size()); at += step) {
    const auto end = std::min(at + step, static_cast<int64_t>(x.size()));
    const std::vector<float> part = Multiply(backend, {x.begin() + at, x.begin() + end}, w, bias);
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

// On a card more than 16 rows have a kernel of their own. Tiles of 128 values of k: 11, the last
// one not full, or 20, of which the chains that a row's sum consists of have two and one or three
// and two.
TEST_P(BlocksOnEveryBackend, ManyRowsHaveTheBitsOfFew) {
  if (GetParam().format == WeightFormat::kF32) GTEST_SKIP() << "nothing stays in blocks";
  Random random(14);
  auto backend = Make(GetParam(), 2);
  for (QuantType type : AllQuantTypes()) {
    const bool all = type == QuantType::kQ4_K || type == QuantType::kQ8_0;
    const int64_t k = TraitsOf(type).elements == 32 ? 1376 : 2560, n = 37, most = all ? 100 : 65;
    const BlockMatrix m = RandomBlocks(type, n, k, random);
    const auto w = PrepareOne(*backend, m);
    const std::vector<float> x = random.Normals(most * k);
    const std::vector<float> few = MultiplyInParts(*backend, x, *w, 16);
    const std::vector<float> one(x.end() - k, x.end());
    EXPECT_EQ(Multiply(*backend, one, *w), std::vector<float>(few.end() - n, few.end()));
    const std::vector<int64_t> counts =
        all ? std::vector<int64_t>{17, 31, 32, 33, 64, 65, 100} : std::vector<int64_t>{17, 65};
    for (int64_t rows : counts) {
      const std::vector<float> part(x.begin(), x.begin() + rows * k);
      EXPECT_EQ(Multiply(*backend, part, *w),
                std::vector<float>(few.begin(), few.begin() + rows * n))
          << NameOf(type) << " " << rows;
    }
  }
}

#ifdef HADAL_TEST_READS_CARD
// A real card takes that kernel for large matrices only.
TEST_P(BlocksOnEveryBackend, ManyRowsOfALargeMatrixHaveTheBitsOfFew) {
  if (GetParam().format == WeightFormat::kF32) GTEST_SKIP() << "nothing stays in blocks";
  Random random(16);
  auto backend = Make(GetParam(), 2);
  constexpr int64_t kN = 5003, kK = 2560, kMost = 65;
  for (QuantType type : AllQuantTypes()) {
    const auto w = PrepareOne(*backend, RandomBlocks(type, kN, kK, random));
    const std::vector<float> x = random.Normals(kMost * kK);
    const std::vector<float> few = MultiplyInParts(*backend, x, *w, 16);
    for (int64_t rows : {17, 40, 65}) {
      EXPECT_EQ(Multiply(*backend, {x.begin(), x.begin() + rows * kK}, *w),
                std::vector<float>(few.begin(), few.begin() + rows * kN))
          << NameOf(type) << " " << rows;
    }
  }
}
#endif

// On a card blocks of threads have whole groups of rows of weights or share them by parts of k, and
// leave their counters as they found them. The matrices lie in groups of 128 rows or of 256.
TEST_P(BlocksOnEveryBackend, SeveralProductsOfManyRowsAreThoseOfFew) {
  if (GetParam().format == WeightFormat::kF32) GTEST_SKIP() << "nothing stays in blocks";
  Random random(15);
  auto backend = Make(GetParam(), 2);
  constexpr int64_t kCols = 768;
  const auto check = [&](QuantType type, int64_t rows, const std::vector<int64_t>& sizes) {
    std::vector<float> x = random.Normals(rows * kCols);
    const std::vector<float> bias = random.Normals(*std::ranges::max_element(sizes));
    std::vector<WeightPtr> weights;
    std::vector<std::vector<float>> expected, out;
    std::vector<Product> products;
    out.reserve(sizes.size());
    for (int64_t n : sizes) {
      const BlockMatrix m = RandomBlocks(type, n, kCols, random);
      weights.push_back(PrepareOne(*backend, m));
      const float* b = n == 37 ? nullptr : bias.data();
      expected.push_back(MultiplyInParts(*backend, x, *weights.back(), 16, b));
      products.push_back(
          {weights.back().get(), b, View(out.emplace_back(Poison(rows * n)), {rows, n})});
    }
    for (int again = 0; again < 2; ++again) {
      backend->MatMuls(View(x, {rows, kCols}), products, kAllRows);
      for (size_t i = 0; i < sizes.size(); ++i) {
        EXPECT_EQ(out[i], expected[i]) << NameOf(type) << " " << sizes[i] << " again " << again;
        std::ranges::fill(out[i], std::numeric_limits<float>::quiet_NaN());
      }
    }
  };
  for (QuantType type : {QuantType::kQ4_K, QuantType::kQ6_K}) {
    check(type, 40, {300, 37, 700});
    check(type, 20, {1270});
  }
}

// On a card such a row becomes integers before the product, a shorter one inside it.
TEST_P(BlocksOnEveryBackend, ALongRowHasTheSameBitsAloneAndAmongOthers) {
  Random random(13);
  auto backend = Make(GetParam(), 2);
  constexpr int64_t kCols = 8448, kOut = 17, kRows = 3;
  for (QuantType type : AllQuantTypes()) {
    const BlockMatrix m = RandomBlocks(type, kOut, kCols, random);
    const auto w = PrepareOne(*backend, m);
    const std::vector<float> x = random.Normals(kRows * kCols);
    const std::vector<float> all = Multiply(*backend, x, *w);
    EXPECT_LT(ProductError(all, x, m.Decoded(), nullptr, kCols), BlockTolerance(type, kTypical))
        << NameOf(type);
    for (int64_t r = 0; r < kRows; ++r) {
      const std::vector<float> row(x.begin() + r * kCols, x.begin() + (r + 1) * kCols);
      const std::vector<float> expected(all.begin() + r * kOut, all.begin() + (r + 1) * kOut);
      EXPECT_EQ(Multiply(*backend, row, *w), expected) << NameOf(type) << " " << r;
    }
  }
}

TEST_P(BlocksOnEveryBackend, NansShowInTheirOwnRowsAndColumnsOnly) {
  Random random(6);
  auto backend = Make(GetParam(), 1);
  for (QuantType type : AllQuantTypes()) {
    const int64_t k = 512, n = 20;
    BlockMatrix m = RandomBlocks(type, n, k, random);
    const auto w = PrepareOne(*backend, m);
    std::vector<float> x = random.Normals(3 * k);
    x[static_cast<size_t>(k + 77)] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> out = Multiply(*backend, x, *w);
    for (size_t j = 0; j < 20; ++j) {
      EXPECT_TRUE(std::isnan(out[20 + j])) << NameOf(type);
      EXPECT_TRUE(std::isfinite(out[j]) && std::isfinite(out[40 + j])) << NameOf(type);
    }
    const int d = HalvesOf(type).first;
    if (d < 0) continue;
    m.SetHalf(6 * m.blocks() / n, d, 0x7e00);
    const auto bad = PrepareOne(*backend, m);
    const std::vector<float> columns = Multiply(*backend, random.Normals(2 * k), *bad);
    for (size_t j = 0; j < 40; ++j) EXPECT_EQ(std::isnan(columns[j]), j % 20 == 6) << NameOf(type);
  }
}

TEST_P(BlocksOnEveryBackend, EmbeddingRowsAreTheDecodedOnes) {
  Random random(7);
  auto backend = Make(GetParam(), 2);
  for (QuantType type : AllQuantTypes()) {
    const BlockMatrix m = RandomBlocks(type, 50, 768, random);
    auto table = backend->PrepareEmbedding(m.Source());
    ASSERT_TRUE(table.has_value());
    const std::vector<TokenId> ids = {49, 0, 7, 7, 31};
    std::vector<float> out = Poison(5 * 768), expected;
    backend->Embed(**table, ids, View(out, {5, 768}));
    const std::vector<float> values = m.Decoded();
    for (TokenId id : ids) {
      expected.insert(expected.end(), values.begin() + id * 768, values.begin() + (id + 1) * 768);
    }
    EXPECT_EQ(out, expected) << NameOf(type);
    if (GetParam().format == WeightFormat::kF32) continue;
    if (kProcessor == Processor::kCpu) {
      EXPECT_EQ((*table)->bytes(), m.bytes.size());
    } else {  // whole tiles of 16 rows
      EXPECT_DOUBLE_EQ(static_cast<double>((*table)->bytes()),
                       64 * 768 * ResidentBytesPerWeight(type));
    }
  }
}

TEST_P(BlocksOnEveryBackend, ResidentBytesFollowTheType) {
  Random random(8);
  auto backend = Make(GetParam(), 1);
  for (QuantType type : AllQuantTypes()) {
    const BlockMatrix m = RandomBlocks(type, 64, 512, random);
    const double per_weight = static_cast<double>(PrepareOne(*backend, m)->bytes()) / (64 * 512);
    const bool decoded = GetParam().format == WeightFormat::kF32;
    EXPECT_DOUBLE_EQ(per_weight, decoded ? 4 : ResidentBytesPerWeight(type)) << NameOf(type);
  }
}

TEST_P(BlocksOnEveryBackend, BlocksAreDecodedWhenFloat32IsAskedForOrTheStackIsMixed) {
  Random random(9);
  auto backend = Make(GetParam(), 1);
  const BlockMatrix a = RandomBlocks(QuantType::kQ4_K, 32, 256, random);
  const BlockMatrix b = RandomBlocks(QuantType::kQ6_K, 32, 256, random);
  auto kept = backend->PrepareOne(a.Source(), WeightUse::kMultiplyF32);
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ((*kept)->bytes(), 32u * 256 * 4);
  const WeightSource mixed[] = {a.Source(), b.Source()};
  auto stack = backend->Prepare(mixed, WeightUse::kMultiply);
  ASSERT_TRUE(stack.has_value());
  const double per_weight[] = {4, 2, 1.0625};
  EXPECT_EQ(static_cast<double>((*stack)->bytes()),
            2 * 32 * 256 * per_weight[static_cast<int>(GetParam().format)]);
}

// Matrices laid below one another, each in blocks of its own type, none a multiple of 16 rows.
TEST_P(BlocksOnEveryBackend, AMatrixMayMixTypesAlongItsRows) {
  Random random(11);
  auto backend = Make(GetParam(), 3);
  const int64_t k = 512, rows = 21;
  const BlockMatrix parts[] = {RandomBlocks(QuantType::kQ4_K, 37, k, random),
                               RandomBlocks(QuantType::kQ6_K, 5, k, random),
                               RandomBlocks(QuantType::kQ8_0, 90, k, random)};
  WeightSource source;
  source.name = "a + b + c";
  source.cols = k;
  std::vector<float> values;
  for (const BlockMatrix& part : parts) {
    source.mixed_blocks.push_back({part.rows, part.type});
    source.rows += part.rows;
    const std::vector<float> decoded = part.Decoded();
    values.insert(values.end(), decoded.begin(), decoded.end());
  }
  const auto read = [&](int64_t row0, int64_t n, auto&& from) {
    for (const BlockMatrix& part : parts) {
      if (row0 < part.rows) {
        CHECK(row0 + n <= part.rows);  // of one part at a time
        return from(part, row0);
      }
      row0 -= part.rows;
    }
  };
  source.read_blocks = [&](int64_t row0, int64_t n, std::byte* out) {
    read(row0, n,
         [&](const BlockMatrix& part, int64_t row) { part.Source().read_blocks(row, n, out); });
  };
  source.decode = [&](int64_t row0, int64_t n, float* out) {
    std::copy_n(values.begin() + row0 * k, n * k, out);
  };
  const auto w = backend->PrepareOne(source);
  ASSERT_TRUE(w.has_value());
  if (GetParam().format != WeightFormat::kF32) {
    const double per_column = 48 * ResidentBytesPerWeight(QuantType::kQ4_K) +
                              16 * ResidentBytesPerWeight(QuantType::kQ6_K) +
                              96 * ResidentBytesPerWeight(QuantType::kQ8_0);
    EXPECT_EQ((*w)->bytes(), static_cast<size_t>(static_cast<double>(k) * per_column));
  }
  const std::vector<float> x = random.Normals(rows * k), bias = random.Normals(132);
  for (const float* b : {static_cast<const float*>(nullptr), bias.data()}) {
    const std::vector<float> all = Multiply(*backend, x, **w, b);
    EXPECT_LT(ProductError(all, x, values, b, k), BlockTolerance(QuantType::kQ4_K, kTypical));
    for (int64_t r = 0; r < rows; ++r) {
      const std::vector<float> row(x.begin() + r * k, x.begin() + (r + 1) * k);
      const std::vector<float> expected(all.begin() + r * 132, all.begin() + (r + 1) * 132);
      EXPECT_EQ(Multiply(*backend, row, **w, b), expected);
    }
  }
}

// In a step a norm may give products its rows in their own forms: the same bits, and none of values
// that were written since.
TEST_P(BlocksOnEveryBackend, ProductsOfNormedRowsAreThoseOfTheirValues) {
  Random random(13);
  auto backend = Make(GetParam(), 2);
  const QuantType types[][2] = {{QuantType::kQ4_K, QuantType::kQ6_K},
                                {QuantType::kQ8_0, QuantType::kQ8_0},
                                {QuantType::kQ5_1, QuantType::kIQ4_XS}};
  for (const auto& [first, second] : types) {
    for (const int64_t k : {512, 1280}) {
      const auto a = PrepareOne(*backend, RandomBlocks(first, 48, k, random));
      const auto b = PrepareOne(*backend, RandomBlocks(second, 35, k, random));
      std::vector<float> norm = random.Normals(k);
      for (const int32_t n : {1, 2, 9, 20}) {
        std::vector<float> x = random.Normals(n * k), more = random.Normals(n * k);
        std::vector<float> normed = Poison(n * k), of_a = Poison(n * 48), of_b = Poison(n * 35);
        std::vector<int32_t> index(static_cast<size_t>(n)), blocks(index);
        std::iota(index.begin(), index.end(), 0);
        std::vector<SeqChunk> chunks;
        for (int32_t r = 0; r < n; ++r) chunks.push_back({r, 1, 0, blocks.data()});
        const auto multiply = [&] {
          const Product products[] = {{a.get(), nullptr, View(of_a, {n, 48})},
                                      {b.get(), nullptr, View(of_b, {n, 35})}};
          backend->MatMuls(View(normed, {n, k}), products, kAllRows);
        };
        for (const bool writes : {false, false, true}) {
          const auto done =
              backend->RunStep({index, index, index, chunks, {}}, {0, 16}, {}, [&]() -> Tensor {
                backend->RmsNorm(View(x, {n, k}), norm.data(), 1e-5f, View(normed, {n, k}));
                multiply();
                if (writes) backend->Add(View(normed, {n, k}), View(more, {n, k}));
                if (writes) multiply();
                return {};
              });
          ASSERT_TRUE(done.has_value());
          EXPECT_EQ(of_a, Multiply(*backend, normed, *a)) << NameOf(first) << " " << n;
          EXPECT_EQ(of_b, Multiply(*backend, normed, *b)) << NameOf(second) << " " << n;
        }
      }
    }
  }
}

// Between the products 256 values are whole tiles of 16 rows, 264 are not.
TEST_P(BlocksOnEveryBackend, AGatedNetworkGivesARowTheSameBitsAloneAndAmongOthers) {
  Random random(12);
  auto backend = Make(GetParam(), 2);
  constexpr int64_t kRows = 3, kHidden = 512;
  for (QuantType type : AllQuantTypes()) {
    for (int64_t ffn : {256, 264}) {
      const BlockMatrix both = RandomBlocks(type, 2 * ffn, kHidden, random);
      const auto gate_up = PrepareOne(*backend, both);
      const std::vector<float> values = random.Normals(kHidden * ffn);
      const auto down = backend->PrepareOne(Source(values, kHidden, ffn));
      ASSERT_TRUE(down.has_value());
      std::vector<float> x = random.Normals(kRows * kHidden);
      const auto run = [&](int64_t first, int64_t n) {
        std::vector<float> scratch = Poison(n * 2 * ffn), product = Poison(n * ffn);
        std::vector<float> rows(x.begin() + first * kHidden, x.begin() + (first + n) * kHidden);
        std::vector<float> out = Poison(n * kHidden);
        backend->FeedForward({.x = View(rows, {n, kHidden}),
                              .gate_up = gate_up.get(),
                              .down = down->get(),
                              .both = View(scratch, {n, 2 * ffn}),
                              .product = View(product, {n, ffn}),
                              .out = View(out, {n, kHidden})});
        return out;
      };
      const std::vector<float> all = run(0, kRows);
      std::vector<float> gated = Poison(kRows * ffn), products = Multiply(*backend, x, *gate_up);
      backend->SwiGlu(View(products, {kRows, 2 * ffn}), View(gated, {kRows, ffn}));
      const std::vector<float> expected = Multiply(*backend, gated, **down);
      EXPECT_LT(RelativeError(all, {expected.begin(), expected.end()}), 1e-5) << NameOf(type);
      for (int64_t r = 0; r < kRows; ++r) {
        EXPECT_EQ(run(r, 1),
                  std::vector<float>(all.begin() + r * kHidden, all.begin() + (r + 1) * kHidden))
            << NameOf(type) << " " << ffn;
      }
    }
  }
}

TEST_P(BlocksOnEveryBackend, RefusesStacksOfDifferentShapes) {
  Random random(10);
  auto backend = Make(GetParam(), 1);
  const BlockMatrix a = RandomBlocks(QuantType::kQ8_0, 32, 256, random);
  const BlockMatrix b = RandomBlocks(QuantType::kQ8_0, 32, 288, random);
  const WeightSource sources[] = {a.Source(), b.Source()};
  EXPECT_FALSE(backend->Prepare(sources, WeightUse::kMultiply).has_value());
}

std::vector<Config> ConfigsOfBlocks() {
  if (kProcessor != Processor::kCpu) return AllConfigs();
  std::vector<Config> configs = {Config{}};
  for (Isa isa : SupportedIsas()) {
    if (isa != Isa::kRef) configs.push_back({isa, WeightFormat::kBf16, DType::kBf16});
  }
  configs.push_back({BestIsa(), WeightFormat::kInt8, DType::kBf16});
  configs.push_back({BestIsa(), WeightFormat::kF32, DType::kBf16});
  return configs;
}

INSTANTIATE_TEST_SUITE_P(Blocks, BlocksOnEveryBackend, testing::ValuesIn(ConfigsOfBlocks()),
                         ConfigName);

}  // namespace
}  // namespace hadal::kernels_test
