// Owns: one pre-tokenizer pattern, compiled by PCRE2 so that it matches what Oniguruma (the engine
// of the reference tokenizer) would. Knows nothing of tokens.
// Constructs that the two engines read differently are rewritten (\s, \w) or refused (set
// intersection, nested sets, \h, \b, possessive {n,m}+, other inline flags, verbs).
// Thread rule: Regex is immutable and shared; a Matcher belongs to one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;
struct pcre2_real_jit_stack_8;

namespace hadal {

class Regex {
 public:
  // literal: the pattern is plain text. kBadFile or kUnsupportedModel with the reason and offset.
  static Result<Regex> Compile(std::string_view pattern, bool literal);

  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };

 private:
  friend class RegexMatcher;
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

struct RegexMatch {
  enum class Outcome {
    kFound,
    kNone,
    kGaveUp  // a limit was hit: the pattern needs too many steps on this text
  };
  Outcome outcome = Outcome::kNone;
  size_t begin = 0, end = 0;
};

class RegexMatcher {
 public:
  RegexMatcher();
  // First match of `regex` in `text` at or after `offset`. `text` must be valid UTF-8 and `offset`
  // a character boundary.
  RegexMatch Find(const Regex& regex, std::string_view text, size_t offset);

 private:
  struct Free {
    void operator()(pcre2_real_match_data_8* p) const;
    void operator()(pcre2_real_match_context_8* p) const;
    void operator()(pcre2_real_jit_stack_8* p) const;
  };
  std::unique_ptr<pcre2_real_match_data_8, Free> data_;
  std::unique_ptr<pcre2_real_match_context_8, Free> context_;
  std::unique_ptr<pcre2_real_jit_stack_8, Free> jit_stack_;  // made when the machine stack is short
};

// The pattern as PCRE2 must see it. Exposed for tests.
Result<std::string> TranslatePattern(std::string_view pattern);

}  // namespace hadal
