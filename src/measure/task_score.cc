#include "measure/task_score.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "base/check.h"
#include "formats/json_text.h"

namespace hadal {
namespace {

constexpr size_t kMaxAnswerBytes = 1u << 20;

std::string_view Trimmed(std::string_view s) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = s.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(kSpace) - first + 1);
}

bool TextAsExpected(const Task& task, std::string_view answer) {
  if (!task.key.empty()) return answer.find(task.key) != std::string_view::npos;
  return Trimmed(answer) == Trimmed(task.expected);
}

// The first JSON object of the answer; what only looks like one ("{name}") is passed over. An
// answer without one has no fields.
nlohmann::json ObjectOf(std::string_view answer) {
  while (const auto text = FirstBraces(answer)) {
    auto parsed = ParseJson(*text, {.max_bytes = kMaxAnswerBytes, .max_depth = 64});
    if (parsed) return std::move(*parsed);
    answer.remove_prefix(static_cast<size_t>(text->data() + text->size() - answer.data()));
  }
  return nlohmann::json::object();
}

void CountFields(const Task& task, std::string_view answer, TaskScore& score) {
  const nlohmann::json object = ObjectOf(answer);
  score.fields += static_cast<int64_t>(task.fields.size());
  score.answered += static_cast<int64_t>(object.size());
  for (const auto& [name, value] : task.fields) {
    const auto got = object.find(name);
    if (got == object.end()) continue;
    // nlohmann compares 1 and 1.0 as numbers, strings byte by byte, objects without order.
    const auto want = nlohmann::json::parse(value, nullptr, false);
    if (!want.is_discarded() && *got == want) ++score.correct;
  }
}

}  // namespace

TaskScore ScoreTasks(std::span<const Task> tasks, std::span<const TaskAnswer> answers) {
  CHECK(tasks.size() == answers.size());
  TaskScore score;
  score.tasks = static_cast<int64_t>(tasks.size());
  for (size_t i = 0; i < tasks.size(); ++i) {
    score.cut += answers[i].cut ? 1 : 0;
    if (!tasks[i].fields.empty()) {
      CountFields(tasks[i], answers[i].content, score);
      continue;
    }
    ++score.texts;
    score.exact += TextAsExpected(tasks[i], answers[i].content) ? 1 : 0;
  }
  const int64_t both = score.fields + score.answered;
  if (score.fields > 0) {
    score.field_f1 = 2.0 * static_cast<double>(score.correct) / static_cast<double>(both);
  }
  return score;
}

std::optional<std::string_view> FirstBraces(std::string_view text) {
  const size_t start = text.find('{');
  if (start == std::string_view::npos) return std::nullopt;
  int64_t depth = 0;
  bool in_string = false;
  for (size_t i = start; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return text.substr(start, i - start + 1);
    }
  }
  return std::nullopt;
}

}  // namespace hadal
