#include "server/http/responses_response.h"

#include <utility>

#include "base/clock.h"
#include "net/sse.h"
#include "server/http/openai_response.h"
#include "server/http/request_id.h"

namespace hadal::server {
namespace {

constexpr std::string_view kInProgress = "in_progress", kCompleted = "completed",
                           kIncomplete = "incomplete", kFailed = "failed";

Json ResponsesUsage(const api::Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

bool IsWhole(api::FinishReason reason) {
  return reason == api::FinishReason::kStop || reason == api::FinishReason::kToolCalls;
}

void Merge(Json& into, Json from) {
  for (auto& [name, value] : from.items()) into[name] = std::move(value);
}

}  // namespace

std::string ResponsesWriter::Begin(int64_t) {
  Start();
  return std::exchange(bytes_, {});
}

void ResponsesWriter::Start() {
  if (std::exchange(started_, true)) return;
  Emit("response.created", {{"response", Response()}});
  Emit("response.in_progress", {{"response", Response()}});
}

std::string ResponsesWriter::On(api::Event event) {
  Start();
  if (auto* delta = std::get_if<api::Delta>(&event)) Take(*delta);
  if (auto* delta = std::get_if<api::ToolCallDelta>(&event)) Take(*delta);
  if (const auto* finished = std::get_if<api::Finished>(&event)) {
    reason_ = finished->reason;
    Leave(IsWhole(reason_) ? kCompleted : kIncomplete);
  }
  if (const auto* done = std::get_if<api::Done>(&event)) End(*done);
  if (const auto* failed = std::get_if<api::Failed>(&event)) Fail(failed->error);
  return std::exchange(bytes_, {});
}

void ResponsesWriter::Take(api::Delta& delta) {
  const bool logprobs = head_.logprobs && !delta.logprobs.empty();
  // Log probabilities have a place beside content only.
  if (delta.in_reasoning || !delta.reasoning.empty()) {
    if (delta.reasoning.empty()) return;
    Open(Kind::kReasoning);
    AddText(delta.reasoning, Json::array());
  }
  if (delta.content.empty() && (!logprobs || delta.in_reasoning)) return;
  Open(Kind::kMessage);
  AddText(delta.content, logprobs ? ChatLogprobs(delta.logprobs) : Json::array());
}

void ResponsesWriter::Take(api::ToolCallDelta& delta) {
  if (delta.first) {
    Leave(kCompleted);
    call_ = {std::move(delta.id), std::move(delta.name), {}};
    Open(Kind::kCall);
  }
  if (kind_ != Kind::kCall) return;
  if (!delta.arguments.empty()) {
    call_.arguments += delta.arguments;
    Json fields = Place(false);
    fields["delta"] = std::move(delta.arguments);
    Emit("response.function_call_arguments.delta", std::move(fields));
  }
  if (delta.last) Close(delta.complete ? kCompleted : kIncomplete);
}

void ResponsesWriter::AddText(const std::string& delta, Json logprobs) {
  text_ += delta;
  Json fields = Place(true);
  fields["delta"] = delta;
  if (kind_ == Kind::kReasoning) {
    return Emit("response.reasoning_text.delta", std::move(fields));
  }
  for (const Json& entry : logprobs) logprobs_.push_back(entry);
  fields["logprobs"] = std::move(logprobs);
  Emit("response.output_text.delta", std::move(fields));
}

// Nothing when such an item is open already; a call is closed by its own end.
void ResponsesWriter::Open(Kind kind) {
  if (kind_ == kind) return;
  Leave(kCompleted);
  kind_ = kind;
  item_id_ = (kind == Kind::kReasoning ? "rs_"
              : kind == Kind::kMessage ? "msg_"
                                       : "fc_") +
             NewUuid();
  Json item = Item(kInProgress);
  if (kind != Kind::kCall) item["content"] = Json::array();
  Emit("response.output_item.added", {{"output_index", output_.size()}, {"item", std::move(item)}});
  if (kind == Kind::kCall) return;
  Json fields = Place(true);
  fields["part"] = Part();
  Emit("response.content_part.added", std::move(fields));
}

// A call that did not come to its own end is not whole.
void ResponsesWriter::Leave(std::string_view status) {
  Close(kind_ == Kind::kCall ? kIncomplete : status);
}

void ResponsesWriter::Close(std::string_view status) {
  if (kind_ == Kind::kNone) return;
  if (kind_ == Kind::kCall) {
    Json fields = Place(false);
    Merge(fields, {{"name", call_.name}, {"arguments", call_.arguments}});
    Emit("response.function_call_arguments.done", std::move(fields));
  } else {
    Json fields = Place(true);
    fields["text"] = text_;
    if (kind_ == Kind::kMessage) fields["logprobs"] = logprobs_;
    Emit(kind_ == Kind::kMessage ? "response.output_text.done" : "response.reasoning_text.done",
         std::move(fields));
    fields = Place(true);
    fields["part"] = Part();
    Emit("response.content_part.done", std::move(fields));
  }
  Json item = Item(status);
  Emit("response.output_item.done", {{"output_index", output_.size()}, {"item", item}});
  output_.push_back(std::move(item));
  kind_ = Kind::kNone;
  text_.clear();
  logprobs_ = Json::array();
}

Json ResponsesWriter::Part() const {
  if (kind_ == Kind::kReasoning) return {{"type", "reasoning_text"}, {"text", text_}};
  return {{"type", "output_text"},
          {"text", text_},
          {"annotations", Json::array()},
          {"logprobs", logprobs_}};
}

Json ResponsesWriter::Item(std::string_view status) const {
  Json item = {{"id", item_id_}};
  if (kind_ == Kind::kCall) {
    Merge(item, {{"type", "function_call"},
                 {"status", status},
                 {"call_id", call_.id},
                 {"name", call_.name},
                 {"arguments", call_.arguments}});
    return item;
  }
  if (kind_ == Kind::kMessage) {
    Merge(item, {{"type", "message"}, {"status", status}, {"role", "assistant"}});
  } else {
    Merge(item, {{"type", "reasoning"}, {"status", status}, {"summary", Json::array()}});
  }
  item["content"] = Json::array({Part()});
  return item;
}

Json ResponsesWriter::Place(bool in_part) const {
  Json place = {{"item_id", item_id_}, {"output_index", output_.size()}};
  if (in_part) place["content_index"] = 0;
  return place;
}

void ResponsesWriter::End(const api::Done& done) {
  Leave(kCompleted);
  done_ = done;
  status_ = IsWhole(reason_) ? kCompleted : kIncomplete;
  Emit(status_ == kCompleted ? "response.completed" : "response.incomplete",
       {{"response", Response()}});
}

void ResponsesWriter::Fail(const Error& error) {
  if (kind_ != Kind::kNone) {  // what there is of it
    output_.push_back(Item(kIncomplete));
    kind_ = Kind::kNone;
  }
  error_ = error;
  status_ = kFailed;
  Emit("response.failed", {{"response", Response()}});
}

Json ResponsesWriter::Response() const {
  Json out = {{"id", head_.id},       {"object", "response"}, {"created_at", head_.created},
              {"status", status_},    {"error", nullptr},     {"incomplete_details", nullptr},
              {"model", head_.model}, {"output", output_},    {"usage", nullptr}};
  if (error_) out["error"] = {{"code", ErrorCodeOf(*error_)}, {"message", error_->message}};
  if (status_ == kIncomplete) {
    const bool tokens = reason_ == api::FinishReason::kLength;
    out["incomplete_details"] = {{"reason", tokens ? "max_output_tokens" : FinishName(reason_)}};
  }
  if (done_) {
    if (status_ == kCompleted) out["completed_at"] = UnixSeconds();
    out["usage"] = ResponsesUsage(done_->usage);
    if (done_->dropped) out["truncation_details"] = DroppedJson(*done_->dropped);
  }
  Merge(out, head_.echo);
  return out;
}

void ResponsesWriter::Emit(std::string_view type, Json fields) {
  if (!head_.stream) return;
  Json event = {{"type", type}, {"sequence_number", sequence_++}};
  Merge(event, std::move(fields));
  bytes_ += SseEvent(type, ToLine(event));
}

std::string ResponsesWriter::Body() const { return ToLine(Response()); }

}  // namespace hadal::server
