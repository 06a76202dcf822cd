#include "kernels/peak.h"

#include "kernels/cpu/peak_kernels.h"

namespace hadal {
namespace cpu {

double PeakRefF32(int64_t repeats) {
  float chains[16] = {};
  for (int64_t i = 0; i < repeats; ++i) {
    for (float& c : chains) c = c * 0.999f + 1e-6f;
  }
  volatile float sink = 0;
  for (float c : chains) sink = sink + c;
  return static_cast<double>(repeats) * 16 * 2;
}

}  // namespace cpu

double PeakOperations(Isa isa, WeightFormat format, int64_t repeats) {
#if defined(HADAL_X86_KERNELS)
  const bool int8 = format == WeightFormat::kInt8;
  switch (isa) {
    case Isa::kAmx:
      if (format == WeightFormat::kBf16) return cpu::PeakAmxBf16(repeats);
      if (int8) return cpu::PeakAmxInt8(repeats);
      return cpu::PeakAvx512F32(repeats);
    case Isa::kAvx512:
    case Isa::kAmxEmulated:
      return int8 ? cpu::PeakAvx512Int8(repeats) : cpu::PeakAvx512F32(repeats);
    case Isa::kAvx2:
      return cpu::PeakAvx2F32(repeats);
    case Isa::kRef:
      break;
  }
#endif
  (void)isa;
  (void)format;
  return cpu::PeakRefF32(repeats);
}

}  // namespace hadal
