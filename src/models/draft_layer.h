// Owns: the weights of a multi-token prediction layer (arXiv 2412.19437 section 2.2) and its pass:
// from what the model says of a token and from the token after it, the one after that.
//   x = W [norm_e(embedding of the next token) ; norm_h(hidden state)], then a layer like the
//   model's last, then a norm of its own and the model's head.
// The hidden state is the one after the model's final norm, and a further guess goes on from the
// one after this layer's norm: with the published weights more guesses come true than without.
// Must not know families. Thread rule: immutable after load; Forward by the engine's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "models/block.h"
#include "models/decoder_layer.h"
#include "models/weight_loader.h"

namespace hadal {

class DraftLayer {
 public:
  // prefix: "model.layers.61."
  DraftLayer(WeightLoader& load, const std::string& prefix, int64_t hidden, float eps,
             std::unique_ptr<Block> attention, std::unique_ptr<Block> ffn);

  // x: [T, hidden], the embeddings of the next tokens, overwritten by the layer's result; h: the
  // hidden states, overwritten.
  void Forward(Pass& pass, Tensor x, Tensor h) const;
  const float* head_norm() const { return Values(head_norm_); }
  int64_t ScratchElements(int64_t rows) const;

 private:
  const int64_t hidden_;
  const float eps_;
  VectorPtr token_norm_, state_norm_;  // [hidden] each: enorm, hnorm
  WeightPtr join_;                     // [hidden, 2 * hidden]: eh_proj
  DecoderLayer layer_;
  VectorPtr head_norm_;  // [hidden]
};

}  // namespace hadal
