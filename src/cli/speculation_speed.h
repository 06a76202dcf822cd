// Owns: measuring what guessing tokens gains and costs: the same answers through the engine with
// and without it, in turns. Thread rule: one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "cli/assemble.h"
#include "engine/engine.h"

namespace hadal::cli {

// All but the first are prescribed, so that they do not depend on the weights.
enum class AnswerKind {
  kOwn,       // what the model finds most likely
  kCopies,    // the prompt again: what followed an earlier place comes true
  kMisleads,  // eight tokens in random order: earlier places are found and mostly wrong
  kFresh,     // no three tokens come twice: no earlier place is found
};
const char* NameOf(AnswerKind kind);

struct SpeculationSpeed {
  AnswerKind answer = AnswerKind::kOwn;
  int64_t batch = 1;
  double plain = 0, guessing = 0;  // median tokens per second of all answers, after their first
  double gain = 0, gain_min = 0, gain_max = 0;  // guessing / plain of one round: median, ends
  int64_t drafted = 0, accepted = 0;            // of all rounds
};

struct SpeculationRun {
  EngineOptions engine;  // with the kind that is measured
  int64_t prompt = 0, generate = 0, repeat = 0;
  std::vector<int64_t> batches;
};

// max_logit_rows: LoadOptions' of the model.
Result<std::vector<SpeculationSpeed>> MeasureSpeculation(const LoadedModel& loaded,
                                                         const SpeculationRun& run,
                                                         int32_t max_logit_rows);

}  // namespace hadal::cli
