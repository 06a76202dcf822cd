// Owns: building the decoder whose layers are grouped-query attention and one feed-forward network,
// or, after the first ones, a mixture of experts.
// Must not know families: what differs between them is DenseOptions.
// Thread rule: a free function.
#pragma once

#include <memory>
#include <optional>

#include "formats/model_files.h"
#include "models/model.h"
#include "models/moe.h"

namespace hadal {

struct DenseOptions {
  bool qkv_bias = false;
  bool o_bias = false;
  bool qk_norm = false;  // RMS norm per head of q and k, before rope
  std::optional<MoeOptions> moe = {};
};

// Rope pairs dimension i with i + head_dim / 2, as all checkpoints of this kind store it.
Result<std::unique_ptr<Model>> LoadDenseDecoder(const ModelFiles& files, const DenseOptions& dense,
                                                Backend& backend, const LoadOptions& options);

}  // namespace hadal
