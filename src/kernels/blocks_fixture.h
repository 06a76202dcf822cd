// For the tests of matrices in blocks: random and hostile blocks of every type, and sources of
// them.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "kernels/backend_fixture.h"
#include "kernels/cpu/block_format.h"
#include "quant/codec.h"

namespace hadal::kernels_test {

inline std::vector<QuantType> AllQuantTypes() {
  std::vector<QuantType> types;
  for (int i = 0; i < kQuantTypes; ++i) types.push_back(static_cast<QuantType>(i));
  return types;
}

// Where a block's 16-bit floats are; -1: it has none there.
inline std::pair<int, int> HalvesOf(QuantType type) {
  switch (type) {
    case QuantType::kQ4_1:
    case QuantType::kQ5_1:
    case QuantType::kQ4_K:
    case QuantType::kQ5_K:
      return {0, 2};
    case QuantType::kQ2_K:
      return {80, 82};
    case QuantType::kQ3_K:
      return {108, -1};
    case QuantType::kQ6_K:
      return {208, -1};
    case QuantType::kMXFP4:
      return {-1, -1};
    default:
      return {0, -1};
  }
}

// A matrix [rows, cols] in blocks.
struct BlockMatrix {
  QuantType type = QuantType::kQ4_0;
  int64_t rows = 0, cols = 0;
  std::vector<std::byte> bytes;

  int64_t row_bytes() const { return RowBytes(type, cols); }
  int64_t blocks() const { return rows * cols / TraitsOf(type).elements; }
  void SetHalf(int64_t block, int at, uint16_t value) {
    if (at >= 0) std::memcpy(bytes.data() + block * TraitsOf(type).bytes + at, &value, 2);
  }
  std::vector<float> Decoded() const {
    std::vector<float> values(static_cast<size_t>(rows * cols));
    DecodeBlocks(type, bytes.data(), rows * cols, values.data());
    return values;
  }
  // Rows from row0 on as a source of `n` rows. The matrix must outlive it.
  WeightSource Source(int64_t row0, int64_t n) const {
    WeightSource s;
    s.name = "w";
    s.rows = n;
    s.cols = cols;
    s.blocks = type;
    s.read_blocks = [this, row0](int64_t row, int64_t count, std::byte* out) {
      std::memcpy(out, bytes.data() + (row0 + row) * row_bytes(),
                  static_cast<size_t>(count * row_bytes()));
    };
    s.decode = [this, row0](int64_t row, int64_t count, float* out) {
      DecodeBlocks(type, bytes.data() + (row0 + row) * row_bytes(), count * cols, out);
    };
    return s;
  }
  WeightSource Source() const { return Source(0, rows); }
};

// Every code and sub-scale random; scales of either sign and of three orders of magnitude, some 0.
inline BlockMatrix RandomBlocks(QuantType type, int64_t rows, int64_t cols, Random& random) {
  BlockMatrix m{type, rows, cols, {}};
  m.bytes.resize(static_cast<size_t>(rows * m.row_bytes()));
  for (std::byte& b : m.bytes) b = static_cast<std::byte>(random.Int(0, 255));
  const auto [d, d_min] = HalvesOf(type);
  const auto half = [&] {
    const float magnitude = std::pow(10.0f, static_cast<float>(random.Int(-4, -1)));
    return FloatToF16(random.Int(0, 19) == 0 ? 0.0f : random.Normal() * magnitude);
  };
  for (int64_t b = 0; b < m.blocks(); ++b) {
    m.SetHalf(b, d, half());
    m.SetHalf(b, d_min, half());
    if (type == QuantType::kMXFP4) {
      m.bytes[static_cast<size_t>(b * TraitsOf(type).bytes)] =
          static_cast<std::byte>(random.Int(115, 130));
    }
  }
  return m;
}

inline WeightPtr PrepareBlockStack(Backend& backend, const BlockMatrix& m, int64_t count,
                                   WeightUse use = WeightUse::kMultiply) {
  std::vector<WeightSource> sources;
  const int64_t rows = m.rows / count;
  for (int64_t i = 0; i < count; ++i) sources.push_back(m.Source(i * rows, rows));
  auto w = backend.Prepare(sources, use);
  CHECK(w.has_value());
  return std::move(*w);
}

// Of a weight that stays in blocks, in matrices of whole tiles of the backend's layout.
inline double ResidentBytesPerWeight(QuantType type) {
  constexpr bool kCard = kProcessor != Processor::kCpu;
  switch (type) {
    case QuantType::kQ4_0:
    case QuantType::kIQ4_NL:
    case QuantType::kMXFP4:
      return 0.5625;
    case QuantType::kQ4_1:
      return 0.625;
    case QuantType::kQ5_0:
      return 0.6875;
    case QuantType::kQ5_1:
      return 0.75;
    case QuantType::kQ8_0:
      return 1.0625;
    case QuantType::kQ2_K:
      return 84.0 / 256;
    case QuantType::kQ3_K:
      return (kCard ? 116.0 : 114.0) / 256;
    case QuantType::kQ4_K:
      return 148.0 / 256;
    case QuantType::kQ5_K:
      return 180.0 / 256;
    case QuantType::kQ6_K:
      return (kCard ? 212.0 : 210.0) / 256;
    case QuantType::kIQ4_XS:
      return (kCard ? 148.0 : 138.0) / 256;
    case QuantType::kU4Z:
      return (kCard ? 20.0 : 19.0) / 32;
  }
  return 0;
}

// What an error of products in blocks may be when one of 2^-16 of the largest activation of a group
// may be `error`: a format whose activations are bytes has steps 256 times as large.
inline double BlockTolerance(QuantType type, double error) {
  return cpu::kBlockFormats[static_cast<int>(type)].x_parts == 1 ? 256 * error : error;
}

// Largest error of a product with w [n, k], over |row of x| * |row of w|; infinity when a result is
// not finite. x is [rows, k].
inline double ProductError(const std::vector<float>& out, const std::vector<float>& x,
                           const std::vector<float>& w, const float* bias, int64_t k) {
  const int64_t rows = static_cast<int64_t>(x.size()) / k, n = static_cast<int64_t>(w.size()) / k;
  double worst = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = bias ? bias[j] : 0, xx = 0, ww = 0;
      for (int64_t i = 0; i < k; ++i) {
        const double a = x[static_cast<size_t>(r * k + i)], b = w[static_cast<size_t>(j * k + i)];
        sum += a * b;
        xx += a * a;
        ww += b * b;
      }
      const double got = out[static_cast<size_t>(r * n + j)];
      if (!std::isfinite(got)) return std::numeric_limits<double>::infinity();
      const double norm = std::sqrt(xx * ww) + (bias ? std::fabs(bias[j]) : 0);
      if (norm > 0) worst = std::max(worst, std::fabs(got - sum) / norm);
      if (norm == 0 && got != 0) return std::numeric_limits<double>::infinity();
    }
  }
  return worst;
}

}  // namespace hadal::kernels_test
