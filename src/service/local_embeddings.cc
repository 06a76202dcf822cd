// LocalChatService: embeddings: one engine request for each input, one stream for all of them.
#include "service/local_stream.h"

namespace hadal {
namespace {

// A service's error about one of several inputs.
Error InputError(Error error, size_t index) {
  error.message = fmt::format("input[{}]: {}", index, error.message);
  error.field = "input";
  return error;
}

}  // namespace

Result<std::unique_ptr<ChatService::Session>> LocalChatService::SubmitEmbeddings(
    const api::Request& request, const api::EmbedPrompt& embed, OnEvent on_event) {
  std::vector<EngineRequest> requests;
  int64_t prompt_tokens = 0;
  for (size_t i = 0; i < embed.inputs.size(); ++i) {
    api::Request one;
    std::visit([&](const auto& input) { one.prompt = input; }, embed.inputs[i]);
    auto prompt = prompts_->Build(one);
    if (!prompt) return tl::make_unexpected(InputError(prompt.error(), i));
    one.max_tokens = 1;
    auto room = prompts_->MaxTokens(one, *prompt);
    if (!room) return tl::make_unexpected(InputError(room.error(), i));
    prompt_tokens += static_cast<int64_t>(prompt->ids.size());
    EngineRequest& engine_request = requests.emplace_back();
    engine_request.prompt = std::move(prompt->ids);
    engine_request.max_tokens = 1;
    engine_request.embed = true;
    engine_request.tenant = request.tenant;
    engine_request.deadline = DeadlineOf(request);
  }
  auto stream = std::make_shared<Stream>();
  stream->on_event = std::move(on_event);
  auto session = std::make_unique<LocalSession>(*this, stream, prompt_tokens);
  const std::lock_guard hold(stream->mutex);  // no event is told before all are submitted
  for (size_t i = 0; i < requests.size(); ++i) {
    std::lock_guard lock(streams_mutex_);
    auto id = engine_->Submit(std::move(requests[i]));
    if (!id) {  // those before it end unheard
      for (const RequestId submitted : stream->ids) {
        streams_.erase(submitted);
        engine_->Cancel(submitted);
      }
      return tl::make_unexpected(InputError(std::move(id).error(), i));
    }
    stream->ids.push_back(*id);
    stream->open = stream->ids.size();
    streams_.emplace(*id, Route{stream, static_cast<int>(i)});
  }
  return session;
}

}  // namespace hadal
