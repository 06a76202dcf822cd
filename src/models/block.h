// Owns: what a decoder layer is made of: blocks that map the normed stream to what is added to it.
// Must not know families or checkpoints.
// Thread rule: immutable after load; Forward is called by one thread (the engine's).
#pragma once

#include <cstdint>
#include <memory>

#include "core/tensor.h"
#include "kernels/backend.h"
#include "models/model.h"
#include "models/workspace.h"

namespace hadal {

// One step on its way through the layers.
struct Pass {
  Backend& backend;
  const StepInput& step;
  KvStorage& kv;
  Workspace& scratch;
  int64_t rows = 0;        // T, tokens of the step
  int64_t exact_rows = 0;  // rows before those of prompts
};

class Block {
 public:
  virtual ~Block() = default;
  // x: [T, hidden] f32 -> out: [T, hidden] f32; gives out with what is not in it yet. Takes at most
  // ScratchElements(T) of pass.scratch; the caller releases them.
  virtual Delta Forward(Pass& pass, Tensor x, Tensor out) const = 0;
  virtual int64_t ScratchElements(int64_t rows) const = 0;
};

}  // namespace hadal
