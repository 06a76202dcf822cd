// hadal logits: the logits of every position of a token sequence, for comparison with a reference.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/file.h"
#include "cli/assemble.h"
#include "cli/commands.h"
#include "formats/json_text.h"
#include "formats/safetensors.h"

namespace hadal::cli {
namespace {

constexpr size_t kMaxIdsBytes = 64u << 20;

Result<std::vector<TokenId>> ReadIds(const std::string& path, int64_t vocab) {
  HADAL_TRY(const std::string text, ReadFile(path, kMaxIdsBytes));
  const auto j = ParseJson(text, {.max_bytes = kMaxIdsBytes, .max_depth = 4});
  if (!j) return tl::make_unexpected(j.error().In(path));
  if (!j->is_array() || j->empty()) {
    return Fail(ErrorCode::kBadFile, "{}: expected a JSON array of token ids, such as [1, 2]",
                path);
  }
  std::vector<TokenId> ids;
  for (const auto& e : *j) {
    if (!e.is_number_integer() || e.get<double>() < 0 ||
        e.get<double>() >= static_cast<double>(vocab)) {
      return Fail(ErrorCode::kBadFile, "{}: id {} at position {} is outside 0..{}", path, e.dump(),
                  ids.size(), vocab - 1);
    }
    ids.push_back(e.get<TokenId>());
  }
  return ids;
}

// Runs ids through one sequence in chunks; out is [ids.size(), vocab].
Status RunChunks(const LoadedModel& loaded, std::span<const TokenId> ids, int64_t chunk,
                 std::vector<float>& out) {
  constexpr int32_t kBlockTokens = 16;
  const auto n = static_cast<int32_t>(ids.size());
  const int32_t n_blocks = (n + kBlockTokens - 1) / kBlockTokens;
  HADAL_TRY(auto kv, KvStorage::Allocate(*loaded.backend, loaded.model->kv_layout(), n_blocks,
                                         kBlockTokens));
  std::vector<int32_t> blocks(static_cast<size_t>(n_blocks)), indices(ids.size());
  std::iota(blocks.begin(), blocks.end(), 0);
  std::iota(indices.begin(), indices.end(), 0);
  const int64_t vocab = loaded.model->info().vocab;
  for (int32_t at = 0; at < n;) {
    const auto rows = static_cast<int32_t>(std::min<int64_t>(chunk, n - at));
    const SeqChunk part{0, rows, at, blocks.data(), true};
    const std::span<const int32_t> index(indices);
    const auto first = static_cast<size_t>(at), count = static_cast<size_t>(rows);
    StepInput step;
    step.tokens = ids.subspan(first, count);
    step.positions = index.subspan(first, count);
    step.slots = index.subspan(first, count);  // blocks are 0, 1, 2, ...: slot = position
    step.chunks = {&part, 1};
    step.logit_rows = index.first(count);
    HADAL_OK(loaded.model->Forward(step, *kv, out.data() + at * vocab));
    at += rows;
  }
  return {};
}

Status Run(const Shared& shared, const LogitsOptions& options) {
  LoadOptions load;
  load.max_step_tokens = load.max_logit_rows = options.chunk;
  HADAL_TRY(const LoadedModel loaded,
            LoadConfiguredModel(ForComparison(shared.config), load, false));
  const int64_t vocab = loaded.model->info().vocab;
  HADAL_TRY(const auto ids, ReadIds(options.ids_path, vocab));
  const auto n = static_cast<int64_t>(ids.size());
  if (n > loaded.model->info().context) {
    return Fail(ErrorCode::kContextLengthExceeded, "{} ids are given; the model's context is {}", n,
                loaded.model->info().context);
  }
  std::vector<float> logits(static_cast<size_t>(n * vocab),
                            std::numeric_limits<float>::quiet_NaN());
  HADAL_OK(RunChunks(loaded, ids, options.chunk, logits));
  const TensorToWrite tensor{"logits", DType::kF32, Shape{n, vocab},
                             std::as_bytes(std::span(logits))};
  return WriteSafetensors(options.out_path, {&tensor, 1});
}

}  // namespace

int Logits(const Shared& shared, const LogitsOptions& options) {
  const Status status = Run(shared, options);
  return status ? 0 : PrintError(shared, status.error());
}

}  // namespace hadal::cli
