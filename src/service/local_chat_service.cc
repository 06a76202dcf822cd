#include "service/local_chat_service.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/check.h"
#include "service/local_stream.h"

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
  auto trie =
      grammar::TokenTrie::Build(*tokenizer_, stops, MarkupTokens(*tokenizer_, format_.get()));
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
  if (const auto* embed = std::get_if<api::EmbedPrompt>(&request.prompt)) {
    return SubmitEmbeddings(request, *embed, std::move(on_event));
  }
  HADAL_TRY(Prompt prompt, BuildPrompt(request));
  const auto prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  auto stream = NewStream(request, prompt, std::move(on_event));
  HADAL_TRY(EngineRequest engine_request, EngineRequestOf(request, prompt, stream->not_enforced));
  {
    std::lock_guard lock(streams_mutex_);
    HADAL_TRY(const RequestId id, engine_->Submit(std::move(engine_request)));
    stream->ids = {id};
    stream->open = 1;
    streams_.emplace(id, Route{stream, 0});
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

std::optional<TimePoint> LocalChatService::DeadlineOf(const api::Request& request) {
  if (!request.deadline_seconds) return std::nullopt;
  return Now() + std::chrono::duration_cast<Duration>(
                     std::chrono::duration<double>(*request.deadline_seconds));
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

Result<EngineRequest> LocalChatService::EngineRequestOf(
    const api::Request& request, Prompt& prompt, std::vector<std::string>& not_enforced) const {
  EngineRequest out;
  HADAL_TRY(out.max_tokens, prompts_->MaxTokens(request, prompt));
  HADAL_TRY(GuideMaker::Made made, guides_->Make(request, prompt, out.max_tokens));
  out.guides = std::move(made.guides);
  not_enforced = std::move(made.not_enforced);
  out.prompt = std::move(prompt.ids);
  out.n = request.n;
  out.sampling = request.sampling;
  out.sampling.stop.clear();  // text is not the engine's business
  out.tenant = request.tenant;
  if (!request.sampling.ignore_eos) out.stop_tokens = StopTokens(prompt.is_chat);
  out.deadline = DeadlineOf(request);
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

ServiceStats LocalChatService::stats() const {
  const EngineStats s = engine_->stats();
  const auto constraints = guides_->counts();
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
          .speculation = NameOf(s.speculation),
          .drafted_tokens = s.drafted_tokens,
          .accepted_tokens = s.accepted_tokens,
          .step_seconds_total = s.step_seconds_total,
          .constraints = static_cast<int64_t>(constraints.entries),
          .constraint_bytes = static_cast<int64_t>(constraints.bytes),
          .constraints_compiled = static_cast<int64_t>(constraints.compiled),
          .constraint_hits = static_cast<int64_t>(constraints.hits),
          .replayed_answers = static_cast<int64_t>(replays_.counts().found)};
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
