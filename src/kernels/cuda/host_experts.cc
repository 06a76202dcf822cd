// Experts that the card does not hold: their rows come to the host in the middle of a step, the
// CPU's backend multiplies them there, what they give goes back. All of it is work of the stream,
// so recorded steps hold it too.
#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include "kernels/cuda/cuda_backend.h"

namespace hadal::CUDA_NAMESPACE {

Result<Backend*> CudaBackend::Host() const {
  if (host_ == nullptr) {
    CpuBackendOptions options = options_.host;
    options.weights = options_.weights;
    options.exact_prompts |= options_.prompts == PromptRounding::kExact;
    HADAL_TRY(host_, NewCpuBackend(options));
  }
  return host_.get();
}

Result<WeightPtr> CudaBackend::PrepareOnHost(std::span<const WeightSource> sources) {
  HADAL_TRY(Backend * host, Host());
  HADAL_TRY(WeightPtr weight, host->Prepare(sources, WeightUse::kMultiply));
  device_->SleepWhenWaiting();
  return std::make_unique<CudaWeight>(std::move(weight));
}

// The shared expert does not run meanwhile: it has a tenth of the bytes or less, at ten times the
// rate.
void CudaBackend::MixOnHost(const MoeArgs& a) {
  constexpr int64_t kMostRows = 2048;  // bounds the memory
  const int64_t hidden = a.gate_up->cols(), rows = a.x.shape.elements() / hidden;
  const int64_t most = std::min(rows, kMostRows);
  Grow(host_rows_, static_cast<size_t>(most * 2 * (hidden + a.top_k)) * sizeof(float), true);
  if (!error_) return;
  MoeArgs on_host = a;
  on_host.gate_up = static_cast<const CudaWeight*>(a.gate_up)->on_host();
  on_host.down = static_cast<const CudaWeight*>(a.down)->on_host();
  CHECK(on_host.down != nullptr);
  for (int64_t first = 0; first < rows; first += kMostRows) {
    const int64_t n = std::min(kMostRows, rows - first), chosen = n * a.top_k;
    auto* x = static_cast<float*>(host_rows_.data);
    float *out = x + n * hidden, *weights = out + n * hidden;
    auto* experts = reinterpret_cast<int32_t*>(weights + chosen);
    on_host.x = {x, DType::kF32, {n, hidden}};
    on_host.out = {out, DType::kF32, {n, hidden}};
    on_host.weights = weights;
    on_host.experts = experts;
    on_host.exact_rows = std::max<int64_t>(a.exact_rows - first, 0);
    device_->ToHost(x, a.x.f32() + first * hidden, on_host.x.bytes());
    device_->ToHost(weights, a.weights + first * a.top_k, sizeof(float) * chosen);
    device_->ToHost(experts, a.experts + first * a.top_k, sizeof(int32_t) * chosen);
    device_->CallHost([this, on_host] { ComputeOnHost(on_host); });
    // Read where it is: page-locked memory has an address on the card.
    CUDA_NAMESPACE::Add(device_->stream(), a.out.f32() + first * hidden, out, n * hidden);
  }
}

// Called by the stream. After an error the step goes on with zeros and is thrown away.
void CudaBackend::ComputeOnHost(const MoeArgs& a) {
  std::memset(a.out.data, 0, a.out.bytes());
  if (!host_error_) return;
  const int64_t n = a.x.shape[0] * a.top_k, count = a.gate_up->count();
  const auto wrong =
      std::find_if(a.experts, a.experts + n, [&](int32_t e) { return e < 0 || e >= count; });
  if (wrong != a.experts + n) {
    host_error_ = Fail(ErrorCode::kInternal, "the card chose expert {} of {}", *wrong, count);
    return;
  }
  try {
    host_->MixExperts(a);
  } catch (const std::exception& e) {
    host_error_ = Fail(ErrorCode::kInternal, "experts on the host: {}", e.what());
  }
}

}  // namespace hadal::CUDA_NAMESPACE
