#include "models/step_check.h"

#include <string_view>

namespace hadal {
namespace {

Status InRange(std::string_view what, std::span<const int32_t> values, int64_t end) {
  for (int32_t v : values) {
    if (v >= 0 && v < end) continue;
    return Fail(ErrorCode::kInvalidArgument, "a step holds {} {}; it must be in 0 .. {}", what, v,
                end - 1);
  }
  return {};
}

Status CheckChunk(const SeqChunk& chunk, int64_t first_row, int32_t n_blocks,
                  int32_t block_tokens) {
  if (chunk.first_row != first_row || chunk.n_rows < 1 || chunk.context < 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "a chunk of a step has first row {}, {} rows and context {}; the next row is {}",
                chunk.first_row, chunk.n_rows, chunk.context, first_row);
  }
  if (chunk.blocks == nullptr) return Fail(ErrorCode::kInvalidArgument, "a chunk has no blocks");
  const int64_t tokens = int64_t{chunk.context} + chunk.n_rows;
  const int64_t blocks = (tokens + block_tokens - 1) / block_tokens;
  return InRange("block", {chunk.blocks, static_cast<size_t>(blocks)}, n_blocks);
}

}  // namespace

Status CheckStep(const StepInput& step, const StepLimits& limits, int32_t n_blocks,
                 int32_t block_tokens) {
  const size_t rows = step.tokens.size();
  if (rows < 1 || static_cast<int64_t>(rows) > limits.max_rows) {
    return Fail(ErrorCode::kInvalidArgument, "a step has {} tokens; it must be 1 .. {}", rows,
                limits.max_rows);
  }
  if (static_cast<int64_t>(step.logit_rows.size()) > limits.max_logit_rows) {
    return Fail(ErrorCode::kInvalidArgument, "a step asks for the logits of {} rows; at most {}",
                step.logit_rows.size(), limits.max_logit_rows);
  }
  if (step.positions.size() != rows || step.slots.size() != rows) {
    return Fail(ErrorCode::kInvalidArgument,
                "a step of {} tokens has {} positions and {} slots; all must be equal", rows,
                step.positions.size(), step.slots.size());
  }
  HADAL_OK(InRange("token", step.tokens, limits.vocab));
  HADAL_OK(InRange("position", step.positions, limits.context));
  HADAL_OK(InRange("slot", step.slots, int64_t{n_blocks} * block_tokens));
  HADAL_OK(InRange("logit row", step.logit_rows, static_cast<int64_t>(rows)));
  int64_t next = 0;
  bool prompt = false;
  for (const SeqChunk& chunk : step.chunks) {
    HADAL_OK(CheckChunk(chunk, next, n_blocks, block_tokens));
    next += chunk.n_rows;
    if (prompt && !chunk.prompt) {
      return Fail(ErrorCode::kInvalidArgument, "a chunk of an answer follows one of a prompt");
    }
    prompt = chunk.prompt;
  }
  if (next == static_cast<int64_t>(rows)) return {};
  return Fail(ErrorCode::kInvalidArgument, "the chunks of a step cover {} of its {} rows", next,
              rows);
}

}  // namespace hadal
