#include "engine/scheduler.h"

#include <algorithm>

#include "base/check.h"
#include "engine/admission.h"

namespace hadal {
namespace {

EngineEvent EventOf(const RequestState& request, EngineEvent::Kind kind, int choice = 0) {
  EngineEvent event;
  event.request = request.id;
  event.kind = kind;
  event.choice = choice;
  return event;
}

}  // namespace

Scheduler::Scheduler(const EngineOptions& options, const RunnerInfo& runner)
    : options_(options),
      block_tokens_(runner.block_tokens),
      rounds_prompts_(runner.rounds_prompts),
      max_logit_rows_(runner.max_logit_rows),
      pool_(runner.n_blocks),
      cache_(pool_) {
  const auto sequences = static_cast<size_t>(options.max_sequences);
  const auto rows = static_cast<size_t>(options.max_step_tokens);
  running_.reserve(sequences);
  chosen_.reserve(sequences);
  plan_.tokens.reserve(rows);
  plan_.positions.reserve(rows);
  plan_.slots.reserve(rows);
  plan_.chunks.reserve(sequences);
  plan_.logit_rows.reserve(static_cast<size_t>(runner.max_logit_rows));
  plan_.parts.reserve(sequences);
}

// ---- between steps

void Scheduler::Accept(std::span<EngineCommand> commands, TimePoint now,
                       std::vector<EngineEvent>& events) {
  for (EngineCommand& command : commands) {
    if (command.kind == EngineCommand::Kind::kSubmit) {
      Submit(command);
      continue;
    }
    const auto it = requests_.find(command.request);
    if (it == requests_.end() || it->second->ended) continue;
    if (command.choice < 0) {
      EndRequest(*it->second, EventOf(*it->second, EngineEvent::Kind::kDone), events);
    } else {
      CancelChoice(*it->second, command.choice, events);
    }
  }
  for (auto& [id, request] : requests_) {
    if (request->ended || !request->spec.deadline || now < *request->spec.deadline) continue;
    FailRequest(*request,
                Error{ErrorCode::kTimeout,
                      fmt::format("the deadline passed after {} generated tokens",
                                  request->usage.completion_tokens),
                      {}},
                events);
  }
  DropEnded();
}

void Scheduler::Submit(EngineCommand& command) {
  CHECK(requests_.empty() || requests_.rbegin()->first < command.request);
  auto request = std::make_unique<RequestState>();
  request->id = command.request;
  request->spec = std::move(command.spec);
  const EngineRequest& spec = request->spec;
  request->open = spec.n;
  request->usage.prompt_tokens = static_cast<int64_t>(spec.prompt.size());
  request->choices.resize(static_cast<size_t>(spec.n));
  for (int i = 0; i < spec.n; ++i) {
    Sequence& s = request->choices[static_cast<size_t>(i)];
    s.request = request.get();
    s.choice = i;
  }
  Sequence& first = request->choices[0];
  first.state = Sequence::State::kWaiting;
  first.tokens = spec.prompt;
  waiting_.insert(&first);
  ++not_started_;
  requests_.emplace(request->id, std::move(request));
}

void Scheduler::CancelChoice(RequestState& request, int choice, std::vector<EngineEvent>& events) {
  if (choice >= static_cast<int>(request.choices.size())) return;
  Sequence& s = request.choices[static_cast<size_t>(choice)];
  if (s.state == Sequence::State::kFinished) return;
  FinishChoice(s, api::FinishReason::kStop, events);
}

void Scheduler::StartOtherChoices(RequestState& request) {
  for (Sequence& s : request.choices) {
    if (s.state != Sequence::State::kPending) continue;
    s.state = Sequence::State::kWaiting;
    s.tokens = request.spec.prompt;
    waiting_.insert(&s);
  }
}

// ---- planning

const BatchPlan& Scheduler::Plan() {
  plan_.Clear();
  chosen_.clear();
  rows_left_ = options_.max_step_tokens;
  chunk_ = options_.prefill_chunk;
  preempted_ = false;
  PlanRunning(/*decoding=*/true);
  // Nobody waits for the next token of an answer: where prompts gain from many rows, take them.
  chunk_ = rounds_prompts_ && chosen_.empty() ? options_.max_step_tokens : options_.prefill_chunk;
  PlanRunning(/*decoding=*/false);
  // What was just preempted must not start again on the blocks it gave back for others.
  if (!preempted_) AdmitWaiting();
  if (options_.speculation != Speculation::kOff) PlanDrafts();
  BuildPlan();
  if (options_.speculation == Speculation::kMtp) BuildDraftPlan();
  return plan_;
}

// Preemption removes sequences from the end of running_ only, and never the one being planned.
void Scheduler::PlanRunning(bool decoding) {
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& s = *running_[i];
    if (s.planned == 0 && (s.left() == 1) == decoding) PlanRows(s);
  }
}

