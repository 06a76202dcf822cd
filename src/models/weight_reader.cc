#include "models/weight_reader.h"

#include <bit>

#include "formats/finite_blocks.h"

namespace hadal {

void WeightReader::Plan(const std::vector<std::vector<TensorRows>>& groups,
                        const ReadAheadOptions& options) {
  std::vector<std::vector<ReadRange>> ranges;
  for (const auto& group : groups) {
    auto& out = ranges.emplace_back();
    for (const TensorRows& what : group) {
      for (const auto& [file, bytes] : WhereStored(*what.entry, what.row0, what.rows).parts) {
        out.push_back({file, bytes});
      }
    }
  }
  ahead_.emplace(ranges, options);
}

void WeightReader::Begin(size_t group) {
  if (ahead_) ahead_->Begin(group);
}

void WeightReader::End() { ahead_.reset(); }

StoredRows WeightReader::Need(const TensorRows& what) {
  if (!ahead_) return {};
  StoredRows rows = WhereStored(*what.entry, what.row0, what.rows);
  for (const auto& [file, bytes] : rows.parts) ahead_->Need(bytes);
  return rows;
}

void WeightReader::Used(const StoredRows& rows) {
  if (ahead_ && rows.exact) ahead_->Used(rows.parts.back().second);
}

void WeightReader::Decode(const TensorRows& what, float* out) {
  const StoredRows stored = Need(what);
  DecodeRows(*what.entry, what.row0, what.rows, out);
  CheckFinite(*what.entry, {out, static_cast<size_t>(what.rows * what.entry->cols())});
  Used(stored);
}

void WeightReader::ReadBlocks(const TensorRows& what, std::byte* out) {
  const StoredRows stored = Need(what);
  ReadBlockRows(*what.entry, what.row0, what.rows, out);
  Used(stored);
  const int64_t weights = what.rows * what.entry->cols();
  if (!BlocksAreFinite(*what.entry->quant, out, weights)) NoteNonFinite(*what.entry);
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
