#include "net/http_client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "net/byte_stream.h"
#include "net/response_parser.h"
#include "net/tls_context.h"

namespace hadal {
namespace {

constexpr size_t kReadBytes = 64 * 1024;

struct FreeAddresses {
  void operator()(addrinfo* p) const { freeaddrinfo(p); }
};

bool HasControl(std::string_view text, bool spaces_too) {
  return std::any_of(text.begin(), text.end(), [&](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f || (spaces_too && byte == 0x20);
  });
}

Status CheckRequest(const HttpClientRequest& request) {
  bool method_ok = !request.method.empty() &&
                   std::all_of(request.method.begin(), request.method.end(), IsTokenChar);
  if (!method_ok) return Fail(ErrorCode::kInvalidArgument, "the method is not a token");
  if (request.target.empty() || HasControl(request.target, true)) {
    return Fail(ErrorCode::kInvalidArgument, "the target is empty or has a space or line break");
  }
  for (const Header& header : request.headers) {
    bool name_ok =
        !header.name.empty() && std::all_of(header.name.begin(), header.name.end(), IsTokenChar);
    if (!name_ok || HasControl(header.value, false)) {
      return FailField(ErrorCode::kInvalidArgument, header.name,
                       "a header's name is not a token or its value has a line break");
    }
  }
  return {};
}

// kTimeout when nothing happens for so long.
Status WaitFor(int fd, short events, Duration timeout) {  // the type poll has
  TimePoint deadline = Now() + timeout;
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Now()).count();
    pollfd entry{fd, events, 0};
    int n = poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30)));
    if (n > 0) return {};
    if (n == 0)
      return Fail(ErrorCode::kTimeout, "the server did not answer in {:.1f} s", Seconds(timeout));
    if (errno != EINTR) return Fail(ErrorCode::kIo, "poll: {}", std::strerror(errno));
  }
}

}  // namespace

Result<HttpUrl> ParseHttpUrl(std::string_view url) {
  HttpUrl out;
  std::string_view rest = url;
  if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
    out.tls = true;
  } else {
    return Fail(ErrorCode::kInvalidArgument, "'{}' must begin with http:// or https://", url);
  }
  size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, end);
  out.target = std::string(rest.substr(end, rest.find('#', end) - end));
  if (!out.target.starts_with('/')) out.target.insert(0, 1, '/');
  std::string_view port;
  size_t host_end = authority.starts_with('[') ? authority.find(']') : authority.find(':');
  if (authority.starts_with('[') && host_end != authority.npos) {
    out.host = std::string(authority.substr(1, host_end - 1));
    port = authority.substr(host_end + 1);
  } else {
    out.host = std::string(authority.substr(0, host_end));
    if (host_end != authority.npos) port = authority.substr(host_end);
  }
  out.port = out.tls ? 443 : 80;
  if (!port.empty()) {
    port.remove_prefix(1);
    out.port = 0;
    bool digits = port.size() <= 5 && std::all_of(port.begin(), port.end(),
                                                  [](char c) { return c >= '0' && c <= '9'; });
    for (char c : digits ? port : std::string_view()) out.port = out.port * 10 + (c - '0');
  }
  if (out.host.empty() || out.host.find('@') != out.host.npos || out.port < 1 || out.port > 65535) {
    return Fail(ErrorCode::kInvalidArgument, "'{}' must be http://host[:port][/path]", url);
  }
  return out;
}

struct HttpClient::Impl {
  HttpClientOptions options;
  std::unique_ptr<TlsContext> tls;
  std::unique_ptr<ByteStream> stream;
  int fd = -1;

  void Close() {
    stream.reset();
    if (fd >= 0) close(fd);
    fd = -1;
  }

  // A kept connection on which the server closed or spoke out of turn is of no use.
  bool IsStale() const {
    pollfd entry{fd, POLLIN, 0};
    return poll(&entry, 1, 0) != 0;
  }

