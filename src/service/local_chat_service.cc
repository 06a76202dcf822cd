#include "service/local_chat_service.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <random>
#include <utility>

#include "base/check.h"
#include "service/choice_text.h"

namespace hadal {
namespace {

Status CheckId(int64_t id, int64_t vocab, const char* field) {
  if (id >= 0 && id < vocab) return {};
  return FailField(ErrorCode::kInvalidArgument, field,
                   "{} has the token id {}; ids of this model are 0 to {}", field, id, vocab - 1);
}

// Part of the ids of one answer's tool calls.
std::string RandomHex() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}", device(), device(), device());
}

}  // namespace

// One request on its way out. `mutex` is held while its callback runs.
struct LocalChatService::Stream {
  struct Choice {
    ChoiceText text;
    bool begun = false;
    bool finished = false;
    // For ReplayStore, where there are tools.
    api::Message answer = {};
    std::vector<TokenId> tokens = {};
    bool calls_are_whole = true;
  };

  std::mutex mutex;
  OnEvent on_event;
  bool ended = false;
  RequestId id;
  std::vector<Choice> choices;
  bool logprobs = false;
  bool keeps_answers = false;
  std::string tenant;
  std::optional<api::Dropped> dropped;
  std::string echo;  // text before each choice's own

  void Emit(api::Event event) {
    if (!ended) on_event(std::move(event));
  }
  // A piece of a choice's answer.
  void EmitPiece(Choice& choice, api::Event piece) {
    if (keeps_answers) Keep(choice, piece);
    Emit(std::move(piece));
  }
  static void Keep(Choice& choice, const api::Event& piece) {
    api::Message& answer = choice.answer;
    if (const auto* delta = std::get_if<api::Delta>(&piece)) {
      answer.content += delta->content;
      if (!delta->reasoning.empty()) {
        answer.reasoning_content = answer.reasoning_content.value_or("") + delta->reasoning;
      }
    } else if (const auto* call = std::get_if<api::ToolCallDelta>(&piece)) {
      if (call->first) answer.tool_calls.push_back({call->id, call->name, ""});
      if (!answer.tool_calls.empty()) answer.tool_calls.back().arguments += call->arguments;
      if (call->last && !call->complete) choice.calls_are_whole = false;
    }
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
  auto format = ChooseChatFormat(*tokenizer_, options_.architecture, options_.chat_format);
  if (format) {
    format_ = std::move(*format);
  } else {
    no_format_ = std::move(format).error();
  }
  MakeTrie();
  prompts_ = std::make_unique<PromptBuilder>(
      PromptRules{options_.name, options_.context, vocab_, options_.special_tokens_in_prompts},
      *tokenizer_, format_.get(), no_format_, trie_.get());
  guides_ = std::make_unique<GuideMaker>(*tokenizer_, format_.get(), trie_);
}

void LocalChatService::MakeTrie() {
  if (tokenizer_->vocab_size() > vocab_) return;
  std::vector<TokenId> stops = StopTokens(/*is_chat=*/true);
  std::erase_if(stops, [&](TokenId id) { return id < 0 || id >= tokenizer_->vocab_size(); });
  auto trie = grammar::TokenTrie::Build(*tokenizer_, stops);
  if (trie) trie_ = std::move(*trie);
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
           .chat = format_ != nullptr,
           .chat_format = format_ != nullptr ? std::string(format_->name()) : "",
           .tools = format_ != nullptr && format_->tool_markup().has_value(),
           .thinking = format_ != nullptr && format_->can_think(),
           .fim = prompts_->has_fim(),
           .parameters = options_.parameters,
           .weights = options_.weights}};
}

std::shared_ptr<LocalChatService::Stream> LocalChatService::NewStream(const api::Request& request,
                                                                      const Prompt& prompt,
                                                                      OnEvent on_event) const {
  auto stream = std::make_shared<Stream>();
  stream->on_event = std::move(on_event);
  stream->logprobs = request.sampling.logprobs;
  stream->dropped = prompt.dropped;
  stream->tenant = request.tenant;
  const auto* chat = std::get_if<api::ChatPrompt>(&request.prompt);
  stream->keeps_answers = chat != nullptr && !chat->tools.empty();
  for (int i = 0; i < request.n; ++i) {
    auto parser = prompt.is_chat ? format_->NewParser(prompt.starts_in_reasoning, RandomHex())
                                 : NewPlainTextParser(*tokenizer_);
    stream->choices.push_back(
        {.text = ChoiceText(i, std::move(parser), request.sampling.stop, prompt.heal.size())});
  }
  if (request.echo) {
    const auto* text = std::get_if<api::TextPrompt>(&request.prompt);
    const auto* fim = std::get_if<api::FimPrompt>(&request.prompt);
    stream->echo = text != nullptr  ? text->text
                   : fim != nullptr ? fim->prefix
                                    : tokenizer_->Decode(prompt.ids);
  }
  return stream;
}

