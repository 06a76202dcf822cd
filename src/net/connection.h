// Owns: one client connection: its socket, its TLS state, the parser, the bytes both ways, and the
// response under way. One request at a time; the next one is looked at when the response before it
// is with the kernel, so answers keep the order of the requests and memory stays bounded. Thread
// rule: the loop's thread only. Waiting callbacks keep it alive; Close lets it go.
#pragma once

#include <memory>
#include <string>

#include "net/byte_stream.h"
#include "net/event_loop.h"
#include "net/output_queue.h"
#include "net/request_parser.h"
#include "net/response_state.h"
#include "net/server_loop.h"

namespace hadal {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ServerLoop& loop, AcceptedSocket socket);
  ~Connection();

  void Start();
  void CheckDeadline(TimePoint now);
  void MakeRoom();        // closes, with 408 when part of a request has come
  bool HasBegun() const;  // part of a request has come
  void Close();

 private:
  void OnReadable();
  void OnWritable();
  bool Handshake();  // true when it is done
  void ReadInput();
  bool TakeInput(const char* bytes, size_t n);  // false: stop reading for now
  void ProcessInput();
  bool ParseSome();  // false: nothing more to do now
  Status CheckHead() const;
  Status CountBody();  // of the request under way, in what all connections hold
  void Uncount();
  template <class F>
  void Guarded(F&& call);
  void Dispatch();
  void OnResponseData();
  void Flush();
  void EndResponse();
  void Refuse(const Error& error);
  void RefuseSlow(const char* why);
  void Linger();
  void OnEof();
  void Reset();  // Close on a client that does not read, discarding unsent bytes at once
  void SetPhase(ConnectionPhase phase, Duration limit);
  void WaitReadable();
  void WaitWritable();
  bool HasRoom() const;
  TimePoint BodyDeadline() const;
  const HttpLimits& limits() const { return loop_.shared().options.limits; }

  ServerLoop& loop_;
  const std::string remote_address_;
  const std::string local_address_;
  SocketWatch socket_;
  std::unique_ptr<ByteStream> stream_;
  ServerLoop::List::iterator self_;
  ConnectionPhase phase_ = ConnectionPhase::kReceiving;
  TimePoint deadline_;
  TimePoint body_start_;
  TimePoint last_sent_;

  std::string input_;
  size_t input_begin_ = 0;  // bytes of input_ already consumed
  RequestParser parser_;
  size_t counted_bytes_ = 0;  // this connection's part of ServerShared::receiving_bytes
  OutputQueue output_;
  std::shared_ptr<ResponseState> response_;  // of the request being answered
  std::string request_path_;                 // of that request
  bool response_fetched_ = false;            // all its bytes are in output_
  bool keep_alive_ = false;
  bool closing_ = false;  // no further request: linger when output_ is empty

  bool handshake_done_ = false;
  bool waits_readable_ = false;
  bool waits_writable_ = false;
  bool read_paused_ = false;
  bool processing_ = false;
  bool peer_eof_ = false;
  bool closed_ = false;
  size_t lingered_bytes_ = 0;
};

}  // namespace hadal
