#include "server/http/completion.h"

#include <algorithm>
#include <utility>

#include "server/http/error_response.h"
#include "server/http/openai_response.h"

namespace hadal::server {
Completion::Completion(const CompletionContext& context, std::shared_ptr<ResponseWriter> writer,
                       AccessRecord record, Dialect dialect, TimePoint arrival)
    : context_(context),
      dialect_(dialect),
      arrival_(arrival),
      request_id_(record.request_id),
      writer_(std::move(writer)),
      record_(std::move(record)),
      last_progress_(arrival) {}

void Completion::Begin(const std::string& model, std::unique_ptr<AnswerWriter> answer) {
  std::lock_guard lock(mutex_);
  record_.model = model;
  record_.stream = answer->streams();
  answer_ = std::move(answer);
}

void Completion::Attach(std::unique_ptr<ChatService::Session> session) {
  std::lock_guard lock(mutex_);
  record_.prompt_tokens = session->prompt_tokens();
  not_enforced_ = session->not_enforced();
  session_ = std::move(session);
  if (ended_) return Retire();
  Open();
}

// A stream begins at once, so that comments can keep the connection alive while the prompt is read.
void Completion::Open() {
  if (std::exchange(open_, true)) return;
  if (answer_->streams()) {
    StartStream();
    backlog_ += answer_->Begin(record_.prompt_tokens);
    FlushBacklog();
  }
  for (api::Event& event : std::exchange(early_, {})) {
    if (!ended_) Take(std::move(event));
  }
}

void Completion::Answer(std::string body) {
  std::lock_guard lock(mutex_);
  if (ended_) return;
  Record(200);
  writer_->Send(200, BaseHeaders(request_id_, "application/json"), std::move(body));
  Close();
}

void Completion::Fail(const Error& error, double retry_after_seconds) {
  std::lock_guard lock(mutex_);
  if (ended_) return;
  if (!early_.empty()) Open();  // the client gets what had come
  if (!ended_) EndWithError(error, retry_after_seconds);
}

bool Completion::ended() const {
  std::lock_guard lock(mutex_);
  return ended_;
}

void Completion::SetInputHash(std::string sha256_hex) {
  std::lock_guard lock(mutex_);
  record_.input_sha256 = std::move(sha256_hex);
}

// A header, so that every dialect's clients can see what is promised less than they asked for.
Headers Completion::AnswerHeaders() const {
  Headers headers = BaseHeaders(request_id_, answer_->content_type());
  if (not_enforced_.empty()) return headers;
  std::string fields;
  for (const std::string& field : not_enforced_) fields += (fields.empty() ? "" : ", ") + field;
  headers.Add("X-Hadal-Not-Enforced", fields);
  return headers;
}

void Completion::StartStream() {
  if (std::exchange(stream_started_, true)) return;
  Headers headers = AnswerHeaders();
  headers.Add("Cache-Control", "no-store");
  headers.Add("X-Accel-Buffering", "no");  // reverse proxies must not collect events
  writer_->StartStream(200, headers);
}

bool Completion::FlushBacklog() {
  // In pieces: a writer with room takes any size, and what it took no longer counts as backlog.
  constexpr size_t kPieceBytes = 16 << 10;
  size_t taken = 0;
  while (taken < backlog_.size() &&
         writer_->Write(std::string_view(backlog_).substr(taken, kPieceBytes))) {
    taken = std::min(taken + kPieceBytes, backlog_.size());
  }
  if (taken > 0) last_progress_ = Now();
  backlog_.erase(0, taken);
  return backlog_.empty();
}

void Completion::Measure(int choice, int n_tokens) {
  if (n_tokens <= 0) return;
  record_.completion_tokens += n_tokens;  // for an answer that never comes to its Done
  const TimePoint now = Now();
  if (last_token_.empty()) {
    record_.time_to_first_token_seconds = Seconds(now - arrival_);
    context_.metrics.ObserveTimeToFirstToken(record_.time_to_first_token_seconds);
  }
  const auto [last, first_of_choice] = last_token_.try_emplace(choice, now);
  if (!first_of_choice) {
    const double per_token = Seconds(now - last->second) / n_tokens;
    for (int i = 0; i < n_tokens; ++i) context_.metrics.ObserveInterTokenLatency(per_token);
    last->second = now;
  }
}

void Completion::OnEvent(api::Event event) {
  std::lock_guard lock(mutex_);
  if (ended_ || finish_after_backlog_) return;
  if (const auto* delta = std::get_if<api::Delta>(&event)) Measure(delta->choice, delta->n_tokens);
  if (const auto* call = std::get_if<api::ToolCallDelta>(&event)) {
    Measure(call->choice, call->n_tokens);
  }
  // A failure before anything else still has its status, so it need not wait.
  const bool first_failed = early_.empty() && std::holds_alternative<api::Failed>(event);
  if (open_ || first_failed) return Take(std::move(event));
  early_.push_back(std::move(event));
}

void Completion::Take(api::Event event) {
  if (const auto* failed = std::get_if<api::Failed>(&event)) {
    record_.finish = FinishName(api::FinishReason::kError);
    return EndWithError(failed->error, 1);
  }
  if (const auto* finished = std::get_if<api::Finished>(&event)) {
    record_.finish = FinishName(finished->reason);
  }
  const auto* done = std::get_if<api::Done>(&event);
  if (done != nullptr) {
    record_.prompt_tokens = done->usage.prompt_tokens;
    record_.completion_tokens = done->usage.completion_tokens;
    record_.cached_tokens = done->usage.cached_tokens;
  }
  const bool is_done = done != nullptr;
  if (answer_->streams()) {
    backlog_ += answer_->On(std::move(event));
    FlushBacklog();
    if (is_done) {
      finish_after_backlog_ = true;
      if (backlog_.empty()) End(200);
    } else if (backlog_.size() > context_.policy.backlog_bytes) {
      EndStalled();
    }
    return;
  }
  answer_->On(std::move(event));
  if (is_done) {
    Record(200);
    writer_->Send(200, AnswerHeaders(), answer_->Body());
    Close();
  }
}

void Completion::EndWithError(const Error& error, double retry_after_seconds) {
  record_.error_code = ErrorCodeOf(error);
  const bool has_run = session_ != nullptr || record_.completion_tokens > 0;
  if (has_run) record_.finish = FinishName(api::FinishReason::kError);
  const int status = InfoOf(error.code).http;
  if (stream_started_) {
    backlog_ += answer_->On(api::Failed{error});
    cut_ = !FlushBacklog();
    return End(status);
  }
  Record(status);
  SendError(*writer_, dialect_, request_id_, error, {}, retry_after_seconds);
  Close();
}

void Completion::EndStalled() {
  context_.metrics.CountStalledClient();
  record_.error_code = InfoOf(ErrorCode::kTimeout).wire;
  record_.finish = FinishName(api::FinishReason::kCancelled);
  backlog_.clear();
  cut_ = true;
  End(InfoOf(ErrorCode::kTimeout).http);
}

void Completion::OnClientGone() {
  std::lock_guard lock(mutex_);
  if (ended_) return;
  if (writer_->stalled()) return EndStalled();
  context_.metrics.CountDroppedClient();
  record_.error_code = InfoOf(ErrorCode::kCancelled).wire;
  record_.finish = FinishName(api::FinishReason::kCancelled);
  End(InfoOf(ErrorCode::kCancelled).http);
}

void Completion::Tick(TimePoint now) {
  std::lock_guard lock(mutex_);
  if (ended_ || answer_ == nullptr || !answer_->streams()) return;
  // While the service still reads a long prompt; a failure after this is an event.
  if (!stream_started_ && now - last_progress_ >= context_.policy.keep_alive) StartStream();
  if (!stream_started_) return;
  if (!FlushBacklog()) {
    if (now - last_progress_ >= context_.policy.stall_timeout) EndStalled();
    return;
  }
  if (finish_after_backlog_) return End(200);
  if (now - last_progress_ < context_.policy.keep_alive) return;
  const std::string alive = answer_->KeepAlive();
  if (!alive.empty() && writer_->Write(alive)) last_progress_ = now;
}

// Before the last byte leaves, so that a client that has its answer finds it counted. A stream that
// had begun was a 200 to its client, however it ended: error_code and finish say how.
void Completion::Record(int status) {
  ended_ = true;
  if (stream_started_) status = 200;
  record_.status = status;
  record_.seconds = Seconds(Now() - arrival_);
  context_.metrics.CountRequest(record_.route, status);
  context_.metrics.ObserveDuration(record_.route, record_.seconds);
  // Tokens were spent whether or not the answer came to its end.
  context_.metrics.CountTokens(record_.prompt_tokens, record_.completion_tokens,
                               record_.cached_tokens);
  if (context_.access_log != nullptr) context_.access_log->Write(record_);
}

void Completion::Close() {
  if (stream_started_ && !cut_) writer_->Finish();
  writer_.reset();  // an unfinished one cuts the connection
  Retire();
}

void Completion::End(int status) {
  Record(status);
  Close();
}

void Completion::Retire() {
  if (session_ != nullptr) context_.retire(std::move(session_));
}

}  // namespace hadal::server
