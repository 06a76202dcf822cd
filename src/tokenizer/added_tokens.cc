#include "tokenizer/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "tokenizer/utf8.h"

namespace hadal {
namespace {

bool IsSpace(uint32_t c) {
  if ((c >= 0x09 && c <= 0x0D) || c == 0x85) return true;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

// Alphabetic, marks, decimal digits, connectors, joiners. Enclosed letters (category So) are left
// out: none touches a published single_word token.
bool IsWordCharacter(uint32_t c) {
  if (c == 0x200C || c == 0x200D) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

// Start of the last character before `end`.
size_t PreviousStart(std::string_view text, size_t end) {
  size_t start = end - 1;
  while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
  return start;
}

bool TouchesWord(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 &&
      IsWordCharacter(ReadUtf8Char(text.substr(PreviousStart(text, begin))).code_point)) {
    return true;
  }
  return end < text.size() && IsWordCharacter(ReadUtf8Char(text.substr(end)).code_point);
}

size_t SkipSpacesLeft(std::string_view text, size_t begin, size_t limit) {
  while (begin > limit) {
    const size_t start = PreviousStart(text, begin);
    if (start < limit || !IsSpace(ReadUtf8Char(text.substr(start)).code_point)) break;
    begin = start;
  }
  return begin;
}

size_t SkipSpacesRight(std::string_view text, size_t end) {
  while (end < text.size()) {
    const Utf8Char c = ReadUtf8Char(text.substr(end));
    if (!IsSpace(c.code_point)) break;
    end += c.length;
  }
  return end;
}

}  // namespace

void AddedTokenMatcher::Seal() {
  std::sort(tokens_.begin(), tokens_.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  for (size_t byte = 0; byte <= 256; ++byte) {
    const auto it = std::partition_point(tokens_.begin(), tokens_.end(), [&](const AddedToken& t) {
      return static_cast<unsigned char>(t.content.front()) < byte;
    });
    bucket_[byte] = static_cast<uint32_t>(it - tokens_.begin());
  }
}

// Narrows the range of tokens that share the text's first `depth` bytes; within it the token that
// ends at this depth sorts first.
const AddedToken* AddedTokenMatcher::LongestAt(std::string_view text, size_t at) const {
  const auto first = static_cast<unsigned char>(text[at]);
  auto begin = tokens_.begin() + bucket_[first];
  auto end = tokens_.begin() + bucket_[first + 1];
  const AddedToken* longest = nullptr;
  for (size_t depth = 1; begin != end; ++depth) {
    if (begin->content.size() == depth) {
      longest = &*begin;
      ++begin;
    }
    if (at + depth >= text.size()) break;
    const auto byte = static_cast<unsigned char>(text[at + depth]);
    const auto byte_of = [&](const AddedToken& t) {
      return static_cast<unsigned char>(t.content[depth]);
    };
    begin = std::partition_point(begin, end, [&](const auto& t) { return byte_of(t) < byte; });
    end = std::partition_point(begin, end, [&](const auto& t) { return byte_of(t) == byte; });
  }
  return longest;
}

void AddedTokenMatcher::Split(std::string_view text, std::vector<Part>& out) const {
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at]);
    const bool candidate = bucket_[first] != bucket_[first + 1];
    const AddedToken* token = candidate ? LongestAt(text, at) : nullptr;
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t begin = at;
    size_t end = at + token->content.size();
    at = end;
    if (token->single_word && TouchesWord(text, begin, end)) continue;
    if (token->lstrip) begin = SkipSpacesLeft(text, begin, done);
    if (token->rstrip) end = SkipSpacesRight(text, end);
    if (done < begin) out.push_back({text.substr(done, begin - done), -1});
    out.push_back({text.substr(begin, end - begin), token->id});
    done = at = end;
  }
  if (done < text.size()) out.push_back({text.substr(done), -1});
}

}  // namespace hadal
