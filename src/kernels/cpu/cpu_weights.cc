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

}  // namespace

Result<WeightPtr> CpuBackend::Prepare(std::span<const WeightSource> sources, bool keep_f32) {
  Layout layout = Layout::kPanelF32;
  if (!keep_f32 && format_ == WeightFormat::kBf16) layout = Layout::kPanelBf16;
  if (!keep_f32 && format_ == WeightFormat::kInt8) layout = Layout::kPanelInt8;
  return PrepareLayout(sources, layout);
}

Result<WeightPtr> CpuBackend::PrepareEmbedding(const WeightSource& source) {
  const bool f32 = format_ == WeightFormat::kF32;
  return PrepareLayout({&source, 1}, f32 ? Layout::kRowsF32 : Layout::kRowsBf16);
}

Result<WeightPtr> CpuBackend::PrepareLayout(std::span<const WeightSource> sources, Layout layout) {
  HADAL_OK(CheckSources(sources));
  const int64_t rows = sources[0].rows, cols = sources[0].cols;
  const auto count = static_cast<int64_t>(sources.size());
  const int64_t matrix_bytes = MatrixBytes(layout, rows, cols);
  int64_t bytes = 0;
  if (matrix_bytes < 0 || __builtin_mul_overflow(matrix_bytes, count, &bytes)) {
    return FailField(ErrorCode::kInvalidArgument, sources[0].name,
                     "tensor {} of shape [{}, {}] is too large to prepare", sources[0].name, rows,
                     cols);
  }
  auto buffer = Buffer::Allocate(static_cast<size_t>(bytes));
  if (!buffer) return tl::make_unexpected(buffer.error().In(sources[0].name));
  auto weight = std::make_unique<CpuWeight>(count, rows, cols, layout, std::move(*buffer));

  // Decode and pack slices of whole panels; about 1 MiB of float32 per thread at a time.
  const int64_t panel_values = kPanel * cols;
  const int64_t slice_rows = kPanel * std::max<int64_t>(1, (int64_t{1} << 18) / panel_values);
  const int64_t slices = (rows + slice_rows - 1) / slice_rows;
  std::vector<Buffer> decoded;
  for (int i = 0; i < pool_.size(); ++i) {
    HADAL_TRY(Buffer b, Buffer::Allocate(static_cast<size_t>(std::min(rows, slice_rows) * cols) *
                                         sizeof(float)));
    decoded.push_back(std::move(b));
  }
  for (int64_t m = 0; m < count; ++m) {
    const WeightSource& source = sources[static_cast<size_t>(m)];
    CHECK(slices < (int64_t{1} << 31));
    pool_.ForEach(static_cast<int>(slices), [&](int slice, int thread) {
      const int64_t row0 = slice * slice_rows, n = std::min(slice_rows, rows - row0);
      auto* values = static_cast<float*>(decoded[static_cast<size_t>(thread)].data());
      source.decode(row0, n, values);
      PackRows(layout, values, row0, n, cols, weight->matrix(m));
    });
  }
  return weight;
}

}  // namespace hadal::cpu
