#include "models/expert_split.h"

#include <numeric>

namespace hadal {

size_t WeightSizes::Without(int64_t host_layers) const {
  return std::accumulate(experts.begin(), experts.end() - host_layers, others);
}

int64_t HostLayers(const WeightSizes& sizes, size_t room) {
  int64_t n = 0;
  while (n < static_cast<int64_t>(sizes.experts.size()) && sizes.Without(n) > room) ++n;
  return n;
}

}  // namespace hadal
