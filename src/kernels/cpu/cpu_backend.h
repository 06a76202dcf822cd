// CpuBackend: the Backend of host memory. It owns the thread pool, the kernel table of one ISA and
// scratch memory that only grows; the operations split work over the pool and call the table.
// Split by topic: cpu_backend.cc (creation, memory), cpu_weights.cc (prepare),
// cpu_deferred.cc (weights that are not in memory), cpu_matmul.cc,
// cpu_elementwise.cc, cpu_attention.cc (the core shared by GQA and MLA), cpu_mla.cc, cpu_router.cc,
// cpu_moe.cc.
// Thread rule: as Backend, one calling thread.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "core/tensor.h"
#include "kernels/backend.h"
#include "kernels/cpu/cpu_weight.h"
#include "kernels/cpu/kernel_table.h"

namespace hadal::cpu {

// Rows converted for the multiplication by a weight.
struct Activations {
  struct Form {
    const std::byte* data = nullptr;  // [rows][ld]
    int64_t element_bytes = 4;
  };
  Form form;
  Form form16;                    // blocks: ActivationGroup16, where form is ActivationGroup8
  int64_t ld = 0;                 // elements: of blocks, groups
  const float* scales = nullptr;  // int8: [rows][ld_scales]
  int64_t ld_scales = 0;

