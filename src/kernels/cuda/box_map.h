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
// memory. What a box has beyond the sizes is zeros, which count as its bytes.
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

// False where there is none, or the stream drops what comes: nothing is to be launched with it.
// Errors stay with the stream. (The driver takes strides in any order, which `cuda_test` finds out
// on a card.)
bool MapBoxes(Stream& s, const Boxes& boxes, BoxMap& map);

}  // namespace hadal::CUDA_NAMESPACE
