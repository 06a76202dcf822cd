// Owns: what this machine can do at most, measured: memory read rate and matrix arithmetic.
#pragma once

#include "base/error.h"
#include "kernels/backend.h"

namespace hadal::cli {

// All threads reading a buffer far larger than the caches; multiply-adds on registers only.
using MachineLimits = BackendLimits;

// Takes about a second. The arithmetic is that of the resident weight format on the given level.
Result<MachineLimits> MeasureLimits(Isa isa, WeightFormat format, int threads);

}  // namespace hadal::cli
