// What the tests open in place of the driver's management library: two GPUs, the second of which
// tells little.
#include <cstdint>
#include <cstring>

#include "nvml_types.h"

using hadal::nvml::MemoryInfo;
using hadal::nvml::PciInfo;
using hadal::nvml::Utilisation;

namespace {

constexpr int kNotSupported = 3;
int g_devices[2];

bool Second(void* device) { return device == &g_devices[1]; }
int Give(void* device, unsigned* to, unsigned value) {
  if (Second(device)) return kNotSupported;
  *to = value;
  return 0;
}

}  // namespace

extern "C" {
int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
const char* nvmlErrorString(int) { return "an error"; }
int nvmlDeviceGetCount_v2(unsigned* n) {
  *n = 2;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void** device) {
  *device = &g_devices[i];
  return 0;
}
int nvmlDeviceGetName(void*, char* name, unsigned size) {
  std::strncpy(name, "NVIDIA H200", size);
  return 0;
}
int nvmlDeviceGetPciInfo_v3(void*, PciInfo* pci) {
  std::strcpy(pci->bus_id, "00000000:19:00.0");
  return 0;
}
int nvmlDeviceGetUtilizationRates(void* device, Utilisation* busy) {
  busy->memory = 40;
  return Give(device, &busy->gpu, 75);
}
int nvmlDeviceGetMemoryInfo(void*, MemoryInfo* memory) {
  *memory = {150'754'820'096, 100'000'000'000, 50'754'820'096};
  return 0;
}
int nvmlDeviceGetPowerUsage(void* device, unsigned* mw) { return Give(device, mw, 412'500); }
int nvmlDeviceGetEnforcedPowerLimit(void* device, unsigned* mw) {
  return Give(device, mw, 700'000);
}
int nvmlDeviceGetTemperature(void* device, unsigned sensor, unsigned* t) {
  return sensor == 0 ? Give(device, t, 61) : kNotSupported;
}
int nvmlDeviceGetClockInfo(void* device, unsigned type, unsigned* mhz) {
  return Give(device, mhz, type == 1 ? 1980 : type == 2 ? 3201 : 0);
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void* device, unsigned long long* reasons) {
  *reasons = Second(device) ? 0x1 : 0x4 | 0x40;
  return 0;
}
}
