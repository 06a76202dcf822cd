#include "models/latent_decoder.h"

#include <string>

#include "models/decoder.h"
#include "models/ffn.h"

namespace hadal {

namespace {

// A layer of multi-token prediction is one like the last.
void AddDraftLayer(const ModelConfig& c, const LatentOptions& latent, DecoderBuilder& d) {
  const std::string layer = d.DraftPrefix();
  const MlaOptions& mla = latent.mla;
  const size_t stream = d.AddStream("latent", c.num_hidden_layers, mla.cache_row());
  d.AddDraftLayer(
      std::make_unique<MlaBlock>(mla, d.draft_load(), layer + "self_attn.", d.rope(), stream),
      std::make_unique<MoeBlock>(latent.moe, d.draft_load(), layer + "mlp."));
}

}  // namespace

Result<std::unique_ptr<Model>> LoadLatentDecoder(const ModelFiles& files,
                                                 const LatentOptions& latent, Backend& backend,
                                                 const LoadOptions& options) {
  const ModelConfig& c = files.config;
  const MlaOptions& mla = latent.mla;
  DecoderBuilder d(files, backend, options);
  HADAL_OK(d.AddRope(mla.rope, latent.pairing));
  for (int64_t l = 0; l < c.num_hidden_layers; ++l) {
    const std::string layer = fmt::format("model.layers.{}.", l);
    const size_t stream = d.AddStream("latent", l, mla.cache_row());
    auto attention =
        std::make_unique<MlaBlock>(mla, d.load(), layer + "self_attn.", d.rope(), stream);
    std::unique_ptr<Block> ffn;
    if (HasExperts(c, l)) {
      ffn = std::make_unique<MoeBlock>(latent.moe, d.load(), layer + "mlp.");
    } else {
      ffn = std::make_unique<FfnBlock>(mla.hidden, c.intermediate_size, d.load(), layer + "mlp.");
    }
    d.AddLayer(layer, std::move(attention), std::move(ffn));
  }
  if (d.WantsDraftLayer()) AddDraftLayer(c, latent, d);
  return d.Finish();
}

}  // namespace hadal
