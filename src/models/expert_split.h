// Owns: which layers' routed experts stay in the host's memory when a backend with memory of its
// own cannot hold all of them.
// Must not know backends or checkpoints.
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace hadal {

// Bytes that the weights of a model take of its backend's memory.
struct WeightSizes {
  size_t others = 0;
  std::vector<size_t> experts;  // routed ones, of every layer that has some

  // With the experts of the last `host_layers` elsewhere.
  size_t Without(int64_t host_layers) const;
};

// Where a model's routed experts are, those of multi-token prediction included.
struct ExpertSplit {
  int64_t layers = 0, host_layers = 0;  // that have some; the last ones, which the host keeps
  size_t bytes = 0, host_bytes = 0;     // of the backend's memory, and of the host's
};

// How many layers, from the last one back, leave their routed experts to the host so that the
// others take at most `room`: as few as possible, all of them where that is not enough. Which ones
// does not matter for speed, every layer reads as much for a token; the last ones go because they
// are the last ones loaded, as with weights that stay in a file.
int64_t HostLayers(const WeightSizes& sizes, size_t room);

}  // namespace hadal
