// Owns: the arithmetic of comparing two next-token distributions, in double precision.
// Must not know models or files. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/ids.h"
#include "measure/loss.h"

namespace hadal {

struct PositionLoss {
  double kl = 0;  // KL(original || other), nats, never below 0
  bool same_top = false;
  bool has_target = false;
  double before = 0, after = 0;  // -log p(target)
};

// Logits of one position over one vocabulary, all finite; target: the token that followed, if
// known.
PositionLoss CompareLogits(std::span<const float> original, std::span<const float> other,
                           std::optional<TokenId> target);

// At least one position.
TextLoss Summarise(std::span<const PositionLoss> positions);

}  // namespace hadal
