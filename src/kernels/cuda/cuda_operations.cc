// The operations: shapes checked, kernels chosen and enqueued.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/cuda/block_planes.h"
#include "kernels/cuda/cuda_backend.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

const CudaWeight& Cast(const Weight* w) { return static_cast<const CudaWeight&>(*w); }

// The matrices of a weight whose rows are all of one form, or null.
const Matrix* OneForm(const Weight* w) {
  const auto& parts = Cast(w).parts();
  return parts.size() == 1 ? &parts[0].matrix : nullptr;
}

constexpr int64_t kMostMixed = 2048;  // rows at a time: bounds the memory

int64_t Width(const Tensor& x) { return x.shape[x.shape.rank() - 1]; }
int64_t Rows(const Tensor& x) { return x.shape.elements() / Width(x); }

}  // namespace

// Bytes of the integers that x becomes; 0: it stays float32.
int CudaBackend::Converted::PartsFor(Form form) const {
  if (!IsBlocks(form) || floats) return 0;
  return cpu::kBlockFormats[static_cast<int>(form) - static_cast<int>(Form::kBlocks)].x_parts;
}

void CudaBackend::Embed(const Weight& table, std::span<const TokenId> ids, Tensor out) {
  const CudaWeight& w = Cast(&table);
  CHECK(w.parts().size() == 1 && Width(out) == w.cols());
  Wrote(out);
  CUDA_NAMESPACE::Embed(device_->stream(), w.parts()[0].matrix, OnCard(ids),
                        static_cast<int64_t>(ids.size()), out.f32());
}

void CudaBackend::RmsNorm(Tensor x, const float* weight, float eps, Tensor out) {
  Wrote(out);
  CUDA_NAMESPACE::RmsNorm(device_->stream(), x.f32(), weight, eps, Rows(x), Width(x), out.f32(),
                          CopiesOfNormed(out, weight));
}
void CudaBackend::AddRmsNorm(Tensor x, const Delta& delta, const float* weight, float eps,
                             Tensor out) {
  Wrote(x);
  Wrote(out);
  MayEndPiece();
  const ExpertSum experts = {delta.parts, delta.weights, delta.top_k};
  CUDA_NAMESPACE::AddRmsNorm(device_->stream(), x.f32(), delta.sum.f32(), experts, weight, eps,
                             Rows(x), Width(x), out.f32(), CopiesOfNormed(out, weight));
}
void CudaBackend::Add(Tensor x, const Delta& delta) {
  Wrote(x);
  if (delta.parts != nullptr) {
    Wrote(delta.sum);
    CombineExperts(device_->stream(), {delta.parts, delta.weights, delta.top_k}, Rows(x), Width(x),
                   delta.sum.f32());
  }
  CUDA_NAMESPACE::Add(device_->stream(), x.f32(), delta.sum.f32(), x.shape.elements());
}
void CudaBackend::SwiGlu(Tensor gate_up, Tensor out) {
  Wrote(out);
  CUDA_NAMESPACE::SwiGlu(device_->stream(), gate_up.f32(), Rows(out), Width(out), out.f32());
}

void CudaBackend::Rope(Tensor x, int offset, const RopeTable& table,
                       std::span<const int32_t> positions) {
  Wrote(x);
  const RopeShape shape{.rows = x.shape[0],
                        .heads = x.shape[1],
                        .head_dim = x.shape[2],
                        .offset = offset,
                        .dims = table.dims,
                        .adjacent = table.pairing == RopePairing::kAdjacent};
  CUDA_NAMESPACE::Rope(device_->stream(), x.f32(), shape, table.cos, table.sin, OnCard(positions));
}

void CudaBackend::StoreKv(Tensor src, int64_t from, int64_t n, std::span<const int32_t> slots,
                          int64_t at, KvView cache) {
  const int64_t ld = src.shape.elements() / src.shape[0];
  CUDA_NAMESPACE::StoreKv(device_->stream(), src.f32(), ld, from, n, src.shape[0], OnCard(slots),
                          at, CacheOf(cache));
}

