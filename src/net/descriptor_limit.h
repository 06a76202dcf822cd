// Owns: how many file descriptors this process may open, which bounds its connections.
// Thread rule: any thread; it changes a setting of the process, so call it at start.
#pragma once

#include <cstddef>

namespace hadal {

// Raises the soft limit (RLIMIT_NOFILE) to the hard one and returns what then holds.
size_t RaiseDescriptorLimit();

// The connections that fit `descriptors`, of the `wanted` ones: some descriptors stay for model
// files, logs and event loops.
size_t ConnectionsWithin(size_t descriptors, size_t wanted);

}  // namespace hadal
