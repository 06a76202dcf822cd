#include "net/connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

namespace hadal {
namespace {

constexpr int kReadsPerTurn = 16;                     // then other connections get theirs
constexpr size_t kMaxLingerBytes = 16 * 1024 * 1024;  // read and dropped after a refusal
constexpr size_t kKeptInputBytes = 4096;              // capacity an idle connection may keep

}  // namespace

Connection::Connection(ServerLoop& loop, AcceptedSocket socket)
    : loop_(loop),
      remote_address_(std::move(socket.remote_address)),
      local_address_(std::move(socket.local_address)),
      socket_(loop.loop(), socket.fd),
      parser_(loop.shared().options.limits) {
  const auto& tls = loop_.shared().tls;
  stream_ = tls ? tls->Wrap(socket_.fd(), "") : NewPlainStream(socket_.fd());
  handshake_done_ = tls == nullptr;
  last_sent_ = Now();
}

Connection::~Connection() = default;

void Connection::Start() {
  self_ = loop_.Insert(shared_from_this(), remote_address_);
  if (!stream_) return Close();
  SetPhase(ConnectionPhase::kReceiving, limits().header_timeout);
  WaitReadable();
}

void Connection::SetPhase(ConnectionPhase phase, Duration limit) {
  loop_.Move(self_, phase_, phase);
  phase_ = phase;
  deadline_ = Now() + limit;
}

// When memory is out, the connection that asked for it pays, not the server.
template <class F>
void Connection::Guarded(F&& call) {
  try {
    call();
  } catch (const std::bad_alloc&) {
    Close();
  }
}

void Connection::WaitReadable() {
  if (waits_readable_ || closed_) return;
  waits_readable_ = true;
  socket_.WaitReadable([self = shared_from_this()] {
    self->waits_readable_ = false;
    self->Guarded([&] { self->OnReadable(); });
  });
}

void Connection::WaitWritable() {
  if (waits_writable_ || closed_) return;
  waits_writable_ = true;
  socket_.WaitWritable([self = shared_from_this()] {
    self->waits_writable_ = false;
    self->Guarded([&] { self->OnWritable(); });
  });
}

// TLS may need to write in order to read and the other way round, so either event tries both.
void Connection::OnReadable() {
  if (closed_ || !Handshake()) return;
  if (!output_.empty()) Flush();
  ReadInput();
}

void Connection::OnWritable() {
  if (closed_ || !Handshake()) return;
  Flush();
  ProcessInput();
  if (!waits_readable_) ReadInput();
}

bool Connection::Handshake() {
  if (handshake_done_) return true;
  switch (stream_->Handshake()) {
    case IoStatus::kOk:
      handshake_done_ = true;
      SetPhase(ConnectionPhase::kReceiving, limits().header_timeout);
      return true;
    case IoStatus::kWantRead:
      WaitReadable();
      return false;
    case IoStatus::kWantWrite:
      WaitWritable();
      return false;
    case IoStatus::kEof:
    case IoStatus::kError:
      Close();
      return false;
  }
  return false;
}

bool Connection::HasRoom() const {
  bool receiving = !response_ && output_.empty();
  return receiving || closing_ || input_.size() - input_begin_ < limits().pipelined_bytes;
}

void Connection::ReadInput() {
  std::vector<char>& scratch = loop_.scratch();
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (closed_) return;
    read_paused_ = !HasRoom();
    if (read_paused_) return;
    IoResult got = stream_->Read(scratch.data(), scratch.size());
    switch (got.status) {
      case IoStatus::kOk:
        if (!TakeInput(scratch.data(), got.n)) return;
        // A short read emptied the socket: waiting costs less than being told so by another read.
        if (!stream_->MayHoldBytes() && got.n < scratch.size()) return WaitReadable();
        break;
      case IoStatus::kWantRead:
        return WaitReadable();
      case IoStatus::kWantWrite:
        return WaitWritable();
      case IoStatus::kEof:
        return OnEof();
      case IoStatus::kError:
        return Close();
    }
  }
  loop_.loop().Post([self = shared_from_this()] { self->Guarded([&] { self->ReadInput(); }); });
}

bool Connection::TakeInput(const char* bytes, size_t n) {
  if (closing_) {  // the rest of a refused request is read so that closing does not reset the
                   // answer
    lingered_bytes_ += n;
    if (lingered_bytes_ > kMaxLingerBytes) Close();
    return !closed_;
  }
  if (input_begin_ > 0) {
    input_.erase(0, input_begin_);
    input_begin_ = 0;
  }
  input_.append(bytes, n);
  ProcessInput();
  return !closed_;
}

