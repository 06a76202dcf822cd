// Rows of blocks, as in the file, into the planes of block_planes.h. Thread rule: pure; rows may be
// packed from several threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/quant_type.h"

namespace hadal::block_planes {

// Bytes of a matrix; cols is a whole number of blocks.
int64_t MatrixBytes(QuantType type, int64_t rows, int64_t cols);
// n rows as a matrix of their own, MatrixBytes(type, n, cols); as every 16 rows lie together, also
// as rows of a larger one that begin at a multiple of 16. What has no row or column becomes zero.
void PackRows(QuantType type, const std::byte* blocks, int64_t n, int64_t cols, uint8_t* matrix);

}  // namespace hadal::block_planes
