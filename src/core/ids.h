// Index spaces that cross folders.
#pragma once

#include <cstdint>

namespace hadal {

using TokenId = int32_t;  // row of the embedding table

}  // namespace hadal
