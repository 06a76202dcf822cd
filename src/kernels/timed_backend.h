// Owns: a Backend that passes everything on to another and adds up how long each operation takes,
// for profiles. Not for serving: an asynchronous backend would be timed by its submissions.
// Thread rule: as Backend.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "kernels/backend.h"

namespace hadal {

class TimedBackend final : public Backend {
 public:
  struct Cost {
    int64_t calls = 0;
    double seconds = 0;
  };
  explicit TimedBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  // By operation, matrix products by the shape of the weights: "matmul 1536 x 8960".
  const std::map<std::string, Cost>& costs() const { return costs_; }
  void Reset() { costs_.clear(); }

  std::string description() const override { return inner_->description(); }
  Result<std::unique_ptr<Memory>> Allocate(size_t bytes) override {
    return inner_->Allocate(bytes);
  }
  Result<BackendLimits> MeasureLimits() override { return inner_->MeasureLimits(); }
  std::optional<size_t> FreeBytes() const override { return inner_->FreeBytes(); }
  DType kv_dtype() const override { return inner_->kv_dtype(); }
  bool rounds_prompts() const override { return inner_->rounds_prompts(); }
  bool rounds_any_experts() const override { return inner_->rounds_any_experts(); }
  Result<WeightPtr> Prepare(std::span<const WeightSource> sources, WeightUse use) override {
    return inner_->Prepare(sources, use);
  }
  Result<std::unique_ptr<Memory>> Upload(std::span<const float> values) override {
    return inner_->Upload(values);
  }
  Result<WeightPtr> PrepareEmbedding(const WeightSource& source) override {
    return inner_->PrepareEmbedding(source);
  }
  Result<size_t> BytesOf(std::span<const WeightSource> sources, WeightUse use) const override {
    return inner_->BytesOf(sources, use);
  }
  Result<LinkUse> EndLoad() override { return inner_->EndLoad(); }
  Result<WeightPtr> Defer(std::span<const WeightSource> sources, WeightUse use) override {
    return inner_->Defer(sources, use);
  }

  Status RunStep(const StepInput& step, const StepCache& cache, const StepResult& result,
                 const std::function<Tensor()>& compute) override {
    return inner_->RunStep(step, {0, cache.block_tokens}, result, compute);
  }
  bool keeps_logits() const override { return inner_->keeps_logits(); }
  Status ReadLogits(int64_t row, float* out) override { return inner_->ReadLogits(row, out); }
  void Wait() override { inner_->Wait(); }
  void Embed(const Weight& table, std::span<const TokenId> ids, Tensor out) override {
    Time("embed", [&] { inner_->Embed(table, ids, out); });
  }
  void RmsNorm(Tensor x, const float* weight, float eps, Tensor out) override {
    Time("norm", [&] { inner_->RmsNorm(x, weight, eps, out); });
  }
  void AddRmsNorm(Tensor x, const Delta& delta, const float* weight, float eps,
                  Tensor out) override {
    Time("norm", [&] { inner_->AddRmsNorm(x, delta, weight, eps, out); });
  }
  void Add(Tensor x, const Delta& delta) override {
    Time("add", [&] { inner_->Add(x, delta); });
  }
  void MatMuls(Tensor x, std::span<const Product> products, int64_t exact_rows) override {
    std::string rows;
    for (const Product& p : products)
      rows += fmt::format("{}{}", rows.empty() ? "" : "+", p.w->rows());
    Time(fmt::format("matmul {} x {}", rows, products.front().w->cols()),
         [&] { inner_->MatMuls(x, products, exact_rows); });
  }
  void SwiGlu(Tensor gate_up, Tensor out) override {
    Time("swiglu", [&] { inner_->SwiGlu(gate_up, out); });
  }
  void FeedForward(const FfnArgs& args) override {
    Time("feed-forward", [&] { inner_->FeedForward(args); });
  }
  void Rope(Tensor x, int offset, const RopeTable& table,
            std::span<const int32_t> positions) override {
    Time("rope", [&] { inner_->Rope(x, offset, table, positions); });
  }
  void StoreKv(Tensor src, int64_t from, int64_t n, std::span<const int32_t> slots, int64_t at,
               KvView cache) override {
    Time("store kv", [&] { inner_->StoreKv(src, from, n, slots, at, cache); });
  }
  void PrepareHeads(std::span<const Heads> parts, std::span<const int32_t> positions,
                    std::span<const int32_t> slots) override {
    Time("heads", [&] { inner_->PrepareHeads(parts, positions, slots); });
  }
  void Attention(const GqaArgs& args, std::span<const SeqChunk> chunks) override {
    Time("attention", [&] { inner_->Attention(args, chunks); });
  }
  void MlaAttention(const MlaArgs& args, std::span<const SeqChunk> chunks) override {
    Time("attention", [&] { inner_->MlaAttention(args, chunks); });
  }
  void Route(const RouterArgs& args, int32_t* experts, float* weights) override {
    Time("route", [&] { inner_->Route(args, experts, weights); });
  }
  void ScoreAndRoute(Tensor x, const Weight& router, const RouterArgs& args, int32_t* experts,
                     float* weights) override {
    Time("score and route", [&] { inner_->ScoreAndRoute(x, router, args, experts, weights); });
  }
  void MixExperts(const MoeArgs& args) override {
    Time("experts", [&] { inner_->MixExperts(args); });
  }
  Delta FeedForwardAndMix(const FfnArgs& network, const MoeArgs& experts) override {
    Delta made = experts.out;
    Time("network and experts", [&] { made = inner_->FeedForwardAndMix(network, experts); });
    return made;
  }
  void GatherRows(Tensor x, std::span<const int32_t> rows, Tensor out) override {
    Time("gather", [&] { inner_->GatherRows(x, rows, out); });
  }
  void CopyToHost(Tensor x, float* out) override {
    Time("copy", [&] { inner_->CopyToHost(x, out); });
  }

 private:
  template <class F>
  void Time(const std::string& name, F&& operation) {
    const TimePoint start = Now();
    operation();
    inner_->Wait();
    Cost& cost = costs_[name];
    ++cost.calls;
    cost.seconds += Seconds(Now() - start);
  }

  const std::unique_ptr<Backend> inner_;
  std::map<std::string, Cost> costs_;
};

}  // namespace hadal