void CudaBackend::GatherRows(Tensor x, std::span<const int32_t> rows, Tensor out) {
  Wrote(out);
  CUDA_NAMESPACE::GatherRows(device_->stream(), x.f32(), Width(x), OnCard(rows),
                             static_cast<int64_t>(rows.size()), out.f32());
}

void CudaBackend::CopyToHost(Tensor x, float* out) {
  device_->ToHost(out, x.data, x.bytes());
  Wait();
}
void CudaBackend::Wait() { Remember(device_->Synchronise()); }

// ---- products

// For `product_rows` rows of the products.
CudaBackend::Converted CudaBackend::Convert(const ActivationSource& x, int64_t product_rows,
                                            std::span<const RowProduct> products,
                                            const RowMap& map) {
  const bool plain = map.matrix == nullptr && map.modulo == 0;
  const int64_t rows = (product_rows + map.share - 1) / map.share, cols = products[0].w.cols;
  Converted made;
  bool normed = !x.gated && x.ld == cols;
  for (const RowProduct& p : products) {
    const int parts = made.PartsFor(p.w.form);
    const Activations* there = parts == 0 ? nullptr : NormedIntegers(x.x, rows, cols, parts);
    normed = normed && (parts == 0 || there != nullptr);
    if (there != nullptr) made.of[parts] = *there;
  }
  made.floats = !normed && std::ranges::all_of(products, [&](const RowProduct& p) {
    return TakesFloats(p.w, map, product_rows);
  });
  if (!normed) made.of[1] = made.of[2] = {};
  for (const RowProduct& p : products) {
    const int parts = made.PartsFor(p.w.form);
    Activations& a = made.of[parts];
    if (a.x != nullptr || a.high != nullptr) continue;
    if (parts > 0) {
      a = ReserveIntegers(parts == 1 ? kActivations : kWideActivations, parts, rows, cols);
      continue;
    }
    a = {.x = x.x, .ld = x.ld};
    if (x.gated) {
      float* gated = ReserveFloats(kGated, rows * cols);
      CUDA_NAMESPACE::SwiGlu(device_->stream(), x.x, rows, cols, gated);
      a = {.x = gated, .ld = cols};
    }
    // Forms take different parts.
    const bool alone = std::ranges::all_of(products, [&](const RowProduct& other) {
      return IsBlocks(other.w.form) || other.w.form == p.w.form;
    });
    if (!plain || !alone || !TakesSplitRows(p.w, rows)) continue;
    const bool batch = TakesBatches(device_->stream(), p.w, rows);
    const int64_t bytes = batch ? SplitBatchBytes(p.w, rows) : SplitRowBytes(p.w, rows);
    void* split = Reserve(kSplitRows, static_cast<size_t>(bytes));
    (batch ? SplitBatch : SplitRows)(device_->stream(), a.x, a.ld, p.w, rows, split);
    a.split = split;
  }
  if (!normed && (made.of[1].high != nullptr || made.of[2].high != nullptr)) {
    QuantiseActivations(device_->stream(), x, rows, cols, made.of[1], made.of[2]);
  }
  return made;
}

// silu of the first half of w's rows times the other half, where there is a kernel that gives it.
bool CudaBackend::MultiplyGated(const float* x, int64_t rows, const CudaWeight& w,
                                const RowMap& map, float* out) {
  if (w.parts().size() != 1 || !CanGate(w.parts()[0].matrix, w.cols(), map, rows)) {
    return false;
  }
  const RowProduct product = {w.parts()[0].matrix, {out, w.rows() / 2, nullptr}};
  RowProducts one;
  one.count = 1;
  one.gated = true;
  one.of[0] = product;
  if (rows == 0) return true;
  Launch(one, Convert({x, w.cols()}, rows, {&product, 1}, map), rows, map);
  return true;
}