Result<std::unique_ptr<ChatService::Session>> LocalChatService::Submit(const api::Request& request,
                                                                       OnEvent on_event) {
  HADAL_OK(CheckModel(request.model));
  HADAL_OK(CheckTokenIds(request));
  HADAL_TRY(Prompt prompt, BuildPrompt(request));
  const auto prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  auto stream = NewStream(request, prompt, std::move(on_event));
  HADAL_TRY(EngineRequest engine_request, EngineRequestOf(request, prompt));
  {
    std::lock_guard lock(streams_mutex_);
    HADAL_TRY(stream->id, engine_->Submit(std::move(engine_request)));
    streams_.emplace(stream->id, stream);
  }
  return std::make_unique<LocalSession>(*this, std::move(stream), prompt_tokens);
}

Result<Prompt> LocalChatService::BuildPrompt(const api::Request& request) {
  const auto* chat = std::get_if<api::ChatPrompt>(&request.prompt);
  const auto has_calls = [](const api::Message& m) { return !m.tool_calls.empty(); };
  if (chat == nullptr || std::none_of(chat->messages.begin(), chat->messages.end(), has_calls)) {
    return prompts_->Build(request);
  }
  api::Request filled = request;
  replays_.Fill(request.tenant, std::get<api::ChatPrompt>(filled.prompt).messages);
  return prompts_->Build(filled);
}

std::vector<TokenId> LocalChatService::StopTokens(bool is_chat) const {
  std::vector<TokenId> stops = options_.stop_tokens;
  if (is_chat && format_ != nullptr) {
    const auto ends = format_->stop_tokens();
    stops.insert(stops.end(), ends.begin(), ends.end());
  }
  if (const auto eos = tokenizer_->eos()) stops.push_back(*eos);
  std::sort(stops.begin(), stops.end());
  stops.erase(std::unique(stops.begin(), stops.end()), stops.end());
  return stops;
}

Result<EngineRequest> LocalChatService::EngineRequestOf(const api::Request& request,
                                                        Prompt& prompt) const {
  EngineRequest out;
  HADAL_TRY(out.max_tokens, prompts_->MaxTokens(request, prompt));
  HADAL_TRY(out.guides, guides_->Make(request, prompt, out.max_tokens));
  out.prompt = std::move(prompt.ids);
  out.n = request.n;
  out.sampling = request.sampling;
  out.sampling.stop.clear();  // text is not the engine's business
  out.tenant = request.tenant;
  if (!request.sampling.ignore_eos) out.stop_tokens = StopTokens(prompt.is_chat);
  if (request.deadline_seconds) {
    out.deadline = Now() + std::chrono::duration_cast<Duration>(
                               std::chrono::duration<double>(*request.deadline_seconds));
  }
  return out;
}

Status LocalChatService::CheckModel(std::string_view model) const {
  if (model == options_.name) return {};
  return FailField(ErrorCode::kNotFound, "model", "the model {} is not served here; {} is",
                   model.substr(0, api::Limits::kMaxModelNameBytes), options_.name);
}

Status LocalChatService::CheckTokenIds(const api::Request& request) const {
  for (const auto& [id, bias] : request.sampling.logit_bias) {
    HADAL_OK(CheckId(id, vocab_, "logit_bias"));
  }
  for (const TokenId id : request.sampling.stop_token_ids) {
    HADAL_OK(CheckId(id, vocab_, "stop_token_ids"));
  }
  return {};
}

Result<PromptView> LocalChatService::Render(const api::Request& request) {
  HADAL_OK(CheckModel(request.model));
  HADAL_TRY(Prompt prompt, BuildPrompt(request));
  PromptView view;
  HADAL_TRY(view.max_tokens, prompts_->MaxTokens(request, prompt));
  view.dropped = prompt.dropped;
  if (prompt.pieces.empty()) view.pieces.push_back({tokenizer_->Decode(prompt.ids), std::nullopt});
  for (const Piece& piece : prompt.pieces) {
    if (const auto* text = std::get_if<TextPiece>(&piece)) {
      view.pieces.push_back({text->text, std::nullopt});
    } else {
      const TokenId id = std::get<TokenId>(piece);
      view.pieces.push_back({std::string(tokenizer_->BytesOf(id)), id});
    }
  }
  view.ids = std::move(prompt.ids);
  return view;
}

Result<std::vector<int32_t>> LocalChatService::Tokenize(std::string_view model,
                                                        std::string_view text) const {
  HADAL_OK(CheckModel(model));
  return tokenizer_->Encode(text, Tokenizer::Special::kAsText);
}

Result<std::string> LocalChatService::Detokenize(std::string_view model,
                                                 std::span<const int32_t> ids) const {
  HADAL_OK(CheckModel(model));
  for (const int32_t id : ids) HADAL_OK(CheckId(id, vocab_, "ids"));
  return tokenizer_->Decode(ids);
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
  engine_->Cancel(stream.id, event.choice);
}

void LocalChatService::FinishChoice(Stream& stream, int index, api::FinishReason reason) {
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
