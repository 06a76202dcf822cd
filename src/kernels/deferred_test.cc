// Weights without memory: every result is, bit by bit, the prepared weight's.
#include "kernels/blocks_fixture.h"

namespace hadal::kernels_test {
namespace {

class DeferredTest : public OnEveryBackend {
 protected:
  std::vector<float> Product(const Weight& w, const std::vector<float>& x,
                             const std::vector<float>& bias) {
    std::vector<float> in = x, out = Poison(static_cast<int64_t>(x.size()) / w.cols() * w.rows());
    const int64_t rows = static_cast<int64_t>(x.size()) / w.cols();
    backend_->MatMul(View(in, {rows, w.cols()}), w, bias.data(), View(out, {rows, w.rows()}));
    return out;
  }
  // Prepared and deferred, at several numbers of rows of x.
  void ExpectSameProducts(const WeightSource& source, WeightUse use = WeightUse::kMultiply) {
    const auto prepared = backend_->PrepareOne(source, use);
    const auto deferred = backend_->Defer({&source, 1}, use);
    ASSERT_TRUE(prepared && deferred);
    EXPECT_EQ(*backend_->BytesOf({&source, 1}, use), (*prepared)->bytes());
    EXPECT_EQ((*deferred)->bytes(), 0u);
    const auto bias = random_.Normals(source.rows);
    for (const int64_t rows : {1, 3, 70}) {
      const auto x = random_.Normals(rows * source.cols);
      EXPECT_EQ(Product(**deferred, x, bias), Product(**prepared, x, bias)) << rows;
    }
  }
  void ExpectSameLookUps(const WeightSource& source) {
    const auto prepared = backend_->PrepareEmbedding(source);
    const auto deferred = backend_->Defer({&source, 1}, WeightUse::kLookUp);
    ASSERT_TRUE(prepared && deferred);
    EXPECT_EQ(*backend_->BytesOf({&source, 1}, WeightUse::kLookUp), (*prepared)->bytes());
    const std::vector<TokenId> ids = {3, 0, static_cast<TokenId>(source.rows - 1), 3};
    std::vector<float> a = Poison(4 * source.cols), b = a;
    backend_->Embed(**prepared, ids, View(a, {4, source.cols}));
    backend_->Embed(**deferred, ids, View(b, {4, source.cols}));
    EXPECT_EQ(a, b);
  }

  Random random_{7};
  std::unique_ptr<Backend> backend_ = Make(GetParam(), 3);
};

TEST_P(DeferredTest, PlainMatricesAndTables) {
  const int64_t rows = 53, cols = 96;
  std::vector<float> values = random_.Normals(rows * cols);
  WeightSource source = Source(values, rows, cols);
  ExpectSameProducts(source);
  ExpectSameProducts(source, WeightUse::kMultiplyF32);
  ExpectSameLookUps(source);
  for (float& v : values) v = F16ToFloat(FloatToF16(v));
  source.stored = DType::kF16;
  ExpectSameProducts(source);
  ExpectSameLookUps(source);
}

TEST_P(DeferredTest, BlocksOfEveryType) {
  for (const QuantType type : AllQuantTypes()) {
    SCOPED_TRACE(NameOf(type));
    const BlockMatrix m = RandomBlocks(type, 37, 512, random_);
    ExpectSameProducts(m.Source());
    ExpectSameLookUps(m.Source());
  }
}

TEST_P(DeferredTest, BlocksOfTwoTypes) {
  const BlockMatrix a = RandomBlocks(QuantType::kQ4_K, 21, 512, random_);
  const BlockMatrix b = RandomBlocks(QuantType::kQ6_K, 40, 512, random_);
  WeightSource both = a.Source();
  both.rows = 61;
  both.blocks.reset();
  both.mixed_blocks = {{21, a.type}, {40, b.type}};
  const WeightSource first = a.Source(), second = b.Source();
  both.read_blocks = [=](int64_t row0, int64_t n, std::byte* out) {
    if (row0 < 21) return first.read_blocks(row0, n, out);
    second.read_blocks(row0 - 21, n, out);
  };
  both.decode = [=](int64_t row0, int64_t n, float* out) {
    for (int64_t r = row0; r < row0 + n; ++r, out += 512) {
      r < 21 ? first.decode(r, 1, out) : second.decode(r - 21, 1, out);
    }
  };
  ExpectSameProducts(both);
}

TEST_P(DeferredTest, MatricesOfManyPieces) {
  const int64_t rows = 5003, cols = 1024;  // more than two pieces in every format
  const std::vector<float> values = random_.Normals(rows * cols);
  ExpectSameProducts(Source(values, rows, cols));
}

TEST_P(DeferredTest, StacksOfExperts) {
  const int64_t experts = 5, hidden = 256, ffn = 64, tokens = 6, top_k = 2;
  const BlockMatrix up = RandomBlocks(QuantType::kQ4_0, experts * 2 * ffn, hidden, random_);
  const BlockMatrix down = RandomBlocks(QuantType::kQ8_0, experts * hidden, ffn, random_);
  const auto defer = [&](const BlockMatrix& m) {
    std::vector<WeightSource> sources;
    const int64_t rows = m.rows / experts;
    for (int64_t e = 0; e < experts; ++e) sources.push_back(m.Source(e * rows, rows));
    return *backend_->Defer(sources, WeightUse::kMultiply);
  };
  const auto x = random_.Normals(tokens * hidden);
  std::vector<int32_t> chosen;
  for (int64_t i = 0; i < tokens * top_k; ++i) chosen.push_back(static_cast<int32_t>(i * 3 % 5));
  const auto shares = random_.Normals(tokens * top_k);
  const auto mix = [&](const Weight& gate_up, const Weight& d) {
    std::vector<float> in = x, out(x.size());
    backend_->MixExperts({View(in, {tokens, hidden}), &gate_up, &d, chosen.data(), shares.data(),
                          static_cast<int>(top_k), View(out, {tokens, hidden})});
    return out;
  };
  EXPECT_EQ(mix(*defer(up), *defer(down)), mix(*PrepareBlockStack(*backend_, up, experts),
                                               *PrepareBlockStack(*backend_, down, experts)));
}

INSTANTIATE_TEST_SUITE_P(, DeferredTest, testing::ValuesIn(AllConfigs()), ConfigName);

}  // namespace
}  // namespace hadal::kernels_test