void Scheduler::PlanRows(Sequence& s) {
  int64_t wanted = std::min({s.left(), int64_t{chunk_}, int64_t{rows_left_}});
  // A chunk is of the prompt or of the answer (computed again after a preemption), never of both.
  if (IsPrompt(s)) wanted = std::min(wanted, PromptTokens(s) - s.computed);
  if (wanted <= 0) return;
  Reserve(s, s.computed + wanted);
  // The youngest has nobody to preempt: it computes what fits, or waits with what it has.
  const int64_t room = static_cast<int64_t>(s.blocks.size()) * block_tokens_ - s.computed;
  s.planned = static_cast<int32_t>(std::min(wanted, room));
  rows_left_ -= s.planned;
  if (s.planned > 0) chosen_.push_back(&s);
}

int64_t Scheduler::PromptTokens(const Sequence& s) {
  return static_cast<int64_t>(s.request->spec.prompt.size());
}

bool Scheduler::IsPrompt(const Sequence& s) const {
  return rounds_prompts_ && s.computed < PromptTokens(s);
}

// Grows the block table to cover `slots`; false when it could not.
bool Scheduler::Reserve(Sequence& s, int64_t slots) {
  const size_t needed = BlocksFor(slots);
  while (s.blocks.size() < needed) {
    if (const auto block = cache_.Allocate()) {
      s.blocks.push_back(block->value);
    } else if (running_.back() != &s) {
      PreemptYoungest();
    } else {
      return false;
    }
  }
  return true;
}

void Scheduler::PreemptYoungest() {
  Sequence& s = *running_.back();
  running_.pop_back();
  rows_left_ += s.planned;
  s.planned = 0;
  ReleaseBlocks(s);
  s.state = Sequence::State::kWaiting;
  waiting_.insert(&s);
  preempted_ = true;
  ++preemptions_;
}

// Slots the sequence needs to get to its next token and compute that one.
int64_t Scheduler::SlotsSoon(const Sequence& s) const {
  return std::min(static_cast<int64_t>(s.tokens.size()) + 1, MostSlots(s.request->spec));
}

void Scheduler::AdmitWaiting() {
  while (!waiting_.empty() && rows_left_ > 0 &&
         running_.size() < static_cast<size_t>(options_.max_sequences)) {
    Sequence& s = **waiting_.begin();
    if (options_.prefix_cache) ExtendKeys(s);
    if (!CanStart(s)) return;  // strictly in order: nobody overtakes a large request
    Start(s);
    PlanRows(s);
  }
}

// Whether the blocks it needs soon are there, beside those that the running ones need soon and one
// in four of them may need next. Always true when nothing runs.
bool Scheduler::CanStart(const Sequence& s) const {
  if (running_.empty()) return true;
  size_t needed = BlocksFor(SlotsSoon(s)) + (running_.size() + 3) / 4;
  for (const Sequence* r : running_) {
    needed += std::max(BlocksFor(SlotsSoon(*r)), r->blocks.size()) - r->blocks.size();
  }
  const std::span<const PrefixKey> keys = UsableKeys(s);
  const size_t found = cache_.CountMatches(keys);
  const int32_t left = cache_.available() - cache_.CountCached(keys, found);
  return needed <= static_cast<size_t>(left) + found;
}

