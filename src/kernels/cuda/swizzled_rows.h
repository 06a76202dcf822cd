// Owns: rows of matrices in shared memory as ldmatrix reads them. Only .cu files include this.
#pragma once

#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {

// Rows lie in shared memory as chunks of 16 bytes, chunk c of row r at c ^ r % 8, so that
// the same chunk of eight rows takes all banks; a row is a multiple of 128 bytes.
__device__ inline char* ChunkAt(char* rows, int bytes, int r, int c) {
  return rows + r * bytes + (c ^ (r % 8)) * 16;
}
// Where a lane reads matrices from such rows: always rows that are the same modulo 8, so that all
// its chunks follow from one by constants.
struct LaneRows {
  char* row;
  int swizzle;  // bytes

  __device__ LaneRows(char* rows, int bytes, int r, int chunk)
      : row(rows + r * bytes), swizzle((chunk ^ (r % 8)) * 16) {}
  // The chunk 2 * pair further, `down` bytes (whole eights of rows) down.
  __device__ char* At(int down, int pair) const {
    return row + (down + pair / 4 * 128) + (swizzle ^ (pair % 4 * 32));
  }
};

}  // namespace hadal::CUDA_NAMESPACE
