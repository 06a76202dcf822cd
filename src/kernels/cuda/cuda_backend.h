// CudaBackend: the operations of backend.h on one card. Its memory is the card's; what the host
// knows of a step (tokens, slots, tables) goes to the card once per step. Rows of answers are
// computed one by one in an order that only shapes fix; rows of prompts with bf16 or block weights
// are rounded to bf16 and multiplied on the tensor cores. Experts that the card does not hold are
// computed by a CpuBackend in between.
// Thread rule: one thread (the engine's).
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/weight_upload.h"

namespace hadal::CUDA_NAMESPACE {

class CudaMemory;
struct RowTables;  // cuda_steps.cc

inline Cache CacheOf(const KvView& v) {
  const KvRow row = v.row();
  Cache c{.data = v.data, .width = v.width, .row_bytes = row.Bytes(v.dtype)};
  if (v.dtype == DType::kBf16) c.form = CacheForm::kBf16;
  if (v.dtype != DType::kF8E4M3) return c;
  c.form = CacheForm::kFp8;
  c.codes = static_cast<int>(row.codes());
  c.group = static_cast<int>(row.group);
  c.scales_at = static_cast<int>(row.scales_at());
  c.kept_at = static_cast<int>(row.kept_at());
  return c;
}

// Rows of one form in a CudaWeight.
struct WeightPart {
  int64_t first_row = 0;
  Matrix matrix;
};

// On the card, or, of kHostExperts, a weight of the CPU's backend.
class CudaWeight final : public Weight {
 public:
  explicit CudaWeight(WeightPtr on_host)
      : Weight(on_host->count(), on_host->rows(), on_host->cols()), on_host_(std::move(on_host)) {}
  CudaWeight(int64_t count, int64_t rows, int64_t cols, std::vector<WeightPart> parts,
             std::unique_ptr<Memory> memory, bool rounds)
      : Weight(count, rows, cols),
        parts_(std::move(parts)),
        memory_(std::move(memory)),
        rounds_(rounds) {}
  size_t bytes() const override { return on_host_ ? on_host_->bytes() : memory_->size(); }
  const Weight* on_host() const { return on_host_.get(); }
  const std::vector<WeightPart>& parts() const { return parts_; }
  // Whether rows of prompts meet it on the tensor cores.
  bool rounds() const { return rounds_; }

 private:
  std::vector<WeightPart> parts_;
  std::unique_ptr<Memory> memory_;
  WeightPtr on_host_;
  bool rounds_ = false;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(const CudaBackendOptions& options, std::unique_ptr<Device> device);
  ~CudaBackend() override;

  std::string description() const override;
  Result<std::unique_ptr<Memory>> Allocate(size_t bytes) override;
  Result<BackendLimits> MeasureLimits() override;
  std::optional<size_t> FreeBytes() const override { return device_->info().free; }
  DType kv_dtype() const override { return options_.kv_dtype; }
  bool rounds_prompts() const override { return rounds_a_weight_; }
  bool rounds_any_experts() const override { return options_.prompts == PromptRounding::kRounded; }
  Result<WeightPtr> Prepare(std::span<const WeightSource> sources, WeightUse use) override;
  Result<std::unique_ptr<Memory>> Upload(std::span<const float> values) override;
  Result<WeightPtr> PrepareEmbedding(const WeightSource& source) override;
  Result<size_t> BytesOf(std::span<const WeightSource> sources, WeightUse use) const override;
  Result<LinkUse> EndLoad() override;
  Result<WeightPtr> Defer(std::span<const WeightSource> sources, WeightUse use) override;

  Status RunStep(const StepInput& step, const StepCache& cache, const StepResult& result,
                 const std::function<Tensor()>& compute) override;
  bool keeps_logits() const override { return true; }
  Status ReadLogits(int64_t row, float* out) override;
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
  void PrepareHeads(std::span<const Heads> parts, std::span<const int32_t> positions,
                    std::span<const int32_t> slots) override;
  void Attention(const GqaArgs& args, std::span<const SeqChunk> chunks) override;
  void MlaAttention(const MlaArgs& args, std::span<const SeqChunk> chunks) override;
  void Route(const RouterArgs& args, int32_t* experts, float* weights) override;
  void ScoreAndRoute(Tensor x, const Weight& router, const RouterArgs& args, int32_t* experts,
                     float* weights) override;
  void MixExperts(const MoeArgs& args) override;
  Delta FeedForwardAndMix(const FfnArgs& network, const MoeArgs& experts) override;
  void GatherRows(Tensor x, std::span<const int32_t> rows, Tensor out) override;
  void Wait() override;
  void CopyToHost(Tensor x, float* out) override;

