// The kernels of block_format.h themselves: what every instruction set gives must be, bit by bit,
// what the scalar definition gives.
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

std::vector<float> Product(const Level& level, const BlockMatrix& m, const std::vector<float>& x) {
  const int64_t k = m.cols, rows = static_cast<int64_t>(x.size()) / k;
  const int64_t panels = (m.rows + cpu::kPanel - 1) / cpu::kPanel;
  std::vector<std::byte> packed(static_cast<size_t>(panels * cpu::PanelBytesOf(m.type, k)));
  for (int64_t p = 0; p < panels; ++p) {
    cpu::PackPanelBlocks(m.type, m.bytes.data() + p * cpu::kPanel * m.row_bytes(),
                         std::min<int64_t>(cpu::kPanel, m.rows - p * cpu::kPanel), k,
                         packed.data() + p * cpu::PanelBytesOf(m.type, k));
  }
  std::vector<cpu::ActivationGroup> groups(static_cast<size_t>(rows * k / cpu::kGroup));
  for (int64_t r = 0; r < rows; ++r) {
    level.table.quantise_blocks(x.data() + r * k, k, groups.data() + r * k / cpu::kGroup);
  }
  std::vector<float> out = Poison(rows * m.rows);
  cpu::MatMulTile t = {};
  t.x = groups.data();
  t.ldx = k / cpu::kGroup;
  t.w = packed.data();
  t.out = out.data();
  t.ldo = t.n = m.rows;
  t.m = rows;
  t.k = k;
  t.panel1 = panels;
  level.table.matmul_blocks[static_cast<int>(m.type)](t);
  return out;
}

TEST(BlockKernels, EveryInstructionSetGivesTheBitsOfTheScalarDefinition) {
  Random random(1);
  const std::vector<Level> levels = Levels();
  for (QuantType type : AllQuantTypes()) {
    for (int64_t rows : {1, 2, 3, 7, 13}) {
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
      const std::vector<float> expected = Product(levels[0], m, x);
      EXPECT_LT(ProductError(expected, x, m.Decoded(), nullptr, k), 1e-6) << NameOf(type);
      for (const Level& level : levels) {
        EXPECT_EQ(Product(level, m, x), expected)
            << NameOf(level.isa) << " " << NameOf(type) << " filled with " << fill;
      }
    }
  }
}

TEST(BlockKernels, ActivationsAreRoundedToTheNearestStepAndSummedExactly) {
  Random random(3);
  std::vector<float> x = random.Normals(64, 3);
  x[5] = 11;
  x[40] = -13;
  for (const Level& level : Levels()) {
    cpu::ActivationGroup groups[2];
    level.table.quantise_blocks(x.data(), 64, groups);
    for (int g = 0; g < 2; ++g) {
      EXPECT_EQ(groups[g].scale, (g == 0 ? 11.0f : 13.0f) / 32512.0f);
      double sum[3] = {};
      for (int i = 0; i < 32; ++i) {
        sum[i / 16] += std::nearbyint(x[static_cast<size_t>(32 * g + i)] *
                                      (32512.0f / (g == 0 ? 11.0f : 13.0f)));
      }
      sum[2] = sum[0] + sum[1];
      for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(groups[g].sum[i], sum[i]) << NameOf(level.isa);
        EXPECT_FLOAT_EQ(groups[g].scaled_sum[i], static_cast<float>(sum[i]) * groups[g].scale);
      }
    }
  }
}

}  // namespace
}  // namespace hadal::kernels_test
