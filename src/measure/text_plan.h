// Owns: which tokens of the evaluation texts are measured, cut into chunks that a model reads on
// their own. Must not know models. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "core/ids.h"
#include "measure/evaluation_data.h"
#include "tokenizer/tokenizer.h"

namespace hadal {

// One independent sequence: BOS when the tokenizer adds it, then consecutive tokens of one text.
using TextChunk = std::vector<TokenId>;

struct TextPlanLimits {
  int64_t max_positions = 0;  // tokens of all chunks together
  int64_t context = 0;        // of one chunk
};

// Chunks take turns over the texts, so that many texts share the positions; with few texts a chunk
// is as long as `context` allows. Chunks of a single token are left out. kInvalidArgument when no
// chunk of two tokens remains.
Result<std::vector<TextChunk>> PlanText(const Tokenizer& tokenizer,
                                        const std::vector<EvaluationText>& texts,
                                        const TextPlanLimits& limits);

// kInvalidArgument when an id means different bytes in the two, with the id.
Status SameVocabulary(const Tokenizer& original, const Tokenizer& other);

}  // namespace hadal
