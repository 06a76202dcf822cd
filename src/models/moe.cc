#include "models/moe.h"

#include <utility>
#include <vector>

namespace hadal {
namespace {

constexpr int64_t kMaxExperts = 1 << 17;  // bounds the work that a config.json can ask for

}  // namespace

bool HasExperts(const ModelConfig& c, int64_t layer) {
  return c.is_moe() && layer >= c.first_k_dense_replace && layer % c.moe_layer_freq == 0;
}

Result<MoeOptions> MoeOptionsOf(const ModelConfig& c, const RoutingDefaults& defaults) {
  MoeOptions o{.hidden = c.hidden_size,
               .ffn = c.moe_intermediate_size,
               .n_experts = c.n_routed_experts,
               .top_k = c.num_experts_per_tok,
               .n_shared = c.n_shared_experts,
               .n_groups = c.n_group,
               .top_groups = c.topk_group,
               .scale = static_cast<float>(
                   c.routed_scaling_factor.value_or(defaults.routed_scaling_factor))};
  if (!c.is_moe() || o.n_shared < 1) {
    const char* field = c.is_moe() ? "n_shared_experts" : "n_routed_experts";
    return FailField(ErrorCode::kUnsupportedModel, field,
                     "{} is 0 or not given; '{}' needs at least 1", field, c.model_type);
  }
  if (c.num_hidden_layers * o.n_experts > kMaxExperts) {
    return FailField(ErrorCode::kUnsupportedModel, "n_routed_experts",
                     "{} layers of {} experts; at most {} experts in all are supported",
                     c.num_hidden_layers, o.n_experts, kMaxExperts);
  }
  const bool sigmoid = c.scoring_func.value_or(defaults.scoring_func) == ScoringFunc::kSigmoid;
  o.score = sigmoid ? GateScore::kSigmoid : GateScore::kSoftmax;
  switch (c.topk_method.value_or(defaults.topk_method)) {
    case TopkMethod::kGreedy:
      o.n_groups = o.top_groups = 1;  // groups are not looked at
      break;
    case TopkMethod::kGroupLimitedGreedy:
      o.group_score = GroupScore::kMax;
      break;
    case TopkMethod::kNoauxTc:
      o.group_score = GroupScore::kTopTwoSum;
      o.choice_bias = true;
      break;
  }
  if (o.group_score == GroupScore::kTopTwoSum && o.n_experts / o.n_groups < 2) {
    return FailField(ErrorCode::kUnsupportedModel, "n_group",
                     "n_group is {} for {} experts; 'noaux_tc' scores a group by its best two, so "
                     "a group needs at least 2",
                     o.n_groups, o.n_experts);
  }
  return o;
}

MoeBlock::MoeBlock(const MoeOptions& options, WeightLoader& load, const std::string& prefix)
    : o_(options), shared_(o_.hidden, o_.n_shared * o_.ffn, load, prefix + "shared_experts.") {
  load.Matrix(&router_, prefix + "gate.weight", o_.n_experts, o_.hidden,
              WeightLoader::Precision::kF32);
  if (o_.choice_bias) {
    load.Vector(&choice_bias_, prefix + "gate.e_score_correction_bias", o_.n_experts);
  }
  std::vector<std::vector<WeightLoader::Rows>> gate_up, down;
  for (int64_t e = 0; e < o_.n_experts; ++e) {
    const std::string expert = fmt::format("{}experts.{}.", prefix, e);
    gate_up.push_back({{expert + "gate_proj.weight", o_.ffn}, {expert + "up_proj.weight", o_.ffn}});
    down.push_back({{expert + "down_proj.weight", o_.hidden}});
  }
  load.Experts({{&gate_up_, std::move(gate_up), o_.hidden}, {&down_, std::move(down), o_.ffn}},
               o_.top_k);
}

Delta MoeBlock::Forward(Pass& pass, Tensor x, Tensor out) const {
  Backend& b = pass.backend;
  const Tensor logits = pass.scratch.Take({pass.rows, o_.n_experts});
  const Tensor experts = pass.scratch.Take({pass.rows, o_.top_k}, DType::kI32);
  const Tensor weights = pass.scratch.Take({pass.rows, o_.top_k});

  const RouterArgs route{.logits = logits,
                         .bias = Values(choice_bias_),
                         .score = o_.score,
                         .group_score = o_.group_score,
                         .n_groups = static_cast<int>(o_.n_groups),
                         .top_groups = static_cast<int>(o_.top_groups),
                         .top_k = static_cast<int>(o_.top_k),
                         .normalise = o_.normalise,
                         .scale = o_.scale};
  b.ScoreAndRoute(x, *router_, route, static_cast<int32_t*>(experts.data), weights.f32());
  const MoeArgs mix{.x = x,
                    .gate_up = gate_up_.get(),
                    .down = down_.get(),
                    .experts = static_cast<const int32_t*>(experts.data),
                    .weights = weights.f32(),
                    .top_k = static_cast<int>(o_.top_k),
                    .out = out,
                    .exact_rows = pass.exact_rows};
  return b.FeedForwardAndMix(shared_.Args(pass, x, out), mix);
}

int64_t MoeBlock::ScratchElements(int64_t rows) const {
  return Workspace::Elements(rows * o_.n_experts) + 2 * Workspace::Elements(rows * o_.top_k) +
         shared_.ScratchElements(rows);
}

}  // namespace hadal
