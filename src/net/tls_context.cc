#include "net/tls_context.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <utility>

namespace hadal {
namespace {

struct Free {
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
  void operator()(BIO_METHOD* p) const { BIO_meth_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

std::string LastError() {
  unsigned long code = ERR_get_error();  // the type OpenSSL's interface has
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return code == 0 ? "unknown reason" : text;
}

// A FIFO or a device would hold up the start, or never end.
Status CheckRegularFile(const char* what, const std::filesystem::path& path) {
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  if (type == std::filesystem::file_type::regular) return {};
  return Fail(ErrorCode::kBadConfig, "TLS {} {}: {}; it must be a PEM file", what, path.string(),
              error ? error.message() : "not a regular file");
}

// OpenSSL's own socket BIO writes with write(2), which raises SIGPIPE when the peer is gone; a
// library must not change the signal settings of the process, so this one uses MSG_NOSIGNAL.
int FdOf(BIO* bio) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

int BioRead(BIO* bio, char* buffer, size_t size, size_t* n_read) {
  BIO_clear_retry_flags(bio);
  ssize_t n = recv(FdOf(bio), buffer, size, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (n == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  *n_read = n > 0 ? static_cast<size_t>(n) : 0;
  return n > 0;
}

int BioWrite(BIO* bio, const char* bytes, size_t size, size_t* n_written) {
  BIO_clear_retry_flags(bio);
  ssize_t n = send(FdOf(bio), bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  *n_written = n > 0 ? static_cast<size_t>(n) : 0;
  return n > 0;
}

long BioControl(BIO* bio, int command, long, void*) {  // the type OpenSSL's interface has
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
  return 0;
}

int RefusePassword(char*, int, int, void*) { return -1; }

int SelectHttp11(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                 unsigned in_size, void*) {
  static const unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* selected = nullptr;
  int rc = SSL_select_next_proto(&selected, out_size, kHttp11, sizeof kHttp11 - 1, in, in_size);
  *out = selected;
  return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

class TlsStream : public ByteStream {
 public:
  TlsStream(Owned<SSL> ssl, int fd) : ssl_(std::move(ssl)), fd_(fd) {}

  IoStatus Handshake() override {
    ERR_clear_error();
    int rc = SSL_do_handshake(ssl_.get());
    return rc == 1 ? IoStatus::kOk : StatusOf(rc);
  }

  IoResult Read(char* buffer, size_t size) override {
    ERR_clear_error();
    size_t n = 0;
    int rc = SSL_read_ex(ssl_.get(), buffer, size, &n);
    return rc == 1 ? IoResult{IoStatus::kOk, n} : IoResult{StatusOf(rc)};
  }

  IoResult Write(const OutputQueue& queue) override {
    iovec first;
    queue.Gather(&first, 1);
    ERR_clear_error();
    size_t n = 0;
    int rc = SSL_write_ex(ssl_.get(), first.iov_base, first.iov_len, &n);
    return rc == 1 ? IoResult{IoStatus::kOk, n} : IoResult{StatusOf(rc)};
  }

  void ShutdownWrite() override {
    ERR_clear_error();
    if (!failed_) SSL_shutdown(ssl_.get());
    ERR_clear_error();
    shutdown(fd_, SHUT_WR);
  }

  bool MayHoldBytes() const override { return true; }

 private:
  IoStatus StatusOf(int rc) {
    switch (SSL_get_error(ssl_.get(), rc)) {
      case SSL_ERROR_WANT_READ:
        return IoStatus::kWantRead;
      case SSL_ERROR_WANT_WRITE:
        return IoStatus::kWantWrite;
      case SSL_ERROR_ZERO_RETURN:
        return IoStatus::kEof;
      default:
        failed_ = true;  // an end without close_notify too: the bytes may have been cut
        ERR_clear_error();
        return IoStatus::kError;
    }
  }

  Owned<SSL> ssl_;
  int fd_;
  bool failed_ = false;
};

}  // namespace

struct TlsContext::Impl {
  Owned<SSL_CTX> context;
  Owned<BIO_METHOD> bio_method;
  bool is_server = false;
  bool verify = false;

  static Result<std::unique_ptr<Impl>> New(bool is_server) {
    auto impl = std::make_unique<Impl>();
    impl->is_server = is_server;
    impl->context.reset(SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method()));
    impl->bio_method.reset(
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without SIGPIPE"));
    SSL_CTX* context = impl->context.get();
    BIO_METHOD* method = impl->bio_method.get();
    if (!context || !method) return Fail(ErrorCode::kOutOfMemory, "TLS: {}", LastError());
    BIO_meth_set_read_ex(method, BioRead);
    BIO_meth_set_write_ex(method, BioWrite);
    BIO_meth_set_ctrl(method, BioControl);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(context, RefusePassword);
    return impl;
  }
};

TlsContext::TlsContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsContext::~TlsContext() = default;

Result<std::unique_ptr<TlsContext>> TlsContext::ForServer(const std::filesystem::path& certificate,
                                                          const std::filesystem::path& key) {
  ERR_clear_error();
  HADAL_OK(CheckRegularFile("certificate", certificate));
  HADAL_OK(CheckRegularFile("key", key));
  HADAL_TRY(auto impl, Impl::New(true));
  SSL_CTX* context = impl->context.get();
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1) {
    return Fail(ErrorCode::kBadConfig, "TLS certificate {}: {}; it must be a PEM certificate",
                certificate.string(), LastError());
  }
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return Fail(ErrorCode::kBadConfig,
                "TLS key {}: {}; it must be the certificate's PEM key without a password",
                key.string(), LastError());
  }
  SSL_CTX_set_alpn_select_cb(context, SelectHttp11, nullptr);
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(impl)));
}

Result<std::unique_ptr<TlsContext>> TlsContext::ForClient(bool verify,
                                                          const std::filesystem::path& ca_file) {
  ERR_clear_error();
  if (verify && !ca_file.empty()) HADAL_OK(CheckRegularFile("issuers", ca_file));
  HADAL_TRY(auto impl, Impl::New(false));
  SSL_CTX* context = impl->context.get();
  impl->verify = verify;
  SSL_CTX_set_verify(context, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (verify) {
    int rc = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context)
                             : SSL_CTX_load_verify_file(context, ca_file.c_str());
    if (rc != 1) {
      return Fail(ErrorCode::kBadConfig, "TLS issuers {}: {}; it must be a PEM file",
                  ca_file.string(), LastError());
    }
  }
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(impl)));
}

std::unique_ptr<ByteStream> TlsContext::Wrap(int fd, const std::string& host) const {
  Owned<SSL> ssl(SSL_new(impl_->context.get()));
  BIO* bio = BIO_new(impl_->bio_method.get());
  if (!ssl || !bio) {
    BIO_free(bio);
    return nullptr;
  }
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);
  if (impl_->is_server) {
    SSL_set_accept_state(ssl.get());
  } else {
    SSL_set_connect_state(ssl.get());
    in6_addr unused;
    bool is_address = inet_pton(AF_INET, host.c_str(), &unused) == 1 ||
                      inet_pton(AF_INET6, host.c_str(), &unused) == 1;
    bool named = true;
    if (!is_address) named = SSL_set_tlsext_host_name(ssl.get(), host.c_str()) == 1;
    if (impl_->verify) {
      named = named && (is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()),
                                                                   host.c_str()) == 1
                                   : SSL_set1_host(ssl.get(), host.c_str()) == 1);
    }
    if (!named) return nullptr;
  }
  return std::make_unique<TlsStream>(std::move(ssl), fd);
}

}  // namespace hadal
