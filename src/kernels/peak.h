// Owns: the arithmetic a level can do at most: independent multiply-adds on registers alone.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace hadal {

// Executes repeats rounds of the level's matrix instruction for the format and returns the
// operations done (a multiply-add is two). The caller times it. The level must be supported by this
// CPU.
double PeakOperations(Isa isa, WeightFormat format, int64_t repeats);

}  // namespace hadal
