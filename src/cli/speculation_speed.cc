#include "cli/speculation_speed.h"

#include <algorithm>
#include <mutex>

#include "base/clock.h"
#include "engine/model_runner.h"

namespace hadal::cli {
namespace {

constexpr int32_t kBlockTokens = 16;

// Leaves one token of a list after another.
class WrittenAnswer final : public TokenGuide {
 public:
  explicit WrittenAnswer(std::vector<TokenId> tokens) : tokens_(std::move(tokens)) {}
  Result<bool> Fill(std::span<uint64_t> mask) override {
    std::fill(mask.begin(), mask.end(), 0);
    const auto id = static_cast<size_t>(tokens_[next_]);
    mask[id / 64] = uint64_t{1} << (id % 64);
    return true;
  }
  Status Accept(TokenId) override {
    ++next_;
    return {};
  }

 private:
  const std::vector<TokenId> tokens_;
  size_t next_ = 0;
};

// Counts tokens from the step on in which the last of the answers began.
class TimingSink final : public EventSink {
 public:
  explicit TimingSink(int64_t answers) : waiting_(answers) {}
  void OnStep(std::span<EngineEvent> events) override {
    const std::lock_guard lock(mutex_);
    const bool timed = waiting_ == 0;
    for (const EngineEvent& e : events) {
      if (e.kind == EngineEvent::Kind::kFailed) error_ = e.error;
      if (e.kind != EngineEvent::Kind::kToken) continue;
      if (timed) ++tokens_;
      if (std::find(begun_.begin(), begun_.end(), e.request) != begun_.end()) continue;
      begun_.push_back(e.request);
      if (--waiting_ == 0) start_ = Now();
    }
    end_ = Now();
  }
  Result<double> TokensPerSecond() const {
    const std::lock_guard lock(mutex_);
    if (error_.message.empty()) return static_cast<double>(tokens_) / Seconds(end_ - start_);
    return tl::make_unexpected(error_);
  }

 private:
  mutable std::mutex mutex_;
  int64_t waiting_;
  std::vector<RequestId> begun_;
  int64_t tokens_ = 0;
  TimePoint start_, end_;
  Error error_;
};

struct Round {
  double tokens_per_second = 0;
  EngineStats stats;
};

class Measurement {
 public:
  Measurement(const LoadedModel& loaded, const SpeculationRun& run, int32_t max_logit_rows)
      : loaded_(loaded), run_(run), max_logit_rows_(max_logit_rows) {}

  Result<SpeculationSpeed> Cell(AnswerKind kind, int64_t batch) const {
    SpeculationSpeed speed{.answer = kind, .batch = batch};
    std::vector<double> plain, guessing, gains;
    for (int64_t r = 0; r < run_.repeat; ++r) {
      HADAL_TRY(const Round without, Run(kind, batch, Speculation::kOff));
      HADAL_TRY(const Round with, Run(kind, batch, run_.engine.speculation));
      plain.push_back(without.tokens_per_second);
      guessing.push_back(with.tokens_per_second);
      gains.push_back(with.tokens_per_second / without.tokens_per_second);
      speed.drafted += with.stats.drafted_tokens;
      speed.accepted += with.stats.accepted_tokens;
    }
    std::sort(gains.begin(), gains.end());
    speed.plain = Median(plain);
    speed.guessing = Median(guessing);
    speed.gain = Median(gains);
    speed.gain_min = gains.front();
    speed.gain_max = gains.back();
    return speed;
  }

 private:
  static double Median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2;
  }

  EngineRequest Request(AnswerKind kind, uint64_t seed) const {
    const auto vocab = static_cast<uint64_t>(loaded_.model->info().vocab);
    const uint64_t choice = kind == AnswerKind::kMisleads ? 8 : vocab;
    uint64_t state = seed * 0x9E3779B97F4A7C15 + 1;
    std::vector<TokenId> text;
    for (int64_t i = 0; i < run_.prompt + run_.generate; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      text.push_back(static_cast<TokenId>((state >> 33) % choice * (vocab / choice)));
    }
    EngineRequest request;
    request.prompt.assign(text.begin(), text.begin() + run_.prompt);
    request.max_tokens = run_.generate;
    request.sampling.temperature = 0;
    request.sampling.seed = seed;
    if (kind == AnswerKind::kOwn) return request;
    std::vector<TokenId> answer(text.begin() + run_.prompt, text.end());
    if (kind == AnswerKind::kCopies) {
      for (size_t i = 0; i < answer.size(); ++i) answer[i] = text[i % request.prompt.size()];
    }
    request.guides = {std::make_shared<WrittenAnswer>(std::move(answer))};
    return request;
  }

  Result<Round> Run(AnswerKind kind, int64_t batch, Speculation speculation) const {
    const int64_t blocks = (run_.prompt + run_.generate) / kBlockTokens + 1;
    HADAL_TRY(auto runner,
              NewModelRunner(*loaded_.model, *loaded_.backend, static_cast<int32_t>(blocks * batch),
                             kBlockTokens, max_logit_rows_));
    EngineOptions options = run_.engine;
    options.speculation = speculation;
    options.prefix_cache = false;
    TimingSink sink(batch);
    HADAL_TRY(auto engine, Engine::Start(std::move(runner), options, sink));
    for (int64_t i = 0; i < batch; ++i) {
      HADAL_TRY([[maybe_unused]] const RequestId id,
                engine->Submit(Request(kind, static_cast<uint64_t>(i))));
    }
    while (!engine->WaitIdle(std::chrono::seconds(60))) {
    }
    HADAL_TRY(const double rate, sink.TokensPerSecond());
    return Round{rate, engine->stats()};
  }

  const LoadedModel& loaded_;
  const SpeculationRun& run_;
  const int32_t max_logit_rows_;
};

}  // namespace

const char* NameOf(AnswerKind kind) {
  static constexpr const char* kNames[] = {"own", "copies", "misleads", "fresh"};
  return kNames[static_cast<size_t>(kind)];
}

Result<std::vector<SpeculationSpeed>> MeasureSpeculation(const LoadedModel& loaded,
                                                         const SpeculationRun& run,
                                                         int32_t max_logit_rows) {
  const Measurement measurement(loaded, run, max_logit_rows);
  std::vector<SpeculationSpeed> speeds;
  for (const AnswerKind kind :
       {AnswerKind::kOwn, AnswerKind::kCopies, AnswerKind::kMisleads, AnswerKind::kFresh}) {
    for (const int64_t batch : run.batches) {
      HADAL_TRY(SpeculationSpeed speed, measurement.Cell(kind, batch));
      speeds.push_back(speed);
    }
  }
  return speeds;
}

}  // namespace hadal::cli
