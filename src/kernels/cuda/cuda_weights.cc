// Weights on the card: what form each gets, and filling it: rows are made on the host, matrix by
// matrix, and copied.
#include <algorithm>
#include <cstring>

#include "core/dtype.h"
#include "kernels/cuda/block_planes.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/pack_planes.h"
#include "kernels/weight_source.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

int64_t RowBytesOf(Form form, int64_t cols) { return cols * (form == Form::kF32 ? 4 : 2); }

int64_t PartBytes(Form form, int64_t rows, int64_t cols) {
  if (!IsBlocks(form)) return block_planes::Whole(rows * RowBytesOf(form, cols));
  const auto type =
      static_cast<QuantType>(static_cast<int>(form) - static_cast<int>(Form::kBlocks));
  return block_planes::MatrixBytes(type, rows, cols);
}

QuantType TypeOf(Form form) {
  return static_cast<QuantType>(static_cast<int>(form) - static_cast<int>(Form::kBlocks));
}

}  // namespace

Result<std::vector<CudaBackend::Part>> CudaBackend::PartsOf(std::span<const WeightSource> sources,
                                                            WeightUse use) const {
  HADAL_OK(CheckSources(sources));
  const int64_t rows = sources[0].rows;
  if (use == WeightUse::kMultiplyF32 || options_.weights == WeightFormat::kF32) {
    return std::vector<Part>{{rows, Form::kF32}};
  }
  const auto blocks = hadal::BlocksOf(sources);
  if (blocks.size() == 1 || (!blocks.empty() && use != WeightUse::kLookUp)) {
    std::vector<Part> parts;
    for (const BlockRows& b : blocks) {
      parts.push_back({b.rows, CUDA_NAMESPACE::BlocksOf(static_cast<int>(b.type))});
    }
    return parts;
  }
  return std::vector<Part>{{rows, HoldF16(sources) ? Form::kF16 : Form::kBf16}};
}

Result<size_t> CudaBackend::BytesOf(std::span<const WeightSource> sources, WeightUse use) const {
  if (use == WeightUse::kHostExperts) {
    HADAL_TRY(const Backend* host, Host());
    return host->BytesOf(sources, WeightUse::kMultiply);
  }
  HADAL_TRY(const std::vector<Part> parts, PartsOf(sources, use));
  int64_t bytes = 0;
  for (const Part& p : parts) bytes += PartBytes(p.form, p.rows, sources[0].cols);
  return static_cast<size_t>(bytes) * sources.size();
}

Result<WeightPtr> CudaBackend::PrepareEmbedding(const WeightSource& source) {
  return Prepare({&source, 1}, WeightUse::kLookUp);
}

Result<WeightPtr> CudaBackend::Defer(std::span<const WeightSource> sources, WeightUse) {
  return FailField(ErrorCode::kOutOfMemory, sources[0].name,
                   "weights do not fit the card's memory; a part of them cannot stay in the file");
}

Result<WeightPtr> CudaBackend::Prepare(std::span<const WeightSource> sources, WeightUse use) {
  if (use == WeightUse::kHostExperts) return PrepareOnHost(sources);
  HADAL_TRY(const std::vector<Part> parts, PartsOf(sources, use));
  HADAL_TRY(const size_t bytes, BytesOf(sources, use));
  const size_t stride = bytes / sources.size();
  const int64_t cols = sources[0].cols;
  auto memory = Allocate(bytes);
  if (!memory) return tl::make_unexpected(memory.error().In(sources[0].name));
  std::vector<WeightPart> placed;
  int64_t row = 0, at = 0;
  for (const Part& p : parts) {
    placed.push_back({row,
                      {p.form, static_cast<uint8_t*>((*memory)->data()) + at, p.rows, cols,
                       static_cast<int64_t>(stride)}});
    row += p.rows;
    at += PartBytes(p.form, p.rows, cols);
  }
  for (size_t i = 0; i < sources.size(); ++i) {
    for (const WeightPart& part : placed) HADAL_OK(UploadPart(sources[i], part, i));
  }
  HADAL_OK(Finish());
  const bool rounds = use == WeightUse::kMultiply && Rounds(parts, cols);
  rounds_a_weight_ = rounds_a_weight_ || rounds;
  return std::make_unique<CudaWeight>(static_cast<int64_t>(sources.size()), sources[0].rows, cols,
                                      std::move(placed), std::move(*memory), rounds);
}

