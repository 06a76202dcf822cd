#include "engine/draft_chain.h"

#include <algorithm>

namespace hadal {

void DraftChain::Start(const DraftInput& input, int32_t block_tokens) {
  block_tokens_ = block_tokens;
  lines_.clear();
  open_.clear();
  size_t n_guesses = 0;
  auto chunk = input.step.chunks.begin();
  for (size_t i = 0; i < input.lengths.size(); ++i) {
    const int32_t row = input.step.logit_rows[i];
    while (row >= chunk->first_row + chunk->n_rows) ++chunk;
    open_.push_back(lines_.size());
    lines_.push_back({n_guesses, input.lengths[i], 0,
                      input.step.positions[static_cast<size_t>(row)], chunk->blocks});
    n_guesses += static_cast<size_t>(input.lengths[i]);
  }
  guesses_.assign(n_guesses, 0);
}

bool DraftChain::Take(const float* logits, size_t vocab) {
  tokens_.clear();
  positions_.clear();
  slots_.clear();
  rows_.clear();
  after_.clear();
  chunks_.clear();
  size_t kept = 0;
  for (size_t i = 0; i < open_.size(); ++i) {
    const size_t index = open_[i];
    Line& line = lines_[index];
    const float* row = logits + i * vocab;
    const auto guess = static_cast<TokenId>(std::max_element(row, row + vocab) - row);
    guesses_[line.first + static_cast<size_t>(line.got)] = guess;
    ++line.position;
    if (++line.got == line.wanted) continue;
    const auto n = static_cast<int32_t>(tokens_.size());
    tokens_.push_back(guess);
    positions_.push_back(line.position);
    slots_.push_back(line.blocks[line.position / block_tokens_] * block_tokens_ +
                     line.position % block_tokens_);
    rows_.push_back(n);
    after_.push_back(static_cast<int32_t>(i));
    chunks_.push_back({n, 1, line.position, line.blocks});
    open_[kept++] = index;
  }
  open_.resize(kept);
  return kept > 0;
}

}  // namespace hadal
