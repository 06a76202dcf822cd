// The card, through the CUDA runtime.
#include "kernels/cuda/device.h"

#include <cuda_runtime_api.h>
#include <cxxabi.h>

#include <cstdlib>
#include <forward_list>
#include <utility>

#include "kernels/cuda/stream.h"

namespace hadal::cuda {
namespace {

std::string Version(int v) { return fmt::format("{}.{}", v / 1000, v % 1000 / 10); }

Status Checked(cudaError_t error, std::string_view what) {
  if (error == cudaSuccess) return {};
  (void)cudaGetLastError();
  return Fail(error == cudaErrorMemoryAllocation ? ErrorCode::kOutOfMemory : ErrorCode::kInternal,
              "{}: {} ({})", what, cudaGetErrorString(error), cudaGetErrorName(error));
}

// "hadal::cuda::(anonymous namespace)::AddKernel(...)"; as the linker has it where it cannot be
// read, "a kernel" where the runtime does not know it.
std::string KernelName(const void* kernel) {
  const char* mangled = nullptr;
  if (cudaFuncGetName(&mangled, kernel) != cudaSuccess || mangled == nullptr) {
    (void)cudaGetLastError();
    return "a kernel";
  }
  int failed = 0;
  char* name = abi::__cxa_demangle(mangled, nullptr, nullptr, &failed);
  std::string text = failed == 0 ? name : mangled;
  std::free(name);
  return text;
}

// Whether a kernel could not be started because the binary has none for the card.
bool IsMissingCode(cudaError_t error) {
  return error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction ||
         error == cudaErrorUnsupportedPtxVersion;
}

// Work of the host that the stream or a graph holds addresses of.
using HostWork = std::forward_list<std::function<void()>>;

class CudaGraph final : public Graph {
 public:
  CudaGraph(cudaGraphExec_t executable, HostWork work)
      : executable_(executable), work_(std::move(work)) {}
  ~CudaGraph() override { (void)cudaGraphExecDestroy(executable_); }
  cudaGraphExec_t get() const { return executable_; }

