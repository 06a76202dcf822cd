#include "cli/assemble.h"

#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "base/file.h"
#include "chat/chat_format.h"
#include "cli/terminal.h"
#include "engine/engine.h"
#include "engine/model_runner.h"
#include "formats/gguf.h"
#include "formats/model_files.h"
#include "service/local_chat_service.h"
#include "tokenizer/tokenizer.h"

namespace hadal::cli {
namespace {

namespace fs = std::filesystem;

// models/demo of the source tree or of an installation, seen from the binary.
fs::path BuiltInModel() {
  std::error_code ignored;
  const fs::path here = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const char* candidate : {"../../models/demo", "../share/hadal/models/demo"}) {
    const fs::path path = (here / candidate).lexically_normal();
    if (fs::exists(path / "config.json", ignored)) return path;
  }
  return here / "../../models/demo";
}

EngineOptions EngineOptionsOf(const Config& config, const Model& model, const MemoryPlan& plan) {
  EngineOptions options;
  options.max_sequences = static_cast<int32_t>(config.engine.max_sequences);
  options.max_queued = static_cast<int32_t>(config.engine.max_queued);
  options.max_step_tokens = static_cast<int32_t>(config.engine.max_step_tokens);
  options.prefill_chunk = static_cast<int32_t>(config.engine.prefill_chunk);
  options.context = plan.context;
  options.prefix_cache = config.engine.prefix_cache;
  options.speculation = SpeculationOf(config, model);
  options.max_draft = static_cast<int32_t>(config.speculation.max_draft);
  return options;
}

Result<FormatSource> ChatFormatOf(const Config& config) {
  constexpr size_t kMaxTemplateBytes = 1 << 20;
  FormatSource source;
  if (NamesChatFormat(config)) {
    source.kind = FormatSource::Kind::kNamed;
    source.text = config.model.chat_template;
  } else if (NamesTemplateFile(config)) {
    source.kind = FormatSource::Kind::kTemplate;
    HADAL_TRY(source.text, ReadFile(config.model.chat_template, kMaxTemplateBytes));
  } else if (config.model.chat_template == "checkpoint") {
    source.kind = FormatSource::Kind::kCheckpoint;
  }
  return source;
}

}  // namespace

fs::path ModelDirectory(const Config& config) {
  return config.model.path.empty() ? BuiltInModel() : fs::path(config.model.path);
}

fs::path TokenizerDirectory(const Config& config) {
  const fs::path path = ModelDirectory(config);
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) ? path.parent_path() : path;
}

fs::path TokenizerPath(const Config& config) {
  fs::path path = ModelDirectory(config);
  return IsGguf(path) ? path : TokenizerDirectory(config);
}

