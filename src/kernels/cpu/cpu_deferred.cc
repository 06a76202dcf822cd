// Weights that memory does not hold: a piece of the matrix is made from its source as if it were
// prepared, multiplied by the kernels that multiply prepared ones, and forgotten.
#include <algorithm>

#include "kernels/cpu/cpu_backend.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kPieceBytes = 8 << 20;  // prepared: stays in the caches until it is multiplied

}  // namespace

Result<WeightPtr> CpuBackend::Defer(std::span<const WeightSource> sources, WeightUse use) {
  HADAL_TRY([[maybe_unused]] const size_t checked, BytesOf(sources, use));
  HADAL_TRY(Storage storage, StorageOf(sources, use));
  return std::make_unique<CpuWeight>(std::vector(sources.begin(), sources.end()),
                                     std::move(storage));
}

void CpuBackend::EmbedDeferred(const CpuWeight& table, std::span<const TokenId> ids, float* out) {
  auto* row = static_cast<std::byte*>(
      Reserve(kDeferred, static_cast<size_t>(RowBytesOf(table.storage(), table.cols()))));
  for (const TokenId id : ids) {
    Fill(table.source(0), table.storage(), {id, id + 1}, row);
    LookUp(table, row, out);
    out += table.cols();
  }
}

// Runs what has been queued before, too: it is of the same layout.
// x: the activations for a block format.
void CpuBackend::RunDeferred(MatMulTile t, const std::function<const void*(int block_format)>& x,
                             const CpuWeight& w, int64_t matrix) {
  std::vector<BlockRows> parts = w.blocks();
  if (w.layout() != Layout::kPanelBlocks) parts = {{w.rows(), {}}};
  int64_t first = 0;
  for (const BlockRows& part : parts) {
    t.block_format = static_cast<int>(part.type);
    t.x = x(t.block_format);
    const auto bytes_of = [&](int64_t rows) {
      return MatrixBytes({w.layout(), {{rows, part.type}}}, rows, w.cols());
    };
    const int64_t panels = std::max<int64_t>(1, kPieceBytes / bytes_of(kPanel));
    const int64_t piece = std::min(part.rows, panels * kPanel);
    auto* memory =
        static_cast<std::byte*>(Reserve(kDeferred, static_cast<size_t>(bytes_of(piece))));
    for (int64_t row = first; row < first + part.rows; row += piece) {
      const int64_t n = std::min(piece, first + part.rows - row);
      // Packing writes into zeros.
      std::fill_n(memory, bytes_of(n), std::byte{0});
      Fill(w.source(matrix), w.storage(), {row, row + n}, memory);
      MatMulTile tile = t;
      tile.w = memory;
      tile.n = n;
      tile.panel1 = (n + kPanel - 1) / kPanel;
      tile.out += row;
      if (tile.bias) tile.bias += row;
      queued_.push_back(tile);
      RunQueued(w.layout());
    }
    first += part.rows;
  }
}

}  // namespace hadal::cpu
