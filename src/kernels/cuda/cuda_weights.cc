// Weights on the card: what form each gets, and filling it: rows are made on the host, matrix by
// matrix, and copied.
#include <algorithm>
#include <cstring>

#include "core/dtype.h"
#include "kernels/cuda/block_planes.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/pack_planes.h"

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

Status CheckSources(std::span<const WeightSource> sources) {
  const WeightSource& first = sources[0];
  for (const WeightSource& s : sources) {
    if (s.rows <= 0 || s.cols <= 0 || s.rows >= int64_t{1} << 31 || s.cols >= int64_t{1} << 31) {
      return FailField(ErrorCode::kInvalidArgument, s.name,
                       "tensor {} has shape [{}, {}]; both must be 1 .. 2^31 - 1", s.name, s.rows,
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

std::vector<BlockRows> BlocksOfSources(std::span<const WeightSource> sources) {
  const auto parts_of = [](const WeightSource& s) {
    return s.blocks ? std::vector<BlockRows>{{s.rows, *s.blocks}} : s.mixed_blocks;
  };
  const std::vector<BlockRows> parts = parts_of(sources[0]);
  for (const WeightSource& s : sources) {
    if (!s.read_blocks || parts_of(s) != parts) return {};
  }
  return parts;
}

}  // namespace

Result<std::vector<CudaBackend::Part>> CudaBackend::PartsOf(std::span<const WeightSource> sources,
                                                            WeightUse use) const {
  HADAL_OK(CheckSources(sources));
  const int64_t rows = sources[0].rows;
  if (use == WeightUse::kMultiplyF32 || options_.weights == WeightFormat::kF32) {
    return std::vector<Part>{{rows, Form::kF32}};
  }
  const auto blocks = BlocksOfSources(sources);
  if (blocks.size() == 1 || (!blocks.empty() && use != WeightUse::kLookUp)) {
    std::vector<Part> parts;
    for (const BlockRows& b : blocks) {
      parts.push_back({b.rows, CUDA_NAMESPACE::BlocksOf(static_cast<int>(b.type))});
    }
    return parts;
  }
  const bool f16 =
      std::ranges::all_of(sources, [](const WeightSource& s) { return s.stored == DType::kF16; });
  return std::vector<Part>{{rows, f16 ? Form::kF16 : Form::kBf16}};
}

Result<size_t> CudaBackend::BytesOf(std::span<const WeightSource> sources, WeightUse use) const {
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
  HADAL_TRY(const Buffer staging, Buffer::Allocate(stride));
  for (size_t i = 0; i < sources.size(); ++i) {
    FillMatrix(sources[i], placed, static_cast<uint8_t*>(staging.data()));
    device_->ToDevice(static_cast<uint8_t*>((*memory)->data()) + i * stride, staging.data(),
                      stride);
    HADAL_OK(device_->Synchronise());
  }
  const bool rounds = use == WeightUse::kMultiply && Rounds(parts, cols);
  rounds_a_weight_ = rounds_a_weight_ || rounds;
  return std::make_unique<CudaWeight>(static_cast<int64_t>(sources.size()), sources[0].rows, cols,
                                      std::move(placed), std::move(*memory), rounds);
}

// Slices of about a MiB for every thread.
void CudaBackend::FillMatrix(const WeightSource& source, std::span<const WeightPart> parts,
                             uint8_t* to) {
  const int64_t cols = source.cols;
  for (const WeightPart& part : parts) {
    const Matrix& m = part.matrix;
    uint8_t* base = to + (m.data - parts[0].matrix.data);
    const int64_t row_bytes = IsBlocks(m.form) ? RowBytes(TypeOf(m.form), cols) : cols * 4;
    const int64_t slice = std::clamp<int64_t>((1 << 20) / row_bytes, 1, m.rows);
    const auto slices = static_cast<int>((m.rows + slice - 1) / slice);
    pool_.ForEach(slices, [&](int task, int) {
      const int64_t row0 = task * slice, n = std::min(slice, m.rows - row0);
      if (IsBlocks(m.form)) {
        std::vector<std::byte> rows(static_cast<size_t>(n * row_bytes));
        source.read_blocks(part.first_row + row0, n, rows.data());
        block_planes::PackRows(TypeOf(m.form), rows.data(), row0, n, cols, base);
        return;
      }
      std::vector<float> values(static_cast<size_t>(n * cols));
      source.decode(part.first_row + row0, n, values.data());
      if (m.form == Form::kF32) {
        std::memcpy(base + row0 * cols * 4, values.data(), values.size() * 4);
        return;
      }
      auto* half = reinterpret_cast<uint16_t*>(base) + row0 * cols;
      for (size_t i = 0; i < values.size(); ++i) {
        half[i] = m.form == Form::kF16 ? FloatToF16(values[i]) : FloatToBf16(values[i]);
      }
    });
  }
}

Result<std::unique_ptr<Memory>> CudaBackend::Upload(std::span<const float> values) {
  HADAL_TRY(auto memory, Allocate(values.size_bytes()));
  device_->ToDevice(memory->data(), values.data(), values.size_bytes());
  HADAL_OK(device_->Synchronise());
  return memory;
}

}  // namespace hadal::CUDA_NAMESPACE
