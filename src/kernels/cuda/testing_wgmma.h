// For the tests of wgmma.h: one small product by every instruction that it offers.
#pragma once

#include "kernels/cuda/kernels.h"

namespace hadal::CUDA_NAMESPACE {

// out [64][columns] = a b with bf16 a [64][k], k a multiple of 64, and b [columns][k] or, where its
// columns are contiguous, [k][columns]. All on the card.
struct WgmmaProduct {
  const uint16_t *a = nullptr, *b = nullptr;
  int columns = 0, k = 0;
  bool contiguous_columns = false;
  bool a_in_registers = false;
  float* out = nullptr;
};
void MultiplyByWgmma(Stream& s, const WgmmaProduct& product);

}  // namespace hadal::CUDA_NAMESPACE
