#include "server/http/anthropic_response.h"

#include <fmt/chrono.h>

#include <optional>
#include <utility>
#include <vector>

#include "net/sse.h"
#include "server/http/openai_response.h"

namespace hadal::server {
namespace {

enum class BlockKind { kThinking, kText, kToolUse };

// The part of an event that belongs to one block.
struct Piece {
  BlockKind kind;
  std::string_view text;
  const api::ToolCallDelta* call = nullptr;  // kToolUse

  bool StartsBlock(std::optional<BlockKind> open) const {
    return open != kind || (call != nullptr && call->first);
  }
};

std::vector<Piece> PiecesOf(const api::Event& event) {
  std::vector<Piece> pieces;
  if (const auto* delta = std::get_if<api::Delta>(&event)) {
    if (!delta->reasoning.empty()) pieces.push_back({BlockKind::kThinking, delta->reasoning});
    if (!delta->content.empty()) pieces.push_back({BlockKind::kText, delta->content});
  } else if (const auto* call = std::get_if<api::ToolCallDelta>(&event)) {
    pieces.push_back({BlockKind::kToolUse, call->arguments, call});
  }
  return pieces;
}

// As it is before any of its text.
OrderedJson EmptyBlock(BlockKind kind, std::string_view id, std::string_view name) {
  switch (kind) {
    case BlockKind::kThinking:
      return {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}};
    case BlockKind::kText:
      return {{"type", "text"}, {"text", ""}};
    case BlockKind::kToolUse:
      break;
  }
  return {{"type", "tool_use"}, {"id", id}, {"name", name}, {"input", OrderedJson::object()}};
}

OrderedJson StopReason(const api::Finished& finished) {
  switch (finished.reason) {
    case api::FinishReason::kStop:
      return finished.stop ? "stop_sequence" : "end_turn";
    case api::FinishReason::kLength:
      return "max_tokens";
    case api::FinishReason::kToolCalls:
      return "tool_use";
    case api::FinishReason::kCancelled:  // neither comes to its Done
    case api::FinishReason::kError:
      break;
  }
  return nullptr;
}

OrderedJson StopSequence(const api::Finished& finished) {
  const bool stopped = finished.reason == api::FinishReason::kStop && finished.stop;
  return stopped ? OrderedJson(*finished.stop) : OrderedJson(nullptr);
}

OrderedJson AnthropicUsage(const api::Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"thinking_tokens", usage.reasoning_tokens}}}};
}

OrderedJson MessageJson(const AnthropicHead& head, OrderedJson content,
                        const std::optional<api::Finished>& finished, const api::Usage& usage) {
  return {{"id", head.id},
          {"type", "message"},
          {"role", "assistant"},
          {"model", head.model},
          {"content", std::move(content)},
          {"stop_reason", finished ? StopReason(*finished) : OrderedJson(nullptr)},
          {"stop_sequence", finished ? StopSequence(*finished) : OrderedJson(nullptr)},
          {"usage", AnthropicUsage(usage)}};
}

std::string Frame(const OrderedJson& event) {
  return SseEvent(event["type"].get_ref<const std::string&>(), ToLine(event));
}

class Stream final : public AnswerWriter {
 public:
  explicit Stream(AnthropicHead head) : head_(std::move(head)) {}
  bool streams() const override { return true; }
  std::string_view content_type() const override { return "text/event-stream; charset=utf-8"; }
  std::string KeepAlive() const override { return Frame({{"type", "ping"}}); }

  std::string Begin(int64_t prompt_tokens) override {
    api::Usage usage;
    usage.prompt_tokens = prompt_tokens;
    return Frame({{"type", "message_start"},
                  {"message", MessageJson(head_, OrderedJson::array(), {}, usage)}});
  }

  std::string On(api::Event event) override {
    std::string out;
    for (const Piece& piece : PiecesOf(event)) Write(piece, out);
    if (const auto* finished = std::get_if<api::Finished>(&event)) {
      finished_ = *finished;
      Close(out);
    } else if (const auto* done = std::get_if<api::Done>(&event)) {
      Close(out);
      End(*done, out);
    } else if (const auto* failed = std::get_if<api::Failed>(&event)) {
      out += SseEvent("error", AnthropicErrorBody(failed->error));
    }
    return out;
  }

 private:
  void Write(const Piece& piece, std::string& out) {
    if (piece.StartsBlock(open_)) {
      Close(out);
      open_ = piece.kind;
      const bool named = piece.call != nullptr;
      out += Frame({{"type", "content_block_start"},
                    {"index", index_},
                    {"content_block", EmptyBlock(piece.kind, named ? piece.call->id : "",
                                                 named ? piece.call->name : "")}});
    }
    if (!piece.text.empty()) WriteText(piece, out);
    if (piece.call != nullptr && piece.call->last) Close(out);
  }

  void WriteText(const Piece& piece, std::string& out) {
    switch (piece.kind) {
      case BlockKind::kThinking:
        if (head_.hides_thinking) return;
        return WriteDelta({{"type", "thinking_delta"}, {"thinking", piece.text}}, out);
      case BlockKind::kText:
        return WriteDelta({{"type", "text_delta"}, {"text", piece.text}}, out);
      case BlockKind::kToolUse:
        return WriteDelta({{"type", "input_json_delta"}, {"partial_json", piece.text}}, out);
    }
  }

