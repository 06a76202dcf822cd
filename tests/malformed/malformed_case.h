// Owns: what one malformed file is: its name, which says what is wrong, the bytes, who reads it and
// what must come of it. Tests only. Thread rule: values.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace hadal::malformed {

enum class Reader {
  kGguf,         // GgufFile::Open
  kSafetensors,  // SafetensorsFile::Open
  kModel,        // OpenModelFiles, then LoadModel
  kTokenizer,    // Tokenizer::Load
};

enum class Must {
  kBeRefused,            // with a reason
  kBeRefusedWithOffset,  // and the byte of the file
  kNotCrash,             // damage that may be harmless
};

using Files = std::vector<std::pair<std::string, std::string>>;  // name, bytes

struct Case {
  std::string name;
  Reader reader;
  Must must;
  std::string open;             // of the files; "" opens their directory
  std::function<Files()> make;  // on demand: some are large
};

using Cases = std::vector<Case>;

Cases GgufContainerCases();
Cases GgufSplitCases();
Cases GgufModelCases();
Cases VocabularyCases();
Cases SafetensorsCases();
Cases ConfigCases();
Cases IndexCases();
Cases TokenizerCases();
Cases FlipCases();

}  // namespace hadal::malformed
