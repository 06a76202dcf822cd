#include "formats/rope_config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/config_limits.h"

namespace hadal {
namespace {

void ReadType(ConfigReader& r, RopeConfig& rope) {
  const char* key = r.Get("rope_type") != nullptr ? "rope_type" : "type";
  const std::string type = r.MaybeText(key).value_or("default");
  if (type == "default") {
    rope.type = RopeType::kDefault;
  } else if (type == "linear") {
    rope.type = RopeType::kLinear;
  } else if (type == "llama3") {
    rope.type = RopeType::kLlama3;
  } else if (type == "yarn") {
    rope.type = RopeType::kYarn;
  } else {
    r.Problem(ErrorCode::kUnsupportedModel, key,
              "'default', 'linear', 'llama3' and 'yarn' are supported");
  }
}

void ReadLlama3(ConfigReader& r, RopeConfig& rope) {
  rope.low_freq_factor = r.Real("low_freq_factor", 1e-3, kMaxRopeFactor);
  rope.high_freq_factor = r.Real("high_freq_factor", 1e-3, kMaxRopeFactor);
  rope.original_max_position_embeddings = r.Int("original_max_position_embeddings", 1, kMaxTokens);
  if (r.ok() && rope.high_freq_factor <= rope.low_freq_factor) {
    r.Problem(ErrorCode::kBadFile, "high_freq_factor",
              fmt::format("it must be above low_freq_factor = {}", rope.low_freq_factor));
  }
}

void ReadYarn(ConfigReader& r, RopeConfig& rope, int64_t max_position_embeddings) {
  // transformers takes the model's own length when the original one is not given.
  rope.original_max_position_embeddings =
      r.IntOr("original_max_position_embeddings", 1, kMaxTokens, max_position_embeddings);
  rope.beta_fast = r.RealOr("beta_fast", 1e-3, kMaxRopeFactor, 32);
  rope.beta_slow = r.RealOr("beta_slow", 1e-3, kMaxRopeFactor, 1);
  rope.mscale = r.MaybeReal("mscale", 0, 100);
  rope.mscale_all_dim = r.MaybeReal("mscale_all_dim", 0, 100);
  rope.attention_factor = r.MaybeReal("attention_factor", 1e-3, 1e3);
  rope.attn_factor = r.MaybeReal("attn_factor", 1e-3, 1e3);
  if (r.ok() && rope.beta_fast <= rope.beta_slow) {
    r.Problem(ErrorCode::kBadFile, "beta_fast",
              fmt::format("it must be above beta_slow = {}", rope.beta_slow));
  }
}

void RefusePartial(ConfigReader& r) {
  if (r.RealOr("partial_rotary_factor", 0, 1, 1) != 1) {
    r.Problem(ErrorCode::kUnsupportedModel, "partial_rotary_factor",
              "only 1 (every dimension is rotated) is supported");
  }
}

}  // namespace

RopeConfig ReadRope(ConfigReader& top, int64_t max_position_embeddings) {
  RopeConfig rope;
  RefusePartial(top);
  rope.theta = top.RealOr("rope_theta", 1.0, kMaxTheta, 10000);
  const char* key = top.Get("rope_parameters") != nullptr ? "rope_parameters" : "rope_scaling";
  const nlohmann::json* object = top.Get(key);
  if (object == nullptr) return rope;
  if (!object->is_object()) {
    top.Problem(ErrorCode::kBadFile, key, "it must be an object or null");
    return rope;
  }
  for (const auto& [name, value] : object->items()) {
    if (!value.is_object()) continue;
    top.Problem(ErrorCode::kUnsupportedModel, key,
                "settings that differ between kinds of layers are not supported");
    return rope;
  }
  ConfigReader r(*object, std::string(key) + ".");
  ReadType(r, rope);
  RefusePartial(r);
  rope.theta = r.RealOr("rope_theta", 1.0, kMaxTheta, rope.theta);
  if (r.ok() && rope.type != RopeType::kDefault)
    rope.factor = r.Real("factor", 1.0, kMaxRopeFactor);
  if (r.ok() && rope.type == RopeType::kLlama3) ReadLlama3(r, rope);
  if (r.ok() && rope.type == RopeType::kYarn) ReadYarn(r, rope, max_position_embeddings);
  top.Adopt(r.status());
  return rope;
}

double RopeConfig::YarnMscale(double m) const {
  if (type != RopeType::kYarn || factor <= 1) return 1;
  return 0.1 * m * std::log(factor) + 1;
}

double RopeConfig::CosSinFactor() const {
  if (type != RopeType::kYarn) return 1;
  double computed = YarnMscale(1);
  if (attention_factor) {
    computed = *attention_factor;
  } else if (mscale.value_or(0) != 0 && mscale_all_dim.value_or(0) != 0) {
    computed = YarnMscale(*mscale) / YarnMscale(*mscale_all_dim);
  }
  return computed * attn_factor.value_or(1);
}

std::string_view NameOf(RopeType type) {
  switch (type) {
    case RopeType::kDefault:
      return "default";
    case RopeType::kLinear:
      return "linear";
    case RopeType::kLlama3:
      return "llama3";
    case RopeType::kYarn:
      return "yarn";
  }
  return "";
}

}  // namespace hadal
