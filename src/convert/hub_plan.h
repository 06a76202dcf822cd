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
// in float32 stay so, since the file has them exactly.
Result<std::vector<StreamedTensor>> StreamHubTensors(const ModelConfig& config,
                                                     const Checkpoint& checkpoint,
                                                     const TypeChoice& type);

// Every tensor that a model of this configuration has is there and has its shape. kBadFile lists
// those that are not.
Status CheckComplete(const ModelConfig& config, const Checkpoint& checkpoint);

}  // namespace hadal
