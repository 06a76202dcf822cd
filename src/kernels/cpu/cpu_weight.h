// CpuWeight: a prepared matrix or stack, in one of the layouts of kernel_table.h, or plain rows for
// tables that are looked up.
// Thread rule: immutable once prepared.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor.h"
#include "kernels/backend.h"

namespace hadal::cpu {

enum class Layout { kPanelF32, kPanelBf16, kPanelInt8, kRowsF32, kRowsBf16 };

// Bytes of one matrix, or -1 on overflow.
int64_t MatrixBytes(Layout layout, int64_t rows, int64_t cols);

class CpuWeight final : public Weight {
 public:
  CpuWeight(int64_t count, int64_t rows, int64_t cols, Layout layout, Buffer data)
      : Weight(count, rows, cols),
        layout_(layout),
        matrix_bytes_(MatrixBytes(layout, rows, cols)),
        data_(std::move(data)) {}

  size_t bytes() const override { return data_.size(); }
  Layout layout() const { return layout_; }
  std::byte* matrix(int64_t i) const {
    return static_cast<std::byte*>(data_.data()) + i * matrix_bytes_;
  }

 private:
  Layout layout_;
  int64_t matrix_bytes_;
  Buffer data_;
};

// Writes float32 rows [row0, row0 + n) (row-major [n, cols]) into the layout; row0 is a multiple of
// 16, and n too unless the rows end there.
void PackRows(Layout layout, const float* rows, int64_t row0, int64_t n, int64_t cols,
              std::byte* matrix);

}  // namespace hadal::cpu
