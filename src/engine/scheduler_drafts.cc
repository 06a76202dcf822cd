// The part of the scheduler that plans guessed tokens and takes those that came true.
#include <algorithm>

#include "engine/scheduler.h"

namespace hadal {

std::string_view NameOf(Speculation kind) {
  switch (kind) {
    case Speculation::kOff:
      return "off";
    case Speculation::kNgram:
      return "ngram";
  }
  return "";
}

// After everything else is planned, so that a guess can only use what nobody needs in this step.
// Guesses follow sequences that decode: rows of a long chunk may be computed in another form.
void Scheduler::PlanDrafts() {
  drafting_.clear();
  int32_t logit_rows = 0;
  for (Sequence* s : chosen_) {
    if (s->planned == 0 || s->planned != s->left()) continue;
    ++logit_rows;
    if (s->planned > 1 || s->request->spec.embed) continue;
    s->drafted = Guess(*s);
    if (s->drafted > 0) drafting_.push_back(s);
  }
  ShareDraftRoom(std::min({options_.max_draft, rows_left_, max_logit_rows_ - logit_rows}));
  for (size_t i = 0; i < drafting_.size(); ++i) FitDraft(*drafting_[i], granted_[i]);
}

// Appends guesses to the tokens; the token after the last of them is still one that may be drawn.
int32_t Scheduler::Guess(Sequence& s) const {
  const EngineRequest& spec = s.request->spec;
  const auto answer = static_cast<int64_t>(s.tokens.size() - spec.prompt.size());
  const auto most = std::min<int64_t>(options_.max_draft, spec.max_tokens - answer - 1);
  const int32_t length = most > 0 ? s.pace.Next(static_cast<int32_t>(most)) : 0;
  return length > 0 ? s.ngrams.Draft(s.tokens, length) : 0;
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
