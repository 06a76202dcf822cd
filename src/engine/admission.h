// Owns: what may enter the queue at all. Pure functions, so that a request which can never run is
// refused on the caller's thread, with the numbers, before it costs anything.
// Thread rule: free of state.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/runner.h"

namespace hadal {

// Cache slots a choice can come to need: the last token drawn is never computed.
inline int64_t MostSlots(const EngineRequest& request) {
  return static_cast<int64_t>(request.prompt.size()) + request.max_tokens - 1;
}

// kBadConfig: the options contradict each other or the runner.
Status CheckOptions(const EngineOptions& options, const RunnerInfo& runner);

// kInvalidArgument, kContextLengthExceeded (both counts), kRequestTooLarge (blocks needed and there
// are); the field is named.
Status CheckRequest(const EngineRequest& request, const EngineOptions& options,
                    const RunnerInfo& runner);

}  // namespace hadal
