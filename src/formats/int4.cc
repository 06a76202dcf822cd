#include "formats/int4.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "formats/json_text.h"
#include "quant/quant_type.h"

namespace hadal {
namespace {

constexpr int64_t kPerWord = 8;  // nibbles of an I32
// Which of a word's nibbles holds column i of its eight (AWQ).
constexpr std::array<uint32_t, kPerWord> kAwqNibble = {0, 4, 1, 5, 2, 6, 3, 7};

uint32_t Word(const TensorEntry& entry, int64_t row, int64_t col) {
  uint32_t v;
  std::memcpy(&v, entry.bytes.data() + static_cast<size_t>(row * entry.shape[1] + col) * sizeof(v),
              sizeof(v));
  return v;
}

uint8_t Nibble(uint32_t word, uint32_t i) { return static_cast<uint8_t>(word >> (4 * i) & 15); }

// The quantised value of row r (of out) and column c (of in).
uint8_t QuantOf(const Int4Groups& g, int64_t r, int64_t c) {
  if (g.kind == Int4Kind::kAwq) {
    return Nibble(Word(*g.qweight, c, r / kPerWord), kAwqNibble[static_cast<size_t>(r % kPerWord)]);
  }
  return Nibble(Word(*g.qweight, c / kPerWord, r), static_cast<uint32_t>(c % kPerWord));
}

uint8_t ZeroOf(const Int4Groups& g, int64_t r, int64_t group) {
  const auto i = static_cast<size_t>(r % kPerWord);
  const auto nibble = g.kind == Int4Kind::kAwq ? kAwqNibble[i] : static_cast<uint32_t>(i);
  const uint8_t stored = Nibble(Word(*g.qzeros, group, r / kPerWord), nibble);
  return static_cast<uint8_t>(stored + g.zero_offset);
}

uint16_t ScaleBitsOf(const Int4Groups& g, int64_t r, int64_t group) {
  uint16_t v;
  const auto at = static_cast<size_t>(group * g.scales->shape[1] + r);
  std::memcpy(&v, g.scales->bytes.data() + at * sizeof(v), sizeof(v));
  return v;
}

int64_t GroupOf(const Int4Groups& g, int64_t c) {
  if (g.g_idx == nullptr) return c / g.group;
  int32_t group;
  std::memcpy(&group, g.g_idx->bytes.data() + static_cast<size_t>(c) * sizeof(group),
              sizeof(group));
  return group;
}

Status CheckPart(const TensorEntry* part, std::string_view name, const Shape& shape,
                 std::initializer_list<DType> dtypes) {
  std::string types;
  for (const DType d : dtypes) types += (types.empty() ? "" : " or ") + std::string(NameOf(d));
  if (part == nullptr) {
    return FailField(ErrorCode::kBadFile, std::string(name), "missing: {} {} {}", Quoted(name),
                     types, shape.ToString());
  }
  const bool right = part->readable() && std::ranges::find(dtypes, part->dtype) != dtypes.end();
  if (right && part->shape == shape) return {};
  return FailField(ErrorCode::kBadFile, std::string(name), "wrong: {} is {} {}, expected {} {}",
                   Quoted(name), part->type_name(), part->shape.ToString(), types,
                   shape.ToString());
}

// Indexes must be groups; false in `in_order` when columns are not in the groups' order.
Status CheckIndex(const Int4Groups& g, int64_t in, int64_t groups, bool* in_order) {
  *in_order = true;
  for (int64_t c = 0; c < in; ++c) {
    const int64_t group = GroupOf(g, c);
    if (group < 0 || group >= groups) {
      return FailField(ErrorCode::kBadFile, g.g_idx->name,
                       "{} puts column {} into group {}; there are {}", Quoted(g.g_idx->name), c,
                       group, groups);
    }
    *in_order = *in_order && group == c / g.group;
  }
  return {};
}

}  // namespace

Result<Int4Groups> JoinGroups(std::string_view name, const Int4Parts& parts,
                              const Int4Config& config) {
  const bool awq = config.kind == Int4Kind::kAwq;
  const TensorEntry& q = *parts.qweight;
  const std::string base(name);
  const int64_t packed = q.shape.rank() == 2 ? q.shape[awq ? 1 : 0] : 0;
  const int64_t other = q.shape.rank() == 2 ? q.shape[awq ? 0 : 1] : 0;
  if (packed < 1 || other < 1 || !q.readable() || q.dtype != DType::kI32) {
    return FailField(ErrorCode::kBadFile, q.name, "wrong: {} is {} {}; it must be an I32 matrix",
                     Quoted(q.name), q.type_name(), q.shape.ToString());
  }
  const int64_t in = awq ? other : packed * kPerWord, out = awq ? packed * kPerWord : other;
  if (in % config.group_size != 0 || out % kPerWord != 0) {
    return FailField(ErrorCode::kBadFile, q.name,
                     "{} holds {} columns in groups of {} and {} rows; columns must be whole "
                     "groups and rows a multiple of 8",
                     Quoted(q.name), in, config.group_size, out);
  }
  const int64_t groups = in / config.group_size;
  HADAL_OK(CheckPart(parts.qzeros, base + ".qzeros", {groups, out / kPerWord}, {DType::kI32}));
  HADAL_OK(CheckPart(parts.scales, base + ".scales", {groups, out}, {DType::kF16, DType::kBf16}));
  Int4Groups g{.kind = config.kind,
               .qweight = parts.qweight,
               .qzeros = parts.qzeros,
               .scales = parts.scales,
               .group = config.group_size,
               .zero_offset = config.zero_offset};
  if (parts.g_idx != nullptr && !awq) {
    HADAL_OK(CheckPart(parts.g_idx, base + ".g_idx", {in}, {DType::kI32}));
    g.g_idx = parts.g_idx;
    bool in_order = false;
    HADAL_OK(CheckIndex(g, in, groups, &in_order));
    if (in_order) g.g_idx = nullptr;
  }
  return g;
}

Shape ShapeOf(const Int4Groups& g) {
  const Shape& q = g.qweight->shape;
  return g.kind == Int4Kind::kAwq ? Shape{q[1] * kPerWord, q[0]} : Shape{q[1], q[0] * kPerWord};
}

bool FitsBlocks(const Int4Groups& g) {
  return g.g_idx == nullptr && g.scales->dtype == DType::kF16;
}

void DecodeInt4(const TensorEntry& entry, int64_t row0, int64_t n_rows, float* out) {
  const Int4Groups& g = *entry.int4;
  const int64_t cols = entry.cols();
  const bool f16 = g.scales->dtype == DType::kF16;
  for (int64_t c = 0; c < cols; ++c) {
    const int64_t group = GroupOf(g, c);
    for (int64_t r = 0; r < n_rows; ++r) {
      const uint16_t bits = ScaleBitsOf(g, row0 + r, group);
      const float scale = f16 ? F16ToFloat(bits) : Bf16ToFloat(bits);
      const int q = QuantOf(g, row0 + r, c), zero = ZeroOf(g, row0 + r, group);
      out[r * cols + c] = static_cast<float>(q - zero) * scale;
    }
  }
}

void ReadInt4Blocks(const TensorEntry& entry, int64_t row0, int64_t n_rows, std::byte* out) {
  CHECK(entry.quant == QuantType::kU4Z);
  const Int4Groups& g = *entry.int4;
  const int64_t cols = entry.cols(), row_bytes = RowBytes(QuantType::kU4Z, cols);
  const QuantTraits& block = TraitsOf(QuantType::kU4Z);
  for (int64_t b = 0; b < cols / block.elements; ++b) {
    const int64_t first = b * block.elements, group = first / g.group;
    for (int64_t r = 0; r < n_rows; ++r) {
      std::byte* to = out + r * row_bytes + b * block.bytes;
      const uint16_t scale = ScaleBitsOf(g, row0 + r, group);
      std::memcpy(to, &scale, sizeof(scale));
      to[2] = std::byte{ZeroOf(g, row0 + r, group)};
      for (int64_t i = 0; i < block.elements / 2; ++i) {
        const unsigned low = QuantOf(g, row0 + r, first + i);
        const unsigned high = QuantOf(g, row0 + r, first + i + block.elements / 2);
        to[3 + i] = std::byte(static_cast<uint8_t>(low | high << 4));
      }
    }
  }
}

// Entries of X.qweight, X.qzeros, X.scales and X.g_idx become one of X.weight.
Status Checkpoint::JoinInt4(const Int4Config& config) {
  constexpr std::string_view kWeight = ".qweight";
  std::vector<TensorEntry> whole;
  const auto is_part = [&](std::string_view name) {
    for (const std::string_view suffix : {".qweight", ".qzeros", ".scales", ".g_idx"}) {
      if (!name.ends_with(suffix)) continue;
      const std::string base(name.substr(0, name.size() - suffix.size()));
      return Find(base + std::string(kWeight)) != nullptr;
    }
    return false;
  };
  for (const TensorEntry& entry : entries_) {
    if (is_part(entry.name)) {
      int4_parts_.push_back(entry);
    } else {
      whole.push_back(entry);
    }
  }
  const auto part = [&](const std::string& name) -> const TensorEntry* {
    const auto it = std::ranges::lower_bound(int4_parts_, name, {}, &TensorEntry::name);
    return it != int4_parts_.end() && it->name == name ? &*it : nullptr;
  };
  for (const TensorEntry& entry : int4_parts_) {
    if (!entry.name.ends_with(kWeight)) continue;
    const std::string base = entry.name.substr(0, entry.name.size() - kWeight.size());
    HADAL_TRY(
        int4_groups_.emplace_back(),
        JoinGroups(base,
                   {&entry, part(base + ".qzeros"), part(base + ".scales"), part(base + ".g_idx")},
                   config));
    TensorEntry& made = whole.emplace_back();
    made.name = base + ".weight";
    made.int4 = &int4_groups_.back();
    made.shape = ShapeOf(*made.int4);
    if (FitsBlocks(*made.int4)) made.quant = QuantType::kU4Z;
    made.file = entry.file;
  }
  entries_ = std::move(whole);
  return FinishEntries();
}

}  // namespace hadal
