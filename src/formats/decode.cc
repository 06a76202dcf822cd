#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "formats/checkpoint.h"
#include "formats/int4.h"
#include "quant/codec.h"

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

// Where row r of the hub's order is stored (RowOrder).
int64_t StoredRow(const RowOrder& order, int64_t r) {
  const int64_t in_head = r % order.head_dim, half = order.head_dim / 2;
  return r - in_head + 2 * (in_head % half) + in_head / half;
}

void DecodePlain(const TensorEntry& entry, int64_t row0, int64_t n_rows, float* out) {
  const int64_t n = n_rows * entry.cols();
  const std::byte* in =
      entry.bytes.data() + static_cast<size_t>(row0 * entry.cols()) * SizeOf(entry.dtype);
  if (entry.dtype == DType::kF32) {
    if (n > 0) std::memcpy(out, in, static_cast<size_t>(n) * sizeof(float));
  } else if (entry.dtype == DType::kBf16) {
    for (int64_t i = 0; i < n; ++i) out[i] = Bf16ToFloat(Load<uint16_t>(in, i));
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = F16ToFloat(Load<uint16_t>(in, i));
  }
}

// Rows in the order in which they are stored.
void DecodeStored(const TensorEntry& entry, int64_t row0, int64_t n_rows, float* out) {
  const int64_t cols = entry.cols();
  if (entry.int4 != nullptr) {
    DecodeInt4(entry, row0, n_rows, out);
  } else if (entry.quant) {
    const std::byte* in = entry.bytes.data() + row0 * RowBytes(*entry.quant, cols);
    DecodeBlocks(*entry.quant, in, n_rows * cols, out);
  } else if (entry.dtype == DType::kF8E4M3) {
    for (int64_t r = 0; r < n_rows; ++r) DecodeF8Row(entry, row0 + r, out + r * cols);
  } else {
    DecodePlain(entry, row0, n_rows, out);
  }
}

void CheckRows(const TensorEntry& entry, int64_t row0, int64_t n_rows) {
  CHECK(row0 >= 0 && n_rows >= 0 && row0 <= entry.rows() && n_rows <= entry.rows() - row0);
}

}  // namespace

bool IsDecodable(const TensorEntry& entry) {
  if (entry.quant || entry.int4 != nullptr) return true;
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
  CheckRows(entry, row0, n_rows);
  const RowOrder& order = entry.row_order;
  if (order.head_dim == 0) return DecodeStored(entry, row0, n_rows, out);
  const int64_t cols = entry.cols();
  if (entry.shape.rank() > 1) {
    for (int64_t r = row0; r < row0 + n_rows; ++r, out += cols) {
      DecodeStored(entry, StoredRow(order, r), 1, out);
    }
  } else if (n_rows == 1) {  // a bias: its elements are the rows of the matrix
    std::vector<float> stored(static_cast<size_t>(cols));
    DecodeStored(entry, 0, 1, stored.data());
    for (int64_t r = 0; r < cols; ++r) out[r] = stored[static_cast<size_t>(StoredRow(order, r))];
  }
}

bool IsFp8InTiles(const TensorEntry& entry) {
  return !entry.quant && entry.int4 == nullptr && entry.readable() &&
         entry.dtype == DType::kF8E4M3 && entry.scale_inv != nullptr &&
         entry.row_order.head_dim == 0 && entry.block.rows % kFp8TileRows == 0 &&
         entry.block.cols % kFp8TileCols == 0;
}

void ReadFp8Rows(const TensorEntry& entry, int64_t row0, int64_t n_rows, uint8_t* codes,
                 float* scales) {
  CHECK(IsFp8InTiles(entry) && row0 % kFp8TileRows == 0);
  CheckRows(entry, row0, n_rows);
  const int64_t cols = entry.cols();
  if (n_rows > 0) {
    std::memcpy(codes, entry.bytes.data() + row0 * cols, static_cast<size_t>(n_rows * cols));
  }
  for (int64_t row = row0; row < row0 + n_rows; row += kFp8TileRows) {
    const int64_t scale_row = row / entry.block.rows * entry.scale_inv->cols();
    for (int64_t c = 0; c < cols; c += kFp8TileCols) {
      *scales++ = Load<float>(entry.scale_inv->bytes.data(), scale_row + c / entry.block.cols);
    }
  }
}

bool RowsFollow(const TensorEntry& entry) {
  return entry.mapping != nullptr && entry.int4 == nullptr && entry.row_order.head_dim == 0 &&
         entry.rows() > 0;
}

bool RowsStandAlone(const TensorEntry& entry) {
  return RowsFollow(entry) && entry.scale_inv == nullptr;
}

std::span<const std::byte> BytesOfRows(const TensorEntry& entry, int64_t row0, int64_t n_rows) {
  CheckRows(entry, row0, n_rows);
  const size_t row_bytes = entry.bytes.size() / static_cast<size_t>(entry.rows());
  return entry.bytes.subspan(static_cast<size_t>(row0) * row_bytes,
                             static_cast<size_t>(n_rows) * row_bytes);
}

TensorEntry RowsOf(const TensorEntry& entry, int64_t n_rows, std::span<const std::byte> bytes) {
  TensorEntry rows = entry;
  rows.shape = {n_rows, entry.cols()};
  rows.bytes = bytes;
  return rows;
}

std::vector<const TensorEntry*> PartsOf(const TensorEntry& entry) {
  if (entry.int4 == nullptr) {
    if (entry.scale_inv == nullptr) return {&entry};
    return {&entry, entry.scale_inv};
  }
  std::vector<const TensorEntry*> parts = {entry.int4->qweight, entry.int4->qzeros,
                                           entry.int4->scales};
  if (entry.int4->g_idx != nullptr) parts.push_back(entry.int4->g_idx);
  return parts;
}

int64_t StoredRowBytes(const TensorEntry& entry) {
  if (entry.quant) return RowBytes(*entry.quant, entry.cols());
  return entry.cols() * static_cast<int64_t>(SizeOf(entry.dtype));
}

void ReadStoredRows(const TensorEntry& entry, int64_t row0, int64_t n_rows, std::byte* out) {
  CHECK(entry.quant || entry.int4 == nullptr);
  CheckRows(entry, row0, n_rows);
  if (entry.int4 != nullptr) return ReadInt4Blocks(entry, row0, n_rows, out);
  const auto bytes = static_cast<size_t>(StoredRowBytes(entry));
  const auto at = [&](int64_t row) {
    return entry.bytes.data() + static_cast<size_t>(row) * bytes;
  };
  if (entry.row_order.head_dim == 0) {
    if (n_rows > 0) std::memcpy(out, at(row0), static_cast<size_t>(n_rows) * bytes);
    return;
  }
  CHECK(entry.shape.rank() > 1);
  for (int64_t r = row0; r < row0 + n_rows; ++r, out += bytes) {
    std::memcpy(out, at(StoredRow(entry.row_order, r)), bytes);
  }
}

}  // namespace hadal
