// Owns: answering evaluation tasks with a model, through the same service that serves callers.
// Thread rule: free functions; the service has its own threads.
#pragma once

#include "config/config.h"
#include "measure/loss.h"

namespace hadal::cli {

// Greedy answers of at most max_tokens (fewer where the context ends), as many tasks at a time as
// engine.max_sequences. Errors name the task's line; kCancelled: *stop became true.
AnswerTasks AnswersOf(const Config& config, int64_t max_tokens,
                      const std::atomic<bool>* stop = nullptr);

}  // namespace hadal::cli
