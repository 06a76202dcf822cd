// Owns: matrices of AWQ and GPTQ checkpoints: joining X.qweight, X.qzeros, X.scales (and X.g_idx)
// into one entry X.weight [out, in], and reading its rows. Private to formats/; callers use
// checkpoint.h. A weight is (q - zero) * scale, zero and scale of its row and group of columns.
// Thread rule: free functions.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "formats/checkpoint.h"

namespace hadal {

struct Int4Parts {
  const TensorEntry* qweight = nullptr;
  const TensorEntry* qzeros = nullptr;
  const TensorEntry* scales = nullptr;
  const TensorEntry* g_idx = nullptr;  // may be absent
};

// kBadFile names the part that is missing, misshapen, or an index that is out of range. g_idx stays
// nullptr in the result when columns lie in their groups' order.
Result<Int4Groups> JoinGroups(std::string_view name, const Int4Parts& parts,
                              const Int4Config& config);
Shape ShapeOf(const Int4Groups& groups);  // [out, in]
// Whether kU4Z blocks hold the values exactly.
bool FitsBlocks(const Int4Groups& groups);

void DecodeInt4(const TensorEntry& entry, int64_t row0, int64_t n_rows, float* out);
void ReadInt4Blocks(const TensorEntry& entry, int64_t row0, int64_t n_rows, std::byte* out);

}  // namespace hadal
