#include "grammar/code_points.h"

#include <utf8proc.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "tokenizer/utf8.h"

namespace hadal::grammar {
namespace {

constexpr uint32_t kLast = 0x10FFFF;

// The ends of one sequence of byte ranges at a time, last byte first, so that tails are shared.
class Writer {
 public:
  Writer(Nfa& nfa, uint32_t to) : nfa_(nfa), to_(to) {}
  uint32_t Before(uint8_t lo, uint8_t hi, uint32_t to) {
    const auto [it, added] = states_.try_emplace({lo, hi, to}, 0);
    if (added) {
      it->second = nfa_.AddState();
      nfa_.Bytes(it->second, lo, hi, to);
    }
    return it->second;
  }
  // lo and hi have the same length in UTF-8.
  void Add(uint32_t from, const std::string& lo, const std::string& hi) {
    const auto byte = [](const std::string& s, size_t i) { return static_cast<uint8_t>(s[i]); };
    uint32_t to = to_;
    for (size_t i = lo.size() - 1; i > 0; --i) to = Before(byte(lo, i), byte(hi, i), to);
    nfa_.Bytes(from, byte(lo, 0), byte(hi, 0), to);
  }

 private:
  Nfa& nfa_;
  uint32_t to_;
  std::map<std::tuple<uint8_t, uint8_t, uint32_t>, uint32_t> states_;
};

std::string Utf8Of(uint32_t code_point) {
  std::string out;
  AppendUtf8(code_point, out);
  return out;
}

// Splits [lo, hi] until every byte's range is independent of the others.
void Split(Writer& writer, uint32_t from, uint32_t lo, uint32_t hi) {
  for (const uint32_t last : {0x7Fu, 0x7FFu, 0xFFFFu}) {
    if (lo <= last && hi > last) {
      Split(writer, from, lo, last);
      Split(writer, from, last + 1, hi);
      return;
    }
  }
  if (hi > 0x7F) {
    for (const uint32_t tail : {0x3Fu, 0xFFFu, 0x3FFFFu}) {
      if ((lo & ~tail) == (hi & ~tail)) break;
      if ((lo & tail) != 0) {
        Split(writer, from, lo, lo | tail);
        Split(writer, from, (lo | tail) + 1, hi);
        return;
      }
      if ((hi & tail) != tail) {
        Split(writer, from, lo, (hi & ~tail) - 1);
        Split(writer, from, hi & ~tail, hi);
        return;
      }
    }
  }
  writer.Add(from, Utf8Of(lo), Utf8Of(hi));
}

}  // namespace

CodePointSet::CodePointSet(std::initializer_list<Range> ranges) {
  for (const auto& [lo, hi] : ranges) Add(lo, hi);
}

void CodePointSet::Add(uint32_t lo, uint32_t hi) {
  hi = std::min(hi, kLast);
  if (lo <= 0xDFFF && hi >= 0xD800) {
    if (lo < 0xD800) Add(lo, 0xD7FF);
    if (hi > 0xDFFF) Add(0xE000, hi);
    return;
  }
  if (lo > hi) return;
  normal_ = ranges_.empty();
  ranges_.emplace_back(lo, hi);
}

void CodePointSet::Add(const CodePointSet& other) {
  for (const auto& [lo, hi] : other.ranges()) Add(lo, hi);
}

const std::vector<CodePointSet::Range>& CodePointSet::ranges() const {
  if (normal_) return ranges_;
  std::sort(ranges_.begin(), ranges_.end());
  size_t n = 0;
  for (const auto& [lo, hi] : ranges_) {
    if (n > 0 && lo <= ranges_[n - 1].second + 1) {
      ranges_[n - 1].second = std::max(ranges_[n - 1].second, hi);
    } else {
      ranges_[n++] = {lo, hi};
    }
  }
  ranges_.resize(n);
  normal_ = true;
  return ranges_;
}

CodePointSet CodePointSet::Negated() const {
  CodePointSet out;
  uint32_t next = 0;
  for (const auto& [lo, hi] : ranges()) {
    if (lo > next) out.Add(next, lo - 1);
    next = hi + 1;
  }
  if (next <= kLast) out.Add(next, kLast);
  return out;
}

CodePointSet CodePointSet::All() { return {{0, kLast}}; }
CodePointSet CodePointSet::Digits() { return {{'0', '9'}}; }
CodePointSet CodePointSet::Word() { return {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}; }
CodePointSet CodePointSet::Space() {
  return {{0x09, 0x0D},     {0x20, 0x20},     {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
          {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
}
CodePointSet CodePointSet::AnyButNewline() {
  return CodePointSet{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}.Negated();
}

std::optional<CodePointSet> CodePointSet::Category(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe",
      "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"};
  uint64_t wanted = 0;
  for (const std::string_view known : kNames) {
    if (name.empty() || !known.starts_with(name)) continue;
    for (int category = 0; category < 30; ++category) {
      // utf8proc's numbers are 1..29 in the order of kNames without Cn, which is 0.
      const std::string_view own = category == 0 ? "Cn" : kNames[category - 1];
      if (own == known) wanted |= uint64_t{1} << category;
    }
  }
  if (wanted == 0) return std::nullopt;
  CodePointSet out;
  bool before = false;
  for (uint32_t c = 0, begin = 0; c <= kLast + 1; ++c) {
    const bool here =
        c <= kLast && (wanted >> utf8proc_category(static_cast<utf8proc_int32_t>(c)) & 1) != 0;
    if (here && !before) begin = c;
    if (before && !here) out.Add(begin, c - 1);
    before = here;
  }
  return out;
}

void AddCharacters(Nfa& nfa, uint32_t from, const CodePointSet& set, uint32_t to) {
  Writer writer(nfa, to);
  for (const auto& [lo, hi] : set.ranges()) Split(writer, from, lo, hi);
}

}  // namespace hadal::grammar
