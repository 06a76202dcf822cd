// Attention of single rows over the paged cache, what answers use: the choice of a kernel by shape
// and cache.
#include "kernels/cuda/attention_launch.h"

namespace hadal::CUDA_NAMESPACE {

AttentionMemory AttentionSpace(const AttentionShape& shape, const Cache& k, const Cache& v,
                               int64_t most_visible) {
  if (GroupsFit(shape, k, v)) return GroupsSpace(shape, most_visible);
  if (LatentsFit(shape, k, v)) return LatentsSpace(shape, most_visible);
  return PlainSpace(shape, most_visible);
}

void AttendRows(Stream& s, const AttentionShape& shape, const Queries& q, const Cache& k,
                const Cache& v, const RowIndex& index, const AttentionScratch& scratch,
                float* out) {
  if (GroupsFit(shape, k, v)) return AttendGroups(s, shape, q.data, k, v, index, scratch, out);
  if (LatentsFit(shape, k, v)) return AttendLatents(s, shape, q, k, v, index, scratch, out);
  AttendPlain(s, shape, q, k, v, index, scratch, out);
}

}  // namespace hadal::CUDA_NAMESPACE