  void WriteDelta(OrderedJson delta, std::string& out) const {
    out += Frame({{"type", "content_block_delta"}, {"index", index_}, {"delta", std::move(delta)}});
  }

  void Close(std::string& out) {
    if (!open_) return;
    if (open_ == BlockKind::kThinking) {
      WriteDelta({{"type", "signature_delta"}, {"signature", ""}}, out);
    }
    open_.reset();
    out += Frame({{"type", "content_block_stop"}, {"index", index_++}});
  }

  void End(const api::Done& done, std::string& out) const {
    OrderedJson end = {
        {"type", "message_delta"},
        {"delta",
         {{"stop_reason", StopReason(finished_)}, {"stop_sequence", StopSequence(finished_)}}},
        {"usage", AnthropicUsage(done.usage)}};
    if (done.dropped) end["truncation"] = DroppedJson(*done.dropped);
    out += Frame(end);
    out += Frame({{"type", "message_stop"}});
  }

  const AnthropicHead head_;
  std::optional<BlockKind> open_;
  int index_ = 0;  // of the open block, else of the next
  api::Finished finished_;
};

class Whole final : public AnswerWriter {
 public:
  explicit Whole(AnthropicHead head) : head_(std::move(head)) {}
  bool streams() const override { return false; }
  std::string_view content_type() const override { return "application/json"; }

  std::string On(api::Event event) override {
    for (const Piece& piece : PiecesOf(event)) Keep(piece);
    if (const auto* finished = std::get_if<api::Finished>(&event)) finished_ = *finished;
    if (const auto* done = std::get_if<api::Done>(&event)) done_ = *done;
    return {};
  }

  std::string Body() const override {
    OrderedJson content = OrderedJson::array();
    for (const Block& block : blocks_) content.push_back(JsonOf(block));
    OrderedJson message = MessageJson(head_, std::move(content), finished_, done_.usage);
    if (done_.dropped) message["truncation"] = DroppedJson(*done_.dropped);
    return ToLine(message);
  }

 private:
  struct Block {
    BlockKind kind;
    std::string id, name;
    std::string text;
  };

  void Keep(const Piece& piece) {
    if (piece.StartsBlock(open_)) {
      const bool named = piece.call != nullptr;
      blocks_.push_back(
          {piece.kind, named ? piece.call->id : "", named ? piece.call->name : "", {}});
    }
    open_ = piece.kind;
    if (piece.call != nullptr && piece.call->last) open_.reset();
    const bool hidden = piece.kind == BlockKind::kThinking && head_.hides_thinking;
    if (!hidden) blocks_.back().text += piece.text;
  }

  static OrderedJson JsonOf(const Block& block) {
    OrderedJson json = EmptyBlock(block.kind, block.id, block.name);
    if (block.kind == BlockKind::kThinking) json["thinking"] = block.text;
    if (block.kind == BlockKind::kText) json["text"] = block.text;
    if (block.kind == BlockKind::kToolUse && !block.text.empty()) {
      auto input = ParseJsonObject(block.text);  // a model wrote it: within the limits of a body
      if (input) {
        json["input"] = std::move(*input);
      } else {
        json["partial_json"] = block.text;
      }
    }
    return json;
  }

  const AnthropicHead head_;
  std::optional<BlockKind> open_;
  std::vector<Block> blocks_;
  api::Finished finished_;
  api::Done done_;
};

std::string_view ErrorType(int http_status) {
  switch (http_status) {
    case 401:
      return "authentication_error";
    case 404:
      return "not_found_error";
    case 408:
      return "timeout_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return http_status >= 500 ? "api_error" : "invalid_request_error";
  }
}

std::string MessageOf(const Error& error) {
  if (error.code == ErrorCode::kContextLengthExceeded && error.field != "max_tokens") {
    return "prompt is too long: " + error.message;
  }
  const bool names_field = error.message.find(error.field) != std::string::npos;
  return names_field ? error.message : fmt::format("{}: {}", error.field, error.message);
}

OrderedJson ModelJson(const ModelCard& card) {
  return {{"type", "model"},
          {"id", card.name},
          {"display_name", card.name},
          {"created_at", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(card.created))},
          {"max_input_tokens", card.context},
          {"max_tokens", card.context}};
}

}  // namespace

std::unique_ptr<AnswerWriter> NewAnthropicStream(AnthropicHead head) {
  return std::make_unique<Stream>(std::move(head));
}
std::unique_ptr<AnswerWriter> NewAnthropicWhole(AnthropicHead head) {
  return std::make_unique<Whole>(std::move(head));
}

std::string AnthropicErrorBody(const Error& error) {
  return ToLine(
      {{"type", "error"},
       {"error", {{"type", ErrorType(InfoOf(error.code).http)}, {"message", MessageOf(error)}}}});
}

std::string AnthropicModelBody(const ModelCard& model) { return ToLine(ModelJson(model)); }

std::string AnthropicModelsBody(std::span<const ModelCard> models) {
  OrderedJson data = OrderedJson::array();
  for (const ModelCard& card : models) data.push_back(ModelJson(card));
  OrderedJson first = nullptr, last = nullptr;
  if (!models.empty()) {
    first = models.front().name;
    last = models.back().name;
  }
  return ToLine(
      {{"data", std::move(data)}, {"has_more", false}, {"first_id", first}, {"last_id", last}});
}

}  // namespace hadal::server
