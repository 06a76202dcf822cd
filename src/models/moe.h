// Owns: the mixture of experts with shared experts (DeepSeekMoE, arXiv 2401.06066; routing of
// V2, arXiv 2405.04434 section 2.2, and of V3, arXiv 2412.19437 section 2.1.2): its weights and its
// part of the step. Must not know families: routing is options.
// Thread rule: immutable after load; Forward is called by the engine's thread.
#pragma once

#include <cstdint>
#include <string>

#include "formats/model_config.h"
#include "models/block.h"
#include "models/ffn.h"
#include "models/weight_loader.h"

namespace hadal {

struct MoeOptions {
  int64_t hidden = 0, ffn = 0;  // ffn of one expert
  int64_t n_experts = 0, top_k = 0;
  int64_t n_shared = 0;  // stored as one network n_shared times as wide
  GateScore score = GateScore::kSoftmax;
  GroupScore group_score = GroupScore::kNone;
  int64_t n_groups = 1, top_groups = 1;
  bool choice_bias = false;  // e_score_correction_bias, added for choosing only
  bool normalise = false;    // weights of the chosen are divided by their sum
  float scale = 1;           // routed_scaling_factor
};

// What a family does when config.json does not say.
struct RoutingDefaults {
  ScoringFunc scoring_func = ScoringFunc::kSoftmax;
  TopkMethod topk_method = TopkMethod::kGreedy;
  double routed_scaling_factor = 1;
};
// The fields of config.json except norm_topk_prob, whose meaning differs (normalise is false).
// kUnsupportedModel for combinations that no routing has.
Result<MoeOptions> MoeOptionsOf(const ModelConfig& config, const RoutingDefaults& defaults);

// Whether the layer has experts rather than one dense network.
bool HasExperts(const ModelConfig& config, int64_t layer);

class MoeBlock final : public Block {
 public:
  // prefix: "model.layers.3.mlp."
  MoeBlock(const MoeOptions& options, WeightLoader& load, const std::string& prefix);

  Delta Forward(Pass& pass, Tensor x, Tensor out) const override;
  int64_t ScratchElements(int64_t rows) const override;

 private:
  const MoeOptions o_;
  FfnBlock shared_;
  WeightPtr router_;          // [n_experts, hidden], float32
  VectorPtr choice_bias_;     // [n_experts], null without
  WeightPtr gate_up_, down_;  // stacks n_experts of [2 * ffn, hidden] and [hidden, ffn]
};

}  // namespace hadal
