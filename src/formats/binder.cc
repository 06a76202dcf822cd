#include "formats/binder.h"

#include <algorithm>

#include "formats/json_text.h"

namespace hadal {
namespace {

constexpr size_t kMaxLines = 40;
constexpr std::string_view kScaleSuffix = "_scale_inv";

// `*` matches any run. Greedy with one backtrack point: linear in practice, no recursion.
bool Matches(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

int64_t CeilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0); }

}  // namespace

void Binder::Complain(std::string line) {
  if (++problem_count_ <= kMaxLines) problems_.push_back(std::move(line));
}

const TensorEntry* Binder::Require(std::string_view name, const Shape& shape) {
  const TensorEntry* entry = checkpoint_.Find(name);
  if (entry != nullptr) return Match(*entry, shape);
  if (missing_.emplace(name).second) {
    Complain(fmt::format("missing: {} {}", Quoted(name), shape.ToString()));
  }
  return nullptr;
}

const TensorEntry* Binder::Optional(std::string_view name, const Shape& shape) {
  const TensorEntry* entry = checkpoint_.Find(name);
  return entry == nullptr ? nullptr : Match(*entry, shape);
}

const TensorEntry* Binder::RequireInteger(std::string_view name, const Shape& shape, DType dtype) {
  const TensorEntry* entry = checkpoint_.Find(name);
  if (entry == nullptr) return Require(name, shape);
  claimed_.insert(entry);
  const bool plain = entry->stored != nullptr && entry->readable();
  if (plain && entry->dtype == dtype && entry->shape == shape) return entry;
  Complain(fmt::format("wrong: {} is {} {}, expected {} {}", Quoted(name), entry->type_name(),
                       entry->shape.ToString(), NameOf(dtype), shape.ToString()));
  return nullptr;
}

const TensorEntry* Binder::Match(const TensorEntry& entry, const Shape& shape) {
  claimed_.insert(&entry);
  if (entry.shape != shape) {
    Complain(fmt::format("wrong shape: {} is {}, expected {}", Quoted(entry.name),
                         entry.shape.ToString(), shape.ToString()));
    return nullptr;
  }
  const bool plain = entry.stored != nullptr && entry.readable();
  if (plain && entry.dtype == DType::kF8E4M3) {
    return CheckScale(entry) ? &entry : nullptr;
  }
  if (IsDecodable(entry)) return &entry;
  Complain(fmt::format("wrong dtype: {} is {}; F32, F16, BF16, F8_E4M3 or blocks can be read",
                       Quoted(entry.name), entry.type_name()));
  return nullptr;
}

bool Binder::CheckScale(const TensorEntry& entry) {
  if (entry.shape.rank() != 2) {
    Complain(fmt::format("wrong dtype: {} {} is F8_E4M3, which only a matrix may be",
                         Quoted(entry.name), entry.shape.ToString()));
    return false;
  }
  const Shape blocks = {CeilDiv(entry.shape[0], entry.block.rows),
                        CeilDiv(entry.shape[1], entry.block.cols)};
  if (entry.scale_inv == nullptr) {
    Complain(fmt::format("missing: {} F32 {} (the scales of an F8_E4M3 matrix)",
                         Quoted(entry.name + std::string(kScaleSuffix)), blocks.ToString()));
    return false;
  }
  const TensorEntry& scale = *entry.scale_inv;
  if (scale.stored->weight == DType::kF32 && scale.shape == blocks) return true;
  Complain(fmt::format("wrong scale: {} is {} {}, expected F32 {} for {} in blocks of {} x {}",
                       Quoted(scale.name), scale.stored->name, scale.shape.ToString(),
                       blocks.ToString(), entry.shape.ToString(), entry.block.rows,
                       entry.block.cols));
  return false;
}

bool Binder::Expected(const TensorEntry& entry) const {
  if (claimed_.contains(&entry)) return true;
  if (entry.name.ends_with(kScaleSuffix) || entry.name.ends_with(".rotary_emb.inv_freq")) {
    return true;
  }
  return std::any_of(ignored_.begin(), ignored_.end(),
                     [&](const std::string& pattern) { return Matches(pattern, entry.name); });
}

Status Binder::Finish() {
  for (const auto& entry : checkpoint_.entries()) {
    if (Expected(entry)) continue;
    Complain(fmt::format("unexpected: {} {} {}", Quoted(entry.name), entry.type_name(),
                         entry.shape.ToString()));
  }
  if (problem_count_ == 0) return {};
  std::string text;
  for (const auto& line : problems_) text += "\n  " + line;
  if (problem_count_ > kMaxLines) {
    text += fmt::format("\n  ... and {} more", problem_count_ - kMaxLines);
  }
  return Fail(ErrorCode::kBadFile, "{}: {} problem(s) between the tensors and {}:{}",
              checkpoint_.path().string(), problem_count_,
              checkpoint_.gguf() == nullptr ? "config.json" : "the metadata", text);
}

}  // namespace hadal
