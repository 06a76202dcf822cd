#include "service/local_chat_service.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "service/choice_text.h"

namespace hadal {

// One request on its way out. `mutex` is held while its callback runs.
struct LocalChatService::Stream {
  struct Choice {
    ChoiceText text;
    bool begun = false;
    bool finished = false;
  };

  std::mutex mutex;
  OnEvent on_event;
  bool ended = false;
  RequestId id;
  std::vector<Choice> choices;
  bool logprobs = false;
  std::string echo;  // text before each choice's own

  void Emit(api::Event event) {
    if (!ended) on_event(std::move(event));
  }
};

class LocalChatService::LocalSession final : public Session {
 public:
  LocalSession(LocalChatService& service, std::shared_ptr<Stream> stream, int64_t prompt_tokens)
      : service_(service), stream_(std::move(stream)), prompt_tokens_(prompt_tokens) {}

  ~LocalSession() override {
    bool known = false;
    {
      std::lock_guard lock(service_.streams_mutex_);
      known = service_.streams_.erase(stream_->id) > 0;
    }
    if (known) service_.engine_->Cancel(stream_->id);
    if (std::this_thread::get_id() == service_.text_thread_.get_id()) {
      stream_->ended = true;  // from within the callback, which holds the mutex
      return;
    }
    std::lock_guard lock(stream_->mutex);  // waits for a running callback
    stream_->ended = true;
    stream_->on_event = nullptr;
  }
  int64_t prompt_tokens() const override { return prompt_tokens_; }

