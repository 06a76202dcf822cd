// hadal bench: prompt and decode speed of a model beside the machine's limits, in one run.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/clock.h"
#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/machine_limits.h"

namespace hadal::cli {
namespace {

constexpr int32_t kBlockTokens = 16;
constexpr int64_t kChunk = 512;         // prompt tokens per step
constexpr int64_t kDecodeContext = 64;  // tokens in the cache when decoding is measured

struct Spread {
  double median = 0, min = 0, max = 0;
};
Spread SpreadOf(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return {v[v.size() / 2], v.front(), v.back()};
}

struct Row {
  std::string what;  // "prompt" or "decode"
  int64_t tokens = 0, batch = 1;
  Spread tokens_per_second;
  double bytes_per_token = 0;  // weights read from memory, per token; 0 = not defined for this row
  double flops_per_token = 0;
};

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
  }

  // One step: n_rows tokens of each of batch sequences that hold context tokens.
  Status Step(int64_t batch, int64_t context, int64_t n_rows) {
    tokens_.clear(), positions_.clear(), slots_.clear(), chunks_.clear(), rows_.clear();
    for (int64_t s = 0; s < batch; ++s) {
      const auto first = static_cast<int32_t>(tokens_.size());
      chunks_.push_back({first, static_cast<int32_t>(n_rows), static_cast<int32_t>(context),
                         blocks_.data() + s * blocks_per_sequence_});
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
    return loaded_.model->Forward({tokens_, positions_, slots_, chunks_, rows_}, kv_,
                                  logits_.data());
  }

 private:
  const LoadedModel& loaded_;
  KvStorage& kv_;
  int32_t blocks_per_sequence_ = 0;
  uint64_t state_ = 1;
  std::vector<int32_t> blocks_, positions_, slots_, rows_;
  std::vector<TokenId> tokens_;
  std::vector<SeqChunk> chunks_;
  std::vector<float> logits_;
};

class Measurement {
 public:
  Measurement(const LoadedModel& loaded, KvStorage& kv, const BenchOptions& options)
      : loaded_(loaded), kv_(kv), options_(options) {
    flops_per_token_ = 2.0 * static_cast<double>(loaded.model->info().active_parameters);
  }

  Result<Row> Prompt(int64_t n) {
    Sequences sequences(loaded_, kv_, 1, n);
    std::vector<double> rates;
    for (int64_t r = 0; r <= options_.repeat; ++r) {
      const TimePoint start = Now();
      for (int64_t at = 0; at < n; at += kChunk) {
        HADAL_OK(sequences.Step(1, at, std::min(kChunk, n - at)));
      }
      if (r > 0) rates.push_back(static_cast<double>(n) / Seconds(Now() - start));  // 0 warms up
    }
    return Row{"prompt", n, 1, SpreadOf(rates), 0, flops_per_token_};
  }

  Result<Row> Decode(int64_t batch) {
    const int64_t n = options_.generate;
    Sequences sequences(loaded_, kv_, batch, kDecodeContext + n);
    // In chunks that fit one step: the largest step holds kChunk rows.
    const int64_t per_step = std::max<int64_t>(1, kChunk / batch);
    for (int64_t at = 0; at < kDecodeContext; at += per_step) {
      HADAL_OK(sequences.Step(batch, at, std::min(per_step, kDecodeContext - at)));
    }
    std::vector<double> rates;
    for (int64_t r = 0; r <= options_.repeat; ++r) {
      const TimePoint start = Now();
      for (int64_t i = 0; i < n; ++i) HADAL_OK(sequences.Step(batch, kDecodeContext + i, 1));
      if (r > 0) rates.push_back(static_cast<double>(n * batch) / Seconds(Now() - start));
    }
    const double bytes =
        batch == 1 ? static_cast<double>(loaded_.model->info().bytes_per_token) : 0;
    return Row{"decode", n, batch, SpreadOf(rates), bytes, flops_per_token_};
  }