// Products of one form, or of one row with matrices in blocks.
void CudaBackend::Launch(const RowProducts& products, const Converted& x, int64_t rows,
                         const RowMap& map) {
  const Form form = products.of[0].w.form;
  const Activations& converted = x.of[x.PartsFor(form)];
  Stream& stream = device_->stream();
  // Rows at other distances go to MultiplyFma, however many there are.
  const bool batch = converted.split != nullptr && converted.ld % 4 == 0 &&
                     TakesBatches(stream, products.of[0].w, rows);
  const ProductMemory memory = batch            ? BatchSpace(stream, products, rows)
                               : IsBlocks(form) ? BlockSpace(stream, products, rows, map)
                                                : ProductMemory{};
  ProductScratch scratch;
  scratch.sums = ReserveFloats(kProductSums, memory.floats);
  scratch.counts =
      static_cast<int*>(Reserve(kProductCounts, static_cast<size_t>(memory.counts) * sizeof(int)));
  if (batch) return MultiplyBatches(stream, products, converted, rows, scratch);
  if (IsBlocks(form)) return MultiplyBlocks(stream, products, converted, rows, map, scratch);
  MultiplyRows(stream, products, converted, rows, map);
}

// Rows of answers: matrices that one launch takes together.
void CudaBackend::Multiply(const ActivationSource& x, int64_t rows, std::span<const Factor> factors,
                           const RowMap& map) {
  if (rows == 0) return;
  std::vector<RowProduct> products;
  for (const Factor& f : factors) {
    for (const WeightPart& part : f.w->parts()) {
      products.push_back({part.matrix, f.out.At(part.first_row)});
    }
  }
  std::ranges::sort(products, {}, [](const RowProduct& p) { return p.w.form; });
  const Converted converted = Convert(x, rows, products, map);
  const bool one = rows == 1 && map.matrix == nullptr && map.modulo == 0;
  RowProducts batch;
  for (size_t i = 0; i < products.size(); ++i) {
    const Form form = products[i].w.form;
    batch.of[batch.count++] = products[i];
    const auto joins = [&](Form next) {
      return next == form || ((one || converted.floats) && IsBlocks(form) && IsBlocks(next));
    };
    const bool last = i + 1 == products.size() || !joins(products[i + 1].w.form);
    if (!last && batch.count < kMostProducts) continue;
    if (batch.of[0].w.form != form && !converted.floats) {  // which take different integers
      for (RowProduct& p : std::span(batch.of, static_cast<size_t>(batch.count))) {
        p.own_row = converted.of[converted.PartsFor(p.w.form)];
      }
    }
    Launch(batch, converted, rows, map);
    batch = {};
  }
}

bool CudaBackend::Rounds(std::span<const Part> parts, int64_t cols) const {
  return options_.prompts != PromptRounding::kExact && cols % 8 == 0 &&
         std::ranges::all_of(parts, [](const Part& p) { return p.form != Form::kF32; });
}

bool CudaBackend::MayRound(const CudaWeight& w) const {
  std::vector<Part> parts;
  for (const WeightPart& p : w.parts()) parts.push_back({p.matrix.rows, p.matrix.form});
  return Rounds(parts, w.cols());
}

Matrix CudaBackend::Rounded(const Matrix& m, int64_t first, int64_t count) {
  if (m.form == Form::kBf16) {
    return {m.form, m.data + first * m.stride, m.rows, m.cols, m.stride};
  }
  const int64_t bytes = m.rows * m.cols * 2;
  auto* made = static_cast<uint16_t*>(Reserve(kRoundedWeight, static_cast<size_t>(count * bytes)));
  RoundMatrices(device_->stream(), m, first, count, made);
  return {Form::kBf16, reinterpret_cast<const uint8_t*>(made), m.rows, m.cols, bytes};
}

// Where an operation puts n values in bf16 that it writes to x as well, or null: outside of a step
// nobody tells what becomes of x.
uint16_t* CudaBackend::RoundBeside(const float* x, int64_t n) {
  rounded_ = {};
  if (step_ == nullptr || !rounds_a_weight_ || n % 8 != 0) return nullptr;
  rounded_ = {x, n};
  return ReserveHalves(kRounded, n);
}

