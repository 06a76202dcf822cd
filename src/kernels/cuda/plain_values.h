// Owns: reading weights that are not in blocks, one value at a time. Only .cu files include this.
#pragma once

#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {

template <Form kForm>
__device__ inline float LoadOne(const uint8_t* row, int64_t i) {
  if constexpr (kForm == Form::kF32) return reinterpret_cast<const float*>(row)[i];
  const uint16_t v = reinterpret_cast<const uint16_t*>(row)[i];
  return kForm == Form::kBf16 ? Bf16ToFloat(v) : HalfToFloat(v);
}

// Calls fn.template operator()<form>() for a form that is not blocks.
template <class F>
void ForPlainForm(Form form, const F& fn) {
  if (form == Form::kF32) return fn.template operator()<Form::kF32>();
  if (form == Form::kBf16) return fn.template operator()<Form::kBf16>();
  fn.template operator()<Form::kF16>();
}

}  // namespace hadal::CUDA_NAMESPACE
