#include <cstring>

#include "kernels/cpu/cpu_backend.h"
#include "quant/codec.h"

namespace hadal::cpu {
namespace {

int64_t LastDim(const Tensor& x) { return x.shape[x.shape.rank() - 1]; }
int64_t Rows(const Tensor& x) {
  return x.shape.elements() == 0 ? 0 : x.shape.elements() / LastDim(x);
}
// Values per entry of the first dimension.
int64_t Width(const Tensor& x) {
  return x.shape.elements() == 0 ? 0 : x.shape.elements() / x.shape[0];
}

}  // namespace

void CpuBackend::Embed(const Weight& table, std::span<const TokenId> ids, Tensor out) {
  const auto& w = static_cast<const CpuWeight&>(table);
  CHECK(w.layout() >= Layout::kRowsF32);
  const int64_t cols = w.cols();
  CHECK(out.shape.elements() == static_cast<int64_t>(ids.size()) * cols);
  for (TokenId id : ids) CHECK(id >= 0 && id < w.rows());
  float* rows = out.f32();
  if (w.deferred()) return EmbedDeferred(w, ids, rows);
  const int64_t row_bytes = RowBytesOf(w.storage(), cols);
  ForRows(static_cast<int64_t>(ids.size()), cols, [&](int64_t t) {
    LookUp(w, w.matrix(0) + ids[static_cast<size_t>(t)] * row_bytes, rows + t * cols);
  });
}

void CpuBackend::LookUp(const CpuWeight& table, const std::byte* row, float* out) const {
  const int64_t cols = table.cols();
  if (table.layout() == Layout::kRowsBlocks) {
    DecodeBlocks(table.blocks()[0].type, row, cols, out);
  } else if (table.layout() == Layout::kRowsF32) {
    std::memcpy(out, row, static_cast<size_t>(cols) * sizeof(float));
  } else {
    const auto from = table.layout() == Layout::kRowsF16 ? table_.from_f16 : table_.from_bf16;
    from(reinterpret_cast<const uint16_t*>(row), cols, out);
  }
}

void CpuBackend::RmsNorm(Tensor x, const float* weight, float eps, Tensor out) {
  const int64_t n = LastDim(x);
  CHECK(x.shape.elements() == out.shape.elements());
  const float* in = x.f32();
  float* result = out.f32();
  ForRows(Rows(x), n,
          [&](int64_t r) { table_.rms_norm(in + r * n, weight, eps, n, result + r * n); });
}

void CpuBackend::AddRmsNorm(Tensor x, const Delta& delta, const float* weight, float eps,
                            Tensor out) {
  const int64_t n = LastDim(x), size = x.shape.elements();
  CHECK(size == delta.sum.shape.elements() && size == out.shape.elements() &&
        delta.parts == nullptr);
  float* sum = x.f32();
  const float* d = delta.sum.f32();
  float* result = out.f32();
  ForRows(Rows(x), n, [&](int64_t r) {
    table_.add(sum + r * n, d + r * n, n);
    table_.rms_norm(sum + r * n, weight, eps, n, result + r * n);
  });
}

void CpuBackend::Add(Tensor x, const Delta& delta) {
  const int64_t n = LastDim(x);
  CHECK(x.shape.elements() == delta.sum.shape.elements() && delta.parts == nullptr);
  float* sum = x.f32();
  const float* d = delta.sum.f32();
  ForRows(Rows(x), n, [&](int64_t r) { table_.add(sum + r * n, d + r * n, n); });
}

void CpuBackend::SwiGlu(Tensor gate_up, Tensor out) {
  const int64_t ffn = LastDim(out);
  CHECK(gate_up.shape.elements() == 2 * out.shape.elements());
  const float* in = gate_up.f32();
  float* result = out.f32();
  ForRows(Rows(out), ffn * 4, [&](int64_t r) {
    const float* gate = in + r * 2 * ffn;
    table_.swiglu(gate, gate + ffn, ffn, result + r * ffn);
  });
}

void CpuBackend::Rope(Tensor x, int offset, const RopeTable& table,
                      std::span<const int32_t> positions) {
  CHECK(x.shape.rank() == 3 && x.shape[0] == static_cast<int64_t>(positions.size()));
  const int64_t heads = x.shape[1], dim = x.shape[2], pairs = table.dims / 2;
  CHECK(offset >= 0 && offset + table.dims <= dim && table.dims % 2 == 0);
  const bool adjacent = table.pairing == RopePairing::kAdjacent;
  float* data = x.f32();
  ForRows(x.shape[0], heads * table.dims, [&](int64_t t) {
    const int64_t at = positions[static_cast<size_t>(t)] * pairs;
    for (int64_t h = 0; h < heads; ++h) {
      table_.rope(data + (t * heads + h) * dim + offset, table.cos + at, table.sin + at, pairs,
                  adjacent);
    }
  });
}

void CpuBackend::StoreKv(Tensor src, int64_t from, int64_t n, std::span<const int32_t> slots,
                         int64_t at, KvView cache) {
  const auto rows = static_cast<int64_t>(slots.size());
  const int64_t width = Width(src);
  CHECK(rows == 0 || src.shape[0] == rows);
  CHECK(from >= 0 && from + n <= width && at >= 0 && at + n <= cache.width);
  const float* in = src.f32();
  for (int64_t t = 0; t < rows; ++t) {
    const int64_t to = slots[static_cast<size_t>(t)] * cache.width + at;
    const float* row = in + t * width + from;
    if (cache.dtype == DType::kF32) {
      std::memcpy(static_cast<float*>(cache.data) + to, row,
                  static_cast<size_t>(n) * sizeof(float));
    } else {
      table_.to_bf16(row, n, static_cast<uint16_t*>(cache.data) + to);
    }
  }
}

void CpuBackend::GatherRows(Tensor x, std::span<const int32_t> rows, Tensor out) {
  const int64_t width = Width(x);
  CHECK(out.shape.elements() == static_cast<int64_t>(rows.size()) * width);
  for (size_t i = 0; i < rows.size(); ++i) {
    CHECK(rows[i] >= 0 && rows[i] < x.shape[0]);
    std::memcpy(out.f32() + static_cast<int64_t>(i) * width, x.f32() + rows[i] * width,
                static_cast<size_t>(width) * sizeof(float));
  }
}

void CpuBackend::CopyToHost(Tensor x, float* out) {
  if (x.bytes() != 0) std::memcpy(out, x.f32(), x.bytes());
}

}  // namespace hadal::cpu
