// CpuWeight: a prepared matrix or stack, in one of the layouts of kernel_table.h, or rows for
// tables that are looked up. Thread rule: immutable once prepared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/tensor.h"
#include "kernels/backend.h"
#include "kernels/cpu/kernel_table.h"

namespace hadal::cpu {

enum class Layout {
  kPanelF32,
  kPanelBf16,
  kPanelF16,
  kPanelInt8,
  kPanelBlocks,
  kRowsF32,
  kRowsBf16,
  kRowsF16,
  kRowsBlocks,  // as in the file
};
struct Storage {
  Layout layout = Layout::kPanelF32;
  std::vector<BlockRows> blocks = {};  // of the layouts in blocks: all rows, part by part
};

// Bytes of one matrix, or -1 on overflow. cols is a whole number of blocks.
int64_t MatrixBytes(const Storage& storage, int64_t rows, int64_t cols);

// Of a layout of rows.
int64_t RowBytesOf(const Storage& storage, int64_t cols);

class CpuWeight final : public Weight {
 public:
  CpuWeight(int64_t count, int64_t rows, int64_t cols, Storage storage, Buffer data)
      : Weight(count, rows, cols),
        storage_(std::move(storage)),
        matrix_bytes_(MatrixBytes(storage_, rows, cols)),
        data_(std::move(data)) {}
  // Deferred: without memory, made from its sources at every use (cpu_deferred.cc).
  CpuWeight(std::vector<WeightSource> sources, Storage storage)
      : Weight(static_cast<int64_t>(sources.size()), sources[0].rows, sources[0].cols),
        storage_(std::move(storage)),
        matrix_bytes_(0),
        sources_(std::move(sources)) {}

  size_t bytes() const override { return data_.size(); }
  const Storage& storage() const { return storage_; }
  Layout layout() const { return storage_.layout; }
  const std::vector<BlockRows>& blocks() const { return storage_.blocks; }
  bool deferred() const { return !sources_.empty(); }
  const WeightSource& source(int64_t i) const { return sources_[static_cast<size_t>(i)]; }
  std::byte* matrix(int64_t i) const {
    CHECK(!deferred());
    return static_cast<std::byte*>(data_.data()) + i * matrix_bytes_;
  }

 private:
  Storage storage_;
  int64_t matrix_bytes_;
  Buffer data_;
  std::vector<WeightSource> sources_;
};

// Writes float32 rows [row0, row0 + n) (row-major [n, cols]) into the layout; row0 is a multiple of
// 16, and n too unless the rows end there.
void PackRows(Layout layout, const float* rows, int64_t row0, int64_t n, int64_t cols,
              std::byte* matrix);

// Writes n <= 16 rows of blocks, as in the file, into a zeroed panel of block_format.h.
void PackPanelBlocks(QuantType type, const std::byte* rows, int64_t n, int64_t cols,
                     std::byte* panel);
int64_t PanelBytesOf(QuantType type, int64_t cols);
// One block of a row: its codes (zero points not taken off) and its scales, which go to the places
// of that column in the scales of a packed block of block_format.h.
void ReadBlock(QuantType type, const std::byte* block, int column, uint8_t* codes, uint8_t* scales);
// A part begins with a panel of its own.
inline int64_t BlockPanelsBytes(const BlockRows& part, int64_t cols) {
  return (part.rows + kPanel - 1) / kPanel * PanelBytesOf(part.type, cols);
}

}  // namespace hadal::cpu
