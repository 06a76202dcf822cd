// Owns: the kinds of attention of single rows that AttendRows (kernels.h) chooses among: for each
// whether it takes a shape, what memory it needs and its launch. Only .cu files include this.
#pragma once

#include "kernels/cuda/kernels.h"

namespace hadal::CUDA_NAMESPACE {

// Any shape and cache, without the matrix unit.
AttentionMemory PlainSpace(const AttentionShape& a, int64_t most_visible);
void AttendPlain(Stream& s, const AttentionShape& a, const Queries& q, const Cache& k,
                 const Cache& v, const RowIndex& index, const AttentionScratch& scratch,
                 float* out);

// Groups of heads that share a key head of up to 128 columns; a cache of bf16, or of FP8 with a
// scale for every key head. Queries in one piece.
bool GroupsFit(const AttentionShape& a, const Cache& k, const Cache& v);
AttentionMemory GroupsSpace(const AttentionShape& a, int64_t most_visible);
void AttendGroups(Stream& s, const AttentionShape& a, const float* q, const Cache& k,
                  const Cache& v, const RowIndex& index, const AttentionScratch& scratch,
                  float* out);

// Absorbed MLA of DeepSeek's shape: one key of 576 columns whose first 512 are the value; bf16,
// or FP8 with a scale for every 128 of them.
// Queries in two pieces of 512 and 64 columns.
bool LatentsFit(const AttentionShape& a, const Cache& k, const Cache& v);
AttentionMemory LatentsSpace(const AttentionShape& a, int64_t most_visible);
void AttendLatents(Stream& s, const AttentionShape& a, const Queries& q, const Cache& k,
                   const Cache& v, const RowIndex& index, const AttentionScratch& scratch,
                   float* out);

}  // namespace hadal::CUDA_NAMESPACE
