#include "tokenizer/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "tokenizer/utf8.h"

namespace hadal {
namespace {

// Characters below U+0300 are NFC by themselves and never combine backwards. Their lead bytes lie
// below 0xCC.
bool NeedsNoWork(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) >= 0xCC; });
}

utf8proc_propval_t CombiningClass(utf8proc_int32_t c) {
  return utf8proc_get_property(c)->combining_class;
}

// utf8proc's own canonical ordering swaps neighbours one by one, which is quadratic on adverse
// input; hence decomposition per character and a stable sort of each run of marks.
std::vector<utf8proc_int32_t> DecomposeCanonically(std::string_view text) {
  std::vector<utf8proc_int32_t> out;
  out.reserve(text.size() + 4);
  constexpr auto kOptions = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
  constexpr size_t kMaxDecomposition = 16;  // the longest canonical decomposition has 4
  int boundary_class = 0;
  while (!text.empty()) {
    const Utf8Char c = ReadUtf8Char(text);
    text.remove_prefix(c.length);
    const auto code_point = static_cast<utf8proc_int32_t>(c.code_point);
    utf8proc_int32_t parts[kMaxDecomposition];
    const utf8proc_ssize_t n =
        utf8proc_decompose_char(code_point, parts, kMaxDecomposition, kOptions, &boundary_class);
    if (n > 0 && static_cast<size_t>(n) <= kMaxDecomposition) {
      out.insert(out.end(), parts, parts + n);
    } else {
      out.push_back(code_point);
    }
  }
  return out;
}

// Sorts one run of marks by class; marks of one class keep their order, for the position is part of
// the key: class (8 bits), position (35), code point (21).
void SortRun(std::span<utf8proc_int32_t> run, std::vector<uint64_t>& keys) {
  keys.clear();
  for (size_t i = 0; i < run.size(); ++i) {
    keys.push_back(static_cast<uint64_t>(CombiningClass(run[i])) << 56 | uint64_t{i} << 21 |
                   static_cast<uint64_t>(run[i]));
  }
  std::sort(keys.begin(), keys.end());
  for (size_t i = 0; i < run.size(); ++i) {
    run[i] = static_cast<utf8proc_int32_t>(keys[i] & 0x1FFFFF);
  }
}

void OrderMarks(std::vector<utf8proc_int32_t>& code_points) {
  std::vector<uint64_t> keys;
  auto it = code_points.begin();
  while (it != code_points.end()) {
    if (CombiningClass(*it) == 0) {
      ++it;
      continue;
    }
    const auto end = std::find_if(it, code_points.end(),
                                  [](utf8proc_int32_t c) { return CombiningClass(c) == 0; });
    if (end - it > 1) SortRun({it, end}, keys);
    it = end;
  }
}

}  // namespace

std::string_view NormalizeNfc(std::string_view text, std::string& storage) {
  if (NeedsNoWork(text)) return text;
  std::vector<utf8proc_int32_t> code_points = DecomposeCanonically(text);
  OrderMarks(code_points);
  const utf8proc_ssize_t n = utf8proc_normalize_utf32(
      code_points.data(), static_cast<utf8proc_ssize_t>(code_points.size()),
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (n < 0) return text;  // cannot happen with these options
  storage.clear();
  storage.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < n; ++i) {
    AppendUtf8(static_cast<uint32_t>(code_points[static_cast<size_t>(i)]), storage);
  }
  return storage;
}

}  // namespace hadal
