// Owns: the state of one request and of each of its choices while the engine has them. Plain data
// of the scheduler; blocks named here are held in its pool. Thread rule: the engine thread.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "api/types.h"
#include "core/ids.h"
#include "engine/draft_pace.h"
#include "engine/engine.h"
#include "engine/ngram_index.h"
#include "kv/prefix_cache.h"

namespace hadal {

struct RequestState;

struct Sequence {
  enum class State {
    kPending,  // a further choice; starts when choice 0 has computed the prompt
    kWaiting,  // may start, or start again after preemption; holds no blocks
    kRunning,  // has rows in the steps
    kFinished
  };

  RequestState* request = nullptr;
  int choice = 0;
  State state = State::kPending;
  std::vector<TokenId> tokens;  // prompt, then answer so far; in a step then what is drafted
  int64_t computed = 0;         // leading tokens that are in the cache
  int64_t found = 0;            // of these, found there when it last started
  std::vector<int32_t> blocks;  // block table; block i holds tokens [i * B, (i + 1) * B)
  std::vector<PrefixKey> keys;  // of the leading full blocks of tokens
  size_t offered = 0;           // leading blocks that are in the prefix tree or were refused by it
  int32_t planned = 0;          // rows in the step being planned
  std::vector<double> sum;  // embed: of the hidden states of the computed tokens; double, so that
                            // how they were cut into chunks does not show
  int32_t drafted = 0;      // tokens at the end that are guesses, during a step only
  int32_t states = 0;       // rows of the last step, from state_row on, that computed its last
  int32_t state_row = 0;    // tokens: their hidden states are still there
  DraftPace pace;
  NgramIndex ngrams;

  int64_t left() const { return static_cast<int64_t>(tokens.size()) - computed; }
};

struct RequestState {
  RequestId id{};
  EngineRequest spec;
  std::vector<Sequence> choices;  // never resized: plans point into it
  int open = 0;                   // choices that are not finished
  bool started = false;           // choice 0 ran once
  bool ended = false;             // its last event is out
  api::Usage usage;
};

// First come, first served: by request, then by choice.
struct Older {
  bool operator()(const Sequence* a, const Sequence* b) const {
    if (a->request->id != b->request->id) return a->request->id < b->request->id;
    return a->choice < b->choice;
  }
};

}  // namespace hadal