 private:
  const LoadedModel& loaded_;
  KvStorage& kv_;
  const BenchOptions& options_;
  double flops_per_token_;
};

struct Report {
  std::string backend;
  ModelInfo model;
  MachineLimits limits;
  std::vector<Row> rows;
};

Result<Report> Run(const Shared& shared, const BenchOptions& options) {
  const int64_t max_batch = *std::max_element(options.batches.begin(), options.batches.end());
  const int64_t max_prompt = *std::max_element(options.prompts.begin(), options.prompts.end());
  LoadOptions load;
  load.max_step_tokens = std::max(kChunk, max_batch);
  load.max_logit_rows = max_batch;
  HADAL_TRY(const LoadedModel loaded, LoadConfiguredModel(shared.config, load, true));
  const int64_t longest = std::max(max_prompt, kDecodeContext + options.generate);
  if (longest > loaded.model->info().context) {
    return Fail(ErrorCode::kContextLengthExceeded, "{} tokens are asked for; the context is {}",
                longest, loaded.model->info().context);
  }
  const auto blocks = [](int64_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; };
  const int64_t needed =
      std::max(blocks(max_prompt), max_batch * blocks(kDecodeContext + options.generate));
  HADAL_TRY(auto kv, KvStorage::Allocate(*loaded.backend, loaded.model->kv_layout(),
                                         static_cast<int32_t>(needed), kBlockTokens));
  HADAL_TRY(const Isa isa, IsaOf(shared.config));
  HADAL_TRY(const WeightFormat format, ParseWeightFormat(shared.config.cpu.weights));
  Report report{loaded.backend->description(), loaded.model->info(), {}, {}};
  HADAL_TRY(report.limits, MeasureLimits(isa, isa == Isa::kRef ? WeightFormat::kF32 : format,
                                         ThreadsOf(shared.config)));
  Measurement measurement(loaded, *kv, options);
  for (int64_t n : options.prompts) {
    HADAL_TRY(Row row, measurement.Prompt(n));
    report.rows.push_back(std::move(row));
  }
  for (int64_t b : options.batches) {
    HADAL_TRY(Row row, measurement.Decode(b));
    report.rows.push_back(std::move(row));
  }
  return report;
}

double BandwidthShare(const Report& r, const Row& row) {
  return row.tokens_per_second.median * row.bytes_per_token / r.limits.read_bytes_per_second;
}
double PeakShare(const Report& r, const Row& row) {
  return row.tokens_per_second.median * row.flops_per_token / r.limits.flops_per_second;
}

void PrintTable(const Shared& shared, const Report& r) {
  fmt::print("{}, {} layers, {:.1f} M parameters ({:.1f} M active); {}\n", r.model.architecture,
             r.model.n_layers, static_cast<double>(r.model.parameters) / 1e6,
             static_cast<double>(r.model.active_parameters) / 1e6, r.backend);
  fmt::print("{}: {:.1f} GB/s, {:.0f} GFLOP/s\n\n", shared.T("limits measured now", "本次实测上限"),
             r.limits.read_bytes_per_second / 1e9, r.limits.flops_per_second / 1e9);
  fmt::print("{:<8} {:>7} {:>6} {:>12} {:>22} {:>12} {:>8} {:>11} {:>7}\n", "", "tokens", "batch",
             "tokens/s", "min .. max", "MB/token", "of read", "MFLOP/token", "of peak");
  for (const Row& row : r.rows) {
    const bool bytes = row.bytes_per_token > 0;
    fmt::print(
        "{:<8} {:>7} {:>6} {:>12.1f} {:>10.1f} .. {:>8.1f} {:>12} {:>8} {:>11.2f} {:>6.1f}%\n",
        row.what, row.tokens, row.batch, row.tokens_per_second.median, row.tokens_per_second.min,
        row.tokens_per_second.max, bytes ? fmt::format("{:.2f}", row.bytes_per_token / 1e6) : "-",
        bytes ? fmt::format("{:.1f}%", 100 * BandwidthShare(r, row)) : "-",
        row.flops_per_token / 1e6, 100 * PeakShare(r, row));
  }
}

void PrintJson(const Report& r) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Row& row : r.rows) {
    nlohmann::json j = {{"what", row.what},
                        {"tokens", row.tokens},
                        {"batch", row.batch},
                        {"tokens_per_second",
                         {{"median", row.tokens_per_second.median},
                          {"min", row.tokens_per_second.min},
                          {"max", row.tokens_per_second.max}}},
                        {"flops_per_token", row.flops_per_token},
                        {"share_of_peak", PeakShare(r, row)}};
    if (row.bytes_per_token > 0) {
      j["bytes_per_token"] = row.bytes_per_token;
      j["share_of_read_bandwidth"] = BandwidthShare(r, row);
    }
    rows.push_back(std::move(j));
  }
  const nlohmann::json j = {{"backend", r.backend},
                            {"architecture", r.model.architecture},
                            {"parameters", r.model.parameters},
                            {"active_parameters", r.model.active_parameters},
                            {"limits",
                             {{"read_bytes_per_second", r.limits.read_bytes_per_second},
                              {"flops_per_second", r.limits.flops_per_second}}},
                            {"rows", rows}};
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