 private:
  LocalChatService& service_;
  const std::shared_ptr<Stream> stream_;
  const int64_t prompt_tokens_;
};

LocalChatService::LocalChatService(LocalServiceOptions options,
                                   std::unique_ptr<Tokenizer> tokenizer)
    : options_(std::move(options)),
      tokenizer_(std::move(tokenizer)),
      vocab_(options_.vocab > 0 ? options_.vocab : tokenizer_->vocab_size()),
      created_(UnixSeconds()) {
  for (TokenId id = 0; id < tokenizer_->vocab_size(); ++id) {
    max_token_bytes_ = std::max(max_token_bytes_, tokenizer_->BytesOf(id).size());
  }
  auto format = ChooseChatFormat(*tokenizer_, options_.architecture, options_.chat_format);
  if (format) {
    format_ = std::move(*format);
  } else {
    no_format_ = std::move(format).error();
  }
}

Result<std::unique_ptr<LocalChatService>> LocalChatService::Create(
    LocalServiceOptions options, std::unique_ptr<Tokenizer> tokenizer,
    const StartEngine& start_engine) {
  CHECK(tokenizer != nullptr && options.context > 0);
  std::unique_ptr<LocalChatService> service(
      new LocalChatService(std::move(options), std::move(tokenizer)));
  // A format that was asked for must be there; without any a model still continues texts.
  const bool chosen = service->options_.chat_format.kind != FormatSource::Kind::kAuto;
  if (chosen && service->format_ == nullptr) {
    return tl::make_unexpected(std::move(service->no_format_));
  }
  HADAL_TRY(service->engine_, start_engine(*service));
  service->text_thread_ = std::thread([raw = service.get()] { raw->RunTextThread(); });
  return service;
}

LocalChatService::~LocalChatService() {
  {
    std::lock_guard lock(queue_mutex_);
    stopping_ = true;
  }
  queue_changed_.notify_all();
  if (text_thread_.joinable()) text_thread_.join();
  engine_.reset();  // without sessions nobody waits for its last events
}

std::vector<ModelCard> LocalChatService::models() const {
  return {{.name = options_.name,
           .architecture = options_.architecture,
           .context = options_.context,
           .created = created_,
           .chat = format_ != nullptr}};
}

std::shared_ptr<LocalChatService::Stream> LocalChatService::NewStream(const api::Request& request,
                                                                      const Prompt& prompt,
                                                                      OnEvent on_event) const {
  auto stream = std::make_shared<Stream>();
  stream->on_event = std::move(on_event);
  stream->logprobs = request.sampling.logprobs;
  for (int i = 0; i < request.n; ++i) {
    auto parser = prompt.is_chat ? format_->NewParser(prompt.starts_in_reasoning)
                                 : NewPlainTextParser(*tokenizer_);
    stream->choices.push_back({ChoiceText(i, std::move(parser), request.sampling.stop)});
  }
  if (request.echo) {
    const auto* text = std::get_if<api::TextPrompt>(&request.prompt);
    stream->echo = text != nullptr ? text->text : tokenizer_->Decode(prompt.ids);
  }
  return stream;
}

Result<std::unique_ptr<ChatService::Session>> LocalChatService::Submit(const api::Request& request,
                                                                       OnEvent on_event) {
  HADAL_OK(CheckModel(request.model));
  HADAL_OK(CheckTokenIds(request));
  HADAL_TRY(Prompt prompt, BuildPrompt(request));
  HADAL_TRY(const int64_t max_tokens, MaxTokens(request, prompt));
  const auto prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  auto stream = NewStream(request, prompt, std::move(on_event));
  EngineRequest engine_request = EngineRequestOf(request, prompt, max_tokens);
  {
    std::lock_guard lock(streams_mutex_);
    HADAL_TRY(stream->id, engine_->Submit(std::move(engine_request)));
    streams_.emplace(stream->id, stream);
  }
  return std::make_unique<LocalSession>(*this, std::move(stream), prompt_tokens);
}

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
    stream = found->second;
    if (last) streams_.erase(found);
  }
  OnEvent dead;  // destroyed after the lock: it may own what waits for the lock
  std::lock_guard lock(stream->mutex);
  switch (event.kind) {
    case EngineEvent::Kind::kToken:
      HandleToken(*stream, event);
      break;
    case EngineEvent::Kind::kFinished:
      FinishChoice(*stream, event.choice, event.reason);
      break;
    case EngineEvent::Kind::kDone: {
      api::Usage usage = event.usage;
      // The engine may have gone on for a step after a stop string; the caller gets the text's
      // count.
      usage.completion_tokens = usage.reasoning_tokens = 0;
      for (const auto& choice : stream->choices) {
        usage.completion_tokens += choice.text.n_tokens();
        usage.reasoning_tokens += choice.text.n_reasoning_tokens();
      }
      stream->Emit(api::Done{usage});
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
  auto logprob = stream.logprobs ? LogprobOf(event) : std::nullopt;
  auto out = choice.text.Push(event.token, std::move(logprob));
  for (api::Delta& delta : out.deltas) stream.Emit(std::move(delta));
  if (!out.stopped) return;
  FinishChoice(stream, event.choice, api::FinishReason::kStop);
  engine_->Cancel(stream.id, event.choice);
}

void LocalChatService::FinishChoice(Stream& stream, int index, api::FinishReason reason) {
  auto& choice = stream.choices.at(static_cast<size_t>(index));
  if (std::exchange(choice.finished, true)) return;
  for (api::Delta& delta : choice.text.Finish()) stream.Emit(std::move(delta));
  stream.Emit(api::Finished{.choice = index, .reason = reason});
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

ServiceStats LocalChatService::stats() const {
  const EngineStats s = engine_->stats();
  return {.running = s.running,
          .queued = s.queued,
          .blocks_total = s.blocks_total,
          .blocks_free = s.blocks_free,
          .blocks_cached = s.blocks_cached,
          .blocks_held = s.blocks_held,
          .steps = s.steps,
          .prompt_tokens = s.prompt_tokens,
          .generated_tokens = s.generated_tokens,
          .cached_tokens = s.cached_tokens,
          .preemptions = s.preemptions,
          .last_batch_rows = s.last_batch_rows,
          .last_batch_sequences = s.last_batch_sequences,
          .step_seconds_total = s.step_seconds_total};
}

double LocalChatService::RetryAfterSeconds() const { return engine_->RetryAfterSeconds(); }
void LocalChatService::Drain() { engine_->Drain(); }

bool LocalChatService::WaitIdle(std::chrono::milliseconds timeout) {
  const TimePoint deadline = Now() + timeout;
  if (!engine_->WaitIdle(timeout)) return false;
  // An idle engine has delivered its events; what is left is text.
  std::unique_lock lock(queue_mutex_);
  return queue_changed_.wait_until(lock, deadline,
                                   [this] { return queue_.empty() && !text_busy_; });
}

}  // namespace hadal
