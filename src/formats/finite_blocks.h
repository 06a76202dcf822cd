// Owns: finding NaN and infinity in stored weights without decoding them: of blocks, only their
// scales can be that.
// Must not know files. Thread rule: a free function.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "quant/quant_type.h"

namespace hadal {

// Whether all n weights (a multiple of the block) are finite.
bool BlocksAreFinite(QuantType type, const std::byte* blocks, int64_t n);
// The same of n values of kF16 or kBf16, which may be unaligned.
bool HalvesAreFinite(DType type, const std::byte* values, int64_t n);

}  // namespace hadal
