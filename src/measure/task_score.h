// Owns: comparing answers with what was expected of them.
// Must not know models. Thread rule: pure functions.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "measure/loss.h"

namespace hadal {

// answers[i] belongs to tasks[i].
TaskScore ScoreTasks(std::span<const Task> tasks, std::span<const TaskAnswer> answers);

// From the first '{' to the '}' that closes it: "Sure: {"a": 1}." gives {"a": 1}. Braces inside
// JSON strings do not count. Linear in the text.
std::optional<std::string_view> FirstBraces(std::string_view text);

}  // namespace hadal
