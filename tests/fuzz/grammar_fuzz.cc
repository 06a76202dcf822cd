// Constraints from hostile sources, and walks under those that compile. Input: a byte of kind and
// options, a byte that steers the walk, then the source. Beside memory errors it looks for refusals
// without a reason, masks that differ from what Accept does, dead ends, and roll-backs that do not
// restore the mask.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "grammar/constraint_cache.h"
#include "grammar/matcher.h"

namespace {

using namespace hadal::grammar;

void Require(bool condition) {
  if (!condition) std::abort();
}

// All bytes, some words, a token that is never allowed and one that stops.
const std::shared_ptr<const TokenTrie>& Vocabulary() {
  static const std::shared_ptr<const TokenTrie> trie = [] {
    std::vector<std::string> all;
    for (int byte = 0; byte < 256; ++byte) all.emplace_back(1, static_cast<char>(byte));
    for (const char* word : {"\":", "\", \"", "{\"", "\"}", "}}", "]}", "null", "true", "12", "0.5",
                             "\\u", "ab", "aa", "\xC3", "你", "\n  ", "  ", "[]", "abc"}) {
      all.emplace_back(word);
    }
    all.emplace_back();
    all.emplace_back();
    const std::vector<std::string_view> views(all.begin(), all.end());
    const std::vector<hadal::TokenId> stops{static_cast<hadal::TokenId>(all.size() - 1)};
    return *TokenTrie::Build(views, stops);
  }();
  return trie;
}

bool IsSet(const std::vector<uint64_t>& mask, hadal::TokenId id) {
  return (mask[static_cast<size_t>(id) / 64] >> (static_cast<uint32_t>(id) % 64) & 1) != 0;
}

void Walk(const std::shared_ptr<const Constraint>& constraint, uint32_t random) {
  Matcher matcher(constraint);
  std::vector<uint64_t> mask(matcher.n_words()), again(matcher.n_words());
  const auto size = static_cast<hadal::TokenId>(Vocabulary()->vocab_size());
  for (int step = 0; step < 12; ++step) {
    // A dead end is impossible: every byte is a token. Limits may be hit.
    if (!matcher.FillMask(mask)) return;
    std::vector<hadal::TokenId> allowed;
    for (hadal::TokenId id = 0; id < size; ++id) {
      const auto ok = matcher.Accept(id);
      if (!ok) return;
      Require(*ok == IsSet(mask, id));
      if (*ok) {
        allowed.push_back(id);
        matcher.Rollback(1);
      }
    }
    Require(!allowed.empty());
    Require(matcher.FillMask(again).has_value() && mask == again);
    random = random * 1664525 + 1013904223;
    Require(*matcher.Accept(allowed[(random >> 8) % allowed.size()]));
    if (matcher.IsFinished()) return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  if (size > 1024) return 0;  // longer sources find nothing new, only slowly
  Limits limits;
  limits.max_states = 4096;
  limits.max_steps = 300'000;
  limits.max_configurations = 128;
  limits.max_stack_frames = 1u << 14;
  limits.max_mask_steps = 200'000;
  limits.max_mask_bytes = 1u << 16;
  const ConstraintSource source{static_cast<ConstraintKind>(data[0] & 3),
                                text,
                                {.space = data[0] & 4 ? JsonSpace::kNone : JsonSpace::kFlexible,
                                 .open_objects = (data[0] & 8) != 0,
                                 .ignore_unknown_keywords = (data[0] & 16) != 0,
                                 .ignore_unknown_formats = (data[0] & 32) != 0}};
  const auto automaton = Compile(source, limits);
  if (!automaton) {
    Require(automaton.error().code == hadal::ErrorCode::kInvalidArgument);
    Require(!automaton.error().message.empty());
    return 0;
  }
  Walk(std::make_shared<const Constraint>(*automaton, Vocabulary(), limits), data[1]);
  return 0;
}
