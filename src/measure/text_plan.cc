#include "measure/text_plan.h"

#include <algorithm>
#include <optional>
#include <span>

namespace hadal {
namespace {

// Chunks shorter than this say little about a model that looks back.
constexpr int64_t kShortestShare = 256;

std::string ShownBytes(std::string_view bytes) {
  std::string out;
  for (const char c : bytes.substr(0, 32)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte >= 0x20 && byte < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return out;
}

}  // namespace

Result<std::vector<TextChunk>> PlanText(const Tokenizer& tokenizer,
                                        const std::vector<EvaluationText>& texts,
                                        const TextPlanLimits& limits) {
  const std::optional<TokenId> bos = tokenizer.add_bos() ? tokenizer.bos() : std::nullopt;
  std::vector<std::vector<TokenId>> ids;
  for (const EvaluationText& text : texts) {
    ids.push_back(tokenizer.Encode(text.text, text.special_tokens ? Tokenizer::Special::kRecognise
                                                                  : Tokenizer::Special::kAsText));
    // Written once, below, whatever the text says.
    if (bos && !ids.back().empty() && ids.back().front() == *bos)
      ids.back().erase(ids.back().begin());
  }
  const int64_t n_texts = std::max<int64_t>(1, static_cast<int64_t>(ids.size()));
  const int64_t share = std::max(limits.max_positions / n_texts, kShortestShare);
  const int64_t length = std::min({share, limits.context, limits.max_positions});
  const int64_t step = length - (bos ? 1 : 0);  // of the text, per chunk
  std::vector<TextChunk> chunks;
  int64_t left = limits.max_positions;
  bool more = step > 0;
  for (int64_t at = 0; more && left >= 2; at += step) {
    more = false;
    for (const std::vector<TokenId>& text : ids) {
      const auto size = static_cast<int64_t>(text.size());
      if (at >= size) continue;
      more = true;
      TextChunk chunk;
      if (bos) chunk.push_back(*bos);
      chunk.insert(chunk.end(), text.begin() + at, text.begin() + std::min(size, at + step));
      chunk.resize(std::min(chunk.size(), static_cast<size_t>(left)));
      if (chunk.size() < 2) continue;
      left -= static_cast<int64_t>(chunk.size());
      chunks.push_back(std::move(chunk));
    }
  }
  if (chunks.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "nothing to measure: the evaluation text must give a chunk of at least 2 tokens "
                "(texts: {}, positions: {}, context: {})",
                texts.size(), limits.max_positions, limits.context);
  }
  return chunks;
}

Status SameVocabulary(const Tokenizer& original, const Tokenizer& other) {
  // Ids past the end of one, or that it leaves empty, are fillers in the other.
  const int n = std::min(original.vocab_size(), other.vocab_size());
  for (TokenId id = 0; id < n; ++id) {
    const std::string_view a = original.BytesOf(id), b = other.BytesOf(id);
    if (a == b || a.empty() || b.empty()) continue;
    return Fail(ErrorCode::kInvalidArgument,
                "the vocabularies differ: token {} is '{}' in the original and '{}' in the other; "
                "only models of one vocabulary can be compared",
                id, ShownBytes(a), ShownBytes(b));
  }
  return {};
}

}  // namespace hadal