// Keys of the blocks that may be found in the cache instead of computed. At least one token is
// computed, so the last block of a prompt that is there whole is not used; and what others computed
// as a prompt is none of an answer's, where that makes a difference.
std::span<const PrefixKey> Scheduler::UsableKeys(const Sequence& s) const {
  if (s.request->spec.embed) return {};
  const int64_t last = static_cast<int64_t>(s.tokens.size()) - 1;
  const int64_t tokens = rounds_prompts_ ? std::min(last, PromptTokens(s)) : last;
  const auto most = static_cast<size_t>(tokens / block_tokens_);
  return std::span(s.keys).first(std::min(s.keys.size(), most));
}

void Scheduler::Start(Sequence& s) {
  waiting_.erase(&s);
  running_.insert(std::upper_bound(running_.begin(), running_.end(), &s, Older()), &s);
  s.state = Sequence::State::kRunning;
  cache_.Lookup(UsableKeys(s), s.blocks);
  s.offered = s.blocks.size();
  s.computed = s.found = static_cast<int64_t>(s.offered) * block_tokens_;
  RequestState& request = *s.request;
  const auto growth = std::min<int64_t>(request.spec.max_tokens, 1024);
  s.tokens.reserve(request.spec.prompt.size() + static_cast<size_t>(growth));
  if (request.started) return;
  request.started = true;
  --not_started_;
  request.usage.cached_tokens = s.found;
  prompt_tokens_ += request.usage.prompt_tokens;
  cached_tokens_ += s.found;
}

// Chunks of prompts come last, as StepInput asks.
void Scheduler::BuildPlan() {
  for (const bool prompts : {false, true}) {
    for (Sequence* s : chosen_) {
      if (s->planned > 0 && IsPrompt(*s) == prompts) AddChunk(*s);  // 0: preempted after planning
    }
  }
}

void Scheduler::AddChunk(Sequence& s) {
  SeqChunk chunk;
  chunk.first_row = static_cast<int32_t>(plan_.tokens.size());
  chunk.n_rows = s.planned;
  chunk.context = static_cast<int32_t>(s.computed);
  chunk.blocks = s.blocks.data();
  chunk.prompt = IsPrompt(s);
  for (int64_t p = s.computed; p < s.computed + s.planned; ++p) {
    plan_.tokens.push_back(s.tokens[static_cast<size_t>(p)]);
    plan_.positions.push_back(static_cast<int32_t>(p));
    const int32_t block = s.blocks[static_cast<size_t>(p / block_tokens_)];
    plan_.slots.push_back(block * block_tokens_ + static_cast<int32_t>(p % block_tokens_));
  }
  BatchPlan::Part part{&s, -1, s.drafted};
  if (s.planned == s.left()) {
    part.logit_row = static_cast<int32_t>(plan_.logit_rows.size());
    const int32_t end = chunk.first_row + chunk.n_rows;
    for (int32_t row = end - 1 - s.drafted; row < end; ++row) plan_.logit_rows.push_back(row);
  }
  if (s.request->spec.embed) plan_.summed.push_back(static_cast<int32_t>(plan_.chunks.size()));
  plan_.chunks.push_back(chunk);
  plan_.parts.push_back(part);
}

// ---- after the step

