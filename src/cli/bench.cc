// hadal bench: prompt and decode speed of a model beside the machine's limits, in one run.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/clock.h"
#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/gpu_facts.h"
#include "cli/load_cost.h"
#include "cli/machine_limits.h"
#include "cli/peer_bench.h"
#include "cli/speculation_speed.h"
#include "core/dtype.h"

namespace hadal::cli {
namespace {

constexpr int32_t kBlockTokens = 16;

struct Spread {
  double median = 0, min = 0, max = 0;
};
Spread SpreadOf(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return {(v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2, v.front(), v.back()};
}

struct Row {
  const char* what = "";  // "prompt" or "decode"
  int64_t prompt = 0, generate = 0, batch = 1;
  Spread tokens_per_second;                         // of all sequences together
  double bytes_per_token = 0;                       // weights and cache read from memory, per token
  double host_bytes_per_token = 0;                  // of them, from the host's beside a GPU
  double flops_per_token = 0;                       // of the matrices
  std::map<std::string, TimedBackend::Cost> costs;  // of the last round's operations, if asked
  Spread peer = {}, ratio = {};  // with --vs: the peer's rate, and ours over it in the same round
};

// Bytes of weights that one step of n_rows tokens reads: every expert that some row is sent to, at
// the expected number of distinct ones when rows choose independently.
struct StepBytes {
  double all = 0;
  double host = 0;  // of them, of experts that are in host memory beside a GPU
};
StepBytes WeightBytesPerStep(const ModelInfo& m, double n_rows) {
  if (m.experts == 0) return {static_cast<double>(m.bytes_per_token)};
  const double share = static_cast<double>(m.experts_per_token) / static_cast<double>(m.experts);
  const double all = static_cast<double>(m.expert_bytes);
  const double shared = static_cast<double>(m.bytes_per_token) - all * share;
  const double experts = all * (1 - std::pow(1 - share, n_rows));
  const auto on_host = static_cast<double>(m.split.host_bytes);
  const double placed = on_host + static_cast<double>(m.split.bytes);
  return {shared + experts, placed > 0 ? experts * on_host / placed : 0};
}

// Sequences with private, consecutive blocks, filled with pseudo-random tokens.
class Sequences {
 public:
  Sequences(const LoadedModel& loaded, KvStorage& kv, int64_t batch, int64_t length)
      : loaded_(loaded), kv_(kv) {
    const auto per = static_cast<int32_t>((length + kBlockTokens - 1) / kBlockTokens);
    blocks_.resize(static_cast<size_t>(batch * per));
    std::iota(blocks_.begin(), blocks_.end(), 0);
    blocks_per_sequence_ = per;
    logits_.resize(static_cast<size_t>(batch * loaded.model->info().vocab));
    summaries_.resize(static_cast<size_t>(batch));
    temperatures_.resize(static_cast<size_t>(batch));
  }

  // One step: n_rows tokens of each of batch sequences that hold context tokens.
  Status Step(int64_t batch, int64_t context, int64_t n_rows, bool prompt) {
    tokens_.clear(), positions_.clear(), slots_.clear(), chunks_.clear(), rows_.clear();
    for (int64_t s = 0; s < batch; ++s) {
      const auto first = static_cast<int32_t>(tokens_.size());
      chunks_.push_back({first, static_cast<int32_t>(n_rows), static_cast<int32_t>(context),
                         blocks_.data() + s * blocks_per_sequence_, prompt});
      for (int64_t i = 0; i < n_rows; ++i) {
        const auto position = static_cast<int32_t>(context + i);
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        tokens_.push_back(static_cast<TokenId>((state_ >> 33) %
                                               static_cast<uint64_t>(loaded_.model->info().vocab)));
        positions_.push_back(position);
        const int32_t block = chunks_.back().blocks[position / kBlockTokens];
        slots_.push_back(block * kBlockTokens + position % kBlockTokens);
      }
      rows_.push_back(first + static_cast<int32_t>(n_rows) - 1);
    }
    StepResult result(logits_.data());
    if (loaded_.backend->keeps_logits()) {  // as when serving
      result.logits = nullptr;
      result.summaries = summaries_.data();
      result.temperatures = temperatures_;
    }
    return loaded_.model->Forward({tokens_, positions_, slots_, chunks_, rows_}, kv_, result);
  }

 private:
  const LoadedModel& loaded_;
  KvStorage& kv_;
  int32_t blocks_per_sequence_ = 0;
  uint64_t state_ = 1;
  std::vector<int32_t> blocks_, positions_, slots_, rows_;
  std::vector<TokenId> tokens_;
  std::vector<SeqChunk> chunks_;
  std::vector<float> logits_, temperatures_;
  std::vector<RowSummary> summaries_;
};

class Measurement {
 public:
  Measurement(const LoadedModel& loaded, KvStorage& kv, const BenchOptions& options,
              const Config& config)
      : loaded_(loaded),
        kv_(kv),
        options_(options),
        model_path_(ModelDirectory(config)),
        threads_(ThreadsOf(config)) {
    const DType dtype = loaded.backend->kv_dtype();
    kv_bytes_ = static_cast<double>(loaded.model->kv_layout().BytesPerToken(dtype));
    flops_per_token_ = 2.0 * static_cast<double>(loaded.model->info().active_parameters);
  }

  // One cell of the grid: a prompt row and a decode row.
  Status Cell(int64_t prompt, int64_t generate, int64_t batch, std::vector<Row>& rows) {
    const int64_t depth = options_.depth;
    Sequences sequences(loaded_, kv_, batch, depth + prompt + generate);
    const int64_t per_step =
        std::max<int64_t>(1, options_.chunk / batch);  // prompt tokens per sequence
    // A peer decodes from an empty context.
    const int64_t context0 = options_.vs.empty() ? depth + prompt : depth;
    std::vector<double> prompt_rates, decode_rates, peer_prompt, peer_decode;
    for (int64_t r = 0; r <= options_.repeat; ++r) {  // the first round warms up
      if (loaded_.timed) loaded_.timed->Reset();
      const TimePoint start = Now();
      for (int64_t at = 0; at < prompt; at += per_step) {
        HADAL_OK(sequences.Step(batch, depth + at, std::min(per_step, prompt - at), true));
      }
      const TimePoint between = Now();
      const auto prompt_costs = TakeCosts();
      for (int64_t i = 0; i < generate; ++i)
        HADAL_OK(sequences.Step(batch, context0 + i, 1, false));
      costs_ = {prompt_costs, TakeCosts()};
      if (r == 0) continue;
      prompt_rates.push_back(static_cast<double>(prompt * batch) / Seconds(between - start));
      decode_rates.push_back(static_cast<double>(generate * batch) / Seconds(Now() - between));
      if (options_.vs.empty()) continue;
      HADAL_TRY(const PeerRates peer,
                RunPeer({options_.vs, options_.vs_args, model_path_, prompt, generate, threads_}));
      peer_prompt.push_back(peer.prompt);
      peer_decode.push_back(peer.decode);
    }
    const auto n = static_cast<double>(batch);
    const double rows_per_step = static_cast<double>(std::min(per_step, prompt)) * n;
    const StepBytes prompt_bytes = WeightBytesPerStep(loaded_.model->info(), rows_per_step);
    const StepBytes decode_bytes = WeightBytesPerStep(loaded_.model->info(), n);
    rows.push_back({"prompt",
                    prompt,
                    generate,
                    batch,
                    SpreadOf(prompt_rates),
                    prompt_bytes.all / rows_per_step,
                    prompt_bytes.host / rows_per_step,
                    flops_per_token_,
                    costs_.first,
                    {},
                    {}});
    const double context = static_cast<double>(context0) + static_cast<double>(generate) / 2;
    rows.push_back({"decode",
                    prompt,
                    generate,
                    batch,
                    SpreadOf(decode_rates),
                    decode_bytes.all / n + context * kv_bytes_,
                    decode_bytes.host / n,
                    flops_per_token_,
                    costs_.second,
                    {},
                    {}});
    if (options_.vs.empty()) return {};
    SetPeer(rows[rows.size() - 2], prompt_rates, peer_prompt);
    SetPeer(rows.back(), decode_rates, peer_decode);
    return {};
  }

 private:
  static void SetPeer(Row& row, std::vector<double> ours, const std::vector<double>& peer) {
    for (size_t i = 0; i < ours.size(); ++i) ours[i] /= peer[i];
    row.ratio = SpreadOf(ours);
    row.peer = SpreadOf(peer);
  }
  using Costs = std::map<std::string, TimedBackend::Cost>;
  Costs TakeCosts() {
    if (!loaded_.timed) return {};
    Costs costs = loaded_.timed->costs();
    loaded_.timed->Reset();
    return costs;
  }

  const LoadedModel& loaded_;
  KvStorage& kv_;
  const BenchOptions& options_;
  const std::string model_path_;
  const int threads_;
  std::pair<Costs, Costs> costs_;  // of the last round: prompt, decode
  double kv_bytes_ = 0, flops_per_token_ = 0;
};

// What it took to have the model in memory.
struct Load {
  bool cold = false;  // the files were dropped from the page cache first
  double seconds = 0;
  ProcessMemory memory;  // when it was loaded
  size_t kv_bytes = 0;   // of the cache of this run
  DiskRead disk;         // when cold: the same files, read plainly
};

struct Report {
  std::string path, backend;
  ModelInfo model;
  Load load;
  int64_t depth = 0;           // tokens in the cache before each measurement
  uint64_t peak_resident = 0;  // of the whole run
  MachineLimits limits;
  MachineLimits host_limits;        // beside a GPU, where it computes experts
  std::vector<GpuFacts> gpus = {};  // after the last measurement, when a GPU computed
  std::vector<Row> rows;
  std::vector<SpeculationSpeed> speculation;  // empty: not asked for
};

struct Loaded {
  LoadedModel parts;
  Load cost;
};
Result<Loaded> LoadTimed(const Shared& shared, const BenchOptions& options, int64_t max_batch) {
  LoadOptions load;
  load.max_step_tokens = std::max(options.chunk, max_batch);
  load.max_logit_rows = LogitRows(shared.config, max_batch);
  load.draft_layer = DraftLayerOf(shared.config);
  Loaded loaded;
  loaded.cost.cold = options.cold;
  if (options.cold) HADAL_OK(DropFromPageCache(ModelDirectory(shared.config)));
  const TimePoint start = Now();
  HADAL_TRY(loaded.parts, LoadConfiguredModel(shared.config, load, true, options.profile));
  loaded.cost.seconds = Seconds(Now() - start);
  HADAL_TRY(loaded.cost.memory, MemoryOfThisProcess());
  if (options.cold) {
    HADAL_OK(DropFromPageCache(ModelDirectory(shared.config)));
    HADAL_TRY(loaded.cost.disk, ReadFromDisk(ModelDirectory(shared.config)));
  }
  return loaded;
}

// Numbers as a model writes them: pages that nothing was written to would all be one in memory.
Status FillCache(Backend& backend, const KvLayout& layout, KvStorage& kv) {
  uint32_t state = 1;
  std::vector<int32_t> slots(static_cast<size_t>(kv.block_tokens()));
  for (size_t stream = 0; stream < layout.streams.size(); ++stream) {
    const KvView view = kv.view(stream);
    std::vector<float> noise(slots.size() * static_cast<size_t>(view.width));
    for (int32_t block = 0; block < kv.n_blocks(); ++block) {
      for (float& value : noise) {
        state = state * 1664525u + 1013904223u;
        value = static_cast<float>(state >> 8) * 0x1p-23f - 1;
      }
      std::iota(slots.begin(), slots.end(), block * kv.block_tokens());
      HADAL_TRY(const auto rows, backend.Upload(noise));
      backend.StoreKv({rows->data(), DType::kF32, {kv.block_tokens(), view.width}}, 0, view.width,
                      slots, 0, view);
      backend.Wait();
    }
  }
  return {};
}

Result<MachineLimits> LimitsOfCpu(const Config& config) {
  HADAL_TRY(const Isa isa, IsaOf(config));
  HADAL_TRY(const WeightFormat format, ParseWeightFormat(config.cpu.weights));
  return MeasureLimits(isa, isa == Isa::kRef ? WeightFormat::kF32 : format, ThreadsOf(config));
}

// Of the longest answers after the shortest prompts that are asked for.
Result<std::vector<SpeculationSpeed>> Guess(const Shared& shared, const BenchOptions& options,
                                            const LoadedModel& loaded) {
  const Config& config = shared.config;
  SpeculationRun run;
  run.prompt = *std::min_element(options.prompts.begin(), options.prompts.end());
  run.generate = *std::max_element(options.generate.begin(), options.generate.end());
  run.repeat = options.repeat;
  run.batches = options.batches;
  run.engine.speculation = SpeculationOf(config, *loaded.model);
  if (run.engine.speculation == Speculation::kOff) return std::vector<SpeculationSpeed>();
  run.engine.max_draft = static_cast<int32_t>(config.speculation.max_draft);
  const int64_t batch = *std::max_element(options.batches.begin(), options.batches.end());
  run.engine.max_sequences = static_cast<int32_t>(batch);
  run.engine.max_step_tokens = static_cast<int32_t>(std::max(options.chunk, batch));
  run.engine.max_queued = static_cast<int32_t>(batch);
  run.engine.context = loaded.model->info().context;
  return MeasureSpeculation(loaded, run, static_cast<int32_t>(LogitRows(config, batch)));
}

Result<Report> Run(const Shared& shared, const BenchOptions& options) {
  if (!options.vs.empty() && options.batches != std::vector<int64_t>{1}) {
    return FailField(ErrorCode::kInvalidArgument, "batch",
                     "--vs compares single sequences; use --batch 1");
  }
  const int64_t max_batch = *std::max_element(options.batches.begin(), options.batches.end());
  const int64_t longest = *std::max_element(options.prompts.begin(), options.prompts.end()) +
                          *std::max_element(options.generate.begin(), options.generate.end()) +
                          options.depth;
  HADAL_TRY(const Loaded timed, LoadTimed(shared, options, max_batch));
  const LoadedModel& loaded = timed.parts;
  if (longest > loaded.model->info().context) {
    return Fail(ErrorCode::kContextLengthExceeded, "{} tokens are asked for; the context is {}",
                longest, loaded.model->info().context);
  }
  const int64_t n_blocks = max_batch * ((longest + kBlockTokens - 1) / kBlockTokens);
  HADAL_TRY(auto kv, KvStorage::Allocate(*loaded.backend, loaded.model->kv_layout(),
                                         static_cast<int32_t>(n_blocks), kBlockTokens));
  Report report;
  report.path = ModelDirectory(shared.config).filename().string();
  report.backend = loaded.backend->description();
  report.model = loaded.model->info();
  report.load = timed.cost;
  report.depth = options.depth;
  report.load.kv_bytes = kv->bytes();
  if (options.depth > 0) HADAL_OK(FillCache(*loaded.backend, loaded.model->kv_layout(), *kv));
  Measurement measurement(loaded, *kv, options, shared.config);
  for (int64_t prompt : options.prompts) {
    for (int64_t generate : options.generate) {
      for (int64_t batch : options.batches) {
        HADAL_OK(measurement.Cell(prompt, generate, batch, report.rows));
      }
    }
  }
  if (loaded.backend->FreeBytes()) report.gpus = GpuMonitor().Read();
  HADAL_TRY(report.speculation, Guess(shared, options, loaded));
  HADAL_TRY(const ProcessMemory memory, MemoryOfThisProcess());
  report.peak_resident = memory.peak_resident;
  // Last, because it allocates far more than a small model.
  const bool on_card = loaded.backend->FreeBytes().has_value();
  HADAL_TRY(report.limits, on_card ? loaded.backend->MeasureLimits() : LimitsOfCpu(shared.config));
  if (report.model.split.host_layers > 0) {
    HADAL_TRY(report.host_limits, LimitsOfCpu(shared.config));
  }
  return report;
}

double BandwidthShare(const Report& r, const Row& row) {
  double seconds =
      (row.bytes_per_token - row.host_bytes_per_token) / r.limits.read_bytes_per_second;
  if (row.host_bytes_per_token > 0) {  // one after the other
    seconds += row.host_bytes_per_token / r.host_limits.read_bytes_per_second;
  }
  return row.tokens_per_second.median * seconds;
}
double PeakShare(const Report& r, const Row& row) {
  return row.tokens_per_second.median * row.flops_per_token / r.limits.flops_per_second;
}

double LoadRate(const Report& r) {
  return static_cast<double>(r.model.checkpoint_bytes - r.model.file_bytes) / r.load.seconds;
}
double DiskRate(const Report& r) {
  return static_cast<double>(r.load.disk.bytes) / r.load.disk.seconds;
}

void PrintLoad(const Shared& shared, const Report& r) {
  const auto mb = [](uint64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  fmt::print(
      "{}: {:.2f} s = {:.2f} GB/s ({}), {:.1f} MB -> {:.1f} MB; {} {:.1f} MB, {} {:.1f} MB\n",
      shared.T("load", "加载"), r.load.seconds, LoadRate(r) / 1e9,
      r.load.cold ? shared.T("from disk", "从磁盘")
                  : shared.T("page cache as found", "页缓存保持原状"),
      mb(r.model.checkpoint_bytes), mb(r.model.resident_bytes),
      shared.T("peak RSS of loading", "加载峰值内存"), mb(r.load.memory.peak_resident),
      shared.T("of the run", "全程峰值内存"), mb(r.peak_resident));
  if (r.model.link.bytes > 0) {
    fmt::print("{}\n", Describe(shared, r.model.link, r.load.seconds));
  }
  if (r.load.cold) {
    fmt::print("{}: {:.2f} GB/s ({}); {} {:.0f} %\n",
               shared.T("plain sequential read of the same files", "同一文件的顺序读取"),
               DiskRate(r) / 1e9,
               r.load.disk.past_cache ? "O_DIRECT" : shared.T("page cache", "页缓存"),
               shared.T("loading reached", "加载达到"), 100 * LoadRate(r) / DiskRate(r));
  }
  const std::string experts = DescribeExperts(shared, r.model.split);
  if (!experts.empty()) fmt::print("{}\n", experts);
  if (r.model.file_bytes > 0) {
    fmt::print("{:.1f} MB {}\n", mb(r.model.file_bytes),
               shared.T("of weights do not fit into cpu.weight_memory: read from the file at every "
                        "use, slow",
                        "的权重超出 cpu.weight_memory：每次使用时从文件读取，速度较慢"));
  }
}

// Where a row's time went, largest first.
void PrintProfile(const Shared& shared, const Row& row) {
  double all = 0;
  std::vector<std::pair<std::string, TimedBackend::Cost>> costs(row.costs.begin(), row.costs.end());
  for (const auto& [name, cost] : costs) all += cost.seconds;
  std::sort(costs.begin(), costs.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  fmt::print("\n{} {}, {} {}, {} {}\n", row.what, row.prompt, shared.T("generate", "生成"),
             row.generate, shared.T("batch", "批"), row.batch);
  for (const auto& [name, cost] : costs) {
    fmt::print("  {:<24} {:>7} {:>10.3f} ms {:>6.1f}%\n", name, cost.calls, 1e3 * cost.seconds,
               100 * cost.seconds / all);
  }
}

void PrintSpeculation(const Report& r) {
  if (r.speculation.empty()) return;
  fmt::print("\n{:<9} {:>5} {:>10} {:>10} {:>6} {:>14} {:>8} {:>8}\n", "answers", "batch",
             "tokens/s", "guessing", "gain", "min .. max", "drafted", "right");
  for (const SpeculationSpeed& s : r.speculation) {
    fmt::print("{:<9} {:>5} {:>10.1f} {:>10.1f} {:>6.2f} {:>5.2f} .. {:>5.2f} {:>8} {:>8}\n",
               NameOf(s.answer), s.batch, s.plain, s.guessing, s.gain, s.gain_min, s.gain_max,
               s.drafted, s.accepted);
  }
}

nlohmann::json SpeculationJson(const Report& r) {
  nlohmann::json rows = nlohmann::json::array();
  for (const SpeculationSpeed& s : r.speculation) {
    rows.push_back({{"answers", NameOf(s.answer)},
                    {"batch", s.batch},
                    {"tokens_per_second", {{"plain", s.plain}, {"guessing", s.guessing}}},
                    {"gain", {{"median", s.gain}, {"min", s.gain_min}, {"max", s.gain_max}}},
                    {"drafted", s.drafted},
                    {"accepted", s.accepted}});
  }
  return rows;
}

void PrintTable(const Shared& shared, const Report& r) {
  fmt::print("{}, {} layers, {:.1f} M parameters ({:.1f} M active); {}\n", r.model.architecture,
             r.model.n_layers, static_cast<double>(r.model.parameters) / 1e6,
             static_cast<double>(r.model.active_parameters) / 1e6, r.backend);
  PrintLoad(shared, r);
  fmt::print("{}: {:.1f} GB/s, {:.0f} GFLOP/s\n", shared.T("limits measured now", "本次实测上限"),
             r.limits.read_bytes_per_second / 1e9, r.limits.flops_per_second / 1e9);
  if (r.model.split.host_layers > 0) {
    fmt::print("{}: {:.1f} GB/s, {:.3f} MB {}\n", shared.T("of the host", "主机"),
               r.host_limits.read_bytes_per_second / 1e9, r.rows.back().host_bytes_per_token / 1e6,
               shared.T("per token", "每 token"));
  }
  fmt::print("\n");
  for (const GpuFacts& gpu : r.gpus) fmt::print("{}\n", Describe(shared, gpu));
  if (r.depth > 0) {
    fmt::print("{} {}\n", shared.T("tokens in the cache before:", "测量前缓存中的 token 数："),
               r.depth);
  }
  fmt::print("{:<7} {:>6} {:>8} {:>5} {:>10} {:>22} {:>9} {:>8} {:>12} {:>8}\n", "", "prompt",
             "generate", "batch", "tokens/s", "min .. max", "MB/token", "of read", "MFLOP/token",
             "of peak");
  bool cached = false;
  for (const Row& row : r.rows) {
    fmt::print(
        "{:<7} {:>6} {:>8} {:>5} {:>10.1f} {:>10.1f} .. {:>8.1f} {:>9.3f} {:>7.1f}% {:>12.2f} "
        "{:>7.1f}%\n",
        row.what, row.prompt, row.generate, row.batch, row.tokens_per_second.median,
        row.tokens_per_second.min, row.tokens_per_second.max, row.bytes_per_token / 1e6,
        100 * BandwidthShare(r, row), row.flops_per_token / 1e6, 100 * PeakShare(r, row));
    if (row.peer.median > 0) {
      fmt::print("  {} {:.1f} ({:.1f} .. {:.1f}), {} {:.2f} ({:.2f} .. {:.2f})\n",
                 shared.T("the peer", "对照引擎"), row.peer.median, row.peer.min, row.peer.max,
                 shared.T("ratio", "比值"), row.ratio.median, row.ratio.min, row.ratio.max);
    }
    cached = cached || BandwidthShare(r, row) > 1;
  }
  for (const Row& row : r.rows) {
    if (!row.costs.empty()) PrintProfile(shared, row);
  }
  PrintSpeculation(r);
  if (cached) {
    fmt::print("\n{}\n", shared.T("more than 100 % of read: the weights stay in the CPU's caches",
                                  "读带宽占比超过 100 %：权重留在 CPU 缓存中"));
  }
}

nlohmann::json ProfileJson(const Row& row) {
  nlohmann::json j = nlohmann::json::object();
  for (const auto& [name, cost] : row.costs) {
    j[name] = {{"calls", cost.calls}, {"seconds", cost.seconds}};
  }
  return j;
}

nlohmann::json LoadJson(const Report& r) {
  nlohmann::json j = {{"cold", r.load.cold},
                      {"seconds", r.load.seconds},
                      {"bytes_per_second", LoadRate(r)},
                      {"peak_rss_bytes", r.load.memory.peak_resident},
                      {"anonymous_bytes", r.load.memory.anonymous}};
  if (r.model.link.bytes > 0) {
    j["link"] = {{"bytes", r.model.link.bytes}, {"copying_seconds", r.model.link.seconds}};
  }
  if (r.load.cold) {
    j["disk"] = {{"bytes_per_second", DiskRate(r)},
                 {"past_page_cache", r.load.disk.past_cache},
                 {"share_reached", LoadRate(r) / DiskRate(r)}};
  }
  return j;
}

void PrintJson(const Report& r) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Row& row : r.rows) {
    rows.push_back({{"what", row.what},
                    {"prompt", row.prompt},
                    {"generate", row.generate},
                    {"batch", row.batch},
                    {"tokens_per_second",
                     {{"median", row.tokens_per_second.median},
                      {"min", row.tokens_per_second.min},
                      {"max", row.tokens_per_second.max}}},
                    {"bytes_per_token", row.bytes_per_token},
                    {"host_bytes_per_token", row.host_bytes_per_token},
                    {"share_of_read_bandwidth", BandwidthShare(r, row)},
                    {"flops_per_token", row.flops_per_token},
                    {"share_of_peak", PeakShare(r, row)}});
    if (row.peer.median > 0) {
      const auto spread = [](const Spread& s) {
        return nlohmann::json{{"median", s.median}, {"min", s.min}, {"max", s.max}};
      };
      rows.back()["peer_tokens_per_second"] = spread(row.peer);
      rows.back()["ratio"] = spread(row.ratio);
    }
    if (!row.costs.empty()) rows.back()["profile"] = ProfileJson(row);
  }
  const nlohmann::json j = {
      {"model", r.path},
      {"backend", r.backend},
      {"layers", r.model.n_layers},
      {"context", r.model.context},
      {"checkpoint_bytes", r.model.checkpoint_bytes},
      {"resident_bytes", r.model.resident_bytes},
      {"host_experts",
       {{"bytes", r.model.split.host_bytes}, {"layers", r.model.split.host_layers}}},
      {"read_at_every_use_bytes", r.model.file_bytes},
      {"load", LoadJson(r)},
      {"gpus", ToJson(r.gpus)},
      {"peak_rss_bytes", r.peak_resident},
      {"kv_bytes", r.load.kv_bytes},
      {"architecture", r.model.architecture},
      {"parameters", r.model.parameters},
      {"active_parameters", r.model.active_parameters},
      {"limits",
       {{"read_bytes_per_second", r.limits.read_bytes_per_second},
        {"flops_per_second", r.limits.flops_per_second},
        {"host_read_bytes_per_second", r.host_limits.read_bytes_per_second}}},
      {"depth", r.depth},
      {"rows", rows},
      {"speculation", SpeculationJson(r)}};
  fmt::print("{}\n", j.dump(2));
}

}  // namespace

int Bench(const Shared& shared, const BenchOptions& options) {
  auto report = Run(shared, options);
  if (!report) return PrintError(shared, report.error());
  if (shared.json) {
    PrintJson(*report);
  } else {
    PrintTable(shared, *report);
  }
  return 0;
}

}  // namespace hadal::cli
