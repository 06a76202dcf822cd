// Owns: checkpoints of published shapes with random weights, for benchmarks and planning.
// Seeded: the same shape, type and seed give the same bytes. Weights are scaled so that logits stay
// finite. The vocabulary is made up (bytes, filler tokens, the shape's control tokens at their
// published ids).
// Must not know kernels. Thread rule: free functions; Synthesise uses a pool of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "convert/weight_types.h"
#include "formats/model_config.h"

namespace hadal {

struct PublishedShape {
  std::string_view name;   // "r1-distill-qwen-1.5b"
  std::string_view title;  // "DeepSeek-R1-Distill-Qwen-1.5B"
  ModelConfig config;
  std::string_view vocabulary;  // which control tokens and pre-tokenizer
  bool fp8 = false;             // published in FP8
};
// Rows of the published models: dense (R1 distills, llm, coder) and MoE/MLA (MoE-16B ... V3.1).
std::span<const PublishedShape> PublishedShapes();
Result<PublishedShape> FindShape(std::string_view name);  // kInvalidArgument lists the names

struct SynthOptions {
  TypeChoice type;
  FileFormat format = FileFormat::kGguf;
  int64_t layers = 0;  // 0: as published; otherwise only the first so many
  uint64_t seed = 1;
  int threads = 1;
  std::function<void(uint64_t done_bytes, uint64_t all_bytes)> progress = {};
  const std::atomic<bool>* stop = nullptr;  // once true, it ends soon with kCancelled
};
// Atomic as Converter: kill -9 leaves nothing under `out`.
Status Synthesise(const PublishedShape& shape, const std::filesystem::path& out,
                  const SynthOptions& options);

}  // namespace hadal