std::string ModelName(const Config& config) {
  if (!config.model.name.empty()) return config.model.name;
  if (config.model.path.empty()) return "hadal-demo";
  const fs::path path = fs::path(config.model.path).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

Result<Isa> IsaOf(const Config& config) {
  return config.cpu.isa == "auto" ? Result<Isa>(BestIsa()) : ParseIsa(config.cpu.isa);
}

int ThreadsOf(const Config& config) {
  return config.cpu.threads > 0 ? static_cast<int>(config.cpu.threads) : UsableCpus();
}

DType KvDTypeOf(std::string_view name) {
  if (name == "fp8") return DType::kF8E4M3;
  return name == "f32" ? DType::kF32 : DType::kBf16;
}

Result<CpuBackendOptions> BackendOptionsOf(const Config& config) {
  CpuBackendOptions options;
  HADAL_TRY(options.isa, IsaOf(config));
  HADAL_TRY(options.weights, ParseWeightFormat(config.cpu.weights));
  options.threads = ThreadsOf(config);
  options.exact_prompts = config.cpu.exact_prompts;
  options.kv_dtype = KvDTypeOf(config.cpu.kv_dtype);
  return options;
}

Result<CudaBackendOptions> CudaOptionsOf(const Config& config) {
  CudaBackendOptions options;
  options.device = static_cast<int>(config.cuda.card);
  HADAL_TRY(options.weights, ParseWeightFormat(config.cuda.weights));
  options.kv_dtype = KvDTypeOf(config.cuda.kv_dtype);
  if (config.cuda.prompts == "exact") options.prompts = PromptRounding::kExact;
  if (config.cuda.prompts == "rounded") options.prompts = PromptRounding::kRounded;
  options.round_answers = config.cuda.answers == "rounded";
  options.graphs = config.cuda.graphs;
  options.threads = ThreadsOf(config);
  HADAL_TRY(options.host, BackendOptionsOf(config));
  return options;
}

namespace {

// Of engine.device. auto: a GPU where one can be used, else the CPU.
Status MakeBackend(const Config& config, LoadedModel& loaded) {
  const std::string& device = config.engine.device;
  if (device != "cpu") {
    HADAL_TRY(const CudaBackendOptions options, CudaOptionsOf(config));
    auto backend =
        device == "cuda_emulated" ? NewEmulatedCudaBackend(options) : NewCudaBackend(options);
    const bool usable = backend || (backend.error().code != ErrorCode::kNoGpu &&
                                    backend.error().code != ErrorCode::kGpuNotInBuild);
    if (device != "auto" || usable) {
      HADAL_TRY(loaded.backend, std::move(backend));
      return {};
    }
    loaded.why_no_gpu = backend.error();
  }
  HADAL_TRY(const CpuBackendOptions options, BackendOptionsOf(config));
  HADAL_TRY(loaded.backend, NewCpuBackend(options));
  return {};
}

}  // namespace

Config ForComparison(Config config) {
  if (config.engine.device == "auto") config.engine.device = "cpu";
  return config;
}

DraftLayerUse DraftLayerOf(const Config& config) {
  if (config.speculation.kind == "mtp") return DraftLayerUse::kRequired;
  return config.speculation.kind == "auto" ? DraftLayerUse::kIfPresent : DraftLayerUse::kNever;
}

Speculation SpeculationOf(const Config& config, const Model& model) {
  if (config.speculation.kind == "off") return Speculation::kOff;
  return model.info().drafts ? Speculation::kMtp : Speculation::kNgram;
}

int64_t LogitRows(const Config& config, int64_t sequences) {
  return sequences + (config.speculation.kind == "off" ? 0 : config.speculation.max_draft);
}

Result<LoadedModel> LoadConfiguredModel(const Config& config, const LoadOptions& options,
                                        bool show_progress, bool timed) {
  HADAL_OK(CheckFiles(config));
  LoadedModel loaded;
  HADAL_OK(MakeBackend(config, loaded));
  if (timed) {
    auto wrapped = std::make_unique<TimedBackend>(std::move(loaded.backend));
    loaded.timed = wrapped.get();
    loaded.backend = std::move(wrapped);
  }
  LoadOptions all = options;
  if (loaded.backend->FreeBytes()) {
    HADAL_TRY(all.host_experts, HostExpertsOf(config));
  } else {
    HADAL_TRY(all.weight_memory, WeightMemory(config));
  }
  if (show_progress) all.progress = ProgressBar("loading");
  auto model = LoadModel(ModelDirectory(config), *loaded.backend, all);
  if (!model && model.error().code == ErrorCode::kOutOfMemory && loaded.backend->FreeBytes() &&
      config.engine.device == "auto") {
    model.error().message += "; --device cpu does not use the GPU";
  }
  HADAL_TRY(loaded.model, std::move(model));
  return loaded;
}

namespace {

constexpr int32_t kBlockTokens = 16;

// `sequences` chunks of n tokens each, all token 0 from position 0 on, as prompts or answers.
Status ComputeTokens(const LoadedModel& loaded, int32_t sequences, int32_t n, bool prompt) {
  Model& model = *loaded.model;
  const int32_t blocks = (n + kBlockTokens - 1) / kBlockTokens;
  HADAL_TRY(const auto kv, KvStorage::Allocate(*loaded.backend, model.kv_layout(),
                                               blocks * sequences, kBlockTokens));
  std::vector<int32_t> table(static_cast<size_t>(blocks * sequences));
  std::iota(table.begin(), table.end(), 0);
  std::vector<TokenId> tokens;
  std::vector<int32_t> positions, slots, logit_rows;
  std::vector<SeqChunk> chunks;
  for (int32_t s = 0; s < sequences; ++s) {
    const auto first = static_cast<int32_t>(tokens.size());
    chunks.push_back({first, n, 0, table.data() + s * blocks, prompt});
    for (int32_t i = 0; i < n; ++i) {
      tokens.push_back(0);
      positions.push_back(i);
      slots.push_back(s * blocks * kBlockTokens + i);
    }
    logit_rows.push_back(first + n - 1);
  }
  std::vector<float> logits(static_cast<size_t>(sequences * model.info().vocab));
  return model.Forward({tokens, positions, slots, chunks, logit_rows}, *kv, logits.data());
}

}  // namespace

Status ComputeOneToken(const LoadedModel& loaded) { return ComputeTokens(loaded, 1, 1, false); }

Status TakeWorkSpace(const Config& config, const LoadedModel& loaded) {
  if (!loaded.backend->FreeBytes()) return {};
  const int64_t context = loaded.model->info().context;
  const auto rows = static_cast<int32_t>(std::min(config.engine.max_step_tokens, context));
  for (const bool prompt : {true, false}) HADAL_OK(ComputeTokens(loaded, 1, rows, prompt));
  return ComputeTokens(loaded, static_cast<int32_t>(config.engine.max_sequences), 1, false);
}

Result<std::unique_ptr<Assembly>> Assemble(const Config& config, bool show_progress) {
  HADAL_OK(CheckFiles(config));
  HADAL_OK(CheckIsModel(ModelDirectory(config)));
  HADAL_TRY(auto tokenizer, Tokenizer::Load(TokenizerPath(config)));
  HADAL_TRY(FormatSource chat_format, ChatFormatOf(config));
  auto assembly = std::make_unique<Assembly>();
  LoadOptions load;
  load.max_step_tokens = config.engine.max_step_tokens;
  load.max_logit_rows = LogitRows(config, config.engine.max_sequences);
  load.draft_layer = DraftLayerOf(config);
  load.max_context = config.engine.context;
  HADAL_TRY(assembly->loaded, LoadConfiguredModel(config, load, show_progress));
  Model& model = *assembly->loaded.model;
  Backend& backend = *assembly->loaded.backend;
  HADAL_OK(TakeWorkSpace(config, assembly->loaded));
  HADAL_TRY(assembly->plan, PlanMemory(config, model, backend));
  const MemoryPlan& plan = assembly->plan;

  auto start_engine = [&](EventSink& sink) -> Result<std::unique_ptr<Engine>> {
    HADAL_TRY(auto runner,
              NewModelRunner(model, backend, plan.kv_blocks,
                             static_cast<int32_t>(config.engine.block_tokens),
                             static_cast<int32_t>(LogitRows(config, config.engine.max_sequences))));
    return Engine::Start(std::move(runner), EngineOptionsOf(config, model, plan), sink);
  };
  LocalServiceOptions options;
  options.name = ModelName(config);
  options.architecture = model.info().architecture;
  options.context = plan.context;
  options.vocab = model.info().vocab;
  options.stop_tokens = model.info().eos_ids;
  options.parameters = model.info().parameters;
  options.chat_format = std::move(chat_format);
  HADAL_TRY(assembly->service,
            LocalChatService::Create(std::move(options), std::move(tokenizer), start_engine));
  return assembly;
}

}  // namespace hadal::cli
