#include "net/test_peer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>

namespace hadal {

RawClient::RawClient(int port, int receive_bytes) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_bytes > 0) {
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
  }
  timeval limit{20, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
}

RawClient::~RawClient() {
  if (fd_ >= 0) close(fd_);
}

RawClient::RawClient(RawClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), buffer_(std::move(other.buffer_)) {}

bool RawClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

std::string RawClient::ReadSome() {
  if (!buffer_.empty()) return std::exchange(buffer_, {});
  char bytes[65536];
  ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
  EXPECT_FALSE(n < 0 && errno == EAGAIN) << "nothing came for 20 s";
  return n > 0 ? std::string(bytes, static_cast<size_t>(n)) : std::string();
}

std::string RawClient::ReadUntilClose() {
  std::string all;
  for (std::string some = ReadSome(); !some.empty(); some = ReadSome()) all += some;
  return all;
}

std::string RawClient::ReadUntil(std::string_view mark) {
  std::string all;
  while (all.find(mark) == std::string::npos) {
    std::string some = ReadSome();
    if (some.empty()) return all;
    all += some;
  }
  size_t end = all.find(mark) + mark.size();
  buffer_ = all.substr(end);
  return all.substr(0, end);
}

std::string RawClient::ReadResponse() {
  std::string head = ReadUntil("\r\n\r\n");
  size_t at = head.find("Content-Length: ");
  if (at == std::string::npos) return head;
  size_t length = std::stoul(head.substr(at + 16));
  std::string body;
  while (body.size() < length) {
    std::string some = ReadSome();
    if (some.empty()) break;
    body += some;
  }
  if (body.size() > length) {
    buffer_ = body.substr(length);
    body.resize(length);
  }
  return head + body;
}

bool RawClient::PeerClosed() {
  while (!ReadSome().empty()) {
  }
  return !testing::Test::HasFailure();
}

void RawClient::HalfClose() { shutdown(fd_, SHUT_WR); }

void RawClient::ResetAndClose() {
  linger no_wait{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &no_wait, sizeof no_wait);
  close(std::exchange(fd_, -1));
}

int StatusOf(std::string_view response) {
  if (!response.starts_with("HTTP/1.1 ") || response.size() < 12) return 0;
  return std::stoi(std::string(response.substr(9, 3)));
}

std::string_view BodyOf(std::string_view response) {
  size_t end = response.find("\r\n\r\n");
  return end == std::string_view::npos ? std::string_view() : response.substr(end + 4);
}

bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 4000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

EchoServer::EchoServer(HttpServerOptions options) {
  auto started = HttpServer::Start(
      std::move(options),
      [this](std::shared_ptr<const HttpRequest> request, std::shared_ptr<ResponseWriter> writer) {
        ++n_handled;
        writer->Send(200, {{"Content-Type", "text/plain"}},
                     request->method == "POST" ? request->body : request->path);
      });
  EXPECT_TRUE(started) << started.error().message;
  server = std::move(*started);
}

std::string EchoServer::Get(std::string_view path) {
  RawClient client(port());
  client.Send("GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  return client.ReadResponse();
}

TestCertificate::TestCertificate() {
  char name[] = "/tmp/hadal_net_test_XXXXXX";
  directory = mkdtemp(name);
  certificate = directory / "cert.pem";
  key = directory / "key.pem";
  EVP_PKEY* pair = EVP_EC_gen("P-256");
  X509* x509 = X509_new();
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
  X509_set_pubkey(x509, pair);
  X509_NAME* subject = X509_get_subject_name(x509);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(x509, subject);
  for (auto [nid, value] : {std::pair(NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1"),
                            std::pair(NID_basic_constraints, "critical,CA:TRUE")}) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(x509, pair, EVP_sha256());
  FILE* file = fopen(certificate.c_str(), "w");
  PEM_write_X509(file, x509);
  fclose(file);
  file = fopen(key.c_str(), "w");
  PEM_write_PrivateKey(file, pair, nullptr, nullptr, 0, nullptr, nullptr);
  fclose(file);
  X509_free(x509);
  EVP_PKEY_free(pair);
}

TestCertificate::~TestCertificate() { std::filesystem::remove_all(directory); }

}  // namespace hadal
