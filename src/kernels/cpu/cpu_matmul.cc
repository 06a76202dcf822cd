#include <algorithm>

#include "kernels/cpu/cpu_backend.h"

namespace hadal::cpu {
namespace {

// Columns computed together by the kernels; a split inside such a group would waste work.
constexpr int64_t kPanelGroup = 4;
// Rows above which a tile may also be split by rows.
constexpr int64_t kRowStep = 48;
// Multiply-adds below which one thread is faster than a fork (about 3 us).
constexpr int64_t kWorthForking = 100'000;

// Arithmetic of one panel group, with reading its weights counted as some rows' worth of it.
int64_t GroupCost(const MatMulTile& t) { return kPanelGroup * kPanel * t.k * (t.m + 4); }
int64_t Groups(const MatMulTile& t) {
  return (t.panel1 - t.panel0 + kPanelGroup - 1) / kPanelGroup;
}

// Of activations for t.
int64_t ElementBytes(const MatMulTile& t, Layout layout, const KernelTable& table) {
  if (layout == Layout::kPanelBlocks) return ActivationGroupBytes(kBlockFormats[t.block_format]);
  if (layout == Layout::kPanelInt8) return 1;
  return layout == Layout::kPanelBf16 && table.split_bf16 ? 2 : 4;
}

void OffsetRows(MatMulTile* t, int64_t rows, int64_t element_bytes) {
  t->x = static_cast<const std::byte*>(t->x) + rows * t->ldx * element_bytes;
  if (t->x_scale) t->x_scale += rows * t->ld_scale;
  t->out += rows * t->ldo;
}

// Appends parts of t of about the target cost.
void Split(const MatMulTile& t, int64_t target, int64_t element_bytes,
           std::vector<MatMulTile>* out) {
  const int64_t group_cost = GroupCost(t);
  const int64_t groups_per_part = std::max<int64_t>(1, target / group_cost);
  int64_t rows_per_part = t.m;
  if (group_cost > target) {
    rows_per_part = std::max<int64_t>(1, t.m * target / group_cost);
    rows_per_part = RoundUp(rows_per_part, kRowStep);
  }
  for (int64_t p = t.panel0; p < t.panel1; p += groups_per_part * kPanelGroup) {
    for (int64_t r = 0; r < t.m; r += rows_per_part) {
      MatMulTile part = t;
      OffsetRows(&part, r, element_bytes);
      part.m = std::min(rows_per_part, t.m - r);
      part.panel0 = p;
      part.panel1 = std::min(t.panel1, p + groups_per_part * kPanelGroup);
      out->push_back(part);
    }
  }
}

}  // namespace

Activations Activations::Interleaved(int64_t i, int64_t matrices) const {
  Activations a = *this;
  if (form.data) a.form.data += i * ld * form.element_bytes;
  if (form16.data) a.form16.data += i * ld * form16.element_bytes;
  if (scales) a.scales += i * ld_scales;
  a.ld *= matrices;
  a.ld_scales *= matrices;
  return a;
}

Activations CpuBackend::ConvertToGroups(const FloatRows& x, std::span<const Target> targets) {
  Activations a;
  a.ld = RowGroups(x.cols);
  bool with8 = false, with16 = false;
  for (const Target& target : targets) {
    for (const BlockRows& part : target.w->blocks()) {
      (kBlockFormats[static_cast<int>(part.type)].x_parts == 1 ? with8 : with16) = true;
    }
  }
  const size_t groups = static_cast<size_t>(x.rows * a.ld);
  ActivationGroup8* to8 = nullptr;
  ActivationGroup16* to16 = nullptr;
  if (with8) {
    to8 = static_cast<ActivationGroup8*>(Reserve(kActivations, groups * sizeof *to8));
    a.form = {reinterpret_cast<const std::byte*>(to8), sizeof *to8};
  }
  if (with16) {
    to16 = static_cast<ActivationGroup16*>(Reserve(kActivations16, groups * sizeof *to16));
    a.form16 = {reinterpret_cast<const std::byte*>(to16), sizeof *to16};
  }
  ForRows(x.rows, x.cols, [&](int64_t r) {
    if (with8) table_.quantise_groups8(x.data + r * x.ld, x.cols, to8 + r * a.ld);
    if (with16) table_.quantise_groups16(x.data + r * x.ld, x.cols, to16 + r * a.ld);
  });
  return a;
}

Activations CpuBackend::Convert(const FloatRows& x, std::span<const Target> targets) {
  const Layout layout = targets.front().w->layout();
  if (layout == Layout::kPanelBlocks) return ConvertToGroups(x, targets);
  Activations a;
  a.form.element_bytes = ElementBytes({}, layout, table_);
  if (a.form.element_bytes == 4) {
    a.form.data = reinterpret_cast<const std::byte*>(x.data);
    a.ld = x.ld;
    return a;
  }
  const bool int8 = layout == Layout::kPanelInt8;
  a.ld = int8 ? RoundUp(x.cols, kInt8KStep) : 2 * RoundUp(x.cols, kBf16KStep);
  const size_t bytes = static_cast<size_t>(x.rows * a.ld * a.form.element_bytes);
  auto* data = static_cast<std::byte*>(Reserve(kActivations, bytes));
  a.form.data = data;
  if (int8) {
    a.ld_scales = a.ld / kInt8KStep;
    float* scales = ReserveFloats(kActivationScales, x.rows * a.ld_scales);
    a.scales = scales;
    ForRows(x.rows, x.cols, [&](int64_t r) {
      table_.quantise(x.data + r * x.ld, x.cols, reinterpret_cast<int8_t*>(data) + r * a.ld,
                      scales + r * a.ld_scales);
    });
  } else {
    ForRows(x.rows, x.cols, [&](int64_t r) {
      table_.split_bf16(x.data + r * x.ld, x.cols, reinterpret_cast<uint16_t*>(data) + r * a.ld);
    });
  }
  return a;
}

void CpuBackend::Queue(const Activations& x, int64_t row0, int64_t m, const CpuWeight& w,
                       int64_t matrix, const ProductRows& out) {
  MatMulTile t = {};
  t.ldx = x.ld;
  t.x_scale = x.scales ? x.scales + row0 * x.ld_scales : nullptr;
  t.ld_scale = x.ld_scales;
  t.bias = out.bias;
  t.out = out.data;
  t.ldo = out.ld;
  t.m = m;
  t.k = w.cols();
  const bool blocks = w.layout() == Layout::kPanelBlocks;
  const auto x_for = [&](int block_format) -> const void* {
    const bool wide = blocks && kBlockFormats[block_format].x_parts == 2;
    const Activations::Form& form = wide ? x.form16 : x.form;
    return form.data + row0 * x.ld * form.element_bytes;
  };
  if (w.deferred()) return RunDeferred(t, x_for, w, matrix);
  const std::byte* panels = w.matrix(matrix);
  const auto queue = [&](int64_t rows) {
    t.x = x_for(t.block_format);
    t.w = panels;
    t.n = rows;
    t.panel1 = (rows + kPanel - 1) / kPanel;
    queued_.push_back(t);
  };
  if (!blocks) return queue(w.rows());
  for (const BlockRows& part : w.blocks()) {
    t.block_format = static_cast<int>(part.type);
    queue(part.rows);
    panels += BlockPanelsBytes(part, w.cols());
    t.out += part.rows;
    if (t.bias) t.bias += part.rows;
  }
}

void CpuBackend::RunQueued(Layout layout) {
  const auto run = [&](const MatMulTile& t) {
    if (layout == Layout::kPanelBlocks) return table_.matmul_blocks[t.block_format](t);
    if (layout == Layout::kPanelInt8) return table_.matmul_int8(t);
    if (layout == Layout::kPanelBf16) return table_.matmul_bf16(t);
    if (layout == Layout::kPanelF16) return table_.matmul_f16(t);
    table_.matmul_f32(t);
  };
  int64_t cost = 0;
  for (const MatMulTile& t : queued_) cost += GroupCost(t) * Groups(t);
  if (pool_.size() == 1 || cost < kWorthForking) {
    for (const MatMulTile& t : queued_) run(t);
  } else {
    const int64_t target = std::max(cost / (pool_.size() * 6), kWorthForking / 4);
    split_.clear();
    for (const MatMulTile& t : queued_) Split(t, target, ElementBytes(t, layout, table_), &split_);
    pool_.ForEach(static_cast<int>(split_.size()),
                  [&](int i, int) { run(split_[static_cast<size_t>(i)]); });
  }
  queued_.clear();
}

void CpuBackend::MatMuls(Tensor x, std::span<const Product> products, int64_t exact_rows) {
  const int64_t cols = products.front().w->cols(), rows = x.shape.elements() / cols;
  CHECK(rows * cols == x.shape.elements());
  targets_.clear();
  for (const Product& p : products) {
    const auto& w = static_cast<const CpuWeight&>(*p.w);
    CHECK(w.count() == 1 && w.layout() <= Layout::kPanelBlocks && w.cols() == cols);
    CHECK(rows * w.rows() == p.out.shape.elements());
    targets_.push_back({&w, {p.out.f32(), w.rows(), p.bias}});
  }
  const auto alike = [&](const CpuWeight& a, const CpuWeight& b) {
    return a.layout() == b.layout() && a.deferred() == b.deferred() &&
           (exact_rows >= rows || Rounds(a) == Rounds(b));
  };
  for (std::span<const Target> left = targets_; !left.empty();) {
    size_t n = 1;
    while (n < left.size() && alike(*left[n].w, *left[0].w)) ++n;
    Multiply({x.f32(), cols, rows, cols}, left.first(n), exact_rows);
    left = left.subspan(n);
  }
}

}  // namespace hadal::cpu
