#include "tokenizer/pre_tokenizer.h"

#include "tokenizer/utf8.h"

namespace hadal {
namespace {

constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

using Pieces = std::vector<std::string_view>;

// Appends the pieces of `text`. False when the matcher gave up; the rest is then one piece.
bool Cut(const Regex& regex, bool keep_matches, bool keep_gaps, std::string_view text,
         RegexMatcher& matcher, Pieces& out) {
  const auto put = [&](size_t begin, size_t end, bool keep) {
    if (keep && begin < end) out.push_back(text.substr(begin, end - begin));
  };
  size_t done = 0;  // everything before is cut
  size_t from = 0;  // where to search next
  while (from <= text.size()) {
    const RegexMatch m = matcher.Find(regex, text, from);
    if (m.outcome == RegexMatch::Outcome::kGaveUp) {
      put(done, text.size(), true);
      return false;
    }
    if (m.outcome == RegexMatch::Outcome::kNone) break;
    put(done, m.begin, keep_gaps);  // an empty match cuts, too
    put(m.begin, m.end, keep_matches);
    done = m.end;
    from = m.end;
    if (m.begin == m.end) {
      if (m.end == text.size()) break;
      from += ReadUtf8Char(text.substr(m.end)).length;
    }
  }
  put(done, text.size(), keep_gaps);
  return true;
}

}  // namespace

Result<PreTokenizer::Step> PreTokenizer::MakeStep(const SplitRule& rule) {
  HADAL_TRY(Regex regex, Regex::Compile(rule.pattern, rule.literal));
  return Step{std::move(regex), rule.behavior, rule.invert};
}

Result<PreTokenizer> PreTokenizer::Make(const PreTokenizerSpec& spec) {
  PreTokenizer result;
  for (const SplitRule& rule : spec.splits) {
    HADAL_TRY(Step step, MakeStep(rule));
    result.steps_.push_back(std::move(step));
  }
  if (spec.use_regex) {
    HADAL_TRY(Step step, MakeStep(SplitRule{.pattern = std::string(kGpt2Pattern)}));
    result.byte_level_.push_back(std::move(step));
  }
  result.add_prefix_space_ = spec.add_prefix_space;
  return result;
}

void PreTokenizer::Split(std::string_view text,
                         const std::function<void(std::string_view)>& sink) const {
  if (text.empty()) return;
  RegexMatcher matcher;
  bool gave_up = false;
  const auto run = [&](const Step& step, std::string_view piece, Pieces& out) {
    if (gave_up) return out.push_back(piece);
    const bool removed = step.behavior == SplitRule::Behavior::kRemoved;
    gave_up =
        !Cut(step.regex, !removed || step.invert, !removed || !step.invert, piece, matcher, out);
  };
  Pieces pieces{text}, next;
  for (const Step& step : steps_) {
    next.clear();
    for (const std::string_view piece : pieces) run(step, piece, next);
    pieces.swap(next);
  }
  if (!add_prefix_space_ && byte_level_.empty()) {
    for (const std::string_view piece : pieces) sink(piece);
    return;
  }
  std::string prefixed;
  for (std::string_view piece : pieces) {
    if (add_prefix_space_ && !piece.starts_with(' ')) {
      prefixed.assign(1, ' ').append(piece);
      piece = prefixed;
    }
    next.clear();
    if (byte_level_.empty()) {
      next.push_back(piece);
    } else {
      run(byte_level_.front(), piece, next);
    }
    for (const std::string_view word : next) sink(word);
  }
}

}  // namespace hadal
