// Owns: a Model at work: the memory of its paged cache and the host buffer for logits. Implements
// the boundary that the engine sees. Thread rule: as Runner.
#pragma once

#include <cstdint>
#include <memory>

#include "base/error.h"
#include "engine/runner.h"

namespace hadal {

class Backend;
class Model;

// Model and backend must outlive the runner; max_logit_rows is LoadOptions::max_logit_rows.
// kOutOfMemory: the cache or the buffer does not fit; kBadConfig: a count below 1.
Result<std::unique_ptr<Runner>> NewModelRunner(Model& model, Backend& backend, int32_t n_blocks,
                                               int32_t block_tokens, int32_t max_logit_rows);

}  // namespace hadal
