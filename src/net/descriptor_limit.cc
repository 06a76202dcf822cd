#include "net/descriptor_limit.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>

namespace hadal {

size_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return SIZE_MAX;  // unknown: accept() will tell
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return static_cast<size_t>(limit.rlim_cur);
}

size_t ConnectionsWithin(size_t descriptors, size_t wanted) {
  constexpr size_t kReserved = 64;
  const size_t reserved = std::min(kReserved, descriptors / 2);
  return std::clamp<size_t>(descriptors - reserved, 1, std::max<size_t>(wanted, 1));
}

}  // namespace hadal