  // Of rows that are `matrices` interleaved: those of matrix i.
  Activations Interleaved(int64_t i, int64_t matrices) const;
};

// Rows of a strided float matrix: row i at data + i * ld.
struct FloatRows {
  const float* data = nullptr;
  int64_t ld = 0;
  int64_t rows = 0, cols = 0;
};

// Where the rows of a product go.
struct ProductRows {
  float* data = nullptr;
  int64_t ld = 0;
  const float* bias = nullptr;  // [columns] or null
};

// A weight and where its product goes.
struct Target {
  const CpuWeight* w = nullptr;
  ProductRows out;
};

// Rows [begin, end) of a matrix.
struct RowRange {
  int64_t begin = 0, end = 0;
};

// Attention of n_kv_heads groups of `group` query heads, over keys and values in paged caches.
struct FlashArgs {
  const float* q = nullptr;  // [rows][n_kv_heads][group][k_dim]
  int64_t first_row = 0;     // step row at which q and out begin
  KvView k, v;               // kv head h at columns h * k_dim and h * v_dim of the caches
  int64_t n_kv_heads = 1, group = 1, k_dim = 0, v_dim = 0;
  float scale = 0;
  bool rounds_prompts = false;  // chunks of prompts on the matrix unit
  float* out = nullptr;         // [rows][n_kv_heads][group][v_dim]
};

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const CpuBackendOptions& options);

  std::string description() const override;
  Result<std::unique_ptr<Memory>> Allocate(size_t bytes) override;
  DType kv_dtype() const override { return kv_dtype_; }
  bool rounds_prompts() const override { return RoundsProducts(); }
  Result<WeightPtr> Prepare(std::span<const WeightSource> sources, WeightUse use) override {
    return PrepareFor(sources, use);
  }
  Result<std::unique_ptr<Memory>> Upload(std::span<const float> values) override;
  Result<WeightPtr> PrepareEmbedding(const WeightSource& source) override;
  Result<size_t> BytesOf(std::span<const WeightSource> sources, WeightUse use) const override;
  Result<WeightPtr> Defer(std::span<const WeightSource> sources, WeightUse use) override;

  void Embed(const Weight& table, std::span<const TokenId> ids, Tensor out) override;
  void RmsNorm(Tensor x, const float* weight, float eps, Tensor out) override;
  void AddRmsNorm(Tensor x, const Delta& delta, const float* weight, float eps,
                  Tensor out) override;
  void Add(Tensor x, const Delta& delta) override;
  void MatMuls(Tensor x, std::span<const Product> products, int64_t exact_rows) override;
  void SwiGlu(Tensor gate_up, Tensor out) override;
  void FeedForward(const FfnArgs& args) override;
  void Rope(Tensor x, int offset, const RopeTable& table,
            std::span<const int32_t> positions) override;
  void StoreKv(Tensor src, int64_t from, int64_t n, std::span<const int32_t> slots, int64_t at,
               KvView cache) override;
  void Attention(const GqaArgs& args, std::span<const SeqChunk> chunks) override;
  void MlaAttention(const MlaArgs& args, std::span<const SeqChunk> chunks) override;
  void Route(const RouterArgs& args, int32_t* experts, float* weights) override;
  void MixExperts(const MoeArgs& args) override;
  void GatherRows(Tensor x, std::span<const int32_t> rows, Tensor out) override;
  void CopyToHost(Tensor x, float* out) override;

 private:
  // Scratch areas; two of the same name are never alive at once.
  enum Scratch {
    kActivations,
    kActivations16,
    kActivationScales,
    kRouterScores,
    kExpertInput,
    kExpertGateUp,
    kExpertHidden,
    kExpertOutput,
    kAttentionThread,
    kAttentionPartials,
    kMlaQuery,
    kMlaLatentOut,
    kMlaLatentRows,
    kMlaKeysValues,
    kMlaState,
    kPromptActivations,
    kPromptGated,
    kPromptThread,
    kSlices,
    kDeferred,
    kScratchCount,
  };
  // A part of an attention task list: query vectors [vec0, vec1) of one chunk and kv head, over all
  // key segments (segment < 0) or one of them.
  struct FlashTask {
    int32_t chunk = 0, kv_head = 0;
    int64_t vec0 = 0, vec1 = 0;
    int32_t segment = -1;
    float* partial = nullptr;  // of this segment: o [vec1 - vec0][v_stride], then m and l of each
    int32_t n_partials = 0;    // on a chunk's first segment task: how many follow one another
  };

  void* Reserve(Scratch area, size_t bytes);
  float* ReserveFloats(Scratch area, int64_t n) {
    return static_cast<float*>(Reserve(area, static_cast<size_t>(n) * sizeof(float)));
  }
  Result<Storage> StorageOf(std::span<const WeightSource> sources, WeightUse use) const;
  Result<WeightPtr> PrepareFor(std::span<const WeightSource> sources, WeightUse use);
  void Fill(const WeightSource& source, const Storage& storage, RowRange rows, std::byte* to);
  void FillDecoded(const WeightSource& source, Layout layout, RowRange rows, std::byte* to);
  void CopyBlocks(const WeightSource& source, RowRange rows, std::byte* to);
  void FillPanels(const WeightSource& source, QuantType type, RowRange rows, std::byte* panels);
  std::byte* SliceSpace(int64_t bytes);
  template <class F>
  void ForSlices(RowRange rows, int64_t slice_rows, const F& fn);
  void LookUp(const CpuWeight& table, const std::byte* row, float* out) const;
  // Rows of a deferred table, and tiles of a deferred matrix, from memory that is made for them.
  void EmbedDeferred(const CpuWeight& table, std::span<const TokenId> ids, float* out);
  void RunDeferred(MatMulTile t, const std::function<const void*(int block_format)>& x,
                   const CpuWeight& w, int64_t matrix);
  // fn(row) for rows [0, n), over the pool when rows * work is worth it (work ~ values per row).
  template <class F>
  void ForRows(int64_t rows, int64_t work, F&& fn);

  // ---- matrices: queue tiles, then run them all in one parallel region
  Activations Convert(const FloatRows& x, const CpuWeight& w) {
    const Target target = {&w, {}};
    return Convert(x, {&target, 1});
  }
  // For weights of one layout.
  Activations Convert(const FloatRows& x, std::span<const Target> targets);
  Activations ConvertToGroups(const FloatRows& x, std::span<const Target> targets);
  // out = rows [row0, row0 + m) of x by one matrix of w.
  void Queue(const Activations& x, int64_t row0, int64_t m, const CpuWeight& w, int64_t matrix,
             const ProductRows& out);
  void RunQueued(Layout layout);
  // ---- the same for rows of prompts, in blocks of 32 rows
  bool MayRound(const CpuWeight& w) const;
  bool RoundsProducts() const;
  bool Rounds(const CpuWeight& w) const;
  uint16_t* ReservePromptRows(Scratch area, int64_t blocks, int64_t cols);
  void ConvertPrompt(const FloatRows& x, uint16_t* blocks);
  void QueuePrompt(const uint16_t* blocks, int64_t m, const CpuWeight& w, int64_t matrix,
                   const ProductRows& out);
  void SplitPrompts();
  void RunPrompts(Layout layout);
  // silu(gate) * up straight into the row blocks of the next product, where the shapes allow it.
  bool Gates(const CpuWeight& gate_up, const CpuWeight& down) const;
  void QueueGated(const uint16_t* blocks, int64_t m, const CpuWeight& gate_up, int64_t matrix,
                  uint16_t* gated);
  // out = x w^T + bias, the rows from exact_rows on as prompts.
  void Multiply(const FloatRows& x, const CpuWeight& w, const ProductRows& out,
                int64_t exact_rows) {
    const Target target = {&w, out};
    Multiply(x, {&target, 1}, exact_rows);
  }
  // Of several weights of one layout, kept in memory or deferred.
  void Multiply(const FloatRows& x, std::span<const Target> targets, int64_t exact_rows);

  // ---- attention
  void Flash(const FlashArgs& args, std::span<const SeqChunk> chunks);
  void PlanFlash(const FlashArgs& args, std::span<const SeqChunk> chunks);
  void RunFlashTask(const FlashArgs& args, const SeqChunk& chunk, const FlashTask& task,
                    float* space) const;
  void FlashPrompt(const FlashArgs& args, const SeqChunk& chunk);
  void MergeFlashPartials(const FlashArgs& args, std::span<const SeqChunk> chunks);
  bool Decompress(const MlaArgs& args, const SeqChunk& chunk) const;
  void MlaAbsorbed(const MlaArgs& args, std::span<const SeqChunk> chunks);
  void MlaDecompressed(const MlaArgs& args, const SeqChunk& chunk);

  // ---- mixture of experts
  void MixTokens(const MoeArgs& args, int64_t first, int64_t n);
  void MixPrompts(const MoeArgs& args, int64_t first, int64_t n);
  void CombineExperts(const MoeArgs& args, int64_t first, int64_t n, const float* output);
  // fn(expert, first sorted row, rows) for those that have some.
  template <class F>
  void ForExperts(int64_t n_experts, F&& fn) const {
    for (int64_t e = 0; e < n_experts; ++e) {
      const int64_t begin = expert_start_[static_cast<size_t>(e)];
      const int64_t end = expert_start_[static_cast<size_t>(e) + 1];
      if (begin < end) fn(e, begin, end - begin);
    }
  }
  void GroupByExpert(const int32_t* experts, int64_t n, int64_t n_experts);

  const Isa isa_;
  const WeightFormat format_;
  const DType kv_dtype_;
  const MlaForm mla_form_;
  KernelTable table_;
  ThreadPool pool_;
  std::array<Buffer, kScratchCount> scratch_;
  const bool exact_prompts_;
  const bool rounds_prompts_;  // in attention
  // Of weights prepared for products: elements of all, and of those with kernels that round. They
  // decide once all of a model's are there; a backend has one model.
  int64_t multiplied_ = 0, may_round_ = 0;
  std::vector<Target> targets_;
  std::vector<MatMulTile> queued_, split_;
  std::vector<PromptTile> prompts_;
  struct PromptRows {  // sorted rows of an expert that make a row block
    int64_t first, count;
  };
  std::vector<PromptRows> prompt_rows_;
  std::vector<FlashTask> flash_tasks_;
  std::vector<int32_t> expert_start_, expert_order_, expert_place_;
};

template <class F>
void CpuBackend::ForRows(int64_t rows, int64_t work, F&& fn) {
  constexpr int64_t kWorthForking = 16384;  // values; about 2 us
  if (rows * work < kWorthForking || pool_.size() == 1) {
    for (int64_t r = 0; r < rows; ++r) fn(r);
    return;
  }
  const int64_t per_task = std::max<int64_t>(1, rows / (pool_.size() * 4));
  const auto n_tasks = static_cast<int>((rows + per_task - 1) / per_task);
  pool_.ForEach(n_tasks, [&](int task, int) {
    const int64_t end = std::min(rows, (task + 1) * per_task);
    for (int64_t r = task * per_task; r < end; ++r) fn(r);
  });
}

}  // namespace hadal::cpu
