// The vendor's library for products of many rows, where it is installed: opened when it is first
// asked for, never linked. Only on a real card. Thread rule: that of the stream.
#pragma once

#include <cstdint>

#include "kernels/cuda/kernels.h"

namespace hadal::cuda {

// MultiplyTiles by the library; false where it is not there or does not take the product.
bool MultiplyByLibrary(Stream& s, const Matrix& w, const uint16_t* x, int64_t rows,
                       const Output& out);

}  // namespace hadal::cuda