  Status ConnectTo(const addrinfo& address) {
    fd = socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return Fail(ErrorCode::kIo, "socket: {}", std::strerror(errno));
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, address.ai_addr, address.ai_addrlen) == 0) return {};
    if (errno == EINPROGRESS) {
      HADAL_OK(WaitFor(fd, POLLOUT, options.connect_timeout));
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error == 0) return {};
      errno = error;
    }
    return Fail(ErrorCode::kUnavailable, "cannot connect to {} port {}: {}", options.host,
                options.port, std::strerror(errno));
  }

  Status Handshake() {
    if (!options.tls) {
      stream = NewPlainStream(fd);
      return {};
    }
    if (!tls) {
      HADAL_TRY(tls, TlsContext::ForClient(options.verify_tls, options.ca_file));
    }
    stream = tls->Wrap(fd, options.host);
    if (!stream) return Fail(ErrorCode::kInvalidArgument, "'{}' is no host name", options.host);
    for (;;) {
      IoStatus status = stream->Handshake();
      if (status == IoStatus::kOk) return {};
      if (status == IoStatus::kEof || status == IoStatus::kError) {
        return Fail(ErrorCode::kUnavailable,
                    "TLS with {} port {} failed: no TLS there, or its certificate is not trusted",
                    options.host, options.port);
      }
      HADAL_OK(Wait(status, options.connect_timeout));
    }
  }

  Status Connect() {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    addrinfo* found = nullptr;
    int rc =
        getaddrinfo(options.host.c_str(), std::to_string(options.port).c_str(), &hints, &found);
    std::unique_ptr<addrinfo, FreeAddresses> addresses(found);
    if (rc != 0) {
      return Fail(ErrorCode::kUnavailable, "host '{}': {}", options.host, gai_strerror(rc));
    }
    Status last;
    for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
      last = ConnectTo(*a);
      if (last) return Handshake();
      Close();
    }
    return last;
  }

  Status Wait(IoStatus status, Duration timeout) {
    return WaitFor(fd, status == IoStatus::kWantWrite ? POLLOUT : POLLIN, timeout);
  }

  std::string FormatHead(const HttpClientRequest& request) const {
    std::string out = request.method + " " + request.target + " HTTP/1.1\r\n";
    if (!request.headers.Find("Host")) {
      bool v6 = options.host.find(':') != std::string::npos;
      out += fmt::format("Host: {}{}{}:{}\r\n", v6 ? "[" : "", options.host, v6 ? "]" : "",
                         options.port);
    }
    for (const Header& header : request.headers) {
      out.append(header.name).append(": ").append(header.value).append("\r\n");
    }
    bool has_body = !request.body.empty() || request.method == "POST" || request.method == "PUT";
    if (has_body && !request.headers.Find("Content-Length")) {
      out += fmt::format("Content-Length: {}\r\n", request.body.size());
    }
    return out + "\r\n";
  }

  // A server that refuses a body answers and stops reading: a failed write is then no error yet.
  Status SendRequest(const HttpClientRequest& request) {
    OutputQueue queue;
    queue.AppendOwned(FormatHead(request));
    queue.AppendOwned(request.body);
    while (!queue.empty()) {
      IoResult put = stream->Write(queue);
      if (put.status == IoStatus::kEof || put.status == IoStatus::kError) return {};
      if (put.status == IoStatus::kOk) {
        queue.Consume(put.n);
      } else {
        HADAL_OK(WaitFor(fd, POLLIN | (put.status == IoStatus::kWantWrite ? POLLOUT : 0),
                         options.stall_timeout));
        pollfd answer{fd, POLLIN, 0};
        if (!options.tls && poll(&answer, 1, 0) > 0 && (answer.revents & POLLIN)) return {};
      }
    }
    return {};
  }

  // Reads some bytes to the end of *input. False: the connection has ended.
  Result<bool> ReadSome(std::string* input) {
    size_t old = input->size();
    for (;;) {
      input->resize(old + kReadBytes);
      IoResult got = stream->Read(input->data() + old, kReadBytes);
      input->resize(old + got.n);
      if (got.status == IoStatus::kOk) return true;
      if (got.status == IoStatus::kEof) return false;
      if (got.status == IoStatus::kError) {
        return Fail(ErrorCode::kUnavailable, "{} port {} closed the connection", options.host,
                    options.port);
      }
      HADAL_OK(Wait(got.status, options.stall_timeout));
    }
  }

  // True: the connection can carry another request.
  Result<bool> Receive(ResponseParser& parser, const BodySink& sink, HttpResponse* response) {
    using Step = ResponseParser::Step;
    std::string input;
    std::string body;
    for (;;) {
      size_t consumed = 0;
      HADAL_TRY(Step step, parser.Feed(input, &consumed, &body));
      input.erase(0, consumed);
      if (step == Step::kHead) {
        response->status = parser.status();
        response->headers = parser.headers();
        continue;
      }
      if (!body.empty() && sink) {
        if (!sink(*response, body)) return false;
        body.clear();
      }
      if (step == Step::kDone) break;
      HADAL_TRY(bool more, ReadSome(&input));
      if (!more) {
        HADAL_OK(parser.FinishAtEof());
        break;
      }
    }
    if (!sink) response->body = std::move(body);
    return parser.keep_alive() && input.empty();
  }
};

HttpClient::HttpClient(HttpClientOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->options = std::move(options);
}
HttpClient::~HttpClient() { Close(); }
void HttpClient::Close() { impl_->Close(); }

Result<HttpResponse> HttpClient::Send(const HttpClientRequest& request, const BodySink& sink) {
  HADAL_OK(CheckRequest(request));
  if (impl_->fd >= 0 && impl_->IsStale()) impl_->Close();
  if (impl_->fd < 0) {
    Status connected = impl_->Connect();
    if (!connected) {
      impl_->Close();
      return tl::make_unexpected(connected.error());
    }
  }
  HttpResponse response;
  ResponseParser parser({.header_bytes = impl_->options.max_header_bytes,
                         .body_bytes = impl_->options.max_body_bytes},
                        request.method == "HEAD");
  Status sent = impl_->SendRequest(request);
  Result<bool> kept = sent ? impl_->Receive(parser, sink, &response)
                           : Result<bool>(tl::make_unexpected(sent.error()));
  if (!kept || !*kept) impl_->Close();
  if (!kept) return tl::make_unexpected(kept.error());
  return response;
}

}  // namespace hadal