// In rows of a step with prompts what reads them are mostly products that round.
RowCopies CudaBackend::CopiesOfNormed(const Tensor& out, const float* weight) {
  const bool prompts = step_ != nullptr && !step_->chunks.empty() && step_->chunks.back().prompt;
  RowCopies copies;
  normed_ = {};
  if (prompts) {
    if (Width(out) % 8 == 0) copies.rounded = RoundBeside(out.f32(), out.shape.elements());
    return copies;
  }
  // Of several rows no gain was found.
  if (step_ == nullptr || Rows(out) != 1 || !NormsCopyIntegers(Width(out))) return copies;
  normed_ = {out.f32(), Width(out), {}, &asked_of_norms_[weight]};
  if (normed_.asked->one) copies.one = ReserveIntegers(kNormed, 1, 1, Width(out));
  if (normed_.asked->two) copies.two = ReserveIntegers(kWideNormed, 2, 1, Width(out));
  normed_.of[1] = copies.one;
  normed_.of[2] = copies.two;
  return copies;
}

// A row that a norm has made integers of so many bytes, or null; it makes them from now on.
const Activations* CudaBackend::NormedIntegers(const float* x, int64_t rows, int64_t cols,
                                               int parts) {
  if (x == nullptr || x != normed_.x || rows != 1 || cols != normed_.cols) return nullptr;
  if (normed_.of[parts].high != nullptr) return &normed_.of[parts];
  // Memory for them is there before such a step is recorded.
  (parts == 1 ? normed_.asked->one : normed_.asked->two) = true;
  ReserveIntegers(parts == 1 ? kNormed : kWideNormed, parts, 1, normed_.cols);
  return nullptr;
}

Activations CudaBackend::ReserveIntegers(Scratch area, int parts, int64_t rows, int64_t cols) {
  const int64_t tiles = rows * ActivationTiles(cols), values = tiles * block_planes::kTileK;
  const int64_t info = tiles * 16 * static_cast<int64_t>(sizeof(float));
  auto* memory = static_cast<char*>(Reserve(area, static_cast<size_t>(info + parts * values)));
  Activations a;
  a.groups = reinterpret_cast<float*>(memory);
  a.high = reinterpret_cast<int8_t*>(memory + info);
  if (parts == 2) a.low = a.high + values;
  return a;
}

// n values that the products read, in bf16.
const uint16_t* CudaBackend::RoundedRows(const float* x, int64_t n) {
  if (rounded_.n > 0 && x >= rounded_.x && x + n <= rounded_.x + rounded_.n) {
    return static_cast<const uint16_t*>(scratch_[kRounded].data) + (x - rounded_.x);
  }
  uint16_t* to = RoundBeside(x, n);
  if (to == nullptr) to = ReserveHalves(kRounded, n);
  RoundValues(device_->stream(), x, n, to);
  return to;
}

void CudaBackend::Wrote(const void* data, size_t bytes) {
  const auto* from = static_cast<const std::byte*>(data);
  const auto* x = reinterpret_cast<const std::byte*>(rounded_.x);
  if (from < x + rounded_.n * static_cast<int64_t>(sizeof(float)) && x < from + bytes)
    rounded_ = {};
  const auto* row = reinterpret_cast<const std::byte*>(normed_.x);
  if (from < row + normed_.cols * static_cast<int64_t>(sizeof(float)) && row < from + bytes)
    normed_ = {};
}

void CudaBackend::MultiplyRounded(const uint16_t* x, int64_t rows, const CudaWeight& w,
                                  const Output& out) {
  for (const WeightPart& part : w.parts()) {
    MultiplyTiles(device_->stream(), Rounded(part.matrix, 0, 1), x, rows, out.At(part.first_row));
  }
}

