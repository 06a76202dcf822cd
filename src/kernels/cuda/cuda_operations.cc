// The operations: shapes checked, kernels chosen and enqueued.
#include <algorithm>

#include "kernels/cuda/block_planes.h"
#include "kernels/cuda/cuda_backend.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

const CudaWeight& Cast(const Weight* w) { return static_cast<const CudaWeight&>(*w); }

int64_t Width(const Tensor& x) { return x.shape[x.shape.rank() - 1]; }
int64_t Rows(const Tensor& x) { return x.shape.elements() / Width(x); }

int PartsOfActivations(Form form) {
  return cpu::kBlockFormats[static_cast<int>(form) - static_cast<int>(Form::kBlocks)].x_parts;
}

}  // namespace

void CudaBackend::Embed(const Weight& table, std::span<const TokenId> ids, Tensor out) {
  const CudaWeight& w = Cast(&table);
  CHECK(w.parts().size() == 1 && Width(out) == w.cols());
  CUDA_NAMESPACE::Embed(device_->stream(), w.parts()[0].matrix, OnCard(ids),
                        static_cast<int64_t>(ids.size()), out.f32());
}

void CudaBackend::RmsNorm(Tensor x, const float* weight, float eps, Tensor out) {
  CUDA_NAMESPACE::RmsNorm(device_->stream(), x.f32(), weight, eps, Rows(x), Width(x), out.f32());
}
void CudaBackend::AddRmsNorm(Tensor x, Tensor delta, const float* weight, float eps, Tensor out) {
  CUDA_NAMESPACE::AddRmsNorm(device_->stream(), x.f32(), delta.f32(), weight, eps, Rows(x),
                             Width(x), out.f32());
}
void CudaBackend::Add(Tensor x, Tensor delta) {
  CUDA_NAMESPACE::Add(device_->stream(), x.f32(), delta.f32(), x.shape.elements());
}
void CudaBackend::SwiGlu(Tensor gate_up, Tensor out) {
  CUDA_NAMESPACE::SwiGlu(device_->stream(), gate_up.f32(), Rows(out), Width(out), out.f32());
}

void CudaBackend::Rope(Tensor x, int offset, const RopeTable& table,
                       std::span<const int32_t> positions) {
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
                          at, {cache.data, cache.dtype == DType::kBf16, cache.width});
}

void CudaBackend::PrepareHeads(std::span<const Heads> parts, std::span<const int32_t> positions,
                               std::span<const int32_t> slots) {
  // Two spans that are not the step's own cannot be on the card at once.
  if (step_ == nullptr) return Backend::PrepareHeads(parts, positions, slots);
  HeadParts all;
  CHECK(parts.size() <= HeadParts::kMost);
  for (const Heads& p : parts) {
    HeadPart& to = all.part[all.n++];
    to.x = p.x.f32();
    to.heads = p.x.shape[1];
    to.head_dim = p.x.shape[2];
    to.norm = p.norm;
    to.eps = p.eps;
    to.at = p.at;
    if (p.rope != nullptr) {
      to.rope.offset = p.offset;
      to.rope.dims = p.rope->dims;
      to.rope.adjacent = p.rope->pairing == RopePairing::kAdjacent;
      to.cos = p.rope->cos;
      to.sin = p.rope->sin;
    }
    if (p.cache != nullptr) to.cache = CacheOf(*p.cache);
  }
  CUDA_NAMESPACE::PrepareHeads(device_->stream(), all, parts[0].x.shape[0], OnCard(positions),
                               OnCard(slots));
}

void CudaBackend::GatherRows(Tensor x, std::span<const int32_t> rows, Tensor out) {
  CUDA_NAMESPACE::GatherRows(device_->stream(), x.f32(), Width(x), OnCard(rows),
                             static_cast<int64_t>(rows.size()), out.f32());
}

void CudaBackend::CopyToHost(Tensor x, float* out) {
  device_->ToHost(out, x.data, x.bytes());
  Wait();
}
void CudaBackend::Wait() { Remember(device_->Synchronise()); }

// ---- products

Activations CudaBackend::Convert(const float* x, int64_t ld, int64_t rows, const Matrix& w) {
  if (!IsBlocks(w.form)) return {.x = x, .ld = ld};
  const int parts = PartsOfActivations(w.form);
  const int64_t values = rows * w.cols;
  const int64_t info = values / block_planes::kGroup * 3 * static_cast<int64_t>(sizeof(float));
  auto* memory =
      static_cast<char*>(Reserve(kActivations, static_cast<size_t>(info + parts * values)));
  Activations a{.high = reinterpret_cast<int8_t*>(memory + info),
                .low = parts == 1 ? nullptr : reinterpret_cast<int8_t*>(memory + info + values),
                .groups = reinterpret_cast<float*>(memory)};
  QuantiseActivations(device_->stream(), x, ld, rows, w.cols, parts, const_cast<int8_t*>(a.high),
                      const_cast<int8_t*>(a.low), const_cast<float*>(a.groups));
  return a;
}