void Scheduler::Commit(std::span<StepSample> samples, std::span<const double> sums,
                       std::vector<EngineEvent>& events) {
  const size_t width = plan_.summed.empty() ? 0 : sums.size() / plan_.summed.size();
  size_t n_summed = 0;
  for (size_t i = 0; i < plan_.parts.size(); ++i) {
    const BatchPlan::Part& part = plan_.parts[i];
    Sequence& s = *part.sequence;
    const int32_t rows = std::exchange(s.planned, 0) - std::exchange(s.drafted, 0);
    if (s.request->spec.embed) AddSum(s, sums.subspan(n_summed++ * width, width));
    if (s.state != Sequence::State::kRunning) continue;  // another choice failed its request
    RequestState& request = *s.request;
    const int32_t accepted = part.drafted > 0 ? CountAccepted(part, samples) : 0;
    s.computed += rows + accepted;
    s.states = rows + accepted;
    s.state_row = plan_.chunks[i].first_row;
    if (part.drafted > 0) TakeAccepted(part, accepted);
    if (options_.prefix_cache) OfferBlocks(s);
    if (s.choice == 0 && s.computed >= request.usage.prompt_tokens) StartOtherChoices(request);
    if (part.logit_row < 0) continue;
    if (request.spec.embed) {
      Embed(s, events);
    } else {
      Draw(part, samples, accepted, events);
    }
  }
  plan_.Clear();
  DropEnded();
}

void Scheduler::AddSum(Sequence& s, std::span<const double> sum) const {
  if (s.sum.empty()) s.sum.resize(sum.size());
  for (size_t i = 0; i < sum.size(); ++i) s.sum[i] += sum[i];
}

void Scheduler::Embed(Sequence& s, std::vector<EngineEvent>& events) {
  EngineEvent event = EventOf(*s.request, EngineEvent::Kind::kEmbedding, s.choice);
  const auto n = static_cast<double>(s.tokens.size());
  for (double sum : s.sum) event.embedding.push_back(static_cast<float>(sum / n));
  events.push_back(std::move(event));
  FinishChoice(s, api::FinishReason::kStop, events);
}

// The guesses that came true are tokens of the sequence already; then one more.
void Scheduler::Draw(const BatchPlan::Part& part, std::span<StepSample> samples, int32_t accepted,
                     std::vector<EngineEvent>& events) {
  Sequence& s = *part.sequence;
  samples = samples.subspan(static_cast<size_t>(part.logit_row));
  for (int32_t i = 0; i < accepted; ++i) {
    EmitToken(s, samples[static_cast<size_t>(i)].token, events);
  }
  StepSample& last = samples[static_cast<size_t>(accepted)];
  if (!last.status) return FailRequest(*s.request, last.status.error(), events);
  s.tokens.push_back(last.token.id);
  EmitToken(s, last.token, events);
  FinishIfLast(s, events);
}

void Scheduler::EmitToken(Sequence& s, SampledToken& token, std::vector<EngineEvent>& events) {
  RequestState& request = *s.request;
  ++request.usage.completion_tokens;
  ++generated_tokens_;
  EngineEvent event = EventOf(request, EngineEvent::Kind::kToken, s.choice);
  event.token = token.id;
  event.is_stop_token = IsStop(request.spec, token.id);
  event.logprob = token.logprob;
  event.top = std::move(token.top);
  events.push_back(std::move(event));
}

void Scheduler::FinishIfLast(Sequence& s, std::vector<EngineEvent>& events) {
  const RequestState& request = *s.request;
  const auto generated = static_cast<int64_t>(s.tokens.size()) - request.usage.prompt_tokens;
  if (IsStop(request.spec, s.tokens.back())) {
    FinishChoice(s, api::FinishReason::kStop, events);
  } else if (generated >= request.spec.max_tokens) {
    FinishChoice(s, api::FinishReason::kLength, events);
  }
}

void Scheduler::Fail(const Error& error, std::vector<EngineEvent>& events) {
  for (const BatchPlan::Part& part : plan_.parts) {
    if (!part.sequence->request->ended) FailRequest(*part.sequence->request, error, events);
  }
  plan_.Clear();
  DropEnded();
}

void Scheduler::FailAll(const Error& error, std::vector<EngineEvent>& events) {
  for (auto& [id, request] : requests_) FailRequest(*request, error, events);
  plan_.Clear();
  DropEnded();
}

// ---- blocks

