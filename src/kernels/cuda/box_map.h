// What the copy engine knows of values of bf16 in the card's memory, from which it takes boxes
// (tile_copies.h): an argument of kernels.
#pragma once

#ifndef HADAL_CUDA_EMULATED
#include <cuda.h>
#endif

#include <cstdint>

#include "kernels/cuda/kernels.h"

namespace hadal::CUDA_NAMESPACE {

// Values of up to five dimensions, of which a box has so many, 64 of the first one: rows of shared
// memory. What a box has beyond the sizes is zeros.
struct Boxes {
  static constexpr int kMost = 5;
  const void* data = nullptr;  // at a multiple of 16 bytes
  int dimensions = 0;          // 3 or 5
  int64_t size[kMost] = {};
  int64_t next[kMost] = {};  // bytes from one to the next, multiples of 16; of the first: two
  int box[kMost] = {};       // at most 256
};

}  // namespace hadal::CUDA_NAMESPACE

#ifdef HADAL_CUDA_EMULATED
namespace hadal::cuda_emulated {
using BoxMap = Boxes;
}
#else
namespace hadal::cuda {
using BoxMap = CUtensorMap;
}
#endif

namespace hadal::CUDA_NAMESPACE {

// Errors stay with the stream.
BoxMap MapBoxes(Stream& s, const Boxes& boxes);

}  // namespace hadal::CUDA_NAMESPACE