// Rows `first` and on of x [rows, cols], which are of prompts.
void CudaBackend::MultiplyPrompt(const float* x, int64_t rows, std::span<const Product> products,
                                 int64_t first) {
  const int64_t cols = products[0].w->cols(), n = rows - first;
  const uint16_t* rounded = nullptr;
  for (const Product& p : products) {
    const CudaWeight& w = Cast(p.w);
    const Output out = {p.out.f32() + first * w.rows(), w.rows(), p.bias};
    if (!w.rounds()) {
      Multiply({x + first * cols, cols}, n, w, {}, out);
      continue;
    }
    if (rounded == nullptr) rounded = RoundedRows(x + first * cols, n * cols);
    MultiplyRounded(rounded, n, w, out);
  }
}

void CudaBackend::MatMuls(Tensor x, std::span<const Product> products, int64_t exact_rows) {
  const int64_t rows = Rows(x), cols = Width(x), exact = std::min(rows, exact_rows);
  std::vector<Factor> factors;
  for (const Product& p : products) {
    CHECK(p.w->cols() == cols && Width(p.out) == p.w->rows() && p.w->count() == 1);
    factors.push_back({&Cast(p.w), {p.out.f32(), p.w->rows(), p.bias}});
    Wrote(p.out);
  }
  Multiply({x.f32(), cols}, exact, factors, {});
  if (exact < rows) MultiplyPrompt(x.f32(), rows, products, exact);
}

// Between the two products rows of answers go from the first one's output to what the second one
// reads.
void CudaBackend::FeedForward(const FfnArgs& a) {
  const CudaWeight &gate_up = Cast(a.gate_up), &down = Cast(a.down);
  const int64_t rows = Rows(a.x), ffn = down.cols(), hidden = down.rows();
  const int64_t exact = gate_up.rounds() && down.rounds() ? std::min(rows, a.exact_rows) : rows;
  for (const Tensor& t : {a.both, a.product, a.out}) Wrote(t);
  if (MultiplyGated(a.x.f32(), exact, gate_up, {}, a.product.f32())) {
    Multiply({a.product.f32(), ffn}, exact, down, {}, {a.out.f32(), hidden});
  } else {
    Multiply({a.x.f32(), gate_up.cols()}, exact, gate_up, {}, {a.both.f32(), 2 * ffn});
    Multiply({a.both.f32(), 2 * ffn, true}, exact, down, {}, {a.out.f32(), hidden});
  }
  if (exact < rows) FeedPrompt(a, exact);
}

// Rows `first` and on, which are of prompts: bf16 from end to end, in the memory of the floats.
void CudaBackend::FeedPrompt(const FfnArgs& a, int64_t first) {
  const CudaWeight &gate_up = Cast(a.gate_up), &down = Cast(a.down);
  const int64_t rows = Rows(a.x) - first, in = gate_up.cols(), ffn = down.cols();
  auto* both = reinterpret_cast<uint16_t*>(a.both.f32() + first * 2 * ffn);
  auto* product = reinterpret_cast<uint16_t*>(a.product.f32() + first * ffn);
  MultiplyRounded(RoundedRows(a.x.f32() + first * in, rows * in), rows, gate_up,
                  {.ld = 2 * ffn, .rounded = both});
  SwiGluRounded(device_->stream(), both, rows, ffn, product);
  MultiplyRounded(product, rows, down, {a.out.f32() + first * down.rows(), down.rows()});
}

// ---- mixture of experts

