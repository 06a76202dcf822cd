// Owns: what a model is measured on: texts, and tasks with expected answers; the built-in texts and
// the JSON Lines that users bring. Must not know models.
// Thread rule: free functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/types.h"
#include "base/error.h"

namespace hadal {

// One line of a data file: what is asked, and what is expected. Exactly one of expected, key and
// fields is set.
struct Task {
  int64_t line = 0;      // in its file, from 1
  api::Request request;  // the prompt only
  std::string expected;  // the answer, apart from white space around it
  std::string key;       // text that the answer must hold
  std::vector<std::pair<std::string, std::string>> fields;  // expected fields, as JSON texts
};

struct EvaluationText {
  std::string text;
  bool special_tokens = false;  // strings of special tokens are those tokens, not text
};

struct EvaluationData {
  std::string name;  // "built-in text 1" or the file's name
  std::vector<EvaluationText> texts;
  std::vector<Task> tasks;
};

struct EvaluationLimits {
  size_t max_file_bytes = 64u << 20;
  size_t max_line_bytes = 4u << 20;
  size_t max_lines = 100'000;
  int max_depth = 64;
};

// JSON Lines. A line is
//   {"text": "..."}: evaluation text; with "special_tokens": true strings such as <think> are the
//   vocabulary's special tokens (for conversations as a model reads them); or a task:
//   {"messages": [{"role": "user", "content": "..."}], ...}  or {"prompt": "..."} (plain
//   continuation) or {"question": "..."} (one user message), with
//   "expected": "text" or {field: value}, or "key": "text that the answer must hold", and
//   "thinking": true or false (optional).
// Other keys are the file's own business. kBadFile names line and field.
Result<EvaluationData> ReadEvaluationData(const std::filesystem::path& jsonl,
                                          const EvaluationLimits& limits = {});
// Its text; name as in messages.
Result<EvaluationData> ParseEvaluationData(std::string_view jsonl, std::string_view name,
                                           const EvaluationLimits& limits = {});
// Prose, dialogue, code, JSON and mathematics in English and Chinese, written for this purpose.
EvaluationData BuiltInEvaluationData();

}  // namespace hadal
