#include "cli/planning_backend.h"

#include <cstring>

#include "base/check.h"

namespace hadal::cli {
namespace {

class PlannedWeight : public Weight {
 public:
  PlannedWeight(std::span<const WeightSource> sources, size_t bytes)
      : Weight(static_cast<int64_t>(sources.size()), sources[0].rows, sources[0].cols),
        bytes_(bytes) {}
  size_t bytes() const override { return bytes_; }

 private:
  const size_t bytes_;
};

class HostMemory : public Memory {
 public:
  explicit HostMemory(Buffer buffer) : buffer_(std::move(buffer)) {}
  void* data() override { return buffer_.data(); }
  size_t size() const override { return buffer_.size(); }

 private:
  Buffer buffer_;
};

class PlanningBackend : public Backend {
 public:
  explicit PlanningBackend(std::unique_ptr<Backend> real) : real_(std::move(real)) {}
  std::string description() const override { return "planning"; }
  Result<std::unique_ptr<Memory>> Allocate(size_t bytes) override {
    HADAL_TRY(Buffer buffer, Buffer::Allocate(bytes));
    return std::make_unique<HostMemory>(std::move(buffer));
  }
  std::optional<size_t> FreeBytes() const override { return real_->FreeBytes(); }
  DType kv_dtype() const override { return real_->kv_dtype(); }
  Result<size_t> BytesOf(std::span<const WeightSource> sources, WeightUse use) const override {
    return real_->BytesOf(sources, use);
  }
  Result<WeightPtr> Prepare(std::span<const WeightSource> sources, WeightUse use) override {
    return Plan(sources, use);
  }
  Result<WeightPtr> Defer(std::span<const WeightSource> sources, WeightUse) override {
    return std::make_unique<PlannedWeight>(sources, 0);
  }
  Result<std::unique_ptr<Memory>> Upload(std::span<const float> values) override {
    HADAL_TRY(auto memory, Allocate(values.size_bytes()));
    std::memcpy(memory->data(), values.data(), values.size_bytes());
    return memory;
  }
  Result<WeightPtr> PrepareEmbedding(const WeightSource& source) override {
    return Plan({&source, 1}, WeightUse::kLookUp);
  }

  void Embed(const Weight&, std::span<const TokenId>, Tensor) override { Never(); }
  void RmsNorm(Tensor, const float*, float, Tensor) override { Never(); }
  void AddRmsNorm(Tensor, const Delta&, const float*, float, Tensor) override { Never(); }
  void Add(Tensor, const Delta&) override { Never(); }
  void MatMuls(Tensor, std::span<const Product>, int64_t) override { Never(); }
  void FeedForward(const FfnArgs&) override { Never(); }
  void SwiGlu(Tensor, Tensor) override { Never(); }
  void Rope(Tensor, int, const RopeTable&, std::span<const int32_t>) override { Never(); }
  void StoreKv(Tensor, int64_t, int64_t, std::span<const int32_t>, int64_t, KvView) override {
    Never();
  }
  void Attention(const GqaArgs&, std::span<const SeqChunk>) override { Never(); }
  void MlaAttention(const MlaArgs&, std::span<const SeqChunk>) override { Never(); }
  void Route(const RouterArgs&, int32_t*, float*) override { Never(); }
  void MixExperts(const MoeArgs&) override { Never(); }
  void GatherRows(Tensor, std::span<const int32_t>, Tensor) override { Never(); }
  void CopyToHost(Tensor, float*) override { Never(); }

 private:
  Result<WeightPtr> Plan(std::span<const WeightSource> sources, WeightUse use) {
    HADAL_TRY(const size_t bytes, BytesOf(sources, use));
    return std::make_unique<PlannedWeight>(sources, bytes);
  }
  static void Never() { CHECK(false); }  // nothing is computed with it

  const std::unique_ptr<Backend> real_;
};

}  // namespace

std::unique_ptr<Backend> NewPlanningBackend(std::unique_ptr<Backend> real) {
  return std::make_unique<PlanningBackend>(std::move(real));
}

}  // namespace hadal::cli
