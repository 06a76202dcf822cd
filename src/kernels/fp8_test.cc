// Matrices of FP8 values with scales for tiles of 16 x 128 stay as they are on a card.
#include <algorithm>

#include "kernels/backend_fixture.h"

namespace hadal::kernels_test {
namespace {

struct Fp8Matrix {
  int64_t rows, cols;
  std::vector<uint8_t> codes;  // [rows][cols]
  std::vector<float> scales;   // [row tiles][column tiles]
  std::vector<float> values;

  Fp8Matrix(Random& random, int64_t rows_in, int64_t cols_in) : rows(rows_in), cols(cols_in) {
    const int64_t tiles = (rows + kFp8TileRows - 1) / kFp8TileRows;
    for (int64_t i = 0; i < tiles * columns(); ++i) {
      scales.push_back(std::exp2(static_cast<float>(random.Int(-12, -6))) *
                       (1 + std::fabs(random.Normal())));
    }
    for (int64_t i = 0; i < rows * cols; ++i) {
      codes.push_back(FloatToF8E4M3(random.Normal() * 100));
      values.push_back(F8E4M3ToFloat(codes.back()) * Scale(i / cols, i % cols));
    }
  }
  int64_t columns() const { return (cols + kFp8TileCols - 1) / kFp8TileCols; }
  float Scale(int64_t row, int64_t col) const {
    return scales[static_cast<size_t>(row / kFp8TileRows * columns() + col / kFp8TileCols)];
  }
  // The same values, told as float32 alone.
  WeightSource Plain() const { return Source(values, rows, cols); }
  WeightSource Fp8() const {
    WeightSource source = Plain();
    source.read_fp8 = [this](int64_t row0, int64_t n, uint8_t* to, float* to_scales) {
      CHECK(row0 % kFp8TileRows == 0 && row0 + n <= rows);
      std::copy_n(codes.begin() + row0 * cols, n * cols, to);
      std::copy_n(scales.begin() + row0 / kFp8TileRows * columns(),
                  (n + kFp8TileRows - 1) / kFp8TileRows * columns(), to_scales);
    };
    return source;
  }
};

std::vector<float> Multiply(Backend& backend, const Weight& w, std::vector<float> x,
                            std::vector<float> bias = {}, int64_t exact_rows = kAllRows) {
  const int64_t rows = static_cast<int64_t>(x.size()) / w.cols();
  std::vector<float> out = Poison(rows * w.rows());
  backend.MatMul(View(x, {rows, w.cols()}), w, bias.empty() ? nullptr : bias.data(),
                 View(out, {rows, w.rows()}), exact_rows);
  return out;
}

class Fp8Weights : public testing::Test {
 protected:
  void SetUp() override {
    if (kProcessor == Processor::kCpu) GTEST_SKIP() << "the CPU decodes them";
  }
  WeightPtr Prepare(const WeightSource& source) {
    auto w = backend_->PrepareOne(source);
    CHECK(w.has_value());
    return std::move(*w);
  }
  Random random_{21};
  std::unique_ptr<Backend> backend_ = kProcessor == Processor::kCpu
                                          ? nullptr
                                          : Make({Isa::kRef, WeightFormat::kBf16, DType::kBf16}, 2);
};

// And a row alone gets the same bits.
TEST_F(Fp8Weights, ProductsAgreeWithDouble) {
  std::vector<std::array<int, 3>> shapes = {{1, 1, 16},   {3, 17, 144},  {8, 48, 128},
                                            {20, 33, 48}, {1, 40, 4112}, {9, 64, 1408}};
  for (int i = 0; i < 20; ++i) {
    shapes.push_back({random_.Int(1, 40), random_.Int(1, 100), 16 * random_.Int(1, 40)});
  }
  for (const auto& [rows, n, k] : shapes) {
    const Fp8Matrix m(random_, n, k);
    const WeightPtr w = Prepare(m.Fp8());
    const std::vector<float> x = random_.Normals(int64_t{rows} * k), bias = random_.Normals(n);
    const std::vector<float> out = Multiply(*backend_, *w, x, bias);
    std::vector<double> expected;
    for (int r = 0; r < rows; ++r) {
      for (int j = 0; j < n; ++j) {
        double sum = bias[static_cast<size_t>(j)];
        for (int i = 0; i < k; ++i) {
          sum +=
              double{x[static_cast<size_t>(r * k + i)]} * m.values[static_cast<size_t>(j * k + i)];
        }
        expected.push_back(sum);
      }
    }
    EXPECT_LT(RelativeError(out, expected), 1e-5) << rows << " x " << n << " x " << k;
    const std::vector<float> last(x.end() - k, x.end());
    EXPECT_EQ(Multiply(*backend_, *w, last, bias), std::vector(out.end() - n, out.end()));
  }
}

TEST_F(Fp8Weights, EveryCodeIsMultipliedExactly) {
  Fp8Matrix m(random_, 256, 128);
  for (int64_t row = 0; row < 256; ++row) {
    const auto code = static_cast<uint8_t>((row & 0x7f) == 0x7f ? 0 : row);  // no NaN
    for (int64_t col = 0; col < 128; ++col) {
      m.codes[static_cast<size_t>(row * 128 + col)] = col == row % 128 ? code : 0;
    }
  }
  const WeightPtr w = Prepare(m.Fp8());
  const std::vector<float> out = Multiply(*backend_, *w, std::vector<float>(3 * 128, 1.0f));
  for (int64_t i = 0; i < 3 * 256; ++i) {
    const int64_t row = i % 256;
    const uint8_t code = m.codes[static_cast<size_t>(row * 128 + row % 128)];
    EXPECT_EQ(out[static_cast<size_t>(i)], F8E4M3ToFloat(code) * m.Scale(row, 0)) << row;
  }
}

// Rows of prompts meet the same bf16 matrix that float32 sources become.
TEST_F(Fp8Weights, PromptsMeetThemAsBf16) {
  for (const auto& [rows, n, k] : {std::array{5, 40, 144}, {140, 70, 256}}) {
    const Fp8Matrix m(random_, n, k);
    const WeightPtr w = Prepare(m.Fp8()), bf16 = Prepare(m.Plain());
    const std::vector<float> x = random_.Normals(int64_t{rows} * k);
    EXPECT_EQ(Multiply(*backend_, *w, x, {}, 0), Multiply(*backend_, *bf16, x, {}, 0));
    EXPECT_NE(Multiply(*backend_, *w, x), Multiply(*backend_, *w, x, {}, 0));
  }
}

TEST_F(Fp8Weights, ExpertsAgreeWithFloat32Ones) {
  constexpr int64_t kExperts = 5, kHidden = 160, kFfn = 48, kRows = 13, kTop = 2;
  auto plain = Make({Isa::kRef, WeightFormat::kF32, DType::kF32}, 1);
  std::vector<Fp8Matrix> ups, downs;
  for (int64_t e = 0; e < kExperts; ++e) {
    ups.emplace_back(random_, 2 * kFfn, kHidden);
    downs.emplace_back(random_, kHidden, kFfn);
  }
  std::vector<float> x = random_.Normals(kRows * kHidden, 0.05f);
  std::vector<int32_t> experts;
  for (int64_t r = 0; r < kRows; ++r) {
    const int first = random_.Int(0, kExperts - 1);
    experts.push_back(first);
    experts.push_back((first + random_.Int(1, kExperts - 1)) % static_cast<int>(kExperts));
  }
  const std::vector<float> weights = random_.Normals(kRows * kTop);
  const auto mix = [&](Backend& backend, bool fp8, int64_t rows, int64_t exact_rows) {
    std::vector<WeightSource> up, down;
    for (int64_t e = 0; e < kExperts; ++e) {
      const auto at = static_cast<size_t>(e);
      up.push_back(fp8 ? ups[at].Fp8() : ups[at].Plain());
      down.push_back(fp8 ? downs[at].Fp8() : downs[at].Plain());
    }
    auto gate_up = backend.Prepare(up, WeightUse::kMultiply);
    auto second = backend.Prepare(down, WeightUse::kMultiply);
    CHECK(gate_up.has_value() && second.has_value());
    std::vector<float> part(x.begin(), x.begin() + rows * kHidden);
    std::vector<float> out(part.size(), 0.0f);
    MoeArgs args;
    args.x = View(part, {rows, kHidden});
    args.gate_up = gate_up->get();
    args.down = second->get();
    args.experts = experts.data();
    args.weights = weights.data();
    args.top_k = kTop;
    args.out = View(out, {rows, kHidden});
    args.exact_rows = exact_rows;
    backend.MixExperts(args);
    return out;
  };
  const std::vector<float> all = mix(*backend_, true, kRows, kAllRows);
  const std::vector<float> expected = mix(*plain, false, kRows, kAllRows);
  EXPECT_LT(RelativeError(all, {expected.begin(), expected.end()}), 2e-5);
  EXPECT_EQ(mix(*backend_, true, 1, kAllRows), std::vector(all.begin(), all.begin() + kHidden));
  EXPECT_EQ(mix(*backend_, true, kRows, 0), mix(*backend_, false, kRows, 0));
}

TEST_F(Fp8Weights, TakeOneByteWhereTheyAreMultiplied) {
  const Fp8Matrix m(random_, 40, 256), ragged(random_, 40, 24);
  const auto bytes = [&](const WeightSource& source, WeightUse use) {
    const auto w = backend_->PrepareOne(source, use);
    CHECK(w.has_value() && (*w)->bytes() == *backend_->BytesOf({&source, 1}, use));
    return (*w)->bytes();
  };
  EXPECT_EQ(bytes(m.Fp8(), WeightUse::kMultiply), 3u * (16 * 256 + 16));
  EXPECT_EQ(bytes(m.Fp8(), WeightUse::kMultiplyF32), 40u * 256 * 4);
  EXPECT_EQ(bytes(m.Fp8(), WeightUse::kLookUp), 40u * 256 * 2);
  EXPECT_EQ(bytes(ragged.Fp8(), WeightUse::kMultiply), 40u * 24 * 2);
  auto f32 = Make({Isa::kRef, WeightFormat::kF32, DType::kF32}, 1);
  EXPECT_EQ((*f32->PrepareOne(m.Fp8()))->bytes(), 40u * 256 * 4);
}

}  // namespace
}  // namespace hadal::kernels_test
