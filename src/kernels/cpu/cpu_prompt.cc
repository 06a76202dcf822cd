// Products of prompt rows on the matrix unit: activations in tiles, panels shared out to the
// threads.
#include <algorithm>

#include "kernels/cpu/cpu_backend.h"

namespace hadal::cpu {
namespace {

int64_t BlocksOf(int64_t rows) { return (rows + kPromptRows - 1) / kPromptRows; }

}  // namespace

// Float weights, such as those of routers, stay exact; int8 ones have kernels of their own.
bool CpuBackend::MayRound(const CpuWeight& w) const {
  if (table_.prompt_bf16 == nullptr || exact_prompts_ || w.deferred()) return false;
  if (w.layout() == Layout::kPanelBlocks) {
    return std::ranges::all_of(w.blocks(), [&](const BlockRows& part) {
      return table_.prompt_blocks[static_cast<int>(part.type)] != nullptr;
    });
  }
  if (w.layout() == Layout::kPanelF16) return table_.prompt_f16 != nullptr;
  return w.layout() == Layout::kPanelBf16;
}

// Rows of prompts and answers that differ cost reuse of what a cache holds of answers: where
// attention does not make them differ, a few matrices of a model shall not.
bool CpuBackend::RoundsProducts() const {
  return rounds_prompts_ || (may_round_ > 0 && 2 * may_round_ >= multiplied_);
}
bool CpuBackend::Rounds(const CpuWeight& w) const { return RoundsProducts() && MayRound(w); }

uint16_t* CpuBackend::ReservePromptRows(Scratch area, int64_t blocks, int64_t cols) {
  return static_cast<uint16_t*>(
      Reserve(area, static_cast<size_t>(blocks * PromptBlockElements(cols)) * 2));
}

void CpuBackend::ConvertPrompt(const FloatRows& x, uint16_t* blocks) {
  ForRows(BlocksOf(x.rows), x.cols * kPromptRows, [&](int64_t b) {
    const int64_t row = b * kPromptRows;
    const float* from[kPromptRows];
    const int64_t n = std::min(kPromptRows, x.rows - row);
    for (int64_t r = 0; r < n; ++r) from[r] = x.data + (row + r) * x.ld;
    table_.to_prompt_rows(from, n, x.cols, blocks + b * PromptBlockElements(x.cols));
  });
}

void CpuBackend::QueuePrompt(const uint16_t* blocks, int64_t m, const CpuWeight& w, int64_t matrix,
                             const ProductRows& out) {
  PromptTile t = {};
  t.x = blocks;
  t.m = m;
  t.k = w.cols();
  t.bias = out.bias;
  t.out = out.data;
  t.ldo = out.ld;
  const std::byte* panels = w.matrix(matrix);
  const auto queue = [&](int64_t rows) {
    t.w = panels;
    t.n = rows;
    const int64_t n_panels = BlocksOf(2 * rows);
    for (t.panel0 = 0; t.panel0 < n_panels; t.panel0 += kPromptPanels) {
      t.panel1 = std::min(n_panels, t.panel0 + kPromptPanels);
      prompts_.push_back(t);
    }
  };
  if (w.layout() != Layout::kPanelBlocks) return queue(w.rows());
  for (const BlockRows& part : w.blocks()) {
    t.block_format = static_cast<int>(part.type);
    queue(part.rows);
    panels += BlockPanelsBytes(part, w.cols());
    t.out += part.rows;
    if (t.bias) t.bias += part.rows;
  }
}

bool CpuBackend::Gates(const CpuWeight& gate_up, const CpuWeight& down) const {
  return Rounds(gate_up) && Rounds(down) && gate_up.rows() % 64 == 0 &&
         gate_up.blocks().size() <= 1;
}

void CpuBackend::QueueGated(const uint16_t* blocks, int64_t m, const CpuWeight& gate_up,
                            int64_t matrix, uint16_t* gated) {
  PromptTile t = {};
  t.x = blocks;
  t.m = m;
  t.n = gate_up.rows();
  t.k = gate_up.cols();
  t.w = gate_up.matrix(matrix);
  t.gated = gated;
  if (!gate_up.blocks().empty()) t.block_format = static_cast<int>(gate_up.blocks()[0].type);
  constexpr int64_t kPanels = kPromptPanels / 2;
  for (; t.panel0 < t.n / 2 / kPanel; t.panel0 += kPanels) {
    t.panel1 = std::min(t.n / 2 / kPanel, t.panel0 + kPanels);
    prompts_.push_back(t);
  }
}

void CpuBackend::FeedForward(const FfnArgs& a) {
  const auto& gate_up = static_cast<const CpuWeight&>(*a.gate_up);
  const auto& down = static_cast<const CpuWeight&>(*a.down);
  const int64_t hidden = gate_up.cols(), ffn = down.cols();
  const int64_t rows = a.x.shape.elements() / hidden;
  CHECK(gate_up.rows() == 2 * ffn && down.rows() == hidden);
  // Rows that take three operations: those of answers, or all.
  const int64_t apart = Gates(gate_up, down) ? std::min(a.exact_rows, rows) : rows;
  if (apart > 0) {
    const FloatRows x = {a.x.f32(), hidden, apart, hidden};
    Multiply(x, gate_up, {a.both.f32(), 2 * ffn}, a.exact_rows);
    float *both = a.both.f32(), *product = a.product.f32();
    ForRows(apart, ffn * 4, [&](int64_t r) {
      table_.swiglu(both + r * 2 * ffn, both + r * 2 * ffn + ffn, ffn, product + r * ffn);
    });
    Multiply({product, ffn, apart, ffn}, down, {a.out.f32(), hidden}, a.exact_rows);
  }
  if (apart == rows) return;
  const int64_t m = rows - apart;
  uint16_t* blocks = ReservePromptRows(kPromptActivations, BlocksOf(m), hidden);
  ConvertPrompt({a.x.f32() + apart * hidden, hidden, m, hidden}, blocks);
  uint16_t* gated = ReservePromptRows(kPromptGated, BlocksOf(m), ffn);
  QueueGated(blocks, m, gate_up, 0, gated);
  RunPrompts(gate_up.layout());
  QueuePrompt(gated, m, down, 0, {a.out.f32() + apart * hidden, hidden});
  RunPrompts(down.layout());
}

// Halves what is queued, by panels and then by rows, until every thread has two parts.
void CpuBackend::SplitPrompts() {
  constexpr int64_t kFewPanels = 4;  // of gate and up together, where gated
  const auto enough = static_cast<size_t>(2 * pool_.size());
  for (size_t n = 0; pool_.size() > 1 && prompts_.size() < enough && n < prompts_.size();) {
    n = prompts_.size();
    for (size_t i = 0; i < n; ++i) {
      PromptTile t = prompts_[i];
      const int64_t step = t.gated ? kFewPanels / 2 : kFewPanels, panels = t.panel1 - t.panel0;
      if (panels > step) {
        prompts_[i].panel1 = t.panel0 += RoundUp((panels + 1) / 2, step);
      } else if (t.m > kPromptRows) {
        const int64_t rows = prompts_[i].m = RoundUp((t.m + 1) / 2, kPromptRows);
        t.m -= rows;
        t.x += BlocksOf(rows) * PromptBlockElements(t.k);
        if (t.gated) t.gated += BlocksOf(rows) * PromptBlockElements(t.n / 2);
        t.out += t.gated ? 0 : rows * t.ldo;
      } else {
        continue;
      }
      prompts_.push_back(t);
    }
  }
}

void CpuBackend::RunPrompts(Layout layout) {
  SplitPrompts();
  auto* spaces = static_cast<std::byte*>(
      Reserve(kPromptThread, static_cast<size_t>(kPromptSpace * pool_.size())));
  pool_.ForEach(static_cast<int>(prompts_.size()), [&](int i, int thread) {
    PromptTile& t = prompts_[static_cast<size_t>(i)];
    t.space = spaces + thread * kPromptSpace;
    if (layout == Layout::kPanelBlocks) return table_.prompt_blocks[t.block_format](t);
    if (layout == Layout::kPanelF16) return table_.prompt_f16(t);
    table_.prompt_bf16(t);
  });
  prompts_.clear();
}

void CpuBackend::Multiply(const FloatRows& x, std::span<const Target> targets, int64_t exact_rows) {
  const CpuWeight& first = *targets.front().w;
  const int64_t exact = Rounds(first) ? std::min(exact_rows, x.rows) : x.rows;
  if (exact > 0) {
    const Activations a = Convert({x.data, x.ld, exact, x.cols}, targets);
    for (const Target& t : targets) Queue(a, 0, exact, *t.w, 0, t.out);
    RunQueued(first.layout());
  }
  if (exact == x.rows) return;
  const FloatRows rest = {x.data + exact * x.ld, x.ld, x.rows - exact, x.cols};
  uint16_t* blocks = ReservePromptRows(kPromptActivations, BlocksOf(rest.rows), x.cols);
  ConvertPrompt(rest, blocks);
  for (const auto& [w, out] : targets) {
    QueuePrompt(blocks, rest.rows, *w, 0, {out.data + exact * out.ld, out.ld, out.bias});
  }
  RunPrompts(first.layout());
}

}  // namespace hadal::cpu
