// The emulated card: host memory, and work that runs when it is enqueued or replayed.
#include "kernels/cuda/device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "kernels/cuda/box_map.h"
#include "kernels/cuda/emulated/emulator.h"
#include "kernels/cuda/emulated/stream.h"

namespace hadal::cuda_emulated {
namespace {

struct EmulatedGraph final : Graph {
  std::vector<std::function<void()>> work;
};

class EmulatedTimedCopy final : public TimedCopy {
 public:
  explicit EmulatedTimedCopy(Device& device) : device_(device) {}
  void Start(void* to, const void* from, size_t bytes) override {
    const TimePoint start = Now();
    device_.ToDevice(to, from, bytes);
    seconds_ += Seconds(Now() - start);
  }
  double Wait() override { return std::exchange(seconds_, 0); }

 private:
  Device& device_;
  double seconds_ = 0;
};

size_t g_memory = size_t{8} << 30;
Fault g_fault = Fault::kNone;
bool g_warpgroups = true;

class EmulatedDevice final : public Device {
 public:
  EmulatedDevice() {
    stream_.warpgroups = g_warpgroups;
    if (!g_warpgroups) stream_.most_shared = 99 * 1024;
  }
  DeviceInfo info() const override {
    return {"emulated card",
            9,
            0,
            stream_.processors,
            g_memory,
            g_memory - std::min(g_memory, used_),
            true};
  }
  Stream& stream() override { return stream_; }

  Result<void*> Allocate(size_t bytes) override {
    if (used_ + bytes > g_memory) {
      return Fail(ErrorCode::kOutOfMemory,
                  "memory of the card: {} bytes were asked for, {} of {} are free", bytes,
                  g_memory - std::min(g_memory, used_), g_memory);
    }
    HADAL_TRY(void* p, AllocateHost(bytes));
    used_ += bytes;
    sizes_[p] = bytes;
    return p;
  }
  void Free(void* p) override {
    if (p == nullptr) return;
    used_ -= sizes_.extract(p).mapped();
    std::free(p);
  }
  Result<void*> AllocateHost(size_t bytes) override {
    void* p = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (p == nullptr) return Fail(ErrorCode::kOutOfMemory, "{} bytes", bytes);
    std::memset(p, 0, bytes);
    return p;
  }
  void FreeHost(void* p) override { std::free(p); }

  // As on the card, a recorded copy reads its source when it is replayed.
  void ToDevice(void* to, const void* from, size_t bytes) override {
    stream_.Do([=] { std::memcpy(to, from, bytes); });
  }
  Result<std::unique_ptr<TimedCopy>> NewTimedCopy() override {
    return std::make_unique<EmulatedTimedCopy>(*this);
  }
  void ToHost(void* to, const void* from, size_t bytes) override {
    stream_.Do([=] { std::memcpy(to, from, bytes); });
  }
  // As on the card, it is not the backend's thread that works.
  void CallHost(std::function<void()> work) override {
    stream_.Do([work = std::move(work)] { std::thread(work).join(); });
  }
  void SleepWhenWaiting() override {}
  Status Synchronise() override {
    CHECK(stream_.recording == nullptr);
    if (g_fault == Fault::kMissingCode) return Fail(ErrorCode::kGpuNotInBuild, "a fault");
    if (g_fault == Fault::kLost) return Fail(ErrorCode::kGpuLost, "a fault");
    return {};
  }

  void set_dropping(bool dropping) override { stream_.dropping = dropping; }

  void BeginCapture() override {
    recorded_ = std::make_unique<EmulatedGraph>();
    stream_.recording = &recorded_->work;
  }
  Result<std::unique_ptr<Graph>> EndCapture() override {
    stream_.recording = nullptr;
    if (g_fault == Fault::kRecording) return Fail(ErrorCode::kInternal, "a fault");
    return std::unique_ptr<Graph>(std::move(recorded_));
  }
  void Replay(Graph& graph) override {
    if (stream_.dropping) return;
    for (const auto& work : static_cast<EmulatedGraph&>(graph).work) work();
  }
  int64_t launches() const override { return stream_.launches; }

 private:
  size_t used_ = 0;
  std::map<void*, size_t> sizes_;
  Stream stream_;
  std::unique_ptr<EmulatedGraph> recorded_;
};

}  // namespace

void SetCardMemory(size_t bytes) { g_memory = bytes; }
void SetFault(Fault fault) { g_fault = fault; }
void SetCardWarpgroups(bool has) { g_warpgroups = has; }

Result<std::unique_ptr<Device>> OpenDevice(int) { return std::make_unique<EmulatedDevice>(); }

bool MapBoxes(Stream& s, const Boxes& boxes, BoxMap& map) {
  if (s.dropping) return false;
  CHECK(reinterpret_cast<uintptr_t>(boxes.data) % 16 == 0);
  CHECK(boxes.dimensions == 3 || boxes.dimensions == 5);
  for (int i = 0; i < boxes.dimensions; ++i) {
    CHECK(boxes.box[i] >= 1 && boxes.box[i] <= 256 && boxes.size[i] >= 1);
    CHECK(i == 0 || boxes.next[i] % 16 == 0);
  }
  map = boxes;
  return true;
}

}  // namespace hadal::cuda_emulated
