// Owns: cutting text into the words that byte-pair merging works on: split rules in sequence, then
// the byte-level step. Knows nothing of ids or JSON.
// Thread rule: immutable after Make; Split may be called from any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tokenizer/regex.h"

namespace hadal {

// One Split entry of tokenizer.json. Text between matches is kept as pieces of its own.
struct SplitRule {
  enum class Behavior { kIsolated, kRemoved };
  std::string pattern;
  bool literal = false;  // {"String": ...} instead of {"Regex": ...}
  Behavior behavior = Behavior::kIsolated;
  bool invert = false;  // kRemoved only: drop what does not match
  bool operator==(const SplitRule&) const = default;
};

struct PreTokenizerSpec {
  std::vector<SplitRule> splits;
  bool add_prefix_space = false;  // before each piece that does not begin with a space
  bool use_regex = false;         // GPT-2's pattern as a last split
  bool operator==(const PreTokenizerSpec&) const = default;
};

class PreTokenizer {
 public:
  static Result<PreTokenizer> Make(const PreTokenizerSpec& spec);

  // Calls sink(word) in order. The words lie in `text` (valid UTF-8) unless adds_prefix_space().
  // A rule whose pattern exceeds its step limit leaves the rest of that piece, and all later
  // pieces of this call, uncut: the text is still encoded, into other tokens.
  void Split(std::string_view text, const std::function<void(std::string_view)>& sink) const;

  bool adds_prefix_space() const { return add_prefix_space_; }

 private:
  struct Step {
    Regex regex;
    SplitRule::Behavior behavior;
    bool invert;
  };
  static Result<Step> MakeStep(const SplitRule& rule);

  std::vector<Step> steps_;
  std::vector<Step> byte_level_;  // empty or one
  bool add_prefix_space_ = false;
};

}  // namespace hadal
