// Owns: the guesses of a draft layer, one after another: the most likely token after each row is
// the token of a row of the next pass, until every sequence has as many as it wants. Use: first
// pass; chain.Start(input, block_tokens); while (chain.Take(logits, vocab)) the pass of
//      chain.step() after chain.after(), chained.
// Thread rule: the engine thread. Its memory is reused.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/runner.h"

namespace hadal {

class DraftChain {
 public:
  void Start(const DraftInput& input, int32_t block_tokens);
  // Takes a guess from each of the last pass's logit rows; false: nothing more is wanted.
  bool Take(const float* logits, size_t vocab);

  StepInput step() const { return {tokens_, positions_, slots_, chunks_, rows_}; }
  std::span<const int32_t> after() const { return after_; }
  std::span<const TokenId> guesses() const { return guesses_; }

 private:
  struct Line {        // the guesses of one sequence
    size_t first = 0;  // into guesses_
    int32_t wanted = 0, got = 0;
    int32_t position = 0;  // of the row that the next guess follows
    const int32_t* blocks = nullptr;
  };

  int32_t block_tokens_ = 0;
  std::vector<Line> lines_;
  std::vector<size_t> open_;  // lines with a logit row in the last pass, in its order
  std::vector<TokenId> guesses_;
  // The next pass: one row for each open line.
  std::vector<TokenId> tokens_;
  std::vector<int32_t> positions_, slots_, rows_, after_;
  std::vector<SeqChunk> chunks_;
};

}  // namespace hadal
