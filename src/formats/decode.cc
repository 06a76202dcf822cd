#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "formats/checkpoint.h"

namespace hadal {
namespace {

// Entries may be unaligned, so elements are copied out, never pointed at.
template <class T>
T Load(const std::byte* p, int64_t i) {
  T v;
  std::memcpy(&v, p + static_cast<size_t>(i) * sizeof(T), sizeof(T));
  return v;
}

const std::array<float, 256>& F8Table() {
  static const auto kTable = [] {
    std::array<float, 256> table;
    for (size_t v = 0; v < table.size(); ++v) table[v] = F8E4M3ToFloat(static_cast<uint8_t>(v));
    return table;
  }();
  return kTable;
}

void DecodeF8Row(const TensorEntry& entry, int64_t row, float* out) {
  const auto& table = F8Table();
  const int64_t cols = entry.cols();
  const std::byte* in = entry.bytes.data() + row * cols;
  const int64_t scale_row = row / entry.block.rows * entry.scale_inv->cols();
  for (int64_t block = 0, c = 0; c < cols; ++block) {
    const float scale = Load<float>(entry.scale_inv->bytes.data(), scale_row + block);
    const int64_t end = c + std::min(entry.block.cols, cols - c);
    for (; c < end; ++c) out[c] = table[static_cast<uint8_t>(in[c])] * scale;
  }
}

}  // namespace

bool IsDecodable(const TensorEntry& entry) {
  if (!entry.readable()) return false;
  switch (entry.dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBf16:
      return true;
    case DType::kF8E4M3:
      return entry.scale_inv != nullptr;
    case DType::kI8:
    case DType::kI32:
    case DType::kI64:
    case DType::kU8:
      return false;
  }
  return false;
}

void DecodeRows(const TensorEntry& entry, int64_t row0, int64_t n_rows, float* out) {
  CHECK(IsDecodable(entry));
  CHECK(row0 >= 0 && n_rows >= 0 && row0 <= entry.rows() && n_rows <= entry.rows() - row0);
  const int64_t cols = entry.cols();
  if (entry.dtype == DType::kF8E4M3) {
    for (int64_t r = 0; r < n_rows; ++r) DecodeF8Row(entry, row0 + r, out + r * cols);
    return;
  }
  const int64_t n = n_rows * cols;
  const std::byte* in = entry.bytes.data() + static_cast<size_t>(row0 * cols) * SizeOf(entry.dtype);
  if (entry.dtype == DType::kF32) {
    if (n > 0) std::memcpy(out, in, static_cast<size_t>(n) * sizeof(float));
  } else if (entry.dtype == DType::kBf16) {
    for (int64_t i = 0; i < n; ++i) out[i] = Bf16ToFloat(Load<uint16_t>(in, i));
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = F16ToFloat(Load<uint16_t>(in, i));
  }
}

}  // namespace hadal