RouterShape CudaBackend::WriteRoutes(const RouterArgs& a, int32_t* experts, float* weights) {
  const auto chosen = static_cast<size_t>(Rows(a.logits) * a.top_k);
  Wrote(experts, chosen * sizeof *experts);
  Wrote(weights, chosen * sizeof *weights);
  return {.rows = Rows(a.logits),
          .experts = Width(a.logits),
          .top_k = a.top_k,
          .n_groups = a.n_groups,
          .top_groups = a.top_groups,
          .sigmoid = a.score == GateScore::kSigmoid,
          .group_score = static_cast<int>(a.group_score),
          .normalise = a.normalise,
          .scale = a.scale};
}
void CudaBackend::Route(const RouterArgs& a, int32_t* experts, float* weights) {
  const RouterShape shape = WriteRoutes(a, experts, weights);
  CUDA_NAMESPACE::Route(device_->stream(), shape, a.logits.f32(), {a.bias, experts, weights});
}
void CudaBackend::ScoreAndRoute(Tensor x, const Weight& router, const RouterArgs& a,
                                int32_t* experts, float* weights) {
  const std::vector<WeightPart>& parts = Cast(&router).parts();
  const Matrix& w = parts[0].matrix;
  if (parts.size() > 1 || !CanRoute(w, Rows(x))) {
    return Backend::ScoreAndRoute(x, router, a, experts, weights);
  }
  Wrote(a.logits);
  auto* counts = static_cast<int*>(Reserve(kRouterCounts, RouterCounts(Rows(x)) * sizeof(int)));
  const RouterShape shape = WriteRoutes(a, experts, weights);
  CUDA_NAMESPACE::ScoreAndRoute(device_->stream(), {w, {a.logits.f32(), w.rows, nullptr}},
                                {.x = x.f32(), .ld = w.cols}, shape, {a.bias, experts, weights},
                                counts);
}

OrderSpace CudaBackend::OrderOf(const int32_t* experts, int64_t rows, int64_t n_experts) {
  const int64_t tile_rows = RowsOfTiles(device_->stream());
  const int64_t groups = OrderGroups(rows, n_experts);
  const int64_t tiles = OrderTiles(rows, n_experts, tile_rows);
  const int64_t bytes = (rows + 2 * groups + 1 + 3 * tiles) * static_cast<int64_t>(sizeof(int32_t));
  auto* at = static_cast<int32_t*>(Reserve(kExpertOrder, static_cast<size_t>(bytes)));
  const auto take = [&](int64_t n) { return std::exchange(at, at + n); };
  OrderSpace order = {};
  order.tile_rows = tile_rows;
  order.groups = groups;
  order.tiles = tiles;
  order.rows = take(rows);
  order.matrix = take(groups);
  order.first = take(groups + 1);
  order.tile_matrix = take(tiles);
  order.tile_first = take(tiles);
  order.tile_end = take(tiles);
  OrderExperts(device_->stream(), experts, rows, n_experts, order);
  return order;
}

// Rows of answers; those of several tokens by expert, so that its weights are read once.
ExpertSum CudaBackend::MixRows(const MoeArgs& a, int64_t first, int64_t rows) {
  const CudaWeight &gate_up = Cast(a.gate_up), &down = Cast(a.down);
  const int64_t hidden = gate_up.cols(), ffn = down.cols(), assigned = rows * a.top_k;
  float* both = ReserveFloats(kExpertBoth, assigned * 2 * ffn);
  float* output = ReserveFloats(kExpertOutput, assigned * hidden);
  RowMap map{.matrix = a.experts + first * a.top_k, .share = a.top_k};
  if (rows > 1) {
    const OrderSpace order = OrderOf(map.matrix, assigned, gate_up.count());
    map.order = {order.rows, order.matrix, order.first, order.groups};
  }
  const float* x = a.x.f32() + first * hidden;
  const bool gated = MultiplyGated(x, assigned, gate_up, map, both);
  if (!gated) Multiply({x, hidden}, assigned, gate_up, map, {both, 2 * ffn, nullptr});
  map.share = 1;
  map.early = true;  // the product before has waited for it
  const ActivationSource middle = {both, gated ? ffn : 2 * ffn, !gated};
  Multiply(middle, assigned, down, map, {output, hidden, nullptr});
  return {output, a.weights + first * a.top_k, a.top_k};
}

