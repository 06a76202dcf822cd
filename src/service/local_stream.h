// Owns: one request of LocalChatService on its way out, and its caller's end of it. Private to the
// service. Thread rule: `mutex` is held while the callback runs.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "service/choice_text.h"
#include "service/local_chat_service.h"

namespace hadal {

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
  std::vector<RequestId> ids;  // one; of embeddings one for each input
  size_t open = 0;             // of these
  api::Usage usage;            // of those that are done
  std::vector<Choice> choices;
  bool logprobs = false;
  bool keeps_answers = false;
  std::vector<std::string> not_enforced;
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

// Destroyed, it cancels what is left of the request.
class LocalChatService::LocalSession final : public Session {
 public:
  LocalSession(LocalChatService& service, std::shared_ptr<Stream> stream, int64_t prompt_tokens)
      : service_(service), stream_(std::move(stream)), prompt_tokens_(prompt_tokens) {}

  ~LocalSession() override {
    for (const RequestId id : stream_->ids) {
      bool known = false;
      {
        std::lock_guard lock(service_.streams_mutex_);
        known = service_.streams_.erase(id) > 0;
      }
      if (known) service_.engine_->Cancel(id);
    }
    if (std::this_thread::get_id() == service_.text_thread_.get_id()) {
      stream_->ended = true;  // from within the callback, which holds the mutex
      return;
    }
    std::lock_guard lock(stream_->mutex);  // waits for a running callback
    stream_->ended = true;
    stream_->on_event = nullptr;
  }
  int64_t prompt_tokens() const override { return prompt_tokens_; }
  std::vector<std::string> not_enforced() const override { return stream_->not_enforced; }

 private:
  LocalChatService& service_;
  const std::shared_ptr<Stream> stream_;
  const int64_t prompt_tokens_;
};

}  // namespace hadal