// A part of matrix i, a slice of rows at a time: one is made on the host while the one before it is
// copied.
Status CudaBackend::UploadPart(const WeightSource& source, const WeightPart& part, size_t i) {
  constexpr int64_t kSliceBytes = int64_t{32} << 20;
  const Matrix& m = part.matrix;
  uint8_t* to = const_cast<uint8_t*>(m.data) + static_cast<int64_t>(i) * m.stride;
  constexpr int64_t kTile = block_planes::kTileRows;  // rows of blocks lie together
  const int64_t tiles = std::max<int64_t>(1, kSliceBytes / PartBytes(m.form, kTile, m.cols));
  const int64_t most = tiles * kTile;
  for (int64_t row = 0; row < m.rows; row += most) {
    const int64_t n = std::min(most, m.rows - row);
    Block& slice = staging_[next_staging_];
    next_staging_ ^= 1;
    const auto bytes = static_cast<size_t>(PartBytes(m.form, n, m.cols));
    Grow(slice, bytes, true);
    if (!error_) return Finish();
    FillRows(source, m.form, part.first_row + row, n, static_cast<uint8_t*>(slice.data));
    HADAL_OK(device_->Synchronise());
    const int64_t at =
        IsBlocks(m.form) ? PartBytes(m.form, row, m.cols) : row * RowBytesOf(m.form, m.cols);
    device_->ToDevice(to + at, slice.data, bytes);
  }
  return {};
}

// Rows of the source as a matrix of n rows, by all threads, about a MiB of decoded rows at a time.
void CudaBackend::FillRows(const WeightSource& source, Form form, int64_t first, int64_t n,
                           uint8_t* to) {
  const int64_t cols = source.cols;
  const int64_t row_bytes = IsBlocks(form) ? RowBytes(TypeOf(form), cols) : cols * 4;
  const int64_t step = std::clamp<int64_t>((1 << 20) / row_bytes, 1, n);
  if (IsBlocks(form)) std::memset(to, 0, static_cast<size_t>(PartBytes(form, n, cols)));
  pool_.ForEach(static_cast<int>((n + step - 1) / step), [&](int task, int) {
    const int64_t row = task * step, count = std::min(step, n - row);
    if (IsBlocks(form)) {
      std::vector<std::byte> rows(static_cast<size_t>(count * row_bytes));
      source.read_blocks(first + row, count, rows.data());
      block_planes::PackRows(TypeOf(form), rows.data(), row, count, cols, to);
      return;
    }
    if (form == Form::kF32) {
      source.decode(first + row, count, reinterpret_cast<float*>(to) + row * cols);
      return;
    }
    std::vector<float> values(static_cast<size_t>(count * cols));
    source.decode(first + row, count, values.data());
    auto* half = reinterpret_cast<uint16_t*>(to) + row * cols;
    for (size_t i = 0; i < values.size(); ++i) {
      half[i] = form == Form::kF16 ? FloatToF16(values[i]) : FloatToBf16(values[i]);
    }
  });
}

Result<std::unique_ptr<Memory>> CudaBackend::Upload(std::span<const float> values) {
  HADAL_TRY(auto memory, Allocate(values.size_bytes()));
  device_->ToDevice(memory->data(), values.data(), values.size_bytes());
  HADAL_OK(Finish());
  return memory;
}

}  // namespace hadal::CUDA_NAMESPACE
