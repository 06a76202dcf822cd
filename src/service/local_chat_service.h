// Owns: ChatService over a model on this machine: tokenizer, chat format, engine, and the text
// thread that turns the engine's tokens into text. Knows nothing of HTTP.
//
// The engine's sink only moves a step's events into a queue; all text work happens on the text
// thread, in order. Special-token strings inside a caller's text stay text, in chat messages and in
// raw prompts alike (`special_tokens_in_prompts` is for operators whose callers write whole
// templates themselves; callers can always send token ids). Thread rule: as ChatService. Sessions
// are destroyed before the service.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "chat/chat_format.h"
#include "engine/engine.h"
#include "service/chat_service.h"
#include "service/guide_maker.h"
#include "service/prompt_builder.h"
#include "service/replay_store.h"
#include "tokenizer/tokenizer.h"

namespace hadal {

struct LocalServiceOptions {
  std::string name;                  // what callers write into "model"
  std::string architecture;          // model_type of config.json
  int64_t context = 0;               // prompt + generated tokens
  int64_t vocab = 0;                 // rows of the embedding table; 0: the tokenizer's
  std::vector<TokenId> stop_tokens;  // further ends of text, of generation_config.json
  bool special_tokens_in_prompts = false;
  int64_t parameters = 0;    // of the model
  std::string weights = {};  // how they are stored
  FormatSource chat_format = {};
};

class LocalChatService final : public ChatService, private EventSink {
 public:
  // Called once with the sink that the engine is to have.
  using StartEngine = std::function<Result<std::unique_ptr<Engine>>(EventSink&)>;
  static Result<std::unique_ptr<LocalChatService>> Create(LocalServiceOptions options,
                                                          std::unique_ptr<Tokenizer> tokenizer,
                                                          const StartEngine& start_engine);
  ~LocalChatService() override;

  std::vector<ModelCard> models() const override;
  // Fields named: those of PromptBuilder and GuideMaker, model, logit_bias, stop_token_ids.
  Result<std::unique_ptr<Session>> Submit(const api::Request& request, OnEvent on_event) override;
  Result<PromptView> Render(const api::Request& request) override;
  Result<std::vector<int32_t>> Tokenize(std::string_view model,
                                        std::string_view text) const override;
  Result<std::string> Detokenize(std::string_view model,
                                 std::span<const int32_t> ids) const override;
  ServiceStats stats() const override;
  std::optional<Error> failure() const override { return engine_->failure(); }
  double RetryAfterSeconds() const override;
  void Drain() override;
  bool WaitIdle(std::chrono::milliseconds timeout) override;

 private:
  struct Stream;
  class LocalSession;
  struct Route {
    std::shared_ptr<Stream> stream;
    int first_choice = 0;  // of the engine's request within the stream
  };

  LocalChatService(LocalServiceOptions options, std::unique_ptr<Tokenizer> tokenizer);

  Status CheckModel(std::string_view model) const;
  Status CheckTokenIds(const api::Request& request) const;
  void MakeTrie();
  Result<std::unique_ptr<Session>> SubmitEmbeddings(const api::Request& request,
                                                    const api::EmbedPrompt& embed,
                                                    OnEvent on_event);
  Result<Prompt> BuildPrompt(const api::Request& request);
  void KeepAnswer(Stream& stream, int index);
  Result<EngineRequest> EngineRequestOf(const api::Request& request, Prompt& prompt,
                                        std::vector<std::string>& not_enforced) const;
  std::vector<TokenId> StopTokens(bool is_chat) const;
  static std::optional<TimePoint> DeadlineOf(const api::Request& request);
  std::shared_ptr<Stream> NewStream(const api::Request& request, const Prompt& prompt,
                                    OnEvent on_event) const;

  void OnStep(std::span<EngineEvent> events) override;
  void RunTextThread();
  void Handle(EngineEvent& event);
  void HandleToken(Stream& stream, EngineEvent& event);
  void FinishChoice(Stream& stream, int choice, api::FinishReason reason);
  std::optional<api::TokenLogprob> LogprobOf(const EngineEvent& event) const;

  const LocalServiceOptions options_;
  const std::unique_ptr<Tokenizer> tokenizer_;
  const int64_t vocab_;
  const int64_t created_;
  std::unique_ptr<ChatFormat> format_;  // null: no_format_ says why
  Error no_format_;
  std::shared_ptr<const grammar::TokenTrie>
      trie_;  // null: the vocabulary is larger than the model's
  std::unique_ptr<PromptBuilder> prompts_;
  std::unique_ptr<GuideMaker> guides_;
  ReplayStore replays_{size_t{64} << 20};
  std::unique_ptr<Engine> engine_;

  // Held over Engine::Submit, so that the text thread never meets an id it does not know yet.
  std::mutex streams_mutex_;
  std::unordered_map<RequestId, Route> streams_;

  std::mutex queue_mutex_;  // guards the four below
  std::condition_variable queue_changed_;
  std::vector<EngineEvent> queue_;
  bool text_busy_ = false;
  bool stopping_ = false;

  std::thread text_thread_;
};

}  // namespace hadal
