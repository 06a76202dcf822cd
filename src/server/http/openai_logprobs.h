// Owns: log probabilities in the two shapes of OpenAI's API. Thread rule: values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "api/types.h"
#include "server/json_body.h"

namespace hadal::server {

using OrderedJson = Json;  // members in the order of the documentation

// Chat: [{"token","logprob","bytes","top_logprobs":[...]}, ...]. `token` shows half a character as
// U+FFFD; `bytes` is exact.
OrderedJson ChatLogprobs(std::span<const api::TokenLogprob> tokens);

// Text completions: four parallel arrays. Half a character is written "bytes:\xe4", as OpenAI does,
// so that two different tokens never share a key in top_logprobs.
class TextLogprobs {
 public:
  // `offset_characters`: how many characters (Unicode scalar values) of text came before.
  explicit TextLogprobs(int64_t offset_characters = 0) : offset_(offset_characters) {}
  OrderedJson Add(std::span<const api::TokenLogprob> tokens);  // continues the offsets

 private:
  int64_t offset_;
};

// Scalar values in UTF-8 text; a character split over two strings is counted once.
int64_t CountCharacters(std::string_view utf8);

}  // namespace hadal::server
