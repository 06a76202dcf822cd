// Types of NVIDIA's management library that gpu_monitor.cc calls with; only there and in the tests'
// stand-in for it.
#pragma once

namespace hadal::nvml {

// Of NVIDIA's published interface (nvml.h), as far as it is called; it keeps names and layouts.
using Device = void*;
struct Utilisation {
  unsigned gpu, memory;  // percent
};
struct MemoryInfo {
  unsigned long long total, free, used;
};
struct PciInfo {
  char legacy_bus_id[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
};

}  // namespace hadal::nvml
