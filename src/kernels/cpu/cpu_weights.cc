#include <algorithm>
#include <string>

#include "kernels/cpu/cpu_backend.h"

namespace hadal::cpu {
namespace {

Status CheckSources(std::span<const WeightSource> sources) {
  CHECK(!sources.empty());
  const WeightSource& first = sources[0];
  for (const WeightSource& s : sources) {
    if (s.rows <= 0 || s.cols <= 0) {
      return FailField(ErrorCode::kInvalidArgument, s.name,
                       "tensor {} has shape [{}, {}]; both must be positive", s.name, s.rows,
                       s.cols);
    }
    if (s.rows != first.rows || s.cols != first.cols) {
      return FailField(ErrorCode::kInvalidArgument, s.name,
                       "tensor {} has shape [{}, {}] but {} of the same stack has [{}, {}]", s.name,
                       s.rows, s.cols, first.name, first.rows, first.cols);
    }
  }
  return {};
}

// The parts in whose blocks every source comes; empty when there are none.
std::vector<BlockRows> BlocksOf(std::span<const WeightSource> sources) {
  const auto parts_of = [](const WeightSource& s) {
    return s.blocks ? std::vector<BlockRows>{{s.rows, *s.blocks}} : s.mixed_blocks;
  };
  const std::vector<BlockRows> parts = parts_of(sources[0]);
  for (const WeightSource& s : sources) {
    if (!s.read_blocks || parts_of(s) != parts) return {};
  }
  int64_t rows = 0;
  for (const BlockRows& part : parts) {
    CHECK(part.rows > 0 && sources[0].cols % TraitsOf(part.type).elements == 0);
    rows += part.rows;
  }
  CHECK(parts.empty() || rows == sources[0].rows);
  return parts;
}

bool HoldF16(std::span<const WeightSource> sources) {
  return std::all_of(sources.begin(), sources.end(),
                     [](const WeightSource& s) { return s.stored == DType::kF16; });
}

// Rows of a slice of whole panels, of about `bytes` when a row has row_bytes.
int64_t SliceRows(int64_t rows, int64_t row_bytes, int64_t bytes) {
  const int64_t slice = kPanel * std::max<int64_t>(1, bytes / (kPanel * row_bytes));
  return std::min(rows, slice);
}

}  // namespace

Result<WeightPtr> CpuBackend::Prepare(std::span<const WeightSource> sources, bool keep_f32) {
  if (keep_f32 || format_ == WeightFormat::kF32) {
    return PrepareStorage(sources, {Layout::kPanelF32});
  }
  HADAL_OK(CheckSources(sources));
  if (auto blocks = BlocksOf(sources); !blocks.empty()) {
    return PrepareStorage(sources, {Layout::kPanelBlocks, std::move(blocks)});
  }
  if (format_ == WeightFormat::kInt8) return PrepareStorage(sources, {Layout::kPanelInt8});
  return PrepareStorage(sources, {HoldF16(sources) ? Layout::kPanelF16 : Layout::kPanelBf16});
}

Result<WeightPtr> CpuBackend::PrepareEmbedding(const WeightSource& source) {
  const std::span<const WeightSource> one(&source, 1);
  if (format_ == WeightFormat::kF32) return PrepareStorage(one, {Layout::kRowsF32});
  HADAL_OK(CheckSources(one));
  if (auto blocks = BlocksOf(one); blocks.size() == 1) {
    return PrepareStorage(one, {Layout::kRowsBlocks, std::move(blocks)});
  }
  return PrepareStorage(one, {HoldF16(one) ? Layout::kRowsF16 : Layout::kRowsBf16});
}

Result<WeightPtr> CpuBackend::PrepareStorage(std::span<const WeightSource> sources,
                                             const Storage& storage) {
  HADAL_OK(CheckSources(sources));
  const int64_t rows = sources[0].rows, cols = sources[0].cols;
  const auto count = static_cast<int64_t>(sources.size());
  const int64_t matrix_bytes = MatrixBytes(storage, rows, cols);
  int64_t bytes = 0;
  if (matrix_bytes < 0 || __builtin_mul_overflow(matrix_bytes, count, &bytes)) {
    return FailField(ErrorCode::kInvalidArgument, sources[0].name,
                     "tensor {} of shape [{}, {}] is too large to prepare", sources[0].name, rows,
                     cols);
  }
  auto buffer = Buffer::Allocate(static_cast<size_t>(bytes));
  if (!buffer) return tl::make_unexpected(buffer.error().In(sources[0].name));
  auto weight = std::make_unique<CpuWeight>(count, rows, cols, storage, std::move(*buffer));
  if (storage.layout == Layout::kPanelBlocks || storage.layout == Layout::kRowsBlocks) {
    HADAL_OK(FillBlocks(sources, *weight));
  } else {
    HADAL_OK(FillDecoded(sources, *weight));
  }
  return weight;
}

Result<std::vector<Buffer>> CpuBackend::ThreadBuffers(size_t bytes) const {
  std::vector<Buffer> buffers;
  for (int i = 0; i < pool_.size(); ++i) {
    HADAL_TRY(Buffer b, Buffer::Allocate(bytes));
    buffers.push_back(std::move(b));
  }
  return buffers;
}

// Decodes and packs slices of about 1 MiB of float32 per thread at a time.
Status CpuBackend::FillDecoded(std::span<const WeightSource> sources, CpuWeight& weight) {
  const int64_t rows = weight.rows(), cols = weight.cols(), row_bytes = cols * 4;
  const int64_t slice_rows = SliceRows(rows, row_bytes, 1 << 20);
  const int64_t slices = (rows + slice_rows - 1) / slice_rows;
  HADAL_TRY(const auto decoded, ThreadBuffers(static_cast<size_t>(slice_rows * row_bytes)));
  CHECK(slices < (int64_t{1} << 31));
  for (size_t m = 0; m < sources.size(); ++m) {
    pool_.ForEach(static_cast<int>(slices), [&](int slice, int thread) {
      const int64_t row0 = slice * slice_rows, n = std::min(slice_rows, rows - row0);
      auto* values = static_cast<float*>(decoded[static_cast<size_t>(thread)].data());
      sources[m].decode(row0, n, values);
      PackRows(weight.layout(), values, row0, n, cols, weight.matrix(static_cast<int64_t>(m)));
    });
  }
  return {};
}

// As above with the blocks themselves, a panel or at most about 256 KiB at a time.
Status CpuBackend::FillBlocks(std::span<const WeightSource> sources, CpuWeight& weight) {
  for (size_t m = 0; m < sources.size(); ++m) {
    std::byte* to = weight.matrix(static_cast<int64_t>(m));
    if (weight.layout() == Layout::kRowsBlocks) {
      sources[m].read_blocks(0, weight.rows(), to);
      continue;
    }
    int64_t first = 0;
    for (const BlockRows& part : weight.blocks()) {
      HADAL_OK(FillPanels(sources[m], part, first, to));
      first += part.rows;
      to += BlockPanelsBytes(part, weight.cols());
    }
  }
  return {};
}

// Rows [first, first + part.rows) of the source.
Status CpuBackend::FillPanels(const WeightSource& source, const BlockRows& part, int64_t first,
                              std::byte* panels) {
  const int64_t row_bytes = RowBytes(part.type, source.cols);
  const int64_t panel_bytes = PanelBytesOf(part.type, source.cols);
  const int64_t slice_rows = SliceRows(part.rows, row_bytes, 1 << 18);
  const int64_t slices = (part.rows + slice_rows - 1) / slice_rows;
  HADAL_TRY(const auto buffers, ThreadBuffers(static_cast<size_t>(slice_rows * row_bytes)));
  CHECK(slices < (int64_t{1} << 31));
  pool_.ForEach(static_cast<int>(slices), [&](int slice, int thread) {
    const int64_t row0 = slice * slice_rows, n = std::min(slice_rows, part.rows - row0);
    auto* blocks = static_cast<std::byte*>(buffers[static_cast<size_t>(thread)].data());
    source.read_blocks(first + row0, n, blocks);
    for (int64_t r = 0; r < n; r += kPanel) {
      PackPanelBlocks(part.type, blocks + r * row_bytes, std::min<int64_t>(kPanel, n - r),
                      source.cols, panels + (row0 + r) / kPanel * panel_bytes);
    }
  });
  return {};
}

}  // namespace hadal::cpu