// Rows of answers.
void CudaBackend::Multiply(const float* x, int64_t ld, int64_t rows, const CudaWeight& w,
                           const RowMap& map, const Output& out) {
  if (rows == 0) return;
  const int64_t x_rows = (rows + map.share - 1) / map.share;
  int converted = -1;
  Activations a;
  for (const WeightPart& part : w.parts()) {
    const int form = IsBlocks(part.matrix.form) ? PartsOfActivations(part.matrix.form) : 0;
    if (form != converted) a = Convert(x, ld, x_rows, part.matrix);
    converted = form;
    const float* bias = out.bias == nullptr ? nullptr : out.bias + part.first_row;
    MultiplyRows(device_->stream(), part.matrix, a, rows, map,
                 {out.data + part.first_row, out.ld, bias});
  }
}

// Whether rows of prompts meet it on the tensor cores.
bool CudaBackend::Rounds(const CudaWeight& w) const {
  return !options_.exact_prompts && w.cols() % 8 == 0 &&
         std::ranges::all_of(w.parts(),
                             [](const WeightPart& p) { return p.matrix.form != Form::kF32; });
}

// As bf16, valid until the next one.
Matrix CudaBackend::Rounded(const Matrix& m) {
  if (m.form == Form::kBf16) return m;
  uint16_t* made = ReserveHalves(kRoundedWeight, m.rows * m.cols);
  RoundMatrix(device_->stream(), m, 0, made);
  return {Form::kBf16, reinterpret_cast<const uint8_t*>(made), m.rows, m.cols, 0};
}

// Rows `first` and on of x [rows, cols], which are of prompts.
void CudaBackend::MultiplyPrompt(const float* x, int64_t rows, std::span<const Product> products,
                                 int64_t first) {
  const int64_t cols = products[0].w->cols(), n = rows - first;
  uint16_t* rounded = nullptr;
  for (const Product& p : products) {
    const CudaWeight& w = Cast(p.w);
    float* out = p.out.f32() + first * w.rows();
    if (!Rounds(w)) {
      Multiply(x + first * cols, cols, n, w, {}, {out, w.rows(), p.bias});
      continue;
    }
    if (rounded == nullptr) {
      rounded = static_cast<uint16_t*>(Reserve(kRounded, static_cast<size_t>(n * cols) * 2));
      RoundRows(device_->stream(), x + first * cols, cols, n, cols, rounded);
    }
    for (const WeightPart& part : w.parts()) {
      const Matrix m = Rounded(part.matrix);
      const float* bias = p.bias == nullptr ? nullptr : p.bias + part.first_row;
      MultiplyTiles(device_->stream(), m, rounded, n, {out + part.first_row, w.rows(), bias});
    }
  }
}

void CudaBackend::MatMuls(Tensor x, std::span<const Product> products, int64_t exact_rows) {
  const int64_t rows = Rows(x), cols = Width(x), exact = std::min(rows, exact_rows);
  for (const Product& p : products) {
    CHECK(p.w->cols() == cols && Width(p.out) == p.w->rows() && p.w->count() == 1);
    Multiply(x.f32(), cols, exact, Cast(p.w), {}, {p.out.f32(), p.w->rows(), p.bias});
  }
  if (exact < rows) MultiplyPrompt(x.f32(), rows, products, exact);
}

void CudaBackend::FeedForward(const FfnArgs& a) {
  MatMul(a.x, *a.gate_up, nullptr, a.both, a.exact_rows);
  SwiGlu(a.both, a.product);
  MatMul(a.product, *a.down, nullptr, a.out, a.exact_rows);
}

// ---- mixture of experts

void CudaBackend::Route(const RouterArgs& a, int32_t* experts, float* weights) {
  const RouterShape shape{.rows = Rows(a.logits),
                          .experts = Width(a.logits),
                          .top_k = a.top_k,
                          .n_groups = a.n_groups,
                          .top_groups = a.top_groups,
                          .sigmoid = a.score == GateScore::kSigmoid,
                          .group_score = static_cast<int>(a.group_score),
                          .normalise = a.normalise,
                          .scale = a.scale};
  CUDA_NAMESPACE::Route(device_->stream(), shape, a.logits.f32(), a.bias, experts, weights);
}

void CudaBackend::MixExperts(const MoeArgs& a) {
  const CudaWeight &gate_up = Cast(a.gate_up), &down = Cast(a.down);
  const int64_t rows = Rows(a.x), hidden = gate_up.cols(), ffn = down.cols();
  constexpr int64_t kMostRows = 2048;  // bounds the memory
  for (int64_t first = 0; first < rows; first += kMostRows) {
    const int64_t n = std::min(kMostRows, rows - first), assigned = n * a.top_k;
    const int32_t* experts = a.experts + first * a.top_k;
    float* both = ReserveFloats(kExpertBoth, assigned * 2 * ffn);
    float* middle = ReserveFloats(kExpertMiddle, assigned * ffn);
    float* output = ReserveFloats(kExpertOutput, assigned * hidden);
    Multiply(a.x.f32() + first * hidden, hidden, assigned, gate_up,
             {.matrix = experts, .share = a.top_k}, {both, 2 * ffn, nullptr});
    CUDA_NAMESPACE::SwiGlu(device_->stream(), both, assigned, ffn, middle);
    Multiply(middle, ffn, assigned, down, {.matrix = experts}, {output, hidden, nullptr});
    CombineExperts(device_->stream(), output, a.weights + first * a.top_k, n, a.top_k, hidden,
                   a.out.f32() + first * hidden);
  }
}

}  // namespace hadal::CUDA_NAMESPACE
