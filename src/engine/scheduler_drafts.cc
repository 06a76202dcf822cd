// The part of the scheduler that plans guessed tokens and takes those that came true.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/scheduler.h"

namespace hadal {

std::string_view NameOf(Speculation kind) {
  switch (kind) {
    case Speculation::kOff:
      return "off";
    case Speculation::kNgram:
      return "ngram";
    case Speculation::kMtp:
      return "mtp";
  }
  return "";
}

namespace {

// What a further row costs over what a token costs now; at least 1: a guess cannot gain. Beside a
// single sequence what was measured may only discourage: nobody else waits for the step.
double CostOfGuess(int32_t decoding, double rows_of_a_step) {
  constexpr double kLeastAlone = 0.5, kTooMuch = 4;
  const double rows =
      decoding + (decoding > 1 ? rows_of_a_step : std::max(rows_of_a_step, kLeastAlone));
  return rows * kTooMuch > decoding ? decoding / rows : kTooMuch;
}

}  // namespace

// After everything else is planned, so that a guess can only use what nobody needs in this step.
// Guesses follow sequences that decode: rows of a long chunk may be computed in another form.
void Scheduler::PlanDrafts() {
  drafting_.clear();
  int32_t decoding = 0, logit_rows = 0;
  for (const Sequence* s : chosen_) {
    if (s->planned == 0 || s->planned != s->left()) continue;
    ++logit_rows;
    decoding += s->planned == 1;
  }
  const int32_t room =
      std::min({options_.max_draft + 1 - decoding, rows_left_, max_logit_rows_ - logit_rows});
  if (room <= 0) return;
  const double worth = CostOfGuess(decoding, rows_of_a_step_);
  for (Sequence* s : chosen_) {
    if (s->planned != 1 || s->left() != 1 || IsPrompt(*s) || s->request->spec.embed) continue;
    s->drafted = Guess(*s, worth);
    if (s->drafted > 0) drafting_.push_back(s);
  }
  ShareDraftRoom(room);
  for (size_t i = 0; i < drafting_.size(); ++i) FitDraft(*drafting_[i], granted_[i]);
}

// Appends guesses to the tokens; the token after the last of them is still one that may be drawn.
int32_t Scheduler::Guess(Sequence& s, double worth) const {
  const EngineRequest& spec = s.request->spec;
  const auto answer = static_cast<int64_t>(s.tokens.size() - spec.prompt.size());
  const auto most = std::min<int64_t>(options_.max_draft, spec.max_tokens - answer - 1);
  const int32_t length = most > 0 ? s.pace.Next(static_cast<int32_t>(most), worth) : 0;
  if (length <= 0) return 0;
  if (options_.speculation == Speculation::kNgram) return s.ngrams.Draft(s.tokens, length);
  if (s.states == 0) return 0;
  s.tokens.resize(s.tokens.size() + static_cast<size_t>(length));  // until TakeDrafts
  return length;
}

// The next run overwrites the hidden states of the last: the draft layer must see all of those
// whose sequences go on, whether a guess is wanted now or not, or its cache would have holes.
void Scheduler::BuildDraftPlan() {
  drafts_.Clear();
  for (Sequence* s : chosen_) {
    if (s->planned > 0) AddStates(*s);
  }
  for (Sequence* s : running_) AddStates(*s);
}

void Scheduler::AddStates(Sequence& s) {
  const int32_t n = std::exchange(s.states, 0);
  if (n == 0 || s.request->spec.embed) return;
  const auto first_row = static_cast<int32_t>(drafts_.tokens.size());
  const auto context = static_cast<int32_t>(s.computed) - n;
  drafts_.chunks.push_back({first_row, n, context, s.blocks.data()});
  for (int32_t i = 0; i < n; ++i) {
    const int32_t p = context + i;
    const int32_t block = s.blocks[static_cast<size_t>(p / block_tokens_)];
    drafts_.tokens.push_back(s.tokens[static_cast<size_t>(p) + 1]);
    drafts_.positions.push_back(p);
    drafts_.slots.push_back(block * block_tokens_ + p % block_tokens_);
    drafts_.after.push_back(s.state_row + i);
  }
  if (s.drafted == 0) return;
  drafts_.logit_rows.push_back(first_row + n - 1);
  drafts_.lengths.push_back(s.drafted);
}

void Scheduler::TakeDrafts(std::span<const TokenId> guesses) {
  size_t next = 0;
  for (size_t i = 0; i < plan_.parts.size(); ++i) {
    const int32_t drafted = plan_.parts[i].drafted;
    if (drafted == 0) continue;
    const auto n = static_cast<size_t>(drafted);
    CHECK(guesses.size() - next >= n);
    const auto from = guesses.subspan(next, n);
    const SeqChunk& chunk = plan_.chunks[i];
    std::vector<TokenId>& tokens = plan_.parts[i].sequence->tokens;
    std::copy(from.begin(), from.end(), tokens.end() - drafted);
    std::copy(from.begin(), from.end(),
              plan_.tokens.begin() + chunk.first_row + chunk.n_rows - drafted);
    next += n;
  }
}

// One guess for each in turn, oldest first, so that a long draft leaves room for the others.
void Scheduler::ShareDraftRoom(int32_t room) {
  granted_.assign(drafting_.size(), 0);
  for (int32_t turn = 0; room > 0 && turn < options_.max_draft; ++turn) {
    for (size_t i = 0; i < drafting_.size() && room > 0; ++i) {
      if (drafting_[i]->drafted <= turn) continue;
      ++granted_[i];
      --room;
    }
  }
}

// Cuts the draft to what was granted and to blocks that are to be had without preemption.
void Scheduler::FitDraft(Sequence& s, int32_t granted) {
  const size_t known = s.tokens.size() - static_cast<size_t>(s.drafted);
  while (s.blocks.size() < BlocksFor(static_cast<int64_t>(known) + granted)) {
    const auto block = cache_.Allocate();
    if (!block) break;
    s.blocks.push_back(block->value);
  }
  const int64_t room = static_cast<int64_t>(s.blocks.size()) * block_tokens_;
  s.drafted = static_cast<int32_t>(std::min<int64_t>(granted, room - static_cast<int64_t>(known)));
  s.tokens.resize(known + static_cast<size_t>(s.drafted));
  s.planned += s.drafted;
  rows_left_ -= s.drafted;
}

// What is left of the tokens is known, and what is left of the blocks is what a sequence that never
// guessed would hold.
void Scheduler::TakeAccepted(const BatchPlan::Part& part, int32_t accepted) {
  Sequence& s = *part.sequence;
  s.tokens.resize(s.tokens.size() - static_cast<size_t>(part.drafted - accepted));
  s.pace.Learn(part.drafted, accepted);
  drafted_tokens_ += part.drafted;
  accepted_tokens_ += accepted;
  while (s.blocks.size() > BlocksFor(s.computed)) {
    cache_.Release(BlockId(s.blocks.back()));
    s.blocks.pop_back();
  }
}

}  // namespace hadal
