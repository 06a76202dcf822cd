#include <algorithm>
#include <cstring>

#include "kernels/cpu/cpu_backend.h"

namespace hadal::cpu {
namespace {

// Tokens mixed at a time; bounds the scratch memory. Prompts unpack an expert's weights each time.
constexpr int64_t kMostTokens = 512, kMostPromptTokens = 2048;

}  // namespace

// Counting sort of the n assignments (token, slot) by expert, stable: expert_order_[i] is the
// assignment at sorted place i, expert_place_ its inverse, expert_start_[e] the first of expert e.
void CpuBackend::GroupByExpert(const int32_t* experts, int64_t n, int64_t n_experts) {
  expert_start_.assign(static_cast<size_t>(n_experts) + 1, 0);
  expert_order_.resize(static_cast<size_t>(n));
  expert_place_.resize(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    CHECK(experts[i] >= 0 && experts[i] < n_experts);
    ++expert_start_[static_cast<size_t>(experts[i]) + 1];
  }
  for (size_t e = 1; e < expert_start_.size(); ++e) expert_start_[e] += expert_start_[e - 1];
  for (int64_t i = 0; i < n; ++i) {
    int32_t& next = expert_start_[static_cast<size_t>(experts[i])];
    expert_order_[static_cast<size_t>(next)] = static_cast<int32_t>(i);
    expert_place_[static_cast<size_t>(i)] = next++;
  }
  // Each start has moved to the next expert's: shift back.
  for (size_t e = expert_start_.size() - 1; e > 0; --e) expert_start_[e] = expert_start_[e - 1];
  expert_start_[0] = 0;
}

void CpuBackend::MixTokens(const MoeArgs& args, int64_t first, int64_t n) {
  const auto& gate_up = static_cast<const CpuWeight&>(*args.gate_up);
  const auto& down = static_cast<const CpuWeight&>(*args.down);
  const int64_t hidden = gate_up.cols(), ffn = down.cols(), assigned = n * args.top_k;
  const float* x = args.x.f32() + first * hidden;
  GroupByExpert(args.experts + first * args.top_k, assigned, gate_up.count());

  // Rows of an expert side by side.
  float* input = ReserveFloats(kExpertInput, assigned * hidden);
  float* both = ReserveFloats(kExpertGateUp, assigned * 2 * ffn);
  float* middle = ReserveFloats(kExpertHidden, assigned * ffn);
  float* output = ReserveFloats(kExpertOutput, assigned * hidden);
  ForRows(assigned, hidden, [&](int64_t i) {
    const int64_t token = expert_order_[static_cast<size_t>(i)] / args.top_k;
    std::memcpy(input + i * hidden, x + token * hidden,
                static_cast<size_t>(hidden) * sizeof(float));
  });
  const auto multiply = [&](const FloatRows& rows, const CpuWeight& w, float* out) {
    const Activations a = Convert(rows, w);
    ForExperts(w.count(), [&](int64_t e, int64_t begin, int64_t count) {
      Queue(a, begin, count, w, e, {out + begin * w.rows(), w.rows(), nullptr});
    });
    RunQueued(w.layout());
  };
  multiply({input, hidden, assigned, hidden}, gate_up, both);
  ForRows(assigned, ffn * 4, [&](int64_t i) {
    table_.swiglu(both + i * 2 * ffn, both + i * 2 * ffn + ffn, ffn, middle + i * ffn);
  });
  multiply({middle, ffn, assigned, ffn}, down, output);
  CombineExperts(args, first, n, output);
}

// The same for rows of prompts, every expert's beginning with a row block of its own.
void CpuBackend::MixPrompts(const MoeArgs& args, int64_t first, int64_t n) {
  const auto& gate_up = static_cast<const CpuWeight&>(*args.gate_up);
  const auto& down = static_cast<const CpuWeight&>(*args.down);
  const int64_t hidden = gate_up.cols(), ffn = down.cols(), assigned = n * args.top_k;
  const float* x = args.x.f32() + first * hidden;
  GroupByExpert(args.experts + first * args.top_k, assigned, gate_up.count());

  prompt_rows_.clear();
  ForExperts(gate_up.count(), [&](int64_t, int64_t begin, int64_t count) {
    for (int64_t r = 0; r < count; r += kPromptRows) {
      prompt_rows_.push_back({begin + r, std::min(kPromptRows, count - r)});
    }
  });
  const auto blocks = static_cast<int64_t>(prompt_rows_.size());
  uint16_t* input = ReservePromptRows(kPromptActivations, blocks, hidden);
  ForRows(blocks, hidden * kPromptRows, [&](int64_t b) {
    const PromptRows& rows = prompt_rows_[static_cast<size_t>(b)];
    const float* from[kPromptRows];
    for (int64_t r = 0; r < rows.count; ++r) {
      from[r] = x + expert_order_[static_cast<size_t>(rows.first + r)] / args.top_k * hidden;
    }
    table_.to_prompt_rows(from, rows.count, hidden, input + b * PromptBlockElements(hidden));
  });
  uint16_t* gated = ReservePromptRows(kPromptGated, blocks, ffn);
  float* output = ReserveFloats(kExpertOutput, assigned * hidden);
  int64_t block = 0;
  ForExperts(gate_up.count(), [&](int64_t e, int64_t, int64_t count) {
    QueueGated(input + block * PromptBlockElements(hidden), count, gate_up, e,
               gated + block * PromptBlockElements(ffn));
    block += (count + kPromptRows - 1) / kPromptRows;
  });
  RunPrompts(gate_up.layout());
  block = 0;
  ForExperts(gate_up.count(), [&](int64_t e, int64_t begin, int64_t count) {
    QueuePrompt(gated + block * PromptBlockElements(ffn), count, down, e,
                {output + begin * hidden, hidden});
    block += (count + kPromptRows - 1) / kPromptRows;
  });
  RunPrompts(down.layout());
  CombineExperts(args, first, n, output);
}

// out += weight * output of each token's experts, in the order they were chosen.
void CpuBackend::CombineExperts(const MoeArgs& args, int64_t first, int64_t n,
                                const float* output) {
  const int64_t hidden = args.gate_up->cols();
  const float* weights = args.weights + first * args.top_k;
  float* out = args.out.f32() + first * hidden;
  ForRows(n, hidden * args.top_k, [&](int64_t t) {
    for (int64_t k = t * args.top_k; k < (t + 1) * args.top_k; ++k) {
      const int64_t place = expert_place_[static_cast<size_t>(k)];
      table_.axpy(weights[k], output + place * hidden, hidden, out + t * hidden);
    }
  });
}

void CpuBackend::MixExperts(const MoeArgs& args) {
  CHECK(args.gate_up && args.down && args.top_k > 0);
  CHECK(args.gate_up->count() == args.down->count() &&
        args.gate_up->rows() == 2 * args.down->cols() && args.gate_up->cols() == args.down->rows());
  CHECK(args.x.shape.elements() == args.out.shape.elements());
  const int64_t tokens = args.x.shape.elements() / args.gate_up->cols();
  const auto& gate_up = static_cast<const CpuWeight&>(*args.gate_up);
  const auto& down = static_cast<const CpuWeight&>(*args.down);
  const bool gates = Gates(gate_up, down);
  const int64_t exact = gates ? std::min(args.exact_rows, tokens) : tokens;
  for (int64_t t = 0; t < exact; t += kMostTokens) {
    MixTokens(args, t, std::min(kMostTokens, exact - t));
  }
  for (int64_t t = exact; t < tokens; t += kMostPromptTokens) {
    MixPrompts(args, t, std::min(kMostPromptTokens, tokens - t));
  }
}

}  // namespace hadal::cpu