 private:
  friend class CudaMemory;

  // Memory that is kept between steps and only grows; two of one name are never alive at once.
  enum Scratch {
    kActivations,      // of one byte
    kWideActivations,  // of two
    kNormed,           // the same of rows that were normed
    kWideNormed,
    kSplitRows,
    kProductSums,
    kProductCounts,  // zeros between operations
    kGated,
    kRounded,
    kRoundedWeight,
    kAttentionParts,
    kAttentionCounts,  // the same
    kRouterCounts,     // the same
    kMlaQuery,
    kMlaLatent,
    kGatheredKeys,
    kGatheredValues,
    kExpanded,
    kExpertBoth,
    kExpertMiddle,  // rounded
    kExpertOutput,
    kSummarySpace,
    kSummaries,
    kExpertOrder,
    kScratchCount,
  };
  struct Block {
    void* data = nullptr;
    size_t size = 0;
  };
  // What the host tells of a step: copied as a whole, placed front to back.
  struct Arena {
    Block host, card;
    size_t used = 0;
  };

  void* Reserve(Scratch area, size_t bytes);
  float* ReserveFloats(Scratch area, int64_t n) {
    return static_cast<float*>(Reserve(area, static_cast<size_t>(n) * sizeof(float)));
  }
  uint16_t* ReserveHalves(Scratch area, int64_t n) {
    return static_cast<uint16_t*>(Reserve(area, static_cast<size_t>(n) * sizeof(uint16_t)));
  }
  void ForgetGraphs() { graphs_.clear(); }
  void Grow(Block& block, size_t bytes, bool host);
  void Remember(const Status& status);
  Status Finish();

  Result<double> MeasureRead();     // bytes per second
  Result<double> MeasureProduct();  // operations per second

  // ---- weights
  struct Part {
    int64_t rows;
    Form form;
  };
  Result<std::vector<Part>> PartsOf(std::span<const WeightSource> sources, WeightUse use) const;
  Status UploadMatrices(std::span<const WeightSource> sources, std::span<const WeightPart> parts);

  // ---- what the host knows of a step
  const int32_t* Place(Arena& arena, std::span<const int32_t> values);
  void Send(Arena& arena);
  void Fit(Arena& arena, size_t bytes);
  // The card's copy of a span: the step's own, or one made now.
  const int32_t* OnCard(std::span<const int32_t> values);
  RowIndex PlaceIndex(Arena& arena, const RowTables& t, int32_t block_tokens);
  RowIndex IndexOf(std::span<const SeqChunk> chunks, int32_t block_tokens);

  // ---- products
  struct Factor {
    const CudaWeight* w;
    Output out;
  };
  // x as the forms of matrices want it: [0] float32, [1] and [2] integers of so many bytes.
  struct Converted {
    Activations of[3];
    bool floats = false;  // blocks take float32 too

    int PartsFor(Form form) const;
  };
  Converted Convert(const ActivationSource& x, int64_t product_rows,
                    std::span<const RowProduct> products, const RowMap& map);
  void Launch(const RowProducts& products, const Converted& x, int64_t rows, const RowMap& map);
  bool MultiplyGated(const float* x, int64_t rows, const CudaWeight& w, const RowMap& map,
                     float* out);
  void Multiply(const ActivationSource& x, int64_t rows, std::span<const Factor> factors,
                const RowMap& map);
  void Multiply(const ActivationSource& x, int64_t rows, const CudaWeight& w, const RowMap& map,
                const Output& out) {
    const Factor factor = {&w, out};
    Multiply(x, rows, {&factor, 1}, map);
  }
  void MultiplyPrompt(const float* x, int64_t rows, std::span<const Product> products,
                      int64_t first);
  const uint16_t* RoundedRows(const float* x, int64_t n);
  uint16_t* RoundBeside(const float* x, int64_t n);
  RowCopies CopiesOfNormed(const Tensor& out, const float* weight);
  Activations ReserveIntegers(Scratch area, int parts, int64_t rows, int64_t cols);
  const Activations* NormedIntegers(const float* x, int64_t rows, int64_t cols, int parts);
  // What operations call of everything that they write.
  void Wrote(const void* data, size_t bytes);
  void Wrote(const Tensor& t) { Wrote(t.data, t.bytes()); }
  void MultiplyRounded(const uint16_t* x, int64_t rows, const CudaWeight& w, const Output& out);
  void FeedPrompt(const FfnArgs& a, int64_t first);
  bool Rounds(std::span<const Part> parts, int64_t cols) const;
  bool MayRound(const CudaWeight& w) const;
  // Matrices `first` .. of a stack as bf16, for prompts.
  Matrix Rounded(const Matrix& m, int64_t first, int64_t count);
  OrderSpace OrderOf(const int32_t* experts, int64_t rows, int64_t n_experts);
  ExpertSum MixRows(const MoeArgs& a, int64_t first, int64_t rows);
  bool MixWithNetwork(const FfnArgs& network, const MoeArgs& experts, ExpertSum& sum);
  RouterShape WriteRoutes(const RouterArgs& a, int32_t* experts, float* weights);
  ExpertSum MixPrompt(const MoeArgs& a, int64_t first, int64_t rows);
  void MultiplyExperts(const CudaWeight& w, const uint16_t* x, const RowTiles& tiles,
                       const Output& out);
  // ---- experts that the host computes (host_experts.cc)
  Result<Backend*> Host() const;
  Result<WeightPtr> PrepareOnHost(std::span<const WeightSource> sources);
  void MixOnHost(const MoeArgs& a);
  void ComputeOnHost(const MoeArgs& a);
  // ---- attention
  void Attend(const AttentionShape& shape, const Queries& q, const Cache& k, const Cache& v,
              const RowIndex& index, float* out);
  void AttendPrompt(const GqaArgs& a, const RowIndex& index, std::span<const SeqChunk> chunks);
  void MlaAbsorbed(const MlaArgs& a, const RowIndex& index, int64_t rows);
  bool Decompresses(const MlaArgs& a) const;
  void MlaDecompressed(const MlaArgs& a, const RowIndex& index, std::span<const SeqChunk> chunks,
                       int64_t keys, const RoundedCopy& rounded);
  RoundedCopy RoundPromptRows(const Tensor& out, std::span<const SeqChunk> chunks);
  void ExpandHeads(const MlaArgs& a, const uint16_t* latents, int64_t keys, int64_t head0,
                   int64_t heads, uint16_t* out);

