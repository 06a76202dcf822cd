// Owns: running one model over chunks of text and handing over the logits of every position.
// Thread rule: one thread; the backend fans out.
#pragma once

#include <filesystem>
#include <functional>
#include <span>

#include "base/error.h"
#include "measure/loss.h"
#include "measure/text_plan.h"

namespace hadal {

// Rows of one step: positions [first, first + rows) of one chunk.
struct LogitRows {
  size_t chunk = 0;
  size_t first = 0;
  std::span<const float> logits;  // [rows, vocab], all finite
  int64_t vocab = 0;
};

struct TextRunFacts {
  std::string backend;
  int64_t vocab = 0, context = 0, parameters = 0;
  uint64_t bytes = 0;  // of the weights in the file
};

struct TextRun {
  CpuBackendOptions backend;
  int64_t context = 0;  // longest chunk
  Progress progress;    // of loading and computing together
  // Before the first row. The chunks are asked for here, because they depend on the model's
  // context.
  std::function<Result<std::vector<TextChunk>>(const TextRunFacts&)> plan;
  std::function<Status(const LogitRows&)> take;
};

// Loads, runs and drops the model. kBadFile names the path when a logit is NaN or infinite.
Status RunText(const std::filesystem::path& path, const TextRun& run);

}  // namespace hadal