void Connection::ProcessInput() {
  if (processing_) return;
  processing_ = true;
  while (!closed_ && !closing_ && !response_ && output_.empty() && ParseSome()) {
  }
  processing_ = false;
  if (closed_ || input_begin_ < input_.size()) return;
  input_begin_ = 0;
  input_.clear();
  if (input_.capacity() > kKeptInputBytes) input_.shrink_to_fit();
}

bool Connection::ParseSome() {
  bool no_input = input_begin_ == input_.size();
  if (no_input && !parser_.head_done()) return false;
  if (phase_ == ConnectionPhase::kIdle) {
    SetPhase(ConnectionPhase::kReceiving, limits().header_timeout);
  }
  size_t consumed = 0;
  auto step = parser_.Feed(std::string_view(input_).substr(input_begin_), &consumed);
  input_begin_ += consumed;
  if (!step) {
    Refuse(step.error());
    return false;
  }
  switch (*step) {
    case RequestParser::Step::kNeedMore: {
      Status ok = CountBody();
      if (!ok) Refuse(ok.error());
      return false;
    }
    case RequestParser::Step::kHead: {
      body_start_ = Now();
      Status ok = CheckHead();
      if (!ok) {
        Refuse(ok.error());
        return false;
      }
      if (parser_.expects_continue() && input_begin_ == input_.size()) {
        output_.Append("HTTP/1.1 100 Continue\r\n\r\n");
        Flush();
      }
      return true;
    }
    case RequestParser::Step::kDone:
      Dispatch();
      return true;
  }
  return false;
}

Status Connection::CountBody() {
  std::atomic<size_t>& total = loop_.shared().receiving_bytes;
  size_t now = parser_.request().body.size();
  size_t added = now - counted_bytes_;
  counted_bytes_ = now;
  if (total.fetch_add(added) + added <= limits().receiving_bytes) return {};
  return Fail(ErrorCode::kUnavailable,
              "the request bodies under way exceed {} bytes; try again later",
              limits().receiving_bytes);
}

void Connection::Uncount() {
  loop_.shared().receiving_bytes.fetch_sub(std::exchange(counted_bytes_, 0));
}

Status Connection::CheckHead() const {
  const HttpRequest& request = parser_.request();
  // HTTP/1.0 may come without Host; browsers, whom the check is about, always send it.
  if (request.http_minor == 0 && request.host.empty() && !request.headers.Find("Host")) return {};
  bool ok = loop_.shared().hosts.Allows(request.host, local_address_);
  const std::string* header = request.headers.Find("Host");
  if (ok && header && *header != request.host) {
    ok = loop_.shared().hosts.Allows(*header, local_address_);
  }
  if (ok) return {};
  return FailField(ErrorCode::kHostNotAllowed, "Host",
                   "the Host header names a host that this server does not answer for");
}

void Connection::Dispatch() {
  Uncount();
  auto request = std::make_shared<HttpRequest>(parser_.Take());
  request->remote_address = remote_address_;
  request->is_tls = loop_.shared().tls != nullptr;
  ResponseState::Options options;
  options.is_head = request->method == "HEAD";
  options.keep_alive = request->keep_alive;
  options.http_minor = request->http_minor;
  options.max_queued_bytes = limits().queued_bytes;
  options.draining = loop_.shared().draining;
  request_path_ = request->path;
  response_ =
      std::make_shared<ResponseState>(&loop_.loop(), std::move(options), [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->OnResponseData();
      });
  response_fetched_ = false;
  SetPhase(ConnectionPhase::kResponding, Duration::zero());
  loop_.shared().BeginRequest();
  {
    auto writer = std::make_shared<ResponseWriter>(response_);
    try {
      loop_.shared().handler(std::move(request), std::move(writer));
    } catch (const std::exception&) {
      // The writer is gone with the handler's frame, which answered 500.
    }
  }
  OnResponseData();
}

void Connection::OnResponseData() {
  if (closed_ || !response_ || response_fetched_) return;
  bool was_empty = output_.empty();
  ResponseState::Progress progress = response_->Fetch(&output_);
  if (progress.unanswered) {
    Error error{ErrorCode::kInternal, "the request was dropped without an answer", {}};
    response_->Send(500, {{"Content-Type", "application/json"}},
                    loop_.shared().options.error_body(error, request_path_));
    progress = response_->Fetch(&output_);
  }
  if (was_empty) last_sent_ = Now();  // the time to read begins when there is something to read
  response_fetched_ = progress.finished;
  keep_alive_ = progress.keep_alive && !progress.cut;
  if (progress.cut) {
    // Without the last chunk the client sees that the body is not whole.
    Flush();
    if (!closed_) Close();
    return;
  }
  Flush();
  if (!closed_ && !response_) {
    ProcessInput();
    if (read_paused_ && !closed_) ReadInput();
  }
}

