#include "server/http/ollama_response.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "server/http/openai_response.h"
#include "server/json_body.h"

namespace hadal::server {
namespace {

int64_t Nanoseconds(Duration d) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
}

void Append(Json& to, Json& from) {
  for (Json& element : from) to.push_back(std::move(element));
}

std::string_view DoneReason(api::FinishReason reason) {
  return reason == api::FinishReason::kToolCalls ? "stop" : FinishName(reason);
}

}  // namespace

std::string OllamaErrorBody(const Error& error) {
  const bool named = error.message.find(error.field) != std::string::npos;
  return ToLine({{"error", named ? error.message : error.In(error.field).message}});
}

std::string Rfc3339(std::chrono::system_clock::time_point time) {
  using std::chrono::floor;
  const auto seconds = floor<std::chrono::seconds>(time);
  const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(time - seconds).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)), rest);
}

OllamaWriter::OllamaWriter(OllamaHead head, TimePoint (*now)())
    : head_(std::move(head)),
      now_(now),
      created_(now()),
      first_token_(created_),
      last_token_(created_) {}

OllamaWriter::Part OllamaWriter::PartOf(api::Delta& delta) const {
  Part part;
  part.content = std::move(delta.content);
  part.thinking = std::move(delta.reasoning);
  if (head_.logprobs) part.logprobs = ChatLogprobs(delta.logprobs);
  return part;
}

OllamaWriter::Part OllamaWriter::PartOf(api::ToolCallDelta& delta) {
  Part part;
  if (delta.first) {
    Cut();
    open_ = api::ToolCall{std::move(delta.id), std::move(delta.name), {}};
  }
  if (!open_) return part;
  open_->arguments += delta.arguments;
  if (!delta.last) return part;
  // Read again, because what was deep or twice would come back to us and be refused.
  auto arguments = ParseJsonObject(open_->arguments);
  if (!delta.complete || !arguments) {
    Cut();
    return part;
  }
  part.calls.push_back({{"id", std::move(open_->id)},
                        {"function",
                         {{"index", delta.call},
                          {"name", std::move(open_->name)},
                          {"arguments", std::move(*arguments)}}}});
  open_.reset();
  return part;
}

void OllamaWriter::Cut() {
  if (!open_) return;
  cut_.push_back({{"name", std::move(open_->name)}, {"arguments", std::move(open_->arguments)}});
  open_.reset();
}

std::string OllamaWriter::On(api::Event event) {
  if (auto* delta = std::get_if<api::Delta>(&event)) {
    return Take(PartOf(*delta), delta->n_tokens);
  }
  if (auto* delta = std::get_if<api::ToolCallDelta>(&event)) {
    return Take(PartOf(*delta), delta->n_tokens);
  }
  if (const auto* finished = std::get_if<api::Finished>(&event)) {
    reason_ = finished->reason;
    return {};
  }
  if (const auto* done = std::get_if<api::Done>(&event)) return End(*done);
  const auto* failed = std::get_if<api::Failed>(&event);
  return failed != nullptr && head_.stream ? OllamaErrorBody(failed->error) + "\n" : "";
}

std::string OllamaWriter::Take(Part part, int n_tokens) {
  if (n_tokens > 0) {
    last_token_ = now_();
    if (!std::exchange(has_token_, true)) first_token_ = last_token_;
  }
  if (part.empty()) return {};
  if (head_.stream) return ToLine(Object(std::move(part), false)) + "\n";
  whole_.content += part.content;
  whole_.thinking += part.thinking;
  Append(whole_.calls, part.calls);
  Append(whole_.logprobs, part.logprobs);
  return {};
}

Json OllamaWriter::Object(Part part, bool done) const {
  Json out = {{"model", head_.model}, {"created_at", Rfc3339(std::chrono::system_clock::now())}};
  if (head_.route == OllamaRoute::kChat) {
    Json message = {{"role", "assistant"}, {"content", std::move(part.content)}};
    if (!part.thinking.empty()) message["thinking"] = std::move(part.thinking);
    if (!part.calls.empty()) message["tool_calls"] = std::move(part.calls);
    out["message"] = std::move(message);
  } else {
    out["response"] = std::move(part.content);
    if (!part.thinking.empty()) out["thinking"] = std::move(part.thinking);
    if (!part.calls.empty()) out["tool_calls"] = std::move(part.calls);
  }
  if (!part.logprobs.empty()) out["logprobs"] = std::move(part.logprobs);
  out["done"] = done;
  return out;
}

std::string OllamaWriter::End(const api::Done& done) {
  Cut();
  const TimePoint now = now_();
  const TimePoint first = has_token_ ? first_token_ : now;
  Json out = Object(std::exchange(whole_, {}), true);
  out["done_reason"] = DoneReason(reason_);
  out["total_duration"] = Nanoseconds(now - created_);
  out["load_duration"] = 0;
  out["prompt_eval_count"] = done.usage.prompt_tokens;
  out["prompt_eval_duration"] = Nanoseconds(first - created_);
  out["eval_count"] = done.usage.completion_tokens;
  // Clients divide by it.
  const int64_t written = has_token_ ? Nanoseconds(last_token_ - first_token_) : 0;
  out["eval_duration"] = std::max<int64_t>(written, 1);
  if (!cut_.empty()) out["cut_tool_calls"] = std::move(cut_);
  if (done.dropped) out["truncation"] = DroppedJson(*done.dropped);
  if (head_.stream) return ToLine(out) + "\n";
  body_ = ToLine(out);
  return {};
}

}  // namespace hadal::server
