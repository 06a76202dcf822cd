#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace hadal {
namespace {

// Steps for one match. The published patterns need one per character of the matched run.
constexpr uint32_t kMatchLimit = 50'000'000;
constexpr uint32_t kHeapLimitKib = 256 * 1024;  // interpreter only
constexpr size_t kJitStackMin = 64 * 1024;
constexpr size_t kJitStackMax = 32 * 1024 * 1024;

std::string MessageOf(int code) {
  PCRE2_UCHAR buffer[256];
  const int n = pcre2_get_error_message(code, buffer, sizeof buffer);
  return n < 0 ? fmt::format("error {}", code)
               : std::string(reinterpret_cast<const char*>(buffer), static_cast<size_t>(n));
}

}  // namespace

void Regex::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }
void RegexMatcher::Free::operator()(pcre2_real_match_data_8* p) const { pcre2_match_data_free(p); }
void RegexMatcher::Free::operator()(pcre2_real_match_context_8* p) const {
  pcre2_match_context_free(p);
}
void RegexMatcher::Free::operator()(pcre2_real_jit_stack_8* p) const { pcre2_jit_stack_free(p); }

Result<Regex> Regex::Compile(std::string_view pattern, bool literal) {
  std::string translated(pattern);
  if (!literal) {
    HADAL_TRY(translated, TranslatePattern(pattern));
  }
  std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  if (!context) return Fail(ErrorCode::kOutOfMemory, "no memory for a pattern");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), 100);
  // In the reference's syntax ^ and $ always stand for line ends.
  const uint32_t options =
      PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
  int code = 0;
  PCRE2_SIZE offset = 0;
  Regex regex;
  regex.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()),
                                  translated.size(), options, &code, &offset, context.get()));
  if (!regex.code_) {
    return Fail(ErrorCode::kBadFile, "pattern \"{}\" is not a regular expression: {} at offset {}",
                pattern.substr(0, 200), MessageOf(code), offset);
  }
  // Where JIT is unavailable the interpreter gives the same matches.
  pcre2_jit_compile(regex.code_.get(), PCRE2_JIT_COMPLETE);
  return regex;
}

RegexMatcher::RegexMatcher()
    : data_(pcre2_match_data_create(1, nullptr)), context_(pcre2_match_context_create(nullptr)) {
  if (!context_) return;
  pcre2_set_match_limit(context_.get(), kMatchLimit);
  pcre2_set_heap_limit(context_.get(), kHeapLimitKib);
}

RegexMatch RegexMatcher::Find(const Regex& regex, std::string_view text, size_t offset) {
  if (!data_ || !context_) return {RegexMatch::Outcome::kGaveUp, 0, 0};
  const auto match = [&] {
    return pcre2_match(regex.code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                       offset, PCRE2_NO_UTF_CHECK, data_.get(), context_.get());
  };
  int rc = match();
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !jit_stack_) {
    jit_stack_.reset(pcre2_jit_stack_create(kJitStackMin, kJitStackMax, nullptr));
    pcre2_jit_stack_assign(context_.get(), nullptr, jit_stack_.get());
    rc = match();
  }
  if (rc == PCRE2_ERROR_NOMATCH) return {RegexMatch::Outcome::kNone, 0, 0};
  if (rc < 0) return {RegexMatch::Outcome::kGaveUp, 0, 0};
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data_.get());
  return {RegexMatch::Outcome::kFound, range[0], range[1]};
}

}  // namespace hadal
