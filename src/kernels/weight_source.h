// Owns: what every backend asks of the sources of a weight before it prepares it.
// Thread rule: pure functions.
#pragma once

#include <span>
#include <vector>

#include "kernels/backend.h"

namespace hadal {

// One shape for all of a stack, of 1 .. 2^31 - 1 rows and columns. kInvalidArgument names the
// tensor.
Status CheckSources(std::span<const WeightSource> sources);
// The parts in whose blocks every source comes; empty when there are none.
std::vector<BlockRows> BlocksOf(std::span<const WeightSource> sources);
bool HoldF16(std::span<const WeightSource> sources);
bool HoldFp8(std::span<const WeightSource> sources);

}  // namespace hadal