// One token: the products of both networks in the same launches, where both can be. Between those
// of weights in blocks the rows of both become integers at once: those of the first network are
// whole rows of the experts' length after theirs.
bool CudaBackend::MixWithNetwork(const FfnArgs& f, const MoeArgs& a, ExpertSum& sum) {
  const Matrix *first = OneForm(f.gate_up), *first_down = OneForm(f.down);
  const Matrix *second = OneForm(a.gate_up), *second_down = OneForm(a.down);
  if (!first || !first_down || !second || !second_down || first->form != second->form) return false;
  const bool blocks = IsBlocks(first->form);
  const bool alike = blocks ? IsBlocks(first_down->form) && IsBlocks(second_down->form)
                            : first_down->form == second_down->form && TakesOwnRows(*first_down) &&
                                  TakesOwnRows(*second_down);
  if (!alike) return false;
  const auto multiply =
      blocks ? [](Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                  const RowMap& map) { MultiplyBlocks(s, products, x, rows, map); }
             : MultiplyRows;
  const int64_t hidden = second->cols, ffn = second_down->cols, first_ffn = first_down->cols;
  RowMap map{.matrix = a.experts, .share = a.top_k};
  if (!CanGate(*second, hidden, map, a.top_k) || !CanGate(*first, hidden, {}, 1)) return false;
  float* middle = ReserveFloats(kExpertBoth, a.top_k * ffn + first_ffn);
  float* output = ReserveFloats(kExpertOutput, a.top_k * hidden);
  for (const Tensor& t : {f.product, f.out}) Wrote(t);
  float* of_first = middle + a.top_k * ffn;

  RowProducts gated, down;
  gated.count = down.count = 2;
  gated.gated = true;
  const Converted whole;
  const Activations* normed =
      blocks && f.x.data == a.x.data
          ? NormedIntegers(a.x.f32(), 1, hidden, whole.PartsFor(second->form))
          : nullptr;
  const Activations x = normed != nullptr ? *normed : Activations{.x = a.x.f32(), .ld = hidden};
  gated.of[0] = {
      *first, {of_first, first_ffn}, normed != nullptr ? x : Activations{.x = f.x.f32()}};
  gated.of[1] = {*second, {middle, ffn}};
  multiply(device_->stream(), gated, x, a.top_k, map);

  map.share = 1;
  map.early = true;
  Activations rows = {.x = middle, .ld = ffn}, row = {.x = of_first};
  if (blocks && ffn % block_planes::kTileK == 0 && first_ffn % ffn == 0) {
    const int64_t n = a.top_k + first_ffn / ffn, before = a.top_k * ffn;
    Activations made[3];
    for (const Matrix* w : {first_down, second_down}) {
      const int parts = whole.PartsFor(w->form);
      made[parts] = ReserveIntegers(parts == 1 ? kActivations : kWideActivations, parts, n, ffn);
    }
    QuantiseActivations(device_->stream(), {middle, ffn}, n, ffn, made[1], made[2]);
    rows = made[whole.PartsFor(second_down->form)];
    row = made[whole.PartsFor(first_down->form)];
    row.high += before;
    if (row.low != nullptr) row.low += before;
    row.groups += before / block_planes::kTileK * 16;
  }
  down.of[0] = {*first_down, {f.out.f32(), hidden}, row};
  down.of[1] = {*second_down, {output, hidden}};
  multiply(device_->stream(), down, rows, a.top_k, map);
  sum = {output, a.weights, a.top_k};
  return true;
}

// Of one row of answers the experts' sum is left to what reads it.
Delta CudaBackend::FeedForwardAndMix(const FfnArgs& network, const MoeArgs& a) {
  const int64_t rows = Rows(a.x);
  const bool on_host = Cast(a.gate_up).on_host() != nullptr;
  if (on_host || rows != 1 || rows > a.exact_rows) {
    return Backend::FeedForwardAndMix(network, a);
  }
  ExpertSum sum;
  if (!MixWithNetwork(network, a, sum)) {
    FeedForward(network);
    sum = MixRows(a, 0, 1);
  }
  Delta delta = a.out;
  delta.parts = sum.parts;
  delta.weights = sum.weights;
  delta.top_k = sum.top_k;
  return delta;
}

