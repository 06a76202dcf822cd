#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

#include "core/dtype.h"
#include "kernels/cpu/cpu_weight.h"
#include "kernels/cpu/kernel_table.h"

namespace hadal::cpu {
namespace {

void PackPanelF32(const float* rows, int64_t columns, int64_t k_size, float* out) {
  for (int64_t k = 0; k < k_size; ++k) {
    for (int64_t c = 0; c < columns; ++c) out[k * kPanel + c] = rows[c * k_size + k];
  }
}

void PackPanelBf16(const float* rows, int64_t columns, int64_t k_size, uint16_t* out) {
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t k = 0; k < k_size; ++k) {
      out[k / 2 * 2 * kPanel + c * 2 + (k & 1)] = FloatToBf16(rows[c * k_size + k]);
    }
  }
}

// Exact for values that an F16 holds.
void PackPanelF16(const float* rows, int64_t columns, int64_t k_size, uint16_t* out) {
  for (int64_t k = 0; k < k_size; ++k) {
    for (int64_t c = 0; c < columns; ++c) out[k * kPanel + c] = FloatToF16(rows[c * k_size + k]);
  }
}

// To the nearest integer, ties to even, for |v| < 2^22: the sum's last bit is worth 1.
int32_t Nearest(float v) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23
  const float shifted = v + kShift;
  return static_cast<int32_t>(shifted - kShift);
}

// One column's values of one block. A value that is not finite makes the scale NaN, so that it
// shows in every output instead of being clamped away.
void PackInt8Column(const float* values, int64_t n, int64_t column, Int8Block* block) {
  float amax = 0;
  bool finite = true;
  for (int64_t k = 0; k < n; ++k) {
    const float a = std::fabs(values[k]);
    finite &= a <= FLT_MAX;
    amax = std::max(amax, a);
  }
  if (!finite) {
    block->scale[column] = std::numeric_limits<float>::quiet_NaN();
    return;
  }
  if (amax < 1e-30f) return;  // the block is zero on creation
  const float inverse = 127.0f / amax;
  int32_t sum = 0;
  for (int64_t k = 0; k < n; ++k) {
    const auto q = Nearest(values[k] * inverse);
    block->w[k / 4][column][k % 4] = static_cast<int8_t>(std::clamp(q, -127, 127));
    sum += block->w[k / 4][column][k % 4];
  }
  block->scale[column] = amax / 127.0f;
  block->minus_128_sum[column] = -128 * sum;
}

void PackPanelInt8(const float* rows, int64_t columns, int64_t k_size, Int8Block* out) {
  for (int64_t k = 0; k < k_size; k += kInt8KStep) {
    const int64_t n = std::min<int64_t>(kInt8KStep, k_size - k);
    for (int64_t c = 0; c < columns; ++c) {
      PackInt8Column(rows + c * k_size + k, n, c, out + k / kInt8KStep);
    }
  }
}

}  // namespace

int64_t MatrixBytes(const Storage& storage, int64_t rows, int64_t cols) {
  constexpr int64_t kMost = int64_t{1} << 40;  // bounds the arithmetic below
  if (rows <= 0 || cols <= 0 || rows > kMost / 64 / cols) return -1;
  const int64_t panels = (rows + kPanel - 1) / kPanel;
  int64_t bytes = 0;
  switch (storage.layout) {
    case Layout::kPanelF32:
      return panels * PanelBytesF32(cols);
    case Layout::kPanelBf16:
      return panels * PanelBytesBf16(cols);
    case Layout::kPanelF16:
      return panels * PanelBytesF16(cols);
    case Layout::kPanelInt8:
      return panels * PanelBytesInt8(cols);
    case Layout::kPanelBlocks:
      for (const BlockRows& part : storage.blocks) bytes += BlockPanelsBytes(part, cols);
      return bytes;
    case Layout::kRowsF32:
      return rows * cols * 4;
    case Layout::kRowsBf16:
    case Layout::kRowsF16:
      return rows * cols * 2;
    case Layout::kRowsBlocks:
      for (const BlockRows& part : storage.blocks) bytes += part.rows * RowBytes(part.type, cols);
      return bytes;
  }
  return -1;
}

int64_t RowBytesOf(const Storage& storage, int64_t cols) {
  if (storage.layout == Layout::kRowsBlocks) return RowBytes(storage.blocks[0].type, cols);
  CHECK(storage.layout >= Layout::kRowsF32);
  return cols * (storage.layout == Layout::kRowsF32 ? 4 : 2);
}

void PackRows(Layout layout, const float* rows, int64_t row0, int64_t n, int64_t cols,
              std::byte* matrix) {
  if (layout == Layout::kRowsF32) {
    std::copy(rows, rows + n * cols, reinterpret_cast<float*>(matrix) + row0 * cols);
    return;
  }
  if (layout == Layout::kRowsBf16) {
    auto* out = reinterpret_cast<uint16_t*>(matrix) + row0 * cols;
    for (int64_t i = 0; i < n * cols; ++i) out[i] = FloatToBf16(rows[i]);
    return;
  }
  if (layout == Layout::kRowsF16) {
    auto* out = reinterpret_cast<uint16_t*>(matrix) + row0 * cols;
    for (int64_t i = 0; i < n * cols; ++i) out[i] = FloatToF16(rows[i]);
    return;
  }
  for (int64_t r = 0; r < n; r += kPanel) {
    const int64_t panel = (row0 + r) / kPanel, columns = std::min<int64_t>(kPanel, n - r);
    const float* source = rows + r * cols;
    if (layout == Layout::kPanelF32) {
      std::byte* out = matrix + panel * PanelBytesF32(cols);
      PackPanelF32(source, columns, cols, reinterpret_cast<float*>(out));
    } else if (layout == Layout::kPanelBf16) {
      std::byte* out = matrix + panel * PanelBytesBf16(cols);
      PackPanelBf16(source, columns, cols, reinterpret_cast<uint16_t*>(out));
    } else if (layout == Layout::kPanelF16) {
      std::byte* out = matrix + panel * PanelBytesF16(cols);
      PackPanelF16(source, columns, cols, reinterpret_cast<uint16_t*>(out));
    } else {
      std::byte* out = matrix + panel * PanelBytesInt8(cols);
      PackPanelInt8(source, columns, cols, reinterpret_cast<Int8Block*>(out));
    }
  }
}

}  // namespace hadal::cpu
