// Owns: per-level loops of independent multiply-adds on registers, for measuring a CPU's peak.
// Each runs repeats rounds and returns the operations done (a multiply-add is two).
#pragma once

#include <cstdint>

namespace hadal::cpu {

double PeakRefF32(int64_t repeats);
double PeakAvx2F32(int64_t repeats);
double PeakAvx512F32(int64_t repeats);
double PeakAvx512Int8(int64_t repeats);
double PeakAmxBf16(int64_t repeats);
double PeakAmxInt8(int64_t repeats);

}  // namespace hadal::cpu
