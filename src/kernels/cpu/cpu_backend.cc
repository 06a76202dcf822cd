#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>

namespace hadal {
namespace cpu {
namespace {

class HostMemory final : public Memory {
 public:
  explicit HostMemory(Buffer buffer) : buffer_(std::move(buffer)) {}
  void* data() override { return buffer_.data(); }
  size_t size() const override { return buffer_.size(); }

 private:
  Buffer buffer_;
};

KernelTable TableOf(Isa isa) {
  KernelTable table = {};
  FillRef(&table);
#if defined(HADAL_X86_KERNELS)
  if (isa >= Isa::kAvx2) FillAvx2(&table);
  if (isa >= Isa::kAvx512) FillAvx512(&table);
  if (isa == Isa::kAvx512 && HasAvx512Bf16()) FillAvx512Bf16(&table);
  if (isa == Isa::kAmxEmulated) FillAmxEmulated(&table);
  if (isa >= Isa::kAmx) FillAmx(&table);
#else
  (void)isa;
#endif
  return table;
}

}  // namespace

CpuBackend::CpuBackend(const CpuBackendOptions& options)
    : isa_(options.isa),
      format_(options.isa == Isa::kRef ? WeightFormat::kF32 : options.weights),
      kv_dtype_(options.isa == Isa::kRef ? DType::kF32 : options.kv_dtype),
      mla_form_(options.mla_form),
      table_(TableOf(options.isa)),
      pool_(options.threads),
      exact_prompts_(options.exact_prompts),
      rounds_prompts_(table_.prompt_attention != nullptr && !options.exact_prompts) {}

std::string CpuBackend::description() const {
  const char* stored = format_ == WeightFormat::kF32 ? "" : " (blocks as stored)";
  return fmt::format("cpu {}, {} thread{}, {} weights{}, {} kv cache", NameOf(isa_), pool_.size(),
                     pool_.size() == 1 ? "" : "s", hadal::NameOf(format_), stored,
                     hadal::NameOf(kv_dtype_));
}

Result<std::unique_ptr<Memory>> CpuBackend::Allocate(size_t bytes) {
  HADAL_TRY(Buffer buffer, Buffer::Allocate(bytes));
  return std::make_unique<HostMemory>(std::move(buffer));
}

Result<std::unique_ptr<Memory>> CpuBackend::Upload(std::span<const float> values) {
  HADAL_TRY(Buffer buffer, Buffer::Allocate(values.size_bytes()));
  if (!values.empty()) std::memcpy(buffer.data(), values.data(), values.size_bytes());
  return std::make_unique<HostMemory>(std::move(buffer));
}

void* CpuBackend::Reserve(Scratch area, size_t bytes) {
  Buffer& buffer = scratch_[area];
  if (buffer.size() < bytes) {
    buffer = Buffer();  // first, so that the old and the new never coexist
    auto grown = Buffer::Allocate(bytes + bytes / 4);
    CHECK(grown.has_value());
    buffer = std::move(*grown);
  }
  return buffer.data();
}

}  // namespace cpu

Result<std::unique_ptr<Backend>> NewCpuBackend(const CpuBackendOptions& options) {
  const std::vector<Isa> supported = SupportedIsas();
  if (std::find(supported.begin(), supported.end(), options.isa) == supported.end()) {
    std::string names;
    for (Isa isa : supported) names += fmt::format("{}{}", names.empty() ? "" : ", ", NameOf(isa));
    return FailField(ErrorCode::kInvalidArgument, "isa",
                     "this CPU does not run isa '{}'; it runs {}", NameOf(options.isa), names);
  }
  constexpr int kMostThreads = 1024;
  if (options.threads < 1 || options.threads > kMostThreads) {
    return FailField(ErrorCode::kInvalidArgument, "threads",
                     "threads is {}; it must be between 1 and {}", options.threads, kMostThreads);
  }
  if (options.kv_dtype != DType::kF32 && options.kv_dtype != DType::kBf16) {
    return FailField(ErrorCode::kInvalidArgument, "kv_dtype",
                     "kv_dtype is {}; the CPU backend stores F32 or BF16",
                     NameOf(options.kv_dtype));
  }
  return std::make_unique<cpu::CpuBackend>(options);
}

}  // namespace hadal
