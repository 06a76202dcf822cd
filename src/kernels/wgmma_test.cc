// The matrix instructions of a warpgroup, against a plain product of the same values.
#include "kernels/backend_fixture.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/testing_wgmma.h"

namespace hadal::kernels_test {
namespace {

namespace card = CUDA_NAMESPACE;

template <class T>
T* OnCard(card::Device& device, const std::vector<T>& values) {
  const auto p = device.Allocate(values.size() * sizeof(T));
  CHECK(p.has_value());
  device.ToDevice(*p, values.data(), values.size() * sizeof(T));
  return static_cast<T*>(*p);
}

std::vector<uint16_t> RandomBf16(Random& random, int n) {
  std::vector<uint16_t> values;
  for (const float v : random.Normals(n)) values.push_back(FloatToBf16(v));
  return values;
}

// |result - exact| <= 1e-5 |row of a| |column of b|.
void CheckProduct(card::Device& device, card::WgmmaProduct p, Random& random) {
  const std::vector<uint16_t> a = RandomBf16(random, 64 * p.k);
  const std::vector<uint16_t> b = RandomBf16(random, p.columns * p.k);
  std::vector<float> got(static_cast<size_t>(64 * p.columns), -1.0f);
  uint16_t *on_card_a = OnCard(device, a), *on_card_b = OnCard(device, b);
  p.a = on_card_a;
  p.b = on_card_b;
  p.out = OnCard(device, got);
  card::MultiplyByWgmma(device.stream(), p);
  device.ToHost(got.data(), p.out, got.size() * sizeof(float));
  const Status status = device.Synchronise();
  ASSERT_TRUE(status.has_value()) << status.error().message;
  for (void* memory :
       {static_cast<void*>(on_card_a), static_cast<void*>(on_card_b), static_cast<void*>(p.out)}) {
    device.Free(memory);
  }
  for (int m = 0; m < 64; ++m) {
    for (int n = 0; n < p.columns; ++n) {
      double sum = 0, aa = 0, bb = 0;
      for (int k = 0; k < p.k; ++k) {
        const double x = Bf16ToFloat(a[static_cast<size_t>(m * p.k + k)]);
        const double y = Bf16ToFloat(
            b[static_cast<size_t>(p.contiguous_columns ? k * p.columns + n : n * p.k + k)]);
        sum += x * y;
        aa += x * x;
        bb += y * y;
      }
      ASSERT_NEAR(got[static_cast<size_t>(m * p.columns + n)], sum, 1e-5 * std::sqrt(aa * bb))
          << m << " " << n;
    }
  }
}

TEST(WarpgroupProducts, AgreeWithPlainOnesInEveryForm) {
  auto device = card::OpenDevice(0);
  ASSERT_TRUE(device.has_value()) << device.error().message;
  if ((*device)->info().major != 9) GTEST_SKIP() << "the instructions are those of sm_90a";
  Random random(1);
  for (const int columns : {8, 16, 32, 64, 96, 128, 160, 192, 224, 256}) {
    for (const bool contiguous_columns : {false, true}) {
      for (const bool a_in_registers : {false, true}) {
        SCOPED_TRACE(fmt::format("{} columns, contiguous {}, a in registers {}", columns,
                                 contiguous_columns, a_in_registers));
        CheckProduct(**device,
                     {.columns = columns,
                      .k = 192,
                      .contiguous_columns = contiguous_columns,
                      .a_in_registers = a_in_registers},
                     random);
      }
    }
  }
}

}  // namespace
}  // namespace hadal::kernels_test
