// Owns: building the decoder whose layers are latent attention and, after the first dense ones,
// a mixture of experts. Must not know families: routing, scale and pairing are options.
// Thread rule: a free function.
#pragma once

#include <memory>

#include "formats/model_files.h"
#include "models/mla.h"
#include "models/model.h"
#include "models/moe.h"

namespace hadal {

struct LatentOptions {
  MlaOptions mla;
  MoeOptions moe;
  RopePairing pairing = RopePairing::kAdjacent;
};

Result<std::unique_ptr<Model>> LoadLatentDecoder(const ModelFiles& files,
                                                 const LatentOptions& latent, Backend& backend,
                                                 const LoadOptions& options);

}  // namespace hadal
