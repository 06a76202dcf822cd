// Owns: what the kernels of attention over the latents of MLA share: the problem, how its keys are
// split into parts, and where a part lies. Only .cu files of attention include this.
#pragma once

#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/attention_parts.h"

namespace hadal::CUDA_NAMESPACE {

constexpr int kLatentColumns = 576, kLatentValues = 512;

struct LatentProblem {
  AttentionShape a;
  Queries q;
  Cache latents;
  RowIndex index;
  int64_t parts;   // of space
  int part_heads;  // of a block's heads, those that parts have space for
  float *space, *out;
};

// Of many heads a part is a lot of memory: 2 KiB a head.
__device__ __host__ constexpr SplitRule LatentRule(const AttentionShape& a) {
  return a.group < 64 ? SplitRule{64, 64, kMostParts, 1024}
                      : SplitRule{64, 128, kMostParts / 2, 1024, kMostParts / 4, 1024};
}

// Rows of many heads that see so many keys have so many parts, for which a launch has space.
constexpr bool HasParts(int visible, int parts) {
  const SplitRule rule = LatentRule({.group = 128});
  return SplitsOf(rule, visible) == parts && MostSplits(rule, visible) == parts;
}
static_assert(HasParts(128, 1) && HasParts(1024, 8) && HasParts(16384, 16));
static_assert(HasParts(20000, 20) && HasParts(32768, 32) && HasParts(65536, 32));

// The parts of the row's heads that share a block with `head`.
__device__ inline Parts LatentParts(const LatentProblem& p, int64_t row, int64_t head) {
  const int64_t group = row * CeilDiv<int64_t>(p.a.group, p.part_heads) + head / p.part_heads;
  return Parts(p.space, group, p.parts, p.part_heads, kLatentValues);
}

// By warpgroups (wgmma.h): how many heads a block has; how many of `groups` rows' heads' parts a
// block takes, so that the blocks fill the card; the launches, over a cache of FP8 and one of bf16
// that consists of boxes (tile_copies.h).
int HeadsOfWarpgroups(const AttentionShape& a);
int PartsOfBlock(const Stream& s, const LatentProblem& p, int64_t groups);
inline dim3 LatentGrid(const LatentProblem& p, int64_t groups, int parts) {
  return dim3(static_cast<unsigned>(groups),
              static_cast<unsigned>(CeilDiv<int64_t>(p.parts, parts)),
              static_cast<unsigned>(p.a.rows));
}
constexpr int kLatentBoxRows = 8;
void LaunchWarpgroups(Stream& s, const LatentProblem& p);
void LaunchLatentTiles(Stream& s, const LatentProblem& p);

}  // namespace hadal::CUDA_NAMESPACE