void Connection::Flush() {
  while (!output_.empty()) {
    IoResult put = stream_->Write(output_);
    switch (put.status) {
      case IoStatus::kOk:
        output_.Consume(put.n);
        last_sent_ = Now();
        if (response_) response_->CountSent(put.n);
        break;
      case IoStatus::kWantRead:
        return WaitReadable();
      case IoStatus::kWantWrite:
        return WaitWritable();
      case IoStatus::kEof:
      case IoStatus::kError:
        return Close();
    }
  }
  if (response_ && response_fetched_) return EndResponse();
  if (closing_ && phase_ != ConnectionPhase::kLingering) Linger();
}

void Connection::EndResponse() {
  response_->Detach();
  response_ = nullptr;
  loop_.shared().EndRequest();
  if (peer_eof_) return Close();
  if (!keep_alive_) {
    closing_ = true;
    return Linger();
  }
  SetPhase(ConnectionPhase::kIdle, limits().idle_timeout);
}

void Connection::Refuse(const Error& error) {
  closing_ = true;
  Uncount();
  std::string body = loop_.shared().options.error_body(error, parser_.request().path);
  ResponseFraming framing;
  framing.length = body.size();
  framing.keep_alive = false;
  Headers headers{{"Content-Type", "application/json"}};
  output_.AppendOwned(FormatResponseHead(InfoOf(error.code).http, headers, framing, UnixSeconds()));
  if (parser_.request().method != "HEAD") output_.AppendOwned(std::move(body));
  last_sent_ = Now();
  SetPhase(ConnectionPhase::kResponding, Duration::zero());
  Flush();
}

void Connection::Linger() {
  SetPhase(ConnectionPhase::kLingering, limits().linger_timeout);
  input_ = std::string();
  input_begin_ = 0;
  parser_ = RequestParser(limits());
  stream_->ShutdownWrite();
  if (peer_eof_) return Close();
  if (read_paused_ || !waits_readable_) {
    loop_.loop().Post([self = shared_from_this()] {
      if (!self->waits_readable_) self->ReadInput();
    });
  }
}

void Connection::OnEof() {
  peer_eof_ = true;
  // A client that half-closes is taken to be gone: nobody should generate tokens for it. What is
  // answered already still goes out.
  bool answered = (response_ && response_fetched_) || (!response_ && !output_.empty());
  if (answered && phase_ != ConnectionPhase::kLingering) {
    closing_ = true;
    return;
  }
  Close();
}

TimePoint Connection::BodyDeadline() const {
  double received = static_cast<double>(parser_.request().body.size());
  double rate = static_cast<double>(std::max<size_t>(limits().body_bytes_per_second, 1));
  auto earned =
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(received / rate));
  return body_start_ + limits().body_timeout + earned;
}

void Connection::CheckDeadline(TimePoint now) {
  if (closed_) return;
  switch (phase_) {
    case ConnectionPhase::kIdle:
    case ConnectionPhase::kLingering:
      if (now >= deadline_) Close();
      return;
    case ConnectionPhase::kReceiving:
      if (parser_.head_done() ? now < BodyDeadline() : now < deadline_) return;
      RefuseSlow(parser_.head_done() ? "the body came too slowly"
                                     : "the request head came too slowly");
      return;
    case ConnectionPhase::kResponding:
      if (!output_.empty() && now >= last_sent_ + limits().write_stall_timeout) Reset();
      return;
  }
}

// A client that has not said anything gets no answer either.
void Connection::RefuseSlow(const char* why) {
  if (!HasBegun()) return Close();
  Refuse({ErrorCode::kTimeout, why, {}});
}

bool Connection::HasBegun() const {
  return handshake_done_ && (parser_.head_done() || input_begin_ < input_.size());
}

void Connection::MakeRoom() {
  if (phase_ == ConnectionPhase::kReceiving) {
    RefuseSlow("the connection limit was reached and this request was slow");
  }
  Close();
}

// Without this the kernel would keep trying to deliver to a client that reads nothing.
void Connection::Reset() {
  if (closed_) return;
  linger no_wait{1, 0};
  setsockopt(socket_.fd(), SOL_SOCKET, SO_LINGER, &no_wait, sizeof no_wait);
  if (response_) response_->MarkStalled();
  Close();
}

void Connection::Close() {
  if (closed_) return;
  closed_ = true;
  auto self = shared_from_this();
  Uncount();
  loop_.Remove(self_, phase_, remote_address_);
  socket_.Close();
  output_.Clear();
  if (response_) {
    auto response = std::exchange(response_, nullptr);
    loop_.shared().EndRequest();
    response->ReportClosed();
  }
}

}  // namespace hadal