 private:
  cudaGraphExec_t executable_;
  HostWork work_;
};

class CudaTimedCopy final : public TimedCopy {
 public:
  explicit CudaTimedCopy(Stream& stream) : stream_(stream) {}
  ~CudaTimedCopy() override {
    for (cudaEvent_t event : events_) {
      if (event != nullptr) (void)cudaEventDestroy(event);
    }
  }
  Status Create() {
    for (cudaEvent_t& event : events_) HADAL_OK(Checked(cudaEventCreate(&event), "timing copies"));
    return {};
  }
  void Start(void* to, const void* from, size_t bytes) override {
    if (stream_.dropping) return;
    stream_.Check(cudaEventRecord(events_[0], stream_.handle));
    stream_.Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_.handle));
    stream_.Check(cudaEventRecord(events_[1], stream_.handle));
    started_ = true;
  }
  double Wait() override {
    if (!std::exchange(started_, false)) return 0;
    float milliseconds = 0;
    stream_.Check(cudaEventSynchronize(events_[1]));
    stream_.Check(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]));
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  Stream& stream_;
  cudaEvent_t events_[2] = {};  // before and after
  bool started_ = false;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(int ordinal, const DeviceInfo& info, size_t most_shared, cudaStream_t stream)
      : ordinal_(ordinal), info_(info) {
    stream_.handle = stream;
    stream_.most_shared = most_shared;
    stream_.early = info.major >= 9;
    stream_.processors = info.processors;
#ifdef HADAL_CUDA_WARPGROUPS
    stream_.warpgroups = info.major == 9;
#endif
  }
  ~CudaDevice() override { (void)cudaStreamDestroy(stream_.handle); }

  DeviceInfo info() const override {
    DeviceInfo now = info_;
    size_t all = 0;
    Use();
    (void)cudaMemGetInfo(&now.free, &all);
    return now;
  }
  Stream& stream() override {
    Use();
    return stream_;
  }

  Result<void*> Allocate(size_t bytes) override {
    Use();
    void* p = nullptr;
    if (const Status s = Checked(cudaMalloc(&p, bytes), "memory of the card"); !s) {
      return Fail(s.error().code, "{}: {} bytes were asked for, {} of {} are free",
                  s.error().message, bytes, info().free, info_.memory);
    }
    HADAL_OK(Checked(cudaMemsetAsync(p, 0, bytes, stream_.handle), "zeroing memory of the card"));
    return p;
  }
  void Free(void* p) override {
    if (p != nullptr) stream_.Check(cudaFree(p));
  }
  Result<void*> AllocateHost(size_t bytes) override {
    Use();
    void* p = nullptr;
    HADAL_OK(Checked(cudaMallocHost(&p, bytes), "page-locked host memory"));
    return p;
  }
  void FreeHost(void* p) override {
    if (p != nullptr) stream_.Check(cudaFreeHost(p));
  }

  void ToDevice(void* to, const void* from, size_t bytes) override {
    if (stream_.dropping) return;
    stream_.Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_.handle));
  }
  Result<std::unique_ptr<TimedCopy>> NewTimedCopy() override {
    Use();
    auto copy = std::make_unique<CudaTimedCopy>(stream_);
    HADAL_OK(copy->Create());
    return copy;
  }
  void ToHost(void* to, const void* from, size_t bytes) override {
    if (stream_.dropping) return;
    stream_.Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_.handle));
  }
  void CallHost(std::function<void()> work) override {
    if (stream_.dropping) return;
    HostWork& kept = capturing_ ? recorded_work_ : work_;
    kept.push_front(std::move(work));
    const auto call = [](void* of) { (*static_cast<std::function<void()>*>(of))(); };
    stream_.Check(cudaLaunchHostFunc(stream_.handle, call, &kept.front()));
  }
  void SleepWhenWaiting() override {
    Use();
    (void)cudaSetDeviceFlags(cudaDeviceScheduleBlockingSync);  // else it spins, which is slower
    (void)cudaGetLastError();
  }
  Status Synchronise() override {
    stream_.Check(cudaStreamSynchronize(stream_.handle));
    work_.clear();
    const cudaError_t error = std::exchange(stream_.error, cudaSuccess);
    const void* kernel = std::exchange(stream_.failed, nullptr);
    if (error == cudaSuccess) return {};
    if (IsMissingCode(error)) return MissingCode(error);
    const std::string what =
        kernel == nullptr ? info_.name : fmt::format("{}, {}", info_.name, KernelName(kernel));
    const Status status = Checked(error, what);
    if (!IsLost()) return status;
    return Fail(ErrorCode::kGpuLost,
                "{}; this process cannot use the GPU any more: restart it (with "
                "CUDA_LAUNCH_BLOCKING=1 in its environment the error names the kernel)",
                status.error().message);
  }

  void set_dropping(bool dropping) override { stream_.dropping = dropping; }

  void BeginCapture() override {
    Use();
    recorded_work_.clear();
    capturing_ = true;
    stream_.Check(cudaStreamBeginCapture(stream_.handle, cudaStreamCaptureModeThreadLocal));
  }
  Result<std::unique_ptr<Graph>> EndCapture() override {
    cudaGraph_t graph = nullptr;
    capturing_ = false;
    stream_.Check(cudaStreamEndCapture(stream_.handle, &graph));
    if (stream_.error != cudaSuccess) {  // what is not in the graph would be missed in every step
      if (graph != nullptr) (void)cudaGraphDestroy(graph);
      return tl::make_unexpected(Checked(stream_.error, "recording a step").error());
    }
    cudaGraphExec_t executable = nullptr;
    const Status made = Checked(cudaGraphInstantiate(&executable, graph, 0), "recording a step");
    (void)cudaGraphDestroy(graph);
    HADAL_OK(made);
    return std::make_unique<CudaGraph>(executable, std::move(recorded_work_));
  }
  void Replay(Graph& graph) override {
    if (stream_.dropping) return;
    Use();
    stream_.Check(cudaGraphLaunch(static_cast<CudaGraph&>(graph).get(), stream_.handle));
  }
  int64_t launches() const override { return stream_.launches; }

 private:
  Status MissingCode(cudaError_t error) const {
    (void)cudaGetLastError();
    const int capability = 10 * info_.major + info_.minor;
    return Fail(ErrorCode::kGpuNotInBuild,
                "{}: this binary has no code for compute capability {}.{} ({}); build it with "
                "-DHADAL_CUDA_ARCHITECTURES={}{}",
                info_.name, info_.major, info_.minor, cudaGetErrorName(error), capability,
                capability == 90 ? "a" : "");
  }
  // Whether the error stays: of those that end the process's context every call gives it again.
  bool IsLost() const {
    const cudaError_t error = cudaStreamSynchronize(stream_.handle);
    (void)cudaGetLastError();
    return error != cudaSuccess;
  }
  // Each CPU thread has a current card, at first card 0; launches and memory are of that one.
  void Use() const {
    thread_local int current = -1;
    if (current != ordinal_ && cudaSetDevice(ordinal_) == cudaSuccess) current = ordinal_;
  }

  const int ordinal_;
  const DeviceInfo info_;
  Stream stream_;
  bool capturing_ = false;
  HostWork work_,
      recorded_work_;  // enqueued since the last Synchronise; of the graph in the making
};

Result<int> CountDevices() {
  int n = 0;
  const cudaError_t error = cudaGetDeviceCount(&n);
  if (error == cudaErrorNoDevice) return 0;
  if (error == cudaErrorInsufficientDriver) {
    return Fail(ErrorCode::kNoGpu,
                "no NVIDIA driver, or one too old for CUDA {}: nvidia-smi shows what is installed",
                Version(CUDART_VERSION));
  }
  HADAL_OK(Checked(error, "looking for cards"));
  return n;
}

}  // namespace

Result<std::unique_ptr<Device>> OpenDevice(int ordinal) {
  HADAL_TRY(const int n, CountDevices());
  if (ordinal < 0 || ordinal >= n) {
    return Fail(ErrorCode::kNoGpu, "card {} was asked for; this machine shows {}", ordinal, n);
  }
  HADAL_OK(Checked(cudaSetDevice(ordinal), "opening the card"));
  cudaDeviceProp p = {};
  HADAL_OK(Checked(cudaGetDeviceProperties(&p, ordinal), "opening the card"));
  if (p.major < 8) {
    return Fail(ErrorCode::kNoGpu,
                "{} has compute capability {}.{}; 8.0 (Ampere) or later is needed", p.name, p.major,
                p.minor);
  }
  const DeviceInfo info{.name = p.name,
                        .major = p.major,
                        .minor = p.minor,
                        .processors = p.multiProcessorCount,
                        .memory = p.totalGlobalMem};
  cudaStream_t stream = nullptr;
  HADAL_OK(Checked(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "opening the card"));
  return std::make_unique<CudaDevice>(ordinal, info, p.sharedMemPerBlockOptin, stream);
}

}  // namespace hadal::cuda
