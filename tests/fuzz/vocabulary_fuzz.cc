// Input: the header of a GGUF file. Its vocabulary is made a tokenizer; what is accepted must be
// accepted by the reader of tokenizer.json too, encode any text, and survive being written again.
#include <cstdlib>
#include <span>

#include "tokenizer/gguf_vocabulary.h"

namespace {

constexpr hadal::TokenizerLimits kLimits{.max_vocab = 4096, .max_pattern_bytes = 4096};

void CheckEncodes(const hadal::Tokenizer& tokenizer) {
  using Special = hadal::Tokenizer::Special;
  for (const auto special : {Special::kAsText, Special::kRecognise}) {
    for (const char* text : {"abab <s>12 你好\n", "Führer's <|x|>", "\xFF\xC3"}) {
      for (const hadal::TokenId id : tokenizer.Encode(text, special)) {
        if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto header = hadal::ParseGgufHeader(std::as_bytes(std::span(data, size)),
                                             {.max_metadata_bytes = 1u << 20});
  if (!header) return 0;
  const auto texts = hadal::TokenizerTextsOfGguf(header->metadata, kLimits);
  if (!texts) return 0;
  const auto tokenizer =
      hadal::Tokenizer::Parse(texts->tokenizer_json, texts->config_json, kLimits);
  if (!tokenizer) {
    // Only what the metadata cannot be asked alone: a token for every byte.
    if (tokenizer.error().field != "model.vocab") std::abort();
    return 0;
  }
  CheckEncodes(**tokenizer);
  hadal::GgufMetadata again;
  const auto written =
      hadal::AddGgufVocabulary(*texts, (*tokenizer)->vocab_size(), &again, kLimits);
  if (!written) {
    if (written.error().field != "model.vocab") std::abort();  // a gap whose name is taken
    return 0;
  }
  const auto back = hadal::TokenizerTextsOfGguf(again, kLimits);
  if (!back) std::abort();
  return 0;
}
