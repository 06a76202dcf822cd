// Owns: float32 rows to the bytes of a file's type, refusing what the type cannot hold.
// Must not know files. Thread rule: free functions; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "base/error.h"
#include "quant/quant_type.h"

namespace hadal {

// kBadFile names the tensor when a value is NaN or infinite, kInvalidArgument when a type with a
// float16 scale cannot hold it. Not for F8_E4M3.
Status EncodeRows(const TensorType& type, std::span<const float> values, std::string_view name,
                  std::byte* out);

// F8_E4M3 in blocks of 128 x 128 that share a scale: rows [0, n) of a matrix, n a multiple of 128
// unless they are the last. scales: [ceil(n / 128), ceil(cols / 128)]; a weight is its code times
// its scale.
struct Fp8Rows {
  const float* values = nullptr;
  int64_t rows = 0, cols = 0;
};
constexpr int64_t kFp8Block = 128;
Status EncodeFp8(const Fp8Rows& in, std::string_view name, std::byte* out, float* scales);

}  // namespace hadal
