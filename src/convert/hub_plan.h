// Owns: which tensors a safetensors directory gets out of a checkpoint, hub or GGUF: names, types,
// and rows encoded from the checkpoint's decoded ones.
// Must not know where they are written. Thread rule: free functions; the checkpoint outlives the
// plan.
#pragma once

#include <memory>
#include <vector>

#include "convert/tensor_stream.h"
#include "convert/weight_types.h"
#include "formats/checkpoint.h"
#include "formats/model_config.h"

namespace hadal {

// Matrices in the chosen type; what FP8 does not cover in bf16; vectors and routers that are stored
// in float32 stay so, since the file has them exactly. The two halves of kv_b_proj that newer GGUF
// files keep become one again. kUnsupportedModel names a tensor that cannot be read.
Result<std::vector<StreamedTensor>> PlanHubTensors(const ModelConfig& config,
                                                   const Checkpoint& checkpoint,
                                                   const TypeChoice& type);

}  // namespace hadal
