#include <algorithm>
#include <string>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/weight_source.h"

namespace hadal::cpu {
namespace {

// Rows of a slice of whole panels, of about `bytes` when a row has row_bytes.
int64_t SliceRows(int64_t rows, int64_t row_bytes, int64_t bytes) {
  const int64_t slice = kPanel * std::max<int64_t>(1, bytes / (kPanel * row_bytes));
  return std::min(rows, slice);
}

}  // namespace

Result<Storage> CpuBackend::StorageOf(std::span<const WeightSource> sources, WeightUse use) const {
  HADAL_OK(CheckSources(sources));
  const bool rows = use == WeightUse::kLookUp;
  if (use == WeightUse::kMultiplyF32 || format_ == WeightFormat::kF32) {
    return Storage{rows ? Layout::kRowsF32 : Layout::kPanelF32};
  }
  if (auto blocks = BlocksOf(sources); blocks.size() == 1 || (!blocks.empty() && !rows)) {
    return Storage{rows ? Layout::kRowsBlocks : Layout::kPanelBlocks, std::move(blocks)};
  }
  if (HoldF16(sources) && (rows || format_ != WeightFormat::kInt8)) {
    return Storage{rows ? Layout::kRowsF16 : Layout::kPanelF16};
  }
  if (rows) return Storage{Layout::kRowsBf16};
  return Storage{format_ == WeightFormat::kInt8 ? Layout::kPanelInt8 : Layout::kPanelBf16};
}

Result<WeightPtr> CpuBackend::PrepareEmbedding(const WeightSource& source) {
  return PrepareFor({&source, 1}, WeightUse::kLookUp);
}

Result<size_t> CpuBackend::BytesOf(std::span<const WeightSource> sources, WeightUse use) const {
  HADAL_TRY(const Storage storage, StorageOf(sources, use));
  const int64_t matrix_bytes = MatrixBytes(storage, sources[0].rows, sources[0].cols);
  int64_t bytes = 0;
  if (matrix_bytes < 0 ||
      __builtin_mul_overflow(matrix_bytes, static_cast<int64_t>(sources.size()), &bytes)) {
    return FailField(ErrorCode::kInvalidArgument, sources[0].name,
                     "tensor {} of shape [{}, {}] is too large to prepare", sources[0].name,
                     sources[0].rows, sources[0].cols);
  }
  return static_cast<size_t>(bytes);
}

Result<WeightPtr> CpuBackend::PrepareFor(std::span<const WeightSource> sources, WeightUse use) {
  HADAL_TRY(const size_t bytes, BytesOf(sources, use));
  HADAL_TRY(Storage storage, StorageOf(sources, use));
  auto buffer = Buffer::Allocate(bytes);
  if (!buffer) return tl::make_unexpected(buffer.error().In(sources[0].name));
  auto weight =
      std::make_unique<CpuWeight>(static_cast<int64_t>(sources.size()), sources[0].rows,
                                  sources[0].cols, std::move(storage), std::move(*buffer));
  for (size_t m = 0; m < sources.size(); ++m) {
    Fill(sources[m], weight->storage(), {0, sources[m].rows},
         weight->matrix(static_cast<int64_t>(m)));
  }
  const int64_t elements = weight->count() * weight->rows() * weight->cols();
  if (use == WeightUse::kMultiply) multiplied_ += elements;
  if (use == WeightUse::kMultiply && MayRound(*weight)) may_round_ += elements;
  return weight;
}

// `to` is where the first of the rows goes: of panels when the storage has them. The rows begin
// with a panel and, in blocks, are of one part or of whole parts.
void CpuBackend::Fill(const WeightSource& source, const Storage& storage, RowRange rows,
                      std::byte* to) {
  if (storage.layout == Layout::kRowsBlocks) return CopyBlocks(source, rows, to);
  if (storage.layout != Layout::kPanelBlocks) {
    return FillDecoded(source, storage.layout, rows, to);
  }
  int64_t first = 0;
  for (const BlockRows& part : storage.blocks) {
    const RowRange in_part = {std::max(rows.begin, first), std::min(rows.end, first + part.rows)};
    first += part.rows;
    if (in_part.begin >= in_part.end) continue;
    FillPanels(source, part.type, in_part, to);
    to += BlockPanelsBytes({in_part.end - in_part.begin, part.type}, source.cols);
  }
}

// Calls fn(row0, n, thread) for slices of the rows, in parallel.
template <class F>
void CpuBackend::ForSlices(RowRange rows, int64_t slice_rows, const F& fn) {
  const int64_t slices = (rows.end - rows.begin + slice_rows - 1) / slice_rows;
  CHECK(slices < (int64_t{1} << 31));
  pool_.ForEach(static_cast<int>(slices), [&](int slice, int thread) {
    const int64_t row0 = rows.begin + slice * slice_rows;
    fn(row0, std::min(slice_rows, rows.end - row0), thread);
  });
}

// A slice for every thread.
std::byte* CpuBackend::SliceSpace(int64_t bytes) {
  return static_cast<std::byte*>(Reserve(kSlices, static_cast<size_t>(bytes * pool_.size())));
}

// Decodes and packs slices of about 1 MiB of float32 per thread at a time.
void CpuBackend::FillDecoded(const WeightSource& source, Layout layout, RowRange rows,
                             std::byte* to) {
  const int64_t cols = source.cols, row_bytes = cols * 4;
  const int64_t slice_rows = SliceRows(rows.end - rows.begin, row_bytes, 1 << 20);
  const int64_t slice_bytes = slice_rows * row_bytes;
  std::byte* space = SliceSpace(slice_bytes);
  ForSlices(rows, slice_rows, [&](int64_t row0, int64_t n, int thread) {
    auto* values = reinterpret_cast<float*>(space + thread * slice_bytes);
    source.decode(row0, n, values);
    PackRows(layout, values, row0 - rows.begin, n, cols, to);
  });
}

void CpuBackend::CopyBlocks(const WeightSource& source, RowRange rows, std::byte* to) {
  const int64_t row_bytes = RowBytes(*source.blocks, source.cols);
  ForSlices(rows, SliceRows(rows.end - rows.begin, row_bytes, 1 << 20),
            [&](int64_t row0, int64_t n, int) {
              source.read_blocks(row0, n, to + (row0 - rows.begin) * row_bytes);
            });
}

// A panel or at most about 256 KiB of blocks at a time.
void CpuBackend::FillPanels(const WeightSource& source, QuantType type, RowRange rows,
                            std::byte* panels) {
  const int64_t row_bytes = RowBytes(type, source.cols);
  const int64_t panel_bytes = PanelBytesOf(type, source.cols);
  const int64_t slice_rows = SliceRows(rows.end - rows.begin, row_bytes, 1 << 18);
  const int64_t slice_bytes = RoundUp(slice_rows * row_bytes, 64);
  std::byte* space = SliceSpace(slice_bytes);
  ForSlices(rows, slice_rows, [&](int64_t row0, int64_t n, int thread) {
    std::byte* blocks = space + thread * slice_bytes;
    source.read_blocks(row0, n, blocks);
    for (int64_t r = 0; r < n; r += kPanel) {
      PackPanelBlocks(type, blocks + r * row_bytes, std::min<int64_t>(kPanel, n - r), source.cols,
                      panels + (row0 - rows.begin + r) / kPanel * panel_bytes);
    }
  });
}

}  // namespace hadal::cpu
