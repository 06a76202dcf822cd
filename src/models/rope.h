// Owns: the rotation tables: inverse frequencies of every scaling rule, and cos and sin of every
// position. Must not know checkpoints or families.
// Use: HADAL_TRY(Rope rope, Rope::Build(config.rope, dims, RopePairing::kHalfSplit, context, b));
//      HADAL_OK(rope.Reserve(largest position + 1)); b.Rope(q, 0, rope.table(), positions);
// Thread rule: one thread (the engine's).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/error.h"
#include "formats/model_config.h"
#include "kernels/backend.h"

namespace hadal {

// [dims / 2], radians per position. YaRN: arXiv 2309.00071 section 3.2, with the ramp between
// floor(dim(beta_fast)) and ceil(dim(beta_slow)).
std::vector<double> InverseFrequencies(const RopeConfig& rope, int64_t dims);

class Rope {
 public:
  // Computed in double, kept as float32. At most 256 MiB: positions() may be fewer than asked for.
  // kUnsupportedModel when the dimensions or theta make no rotation. The backend must outlive it.
  static Result<Rope> Build(const RopeConfig& rope, int64_t dims, RopePairing pairing,
                            int64_t positions, Backend& backend);
  // Makes positions [0, n) ready, n <= positions(). What a config claims costs nothing until a
  // sequence gets there: rows are doubled when they do not suffice. kOutOfMemory.
  Status Reserve(int64_t n);
  // Holds addresses of the rows that are ready: they change with Reserve.
  const RopeTable& table() const { return table_; }
  int64_t positions() const { return positions_; }
  int64_t ready() const { return ready_; }

 private:
  Backend* backend_ = nullptr;
  std::vector<double> inverse_frequencies_;
  double scale_ = 1;                   // of cos and sin
  std::unique_ptr<Memory> cos_, sin_;  // [ready, dims / 2] float32
  RopeTable table_;
  int64_t positions_ = 0, ready_ = 0;
};

}  // namespace hadal
