// The kernels of block_format.h themselves: what every instruction set gives must be, bit by bit,
// what the scalar definition gives.
#include <bit>

#include "kernels/blocks_fixture.h"
#include "kernels/cpu/cpu_weight.h"
#include "kernels/cpu/kernel_table.h"

namespace hadal::kernels_test {
namespace {

struct Level {
  Isa isa;
  cpu::KernelTable table;
};

std::vector<Level> Levels() {
  std::vector<Level> levels;
  cpu::KernelTable table = {};
  cpu::FillRef(&table);
  levels.push_back({Isa::kRef, table});
#if defined(__x86_64__)
  for (Isa isa : SupportedIsas()) {
    if (isa == Isa::kAvx2) cpu::FillAvx2(&table);
    if (isa == Isa::kAvx512) cpu::FillAvx512(&table);
    if (isa == Isa::kAmxEmulated) cpu::FillAmxEmulated(&table);
    if (isa == Isa::kAmx) cpu::FillAmx(&table);
    if (isa != Isa::kRef) levels.push_back({isa, table});
  }
#endif
  return levels;
}

// What lies between rows, and beside them.
struct Spread {
  int64_t x_gap = 0, out_gap = 0;  // groups, floats
  const float* bias = nullptr;
};

std::vector<std::byte> Packed(const BlockMatrix& m) {
  const int64_t panels = (m.rows + cpu::kPanel - 1) / cpu::kPanel;
  std::vector<std::byte> packed(static_cast<size_t>(panels * cpu::PanelBytesOf(m.type, m.cols)));
  for (int64_t p = 0; p < panels; ++p) {
    cpu::PackPanelBlocks(m.type, m.bytes.data() + p * cpu::kPanel * m.row_bytes(),
                         std::min<int64_t>(cpu::kPanel, m.rows - p * cpu::kPanel), m.cols,
                         packed.data() + p * cpu::PanelBytesOf(m.type, m.cols));
  }
  return packed;
}

// Everything that the kernel may have written, the gaps too.
std::vector<float> Product(const Level& level, const BlockMatrix& m, const std::vector<float>& x,
                           const Spread& spread = {}) {
  const int64_t k = m.cols, rows = static_cast<int64_t>(x.size()) / k;
  const std::vector<std::byte> packed = Packed(m);
  const bool bytes = cpu::kBlockFormats[static_cast<int>(m.type)].x_parts == 1;
  const int64_t row_groups = k / cpu::kGroup, ldx = row_groups + spread.x_gap;
  // Not a group more than there is, so that a sanitizer sees what is read beyond.
  std::vector<cpu::ActivationGroup8> groups8(static_cast<size_t>((rows - 1) * ldx + row_groups));
  std::vector<cpu::ActivationGroup16> groups16(groups8.size());
  for (int64_t r = 0; r < rows; ++r) {
    level.table.quantise_groups8(x.data() + r * k, k, groups8.data() + r * ldx);
    level.table.quantise_groups16(x.data() + r * k, k, groups16.data() + r * ldx);
  }
  cpu::MatMulTile t = {};
  t.x = bytes ? static_cast<const void*>(groups8.data()) : groups16.data();
  t.ldx = ldx;
  t.w = packed.data();
  t.block_format = static_cast<int>(m.type);
  t.bias = spread.bias;
  t.n = m.rows;
  t.ldo = m.rows + spread.out_gap;
  std::vector<float> out(static_cast<size_t>((rows - 1) * t.ldo + t.n), 12345.0f);
  t.out = out.data();
  t.m = rows;
  t.k = k;
  t.panel1 = (m.rows + cpu::kPanel - 1) / cpu::kPanel;
  level.table.matmul_blocks[t.block_format](t);
  return out;
}

// As integers; every NaN is the same one.
std::vector<uint32_t> BitsOf(const std::vector<float>& values) {
  std::vector<uint32_t> bits;
  for (float v : values) bits.push_back(std::isnan(v) ? 0x7fc00000 : std::bit_cast<uint32_t>(v));
  return bits;
}

TEST(BlockKernels, EveryInstructionSetGivesTheBitsOfTheScalarDefinition) {
  Random random(1);
  const std::vector<Level> levels = Levels();
  for (QuantType type : AllQuantTypes()) {
    for (int64_t rows : {1, 2, 3, 4, 5, 7, 13, 101}) {
      const int64_t k = TraitsOf(type).elements * random.Int(1, 4), n = random.Int(1, 70);
      const BlockMatrix m = RandomBlocks(type, n, k, random);
      const std::vector<float> x = random.Normals(rows * k);
      const std::vector<float> expected = Product(levels[0], m, x);
      for (const Level& level : levels) {
        EXPECT_EQ(Product(level, m, x), expected)
            << NameOf(level.isa) << " " << NameOf(type) << " " << rows << " x " << n << " x " << k;
      }
    }
  }
}

// Rows of many answers, whole blocks of them and not: with gaps between them, a bias, and groups
// that are NaN, infinite, huge and zero.
TEST(BlockKernels, ManyRowsGiveTheSameBitsWhateverLiesBetweenThem) {
  Random random(4);
  const std::vector<Level> levels = Levels();
  const float values[] = {std::nanf(""), std::numeric_limits<float>::infinity(), 1e31f, -1e29f, 0};
  for (QuantType type : AllQuantTypes()) {
    const int64_t block = TraitsOf(type).elements;
    for (int64_t rows : {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 130}) {
      const int64_t k = block * random.Int(1, block == 32 ? 21 : 3), n = random.Int(1, 100);
      const BlockMatrix m = RandomBlocks(type, n, k, random);
      std::vector<float> x = random.Normals(rows * k);
      for (float value : values) {
        const int64_t at = random.Int(0, static_cast<int>(rows * k / cpu::kGroup) - 1);
        if (value == 0) std::fill_n(x.begin() + at * cpu::kGroup, cpu::kGroup, 0.0f);
        x[static_cast<size_t>(at * cpu::kGroup + random.Int(0, 31))] = value;
      }
      const std::vector<float> bias = random.Normals(n);
      const Spread spread = {random.Int(0, 3), random.Int(0, 20), bias.data()};
      const std::vector<uint32_t> expected = BitsOf(Product(levels[0], m, x, spread));
      for (const Level& level : levels) {
        EXPECT_EQ(BitsOf(Product(level, m, x, spread)), expected)
            << NameOf(level.isa) << " " << NameOf(type) << " " << rows << " x " << n << " x " << k;
      }
    }
  }
}

// The largest integer sums there are: every code and activation at its end.
TEST(BlockKernels, TheLargestSumsDoNotOverflowOrSaturate) {
  Random random(2);
  const std::vector<Level> levels = Levels();
  for (QuantType type : AllQuantTypes()) {
    const int64_t k = 256;
    for (int fill : {0x00, 0xff, 0x7f, 0x80}) {
      BlockMatrix m = RandomBlocks(type, 16, k, random);
      std::fill(m.bytes.begin(), m.bytes.end(), static_cast<std::byte>(fill));
      for (int64_t b = 0; b < m.blocks(); ++b) {
        m.SetHalf(b, HalvesOf(type).first, 0x3c00);
        m.SetHalf(b, HalvesOf(type).second, 0xbc00);
        if (type == QuantType::kMXFP4) m.bytes[static_cast<size_t>(b * 17)] = std::byte{128};
      }
      std::vector<float> x(static_cast<size_t>(3 * k), 1.0f);
      std::fill(x.begin() + k, x.begin() + 2 * k, -1.0f);
      for (int64_t i = 0; i < k; i += 2) x[static_cast<size_t>(2 * k + i)] = -1.0f;
      const size_t few = x.size();
      for (size_t i = 0; i < 12 * few; ++i) x.push_back(x[i]);  // both ways to unpack
      const std::vector<float> expected = Product(levels[0], m, x);
      EXPECT_LT(ProductError(expected, x, m.Decoded(), nullptr, k), 1e-6) << NameOf(type);
      for (const Level& level : levels) {
        EXPECT_EQ(Product(level, m, x), expected)
            << NameOf(level.isa) << " " << NameOf(type) << " filled with " << fill;
      }
    }
  }
}

// Both forms of a group against plain arithmetic.
TEST(BlockKernels, ActivationsAreRoundedToTheNearestStepAndSummedExactly) {
  Random random(3);
  std::vector<float> x = random.Normals(64, 3);
  x[5] = 11;
  x[40] = -13;
  const auto check = [&](const auto& group, size_t first, float steps, const std::string& level) {
    const float amax = first == 0 ? 11.0f : 13.0f;
    EXPECT_NEAR(group.scale, amax / steps, amax / steps * 2.5e-7) << level;
    int32_t sum[3] = {};
    for (size_t i = 0; i < 32; ++i) {
      sum[i / 16] += static_cast<int32_t>(std::nearbyint(x[first + i] * (steps / amax)));
    }
    sum[2] = sum[0] + sum[1];
    for (int i = 0; i < 3; ++i) {
      if (i < static_cast<int>(std::size(group.sum))) EXPECT_EQ(group.sum[i], sum[i]) << level;
      EXPECT_EQ(group.scaled_sum[i], static_cast<float>(sum[i]) * group.scale) << level;
    }
  };
  for (const Level& level : Levels()) {
    const std::string name(NameOf(level.isa));
    cpu::ActivationGroup8 groups8[2];
    cpu::ActivationGroup16 groups16[2];
    level.table.quantise_groups8(x.data(), 64, groups8);
    level.table.quantise_groups16(x.data(), 64, groups16);
    for (size_t g = 0; g < 2; ++g) {
      check(groups8[g], 32 * g, 127.0f, name + " 8");
      check(groups16[g], 32 * g, 32512.0f, name + " 16");
      for (size_t i = 0; i < 32; ++i) {
        EXPECT_EQ(groups8[g].x[i],
                  std::nearbyint(x[32 * g + i] * (127.0f / (g == 0 ? 11.0f : 13.0f))));
      }
    }
  }
}

// Groups that are zero, tiny, huge or not finite: the same bytes on every instruction set.
TEST(BlockKernels, GroupsOfEveryMagnitudeAreTheSameEverywhere) {
  const float inf = std::numeric_limits<float>::infinity();
  const float values[] = {0,       1e-38f, 9e-31f, 1.1e-30f, 3.7f,         9e29f,
                          1.1e30f, 3e38f,  inf,    -inf,     std::nanf("")};
  const std::vector<Level> levels = Levels();
  for (float value : values) {
    std::vector<float> x(32, value / 3);
    x[17] = value;
    cpu::ActivationGroup8 expected;
    levels[0].table.quantise_groups8(x.data(), 32, &expected);
    EXPECT_EQ(std::isnan(expected.scale), !(std::fabs(value) <= 1e30f)) << value;
    // The offset is exact: nothing is lost when it is added and subtracted.
    EXPECT_EQ(std::isnan(expected.scale) || static_cast<double>(expected.minus_offset) ==
                                                -12582912.0 * static_cast<double>(expected.scale),
              true)
        << value;
    for (const Level& level : levels) {
      cpu::ActivationGroup8 g = {};
      level.table.quantise_groups8(x.data(), 32, &g);
      EXPECT_EQ(std::memcmp(g.x, expected.x, sizeof g.x), 0) << NameOf(level.isa) << value;
      EXPECT_EQ(g.sum[0], expected.sum[0]);
      EXPECT_EQ(g.sum[1], expected.sum[1]);
      EXPECT_TRUE(g.scale == expected.scale || std::isnan(expected.scale)) << value;
      EXPECT_EQ(std::isnan(g.scale), std::isnan(expected.scale)) << value;
      EXPECT_EQ(std::isnan(g.minus_offset), std::isnan(expected.scale)) << value;
      EXPECT_EQ(std::isnan(g.scaled_sum[2]), std::isnan(expected.scale)) << value;
    }
  }
}

}  // namespace
}  // namespace hadal::kernels_test
