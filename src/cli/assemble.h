// Owns: how the parts are put together from the configuration, bottom up. Used by every command
// that runs a model; serve.cc adds the front end.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cli/memory_plan.h"
#include "config/config.h"
#include "engine/engine.h"
#include "kernels/backend.h"
#include "kernels/timed_backend.h"
#include "models/model.h"
#include "service/chat_service.h"

namespace hadal::cli {

// The configured model, or the built-in one beside the binary.
std::filesystem::path ModelDirectory(const Config& config);
// Where tokenizer.json is: the model's directory.
std::filesystem::path TokenizerDirectory(const Config& config);
// What the tokenizer is loaded from: a GGUF file holds its own, else TokenizerDirectory.
std::filesystem::path TokenizerPath(const Config& config);
std::string ModelName(const Config& config);  // model.name, "hadal-demo", or the directory's name

Result<Isa> IsaOf(const Config& config);  // cpu.isa, with auto resolved
int ThreadsOf(const Config& config);      // cpu.threads, with 0 resolved
Result<CpuBackendOptions> BackendOptionsOf(const Config& config);
// For numbers that are compared with others: engine.device = auto is the CPU, which rounds less.
Config ForComparison(Config config);

// What speculation.kind asks of a load and of an engine; auto is the model's own layer where there
// is one.
DraftLayerUse DraftLayerOf(const Config& config);
Speculation SpeculationOf(const Config& config, const Model& model);
// Rows of logits for `sequences` answers at once: one each, and those of guesses.
int64_t LogitRows(const Config& config, int64_t sequences);

// A model being loaded: where its bytes are, how far the load is.
struct LoadedModel {
  std::unique_ptr<Backend> backend;  // outlives the model
  std::unique_ptr<Model> model;
  TimedBackend* timed = nullptr;    // the backend, when a profile was asked for
  std::optional<Error> why_no_gpu;  // of engine.device = auto: why it is the CPU's backend
};
// show_progress: a bar with ETA on stderr when it is a terminal and the load takes long.
Result<LoadedModel> LoadConfiguredModel(const Config& config, const LoadOptions& options,
                                        bool show_progress, bool timed = false);

// Text service over the configured model. Destroying it stops the engine first.
struct Assembly {
  LoadedModel loaded;
  MemoryPlan plan;
  std::unique_ptr<ChatService> service;
};
// Computes one token as a request would: whether the model works, and the weights are warm then.
Status ComputeOneToken(const LoadedModel& loaded);
// On a GPU: computes the largest steps the engine may ask for, so that all work space is taken
// before the cache is planned and nothing is allocated later.
Status TakeWorkSpace(const Config& config, const LoadedModel& loaded);
Result<std::unique_ptr<Assembly>> Assemble(const Config& config, bool show_progress);

}  // namespace hadal::cli