// All at once, or, where they have to be rounded first, as many matrices as a quarter of a GiB
// holds then; tiles of others are empty.
void CudaBackend::MultiplyExperts(const CudaWeight& w, const uint16_t* x, const RowTiles& tiles,
                                  const Output& out) {
  for (const WeightPart& part : w.parts()) {
    const Matrix& m = part.matrix;
    if (m.form == Form::kBf16 || (IsBlocks(m.form) && HasWarpgroups(device_->stream()))) {
      RowTiles of = tiles;
      of.matrices = w.count();
      MultiplyRowTiles(device_->stream(), m, x, of, out.At(part.first_row));
      continue;
    }
    const int64_t fit = std::max<int64_t>((int64_t{256} << 20) / (m.rows * m.cols * 2), 1);
    const int64_t step = std::min(fit, w.count());
    for (int64_t first = 0; first < w.count(); first += step) {
      RowTiles of = tiles;
      of.first_matrix = first;
      of.matrices = std::min(step, w.count() - first);
      MultiplyRowTiles(device_->stream(), Rounded(m, first, of.matrices), x, of,
                       out.At(part.first_row));
    }
  }
}

// Rows of prompts, rounded: tiles of rows that chose the same expert. Between the two products the
// rows are in the order of the experts.
ExpertSum CudaBackend::MixPrompt(const MoeArgs& a, int64_t first, int64_t rows) {
  const CudaWeight &gate_up = Cast(a.gate_up), &down = Cast(a.down);
  const int64_t hidden = gate_up.cols(), ffn = down.cols(), assigned = rows * a.top_k;
  uint16_t* middle = ReserveHalves(kExpertMiddle, assigned * ffn);
  float* output = ReserveFloats(kExpertOutput, assigned * hidden);
  const uint16_t* rounded = RoundedRows(a.x.f32() + first * hidden, rows * hidden);
  const OrderSpace order = OrderOf(a.experts + first * a.top_k, assigned, gate_up.count());
  RowTiles tiles{.matrix = order.tile_matrix,
                 .first = order.tile_first,
                 .end = order.tile_end,
                 .count = order.tiles,
                 .rows = assigned};
  tiles.x_rows = order.rows;
  tiles.share = a.top_k;
  if (HasWarpgroups(device_->stream()) && gate_up.parts().size() == 1) {
    MultiplyExperts(gate_up, rounded, tiles, {.ld = ffn, .rounded = middle, .gated = true});
  } else {
    uint16_t* both = ReserveHalves(kExpertBoth, assigned * 2 * ffn);
    MultiplyExperts(gate_up, rounded, tiles, {.ld = 2 * ffn, .rounded = both});
    SwiGluRounded(device_->stream(), both, assigned, ffn, middle);
  }
  tiles.x_rows = nullptr;
  tiles.out_rows = order.rows;
  MultiplyExperts(down, middle, tiles, {output, hidden});
  return {output, a.weights + first * a.top_k, a.top_k};
}

void CudaBackend::MixExperts(const MoeArgs& a) {
  Wrote(a.out);
  if (Cast(a.gate_up).on_host() != nullptr) return MixOnHost(a);
  const int64_t rows = Rows(a.x);
  const bool rounds = Cast(a.gate_up).rounds() && Cast(a.down).rounds();
  const int64_t exact = rounds ? std::min(rows, a.exact_rows) : rows;
  for (int64_t first = 0; first < rows;) {
    const int64_t n = std::min(kMostMixed, (first < exact ? exact : rows) - first);
    const ExpertSum sum = first < exact ? MixRows(a, first, n) : MixPrompt(a, first, n);
    CombineExperts(device_->stream(), sum, n, Width(a.out), a.out.f32() + first * Width(a.out));
    first += n;
  }
}

}  // namespace hadal::CUDA_NAMESPACE