void Scheduler::ExtendKeys(Sequence& s) const {
  const auto size = static_cast<size_t>(block_tokens_);
  while ((s.keys.size() + 1) * size <= s.tokens.size()) {
    const PrefixKey parent = s.keys.empty() ? RootKey(s.request->spec.tenant) : s.keys.back();
    s.keys.push_back(NextKey(parent, std::span(s.tokens).subspan(s.keys.size() * size, size)));
  }
}

// Full blocks are offered only after the step that wrote them, so nobody finds one unwritten.
// A prompt that meets them computed its own tokens as a prompt: where that makes a difference,
// blocks with tokens of an answer are not offered.
void Scheduler::OfferBlocks(Sequence& s) {
  const int64_t tokens = rounds_prompts_ ? std::min(s.computed, PromptTokens(s)) : s.computed;
  const auto full = static_cast<size_t>(tokens / block_tokens_);
  if (s.offered >= full) return;
  ExtendKeys(s);
  for (; s.offered < full; ++s.offered) {
    cache_.Insert(std::span(s.keys).first(s.offered + 1), BlockId(s.blocks[s.offered]));
  }
}

// From last to first, so that the cache gives up the end of a prefix before its beginning.
void Scheduler::ReleaseBlocks(Sequence& s) {
  while (!s.blocks.empty()) {
    cache_.Release(BlockId(s.blocks.back()));
    s.blocks.pop_back();
  }
  s.computed = s.found = 0;
  s.offered = 0;
  s.states = 0;
  s.sum.clear();
}

// ---- ends

void Scheduler::FinishChoice(Sequence& s, api::FinishReason reason,
                             std::vector<EngineEvent>& events) {
  RequestState& request = *s.request;
  Leave(s);
  EngineEvent event = EventOf(request, EngineEvent::Kind::kFinished, s.choice);
  event.reason = reason;
  events.push_back(std::move(event));
  if (--request.open == 0) {
    EndRequest(request, EventOf(request, EngineEvent::Kind::kDone), events);
  } else if (s.choice == 0) {
    StartOtherChoices(request);
  }
}

void Scheduler::Leave(Sequence& s) {
  if (s.state == Sequence::State::kWaiting) waiting_.erase(&s);
  if (s.state == Sequence::State::kRunning) {
    running_.erase(std::find(running_.begin(), running_.end(), &s));
  }
  ReleaseBlocks(s);
  s.state = Sequence::State::kFinished;
}

void Scheduler::EndRequest(RequestState& request, EngineEvent last,
                           std::vector<EngineEvent>& events) {
  if (request.ended) return;
  for (Sequence& s : request.choices) Leave(s);
  if (!request.started) --not_started_;
  request.started = request.ended = true;
  last.usage = request.usage;
  events.push_back(std::move(last));
  ended_.push_back(request.id);
  ++ended_total_;
}

void Scheduler::FailRequest(RequestState& request, const Error& error,
                            std::vector<EngineEvent>& events) {
  EngineEvent event = EventOf(request, EngineEvent::Kind::kFailed);
  event.error = error;
  EndRequest(request, std::move(event), events);
}

void Scheduler::DropEnded() {
  for (const RequestId id : ended_) requests_.erase(id);
  ended_.clear();
}

void Scheduler::FillStats(EngineStats& stats) const {
  stats.running = static_cast<int64_t>(running_.size());
  stats.queued = not_started_;
  stats.blocks_total = pool_.total();
  stats.blocks_free = pool_.free();
  stats.blocks_cached = pool_.cached();
  stats.blocks_held = pool_.held();
  stats.prompt_tokens = prompt_tokens_;
  stats.generated_tokens = generated_tokens_;
  stats.cached_tokens = cached_tokens_;
  stats.preemptions = preemptions_;
  stats.speculation = options_.speculation;
  stats.drafted_tokens = drafted_tokens_;
  stats.accepted_tokens = accepted_tokens_;
}

}  // namespace hadal
