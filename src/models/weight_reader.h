// Owns: reading rows of a checkpoint's tensors for a backend, with what has to be true of every
// read: NaN and infinity are noted by tensor name, a file that changed is noticed, and what a load
// is about to need is read ahead. Sources of weights share it (WeightSource's functions), so it
// lives as long as the last weight that still asks them.
// Must not know which tensors a model has, or what a weight is used for.
// Thread rule: reads come from any thread; Plan, Begin and End from one, not during reads.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/checkpoint.h"
#include "formats/read_ahead.h"

namespace hadal {

// Rows [row0, row0 + rows) of a tensor.
struct TensorRows {
  const TensorEntry* entry = nullptr;
  int64_t row0 = 0, rows = 0;
};

class WeightReader {
 public:
  explicit WeightReader(std::shared_ptr<const Checkpoint> checkpoint)
      : checkpoint_(std::move(checkpoint)) {}

  // What is read between Begin(i) and Begin(i + 1), in this order; rows read twice stand twice.
  void Plan(const std::vector<std::vector<TensorRows>>& groups, const ReadAheadOptions& options);
  void Begin(size_t group);
  void End();  // nothing is read ahead any more; reads go on

  void Decode(const TensorRows& what, float* out);
  // Rows of blocks, F16 or BF16, as ReadStoredRows gives them.
  void ReadStored(const TensorRows& what, std::byte* out);
  void ReadFp8(const TensorRows& what, uint8_t* codes, float* scales);  // see ReadFp8Rows
  void CheckFinite(const TensorEntry& entry, std::span<const float> values);

  // kBadFile: some file was cut or written to since it was opened, so what was read may be wrong;
  // or tensors that were read hold NaN or infinity.
  Status Check() const;

 private:
  void NoteNonFinite(const TensorEntry& entry);
  template <class Read>
  void InPlace(const TensorRows& what, const Read& read);

  const std::shared_ptr<const Checkpoint> checkpoint_;
  std::optional<ReadAhead> ahead_;
  mutable std::mutex mutex_;          // guards non_finite_
  std::set<std::string> non_finite_;  // tensor names
};

}  // namespace hadal
