// Owns: finding NaN and infinity in blocks without decoding them: only their scales can be that.
// Must not know files. Thread rule: a free function.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/quant_type.h"

namespace hadal {

// Whether all n weights (a multiple of the block) are finite.
bool BlocksAreFinite(QuantType type, const std::byte* blocks, int64_t n);

}  // namespace hadal
