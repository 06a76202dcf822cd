#include "cli/planning_backend.h"

#include <cstring>

#include "base/check.h"

namespace hadal::cli {
namespace {

class PlannedWeight : public Weight {
 public:
  PlannedWeight(int64_t count, int64_t rows, int64_t cols) : Weight(count, rows, cols) {}
  size_t bytes() const override { return 0; }
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
  std::string description() const override { return "planning"; }
  Result<std::unique_ptr<Memory>> Allocate(size_t bytes) override {
    HADAL_TRY(Buffer buffer, Buffer::Allocate(bytes));
    return std::make_unique<HostMemory>(std::move(buffer));
  }
  DType kv_dtype() const override { return DType::kF32; }
  Result<WeightPtr> Prepare(std::span<const WeightSource> sources, bool) override {
    return std::make_unique<PlannedWeight>(static_cast<int64_t>(sources.size()),
                                           sources.front().rows, sources.front().cols);
  }
  Result<std::unique_ptr<Memory>> Upload(std::span<const float> values) override {
    HADAL_TRY(auto memory, Allocate(values.size_bytes()));
    std::memcpy(memory->data(), values.data(), values.size_bytes());
    return memory;
  }
  Result<WeightPtr> PrepareEmbedding(const WeightSource& source) override {
    return PrepareOne(source);
  }

  void Embed(const Weight&, std::span<const TokenId>, Tensor) override { Never(); }
  void RmsNorm(Tensor, const float*, float, Tensor) override { Never(); }
  void AddRmsNorm(Tensor, Tensor, const float*, float, Tensor) override { Never(); }
  void Add(Tensor, Tensor) override { Never(); }
  void MatMul(Tensor, const Weight&, const float*, Tensor, int64_t) override { Never(); }
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
  static void Never() { CHECK(false); }  // nothing is computed with it
};

}  // namespace

std::unique_ptr<Backend> NewPlanningBackend() { return std::make_unique<PlanningBackend>(); }

}  // namespace hadal::cli
