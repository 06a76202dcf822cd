// Owns: one card as the backend sees it: memory, copies, the stream and recorded graphs. The real
// one is device.cc; emulated/device.cc stands in where the kernels run on the CPU.
// Must not know weights or operations.
// Thread rule: one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "kernels/cuda/kernels.h"

namespace hadal::CUDA_NAMESPACE {

struct DeviceInfo {
  std::string name;             // "NVIDIA H200"
  int major = 0, minor = 0;     // compute capability
  int processors = 0;           // multiprocessors
  size_t memory = 0, free = 0;  // bytes
  bool emulated = false;
};

// A recorded sequence of launches and copies.
class Graph {
 public:
  virtual ~Graph() = default;
};

// A copy to the card that is timed and waited for alone; one at a time.
class TimedCopy {
 public:
  virtual ~TimedCopy() = default;
  // On the stream; `from` is AllocateHost's.
  virtual void Start(void* to, const void* from, size_t bytes) = 0;
  // Seconds that the copy ran; 0 when none was started since the last call.
  virtual double Wait() = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceInfo info() const = 0;
  virtual Stream& stream() = 0;

  virtual Result<void*> Allocate(size_t bytes) = 0;  // zeroed; kOutOfMemory names what is free
  virtual void Free(void* p) = 0;
  // Host memory that copies run from and to without waiting.
  virtual Result<void*> AllocateHost(size_t bytes) = 0;
  virtual void FreeHost(void* p) = 0;

  // On the stream. Host memory that is not AllocateHost's is read before ToDevice returns.
  virtual void ToDevice(void* to, const void* from, size_t bytes) = 0;
  virtual Result<std::unique_ptr<TimedCopy>> NewTimedCopy() = 0;
  virtual void ToHost(void* to, const void* from, size_t bytes) = 0;
  // On the stream: a thread of the host calls `work`, which must not throw nor use this device;
  // what is enqueued later waits for it. After an error of the card it is not called.
  virtual void CallHost(std::function<void()> work) = 0;
  // Waits for the stream; the first error since the last call: the card's own, or a launch that
  // failed, with the kernel's name. kGpuLost: one after which every call fails; kGpuNotInBuild.
  virtual Status Synchronise() = 0;
  // From now on Synchronise sleeps instead of spinning: the processor is needed meanwhile.
  virtual void SleepWhenWaiting() = 0;

  // While set, launches and copies are dropped: what they would touch is not there.
  virtual void set_dropping(bool dropping) = 0;

  // Between the two nothing runs: what is enqueued goes into the graph.
  virtual void BeginCapture() = 0;
  virtual Result<std::unique_ptr<Graph>> EndCapture() = 0;
  virtual void Replay(Graph& graph) = 0;
  virtual int64_t launches() const = 0;  // of kernels, so far
};

// kNoGpu without a driver or a card of that number; the message says which it was.
Result<std::unique_ptr<Device>> OpenDevice(int ordinal);

}  // namespace hadal::CUDA_NAMESPACE
