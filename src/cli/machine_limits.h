// Owns: what this machine can do at most, measured: memory read rate and matrix arithmetic.
#pragma once

#include "base/error.h"
#include "kernels/backend.h"

namespace hadal::cli {

struct MachineLimits {
  double read_bytes_per_second = 0;  // all threads reading a buffer far larger than the caches
  double flops_per_second = 0;       // multiply-adds counted as two, registers only, all threads
};

// Takes about a second. The arithmetic is that of the resident weight format on the given level.
Result<MachineLimits> MeasureLimits(Isa isa, WeightFormat format, int threads);

}  // namespace hadal::cli
