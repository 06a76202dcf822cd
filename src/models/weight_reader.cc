#include "models/weight_reader.h"

#include <bit>
#include <cmath>

#include "formats/finite_blocks.h"

namespace hadal {

// Rows that are of no use alone are looked at where they are.
void WeightReader::Plan(const std::vector<std::vector<TensorRows>>& groups,
                        const ReadAheadOptions& options) {
  std::vector<std::vector<ReadRange>> ranges;
  for (const auto& group : groups) {
    auto& out = ranges.emplace_back();
    for (const auto& [entry, row0, rows] : group) {
      if (RowsStandAlone(*entry)) {
        out.push_back({entry->mapping, BytesOfRows(*entry, row0, rows)});
        continue;
      }
      for (const TensorEntry* part : PartsOf(*entry)) {
        const bool some = part == entry && RowsFollow(*entry);
        out.push_back({part->mapping, some ? BytesOfRows(*entry, row0, rows) : part->bytes, true});
      }
    }
  }
  ahead_.emplace(ranges, options);
}

void WeightReader::Begin(size_t group) {
  if (ahead_) ahead_->Begin(group);
}

void WeightReader::End() { ahead_.reset(); }

// Calls read() when the rows, and what else decoding them looks at, can be looked at.
template <class Read>
void WeightReader::InPlace(const TensorRows& what, const Read& read) {
  const auto& [entry, row0, rows] = what;
  if (!ahead_) return read();
  const bool follow = RowsFollow(*entry);
  for (const TensorEntry* part : PartsOf(*entry)) {
    ahead_->Need(part == entry && follow ? BytesOfRows(*entry, row0, rows) : part->bytes);
  }
  read();
  if (follow) ahead_->Looked(BytesOfRows(*entry, row0, rows));
}

void WeightReader::Decode(const TensorRows& what, float* out) {
  const auto& [entry, row0, rows] = what;
  if (ahead_ && RowsStandAlone(*entry)) {
    const auto stored = BytesOfRows(*entry, row0, rows);
    const auto copy = std::make_unique_for_overwrite<std::byte[]>(stored.size());
    ahead_->Copy(stored, copy.get());
    DecodeRows(RowsOf(*entry, rows, {copy.get(), stored.size()}), 0, rows, out);
  } else {
    InPlace(what, [&] { DecodeRows(*what.entry, what.row0, what.rows, out); });
  }
  CheckFinite(*entry, {out, static_cast<size_t>(rows * entry->cols())});
}

void WeightReader::ReadStored(const TensorRows& what, std::byte* out) {
  const auto& [entry, row0, rows] = what;
  if (ahead_ && RowsStandAlone(*entry)) {
    ahead_->Copy(BytesOfRows(*entry, row0, rows), out);
  } else {
    InPlace(what, [&] { ReadStoredRows(*what.entry, what.row0, what.rows, out); });
  }
  const int64_t n = rows * entry->cols();
  const bool finite =
      entry->quant ? BlocksAreFinite(*entry->quant, out, n) : HalvesAreFinite(entry->dtype, out, n);
  if (!finite) NoteNonFinite(*entry);
}

void WeightReader::ReadFp8(const TensorRows& what, uint8_t* codes, float* scales) {
  constexpr float kLargest = 448;  // what any code is worth
  const auto& [entry, row0, rows] = what;
  InPlace(what, [&] { ReadFp8Rows(*what.entry, what.row0, what.rows, codes, scales); });
  const int64_t tiles = (rows + kFp8TileRows - 1) / kFp8TileRows;
  const int64_t columns = (entry->cols() + kFp8TileCols - 1) / kFp8TileCols;
  bool nan = false;
  for (int64_t i = 0; i < rows * entry->cols(); ++i) nan |= (codes[i] & 0x7f) == 0x7f;
  for (int64_t i = 0; i < tiles * columns; ++i) nan |= !std::isfinite(scales[i] * kLargest);
  if (nan) NoteNonFinite(*entry);
}

void WeightReader::CheckFinite(const TensorEntry& entry, std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000u;  // all ones: infinity or NaN
  bool found = false;
  for (float v : values) found |= (std::bit_cast<uint32_t>(v) & kExponent) == kExponent;
  if (found) NoteNonFinite(entry);
}

void WeightReader::NoteNonFinite(const TensorEntry& entry) {
  const std::scoped_lock lock(mutex_);
  non_finite_.insert(entry.name);
}

Status WeightReader::Check() const {
  const std::string path = checkpoint_->path().string();
  if (checkpoint_->damaged()) {
    return Fail(ErrorCode::kBadFile,
                "{}: a file became shorter, was written to or could not be read while it was in "
                "use; copy the checkpoint again",
                path);
  }
  const std::scoped_lock lock(mutex_);
  if (non_finite_.empty()) return {};
  constexpr size_t kMaxNames = 8;
  std::string names;
  size_t n = 0;
  for (const std::string& name : non_finite_) {
    if (n++ == kMaxNames) break;
    names += (names.empty() ? "" : ", ") + name;
  }
  if (non_finite_.size() > kMaxNames) {
    names += fmt::format(" and {} more", non_finite_.size() - kMaxNames);
  }
  return FailField(ErrorCode::kBadFile, *non_finite_.begin(),
                   "{}: weights must be finite, but NaN or infinity is in {}", path, names);
}

}  // namespace hadal
