// LocalChatService: the text thread: the engine's events -> the callers' events.
#include <pthread.h>
#include <signal.h>

#include <cmath>
#include <utility>

#include "service/local_stream.h"

namespace hadal {
namespace {

void ScaleToOne(std::vector<float>& values) {
  double squares = 0;
  for (const float v : values) squares += double{v} * v;
  if (squares <= 0) return;
  const auto scale = static_cast<float>(1 / std::sqrt(squares));
  for (float& v : values) v *= scale;
}

}  // namespace

void LocalChatService::OnStep(std::span<EngineEvent> events) {
  {
    std::lock_guard lock(queue_mutex_);
    queue_.insert(queue_.end(), std::make_move_iterator(events.begin()),
                  std::make_move_iterator(events.end()));
  }
  queue_changed_.notify_all();
}

void LocalChatService::RunTextThread() {
  sigset_t all;  // signals are for the main thread
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::vector<EngineEvent> events;
  std::unique_lock lock(queue_mutex_);
  while (true) {
    queue_changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::swap(events, queue_);
    text_busy_ = true;
    lock.unlock();
    for (EngineEvent& event : events) Handle(event);
    events.clear();
    lock.lock();
    text_busy_ = false;
    queue_changed_.notify_all();
  }
}

void LocalChatService::Handle(EngineEvent& event) {
  const bool last =
      event.kind == EngineEvent::Kind::kDone || event.kind == EngineEvent::Kind::kFailed;
  std::shared_ptr<Stream> stream;
  {
    std::lock_guard lock(streams_mutex_);
    const auto found = streams_.find(event.request);
    if (found == streams_.end()) return;  // its session is gone
    stream = found->second.stream;
    event.choice += found->second.first_choice;
    if (last) streams_.erase(found);
  }
  OnEvent dead;  // destroyed after the lock: it may own what waits for the lock
  std::lock_guard lock(stream->mutex);
  switch (event.kind) {
    case EngineEvent::Kind::kToken:
      HandleToken(*stream, event);
      break;
    case EngineEvent::Kind::kEmbedding:
      ScaleToOne(event.embedding);
      stream->Emit(api::Embedding{event.choice, std::move(event.embedding)});
      break;
    case EngineEvent::Kind::kFinished:
      FinishChoice(*stream, event.choice, event.reason);
      break;
    case EngineEvent::Kind::kDone: {
      api::Usage& usage = stream->usage;
      usage.prompt_tokens += event.usage.prompt_tokens;
      usage.cached_tokens += event.usage.cached_tokens;
      if (--stream->open > 0) return;
      // The engine may have gone on for a step after a stop string; the caller gets the text's
      // count.
      usage.completion_tokens = usage.reasoning_tokens = 0;
      for (const auto& choice : stream->choices) {
        usage.completion_tokens += choice.text.n_tokens();
        usage.reasoning_tokens += choice.text.n_reasoning_tokens();
      }
      stream->Emit(api::Done{usage, stream->dropped});
      break;
    }
    case EngineEvent::Kind::kFailed:
      stream->Emit(api::Failed{std::move(event.error)});
      break;
  }
  if (last || stream->ended) {
    stream->ended = true;
    dead = std::exchange(stream->on_event, nullptr);
  }
}

void LocalChatService::HandleToken(Stream& stream, EngineEvent& event) {
  auto& choice = stream.choices.at(static_cast<size_t>(event.choice));
  if (choice.finished) return;
  if (!std::exchange(choice.begun, true) && !stream.echo.empty()) {
    api::Delta echo;
    echo.choice = event.choice;
    echo.content = stream.echo;
    stream.Emit(std::move(echo));
  }
  if (event.is_stop_token) return choice.text.CountStopToken();
  if (stream.keeps_answers) choice.tokens.push_back(event.token);
  auto logprob = stream.logprobs ? LogprobOf(event) : std::nullopt;
  auto out = choice.text.Push(event.token, std::move(logprob));
  for (api::Event& piece : out.events) stream.EmitPiece(choice, std::move(piece));
  if (!out.stopped) return;
  FinishChoice(stream, event.choice, api::FinishReason::kStop);
  engine_->Cancel(stream.ids.front(), event.choice);
}

void LocalChatService::FinishChoice(Stream& stream, int index, api::FinishReason reason) {
  if (stream.choices.empty()) return;  // an embedding
  auto& choice = stream.choices.at(static_cast<size_t>(index));
  if (std::exchange(choice.finished, true)) return;
  for (api::Event& piece : choice.text.Finish()) stream.EmitPiece(choice, std::move(piece));
  const api::FinishReason said = choice.text.FinishReasonOf(reason);
  if (said == api::FinishReason::kToolCalls && choice.calls_are_whole && stream.keeps_answers) {
    KeepAnswer(stream, index);
  }
  stream.Emit(api::Finished{.choice = index, .reason = said, .stop = choice.text.stop()});
}

// Before the caller hears of the end: its next request may come at once.
void LocalChatService::KeepAnswer(Stream& stream, int index) {
  auto& choice = stream.choices.at(static_cast<size_t>(index));
  const auto split = choice.tokens.begin() + choice.text.n_reasoning_tokens();
  choice.answer.reasoning_ids.assign(choice.tokens.begin(), split);
  choice.answer.answer_ids.assign(split, choice.tokens.end());
  replays_.Put(stream.tenant, std::move(choice.answer));
}

std::optional<api::TokenLogprob> LocalChatService::LogprobOf(const EngineEvent& event) const {
  api::TokenLogprob out;
  out.id = event.token;
  out.bytes = tokenizer_->BytesOf(event.token);
  out.logprob = event.logprob;
  out.top = event.top;
  for (const auto& [id, logprob] : event.top) out.top_bytes.emplace_back(tokenizer_->BytesOf(id));
  return out;
}

}  // namespace hadal
