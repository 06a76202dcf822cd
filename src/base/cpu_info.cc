#include "base/cpu_info.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace hadal {
namespace {

constexpr std::string_view kNames[] = {"ref", "avx2", "avx512", "amx_emulated", "amx"};

#if defined(__x86_64__)
struct Regs {
  unsigned a = 0, b = 0, c = 0, d = 0;
};
Regs Cpuid(unsigned leaf, unsigned sub) {
  Regs r;
  if (__get_cpuid_max(leaf & 0x80000000u, nullptr) < leaf) return r;
  __cpuid_count(leaf, sub, r.a, r.b, r.c, r.d);
  return r;
}
unsigned long long Xcr0() {
  unsigned lo, hi;
  asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return (static_cast<unsigned long long>(hi) << 32) | lo;
}
bool RequestTileState() {
  constexpr int kArchReqXcompPerm = 0x1023, kXfeatureXtiledata = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
}
std::vector<Isa> Detect() {
  std::vector<Isa> found = {Isa::kRef};
  const Regs l1 = Cpuid(1, 0), l7 = Cpuid(7, 0), l71 = Cpuid(7, 1);
  const bool osxsave = l1.c >> 27 & 1;
  if (!osxsave) return found;
  const unsigned long long xcr0 = Xcr0();
  const bool fma = l1.c >> 12 & 1, f16c = l1.c >> 29 & 1, avx2 = l7.b >> 5 & 1;
  if (!(fma && f16c && avx2 && (xcr0 & 6) == 6)) return found;
  found.push_back(Isa::kAvx2);
  const bool f = l7.b >> 16 & 1, dq = l7.b >> 17 & 1, bw = l7.b >> 30 & 1, vl = l7.b >> 31 & 1;
  const bool vnni = l7.c >> 11 & 1;
  if (!(f && dq && bw && vl && vnni && (xcr0 & 0xe6) == 0xe6)) return found;
  found.push_back(Isa::kAvx512);
  found.push_back(Isa::kAmxEmulated);
  const bool tile = l7.d >> 24 & 1, int8 = l7.d >> 25 & 1, bf16 = l7.d >> 22 & 1;
  const bool avx512_bf16 = l71.a >> 5 & 1;
  if (tile && int8 && bf16 && avx512_bf16 && (xcr0 >> 17 & 3) == 3 && RequestTileState()) {
    found.push_back(Isa::kAmx);
  }
  return found;
}
#else
std::vector<Isa> Detect() { return {Isa::kRef}; }
#endif

// CPUs allowed by a quota file pair, or 0 when there is no limit.
double CgroupCpus() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period) {
    if (quota == "max" || period <= 0) return 0;
    return std::atof(quota.c_str()) / period;
  }
  std::ifstream q("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), p("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double quota_us = 0;
  if (q >> quota_us && p >> period && quota_us > 0 && period > 0) return quota_us / period;
  return 0;
}

}  // namespace

std::string_view NameOf(Isa isa) { return kNames[static_cast<int>(isa)]; }

Result<Isa> ParseIsa(std::string_view name) {
  for (int i = 0; i < 5; ++i) {
    if (kNames[i] == name) return static_cast<Isa>(i);
  }
  return FailField(ErrorCode::kInvalidArgument, "isa",
                   "isa '{}' is unknown; use ref, avx2, avx512, amx or amx_emulated",
                   name.substr(0, 32));
}

std::vector<Isa> SupportedIsas() {
  static const std::vector<Isa> found = Detect();
  return found;
}

Isa BestIsa() {
  const Isa last = SupportedIsas().back();
  return last == Isa::kAmxEmulated ? Isa::kAvx512 : last;
}

bool HasAvx512Bf16() {
#if defined(__x86_64__)
  static const bool has = BestIsa() >= Isa::kAvx512 && (Cpuid(7, 1).a >> 5 & 1);
  return has;
#else
  return false;
#endif
}

int UsableCpus() {
  cpu_set_t set;
  int n = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
  const double quota = CgroupCpus();
  if (quota > 0) n = std::min(n, static_cast<int>(std::ceil(quota - 1e-9)));
  return std::max(n, 1);
}

}  // namespace hadal