  const CudaBackendOptions options_;
  const std::unique_ptr<Device> device_;
  ThreadPool pool_;
  Block scratch_[kScratchCount];
  bool rounds_a_weight_ = false;
  // Values of the step that are in kRounded as bf16 too, until others are written to their memory:
  // products of one x share them.
  struct RoundedValues {
    const float* x = nullptr;
    int64_t n = 0;
  } rounded_;
  // The same of the one row that a norm wrote last: as integers of so many bytes, which it makes
  // where products of its rows have asked for them.
  struct AskedIntegers {
    bool one = false, two = false;
  };
  struct NormedValues {
    const float* x = nullptr;
    int64_t cols = 0;
    Activations of[3];  // where high is not null
    AskedIntegers* asked = nullptr;
  } normed_;
  std::map<const float*, AskedIntegers> asked_of_norms_;  // by the norm's weight
  Status error_;                                          // the first of the step

  Arena step_arena_, other_arena_;
  const StepInput* step_ = nullptr;  // being run
  struct StepOnCard {
    const int32_t *tokens, *positions, *slots, *logit_rows;
    const float* temperatures;
    RowIndex index;
  } on_card_ = {};
  // rows, logit rows, bucket of the longest context, the cache, whether logits stay
  using GraphKey = std::tuple<size_t, size_t, int32_t, uint64_t, bool>;
  struct Recorded {
    std::vector<std::unique_ptr<Graph>> pieces;  // none: seen once
    Tensor scores;
    bool refused = false;  // by the card
  };
  // Computes, summarises or copies the logits; gives them.
  Tensor ComputeStep(const StepResult& result, const std::function<Tensor()>& compute);
  Result<Tensor> RunOrReplay(const StepInput& step, const StepCache& cache,
                             const StepResult& result, const std::function<Tensor()>& compute);
  void BeginPiece(Recorded& recorded);
  void EndPiece(Recorded& recorded);
  Tensor ComputeUnrecorded(Recorded& recorded, const StepResult& result,
                           const std::function<Tensor()>& compute);
  void MayEndPiece();
  std::map<GraphKey, Recorded> graphs_;
  Block logits_;   // host memory
  Tensor scores_;  // of the last step, on the card
  WeightUpload upload_{*device_};
  Buffer making_;  // of all threads: rows on their way into a slice
  Recorded* recording_ = nullptr;
  Status unrecorded_;      // why the recording of the step failed
  int64_t piece_end_ = 0;  // launches after which the piece may end
  // The CPU's backend, made when it is first asked for. While weights are prepared the backend's
  // thread calls it, in a step only what the stream calls, one after another.
  mutable std::unique_ptr<Backend> host_;
  Block host_rows_;    // host memory: what goes to the experts of a layer and comes back
  Status host_error_;  // the first of the step; of the stream's work until it is waited for
};

}  // namespace hadal::CUDA_NAMESPACE
