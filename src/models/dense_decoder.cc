#include "models/dense_decoder.h"

#include <string>

#include "models/decoder.h"
#include "models/ffn.h"
#include "models/gqa.h"

namespace hadal {

Result<std::unique_ptr<Model>> LoadDenseDecoder(const ModelFiles& files, const DenseOptions& dense,
                                                Backend& backend, const LoadOptions& options) {
  const ModelConfig& c = files.config;
  if (c.mlp_bias.value_or(false)) {
    return FailField(ErrorCode::kUnsupportedModel, "mlp_bias",
                     "mlp_bias is true; feed-forward networks with biases are not supported");
  }
  const GqaOptions gqa{.hidden = c.hidden_size,
                       .n_heads = c.num_attention_heads,
                       .n_kv_heads = c.num_key_value_heads,
                       .head_dim = c.head_dim,
                       .qkv_bias = dense.qkv_bias,
                       .o_bias = dense.o_bias,
                       .qk_norm = dense.qk_norm,
                       .eps = static_cast<float>(c.rms_norm_eps)};
  const KvRow row{gqa.n_kv_heads * gqa.head_dim, gqa.head_dim};

  DecoderBuilder d(files, backend, options);
  HADAL_OK(d.AddRope(gqa.head_dim, RopePairing::kHalfSplit));
  for (int64_t l = 0; l < c.num_hidden_layers; ++l) {
    const std::string layer = fmt::format("model.layers.{}.", l);
    const size_t k = d.AddStream("k", l, row), v = d.AddStream("v", l, row);
    auto attention =
        std::make_unique<GqaBlock>(gqa, d.load(), layer + "self_attn.", d.rope(), k, v);
    std::unique_ptr<Block> ffn;
    if (dense.moe && HasExperts(c, l)) {
      ffn = std::make_unique<MoeBlock>(*dense.moe, d.load(), layer + "mlp.");
    } else {
      ffn = std::make_unique<FfnBlock>(gqa.hidden, c.intermediate_size, d.load(), layer + "mlp.");
    }
    d.AddLayer(layer, std::move(attention), std::move(ffn));
  }
  return d.Finish();
}

}  // namespace hadal
