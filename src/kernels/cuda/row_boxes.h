// What the copy engine knows of a matrix of bf16 in the card's memory, from which it takes eight
// rows at a time (tile_copies.h): an argument of kernels.
#pragma once

#ifdef HADAL_CUDA_EMULATED
#include <cstdint>

namespace hadal::cuda_emulated {
struct RowBoxes {
  const char* data;
  int64_t columns, row_bytes;
};
}  // namespace hadal::cuda_emulated
#else
#include <cuda.h>

namespace hadal::cuda {
using RowBoxes = CUtensorMap;
}
#endif

#include "kernels/cuda/kernels.h"

namespace hadal::CUDA_NAMESPACE {

constexpr int kBoxRows = 8;

// Of a matrix at a multiple of 16 bytes, with a multiple of 64 columns. Errors stay with the
// stream.
RowBoxes BoxesOf(Stream& s, const void* data, int64_t columns, int64_t row_bytes);

}  // namespace hadal::CUDA_NAMESPACE
