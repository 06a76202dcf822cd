// Owns: matching what a model needs with what a checkpoint has, so that every missing, misshapen
// and unexpected tensor is reported in one error.
// Must not know families: they call Require/Optional/Ignore with checkpoint names verbatim.
// Use:
//   Binder b(checkpoint);
//   const TensorEntry* norm = b.Require("model.norm.weight", {hidden});
//   const TensorEntry* bias = b.Optional("model.layers.0.self_attn.q_proj.bias", {q_dim});
//   b.Ignore("model.layers.61.*");  // multi-token prediction
//   HADAL_OK(b.Finish());           // before any entry is used
// Entries live as long as the Checkpoint, not the Binder.
// Thread rule: one thread.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/checkpoint.h"

namespace hadal {

class Binder {
 public:
  explicit Binder(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  // A float tensor (F32, F16, BF16, F8_E4M3, blocks, 4-bit groups) of exactly this shape;
  // DecodeRows may read it. An F8_E4M3 matrix also needs `<name>_scale_inv` (F32, blocks rounded up
  // at the edges), found in entry->scale_inv. nullptr when something is wrong: Finish() says what.
  const TensorEntry* Require(std::string_view name, const Shape& shape);
  // The same, but nullptr without complaint when the checkpoint has no such tensor.
  const TensorEntry* Optional(std::string_view name, const Shape& shape);
  // An integer tensor (I64, I32, I8, U8) of exactly this dtype and shape.
  const TensorEntry* RequireInteger(std::string_view name, const Shape& shape, DType dtype);
  // Tensors that match are not unexpected. `*` stands for any run of characters.
  void Ignore(std::string_view pattern) { ignored_.emplace_back(pattern); }

  // kBadFile listing every problem (40 lines, then "... and N more"). Tensors that nobody asked for
  // are problems, except: Ignore()d ones, `*.rotary_emb.inv_freq` (old exports store it; it is
  // computed), biases of zeros beside 4-bit groups, and `*_scale_inv` (taken with its FP8 matrix,
  // otherwise without meaning).
  Status Finish();

 private:
  const TensorEntry* Match(const TensorEntry& entry, const Shape& shape);
  bool CheckScale(const TensorEntry& entry);
  void Complain(std::string line);
  bool Expected(const TensorEntry& entry) const;
  bool IsZeroBias(const TensorEntry& entry) const;

  const Checkpoint& checkpoint_;
  std::set<const TensorEntry*> claimed_;
  std::set<std::string, std::less<>> missing_;
  std::vector<std::string> ignored_;
  std::vector<std::string> problems_;  // at most kMaxLines; problem_count_ goes on
  size_t problem_count_ = 0;
};

}  // namespace hadal
