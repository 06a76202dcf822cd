// Owns: the TLS settings of one server or client (OpenSSL): 1.2 and 1.3, ECDHE with AEAD only, no
// renegotiation, no compression. OpenSSL's headers stay out of this one.
// Thread rule: immutable after creation; Wrap may be called by any thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/error.h"
#include "net/byte_stream.h"

namespace hadal {

class TlsContext {
 public:
  // PEM files; the certificate file may hold the chain. An encrypted key is an error, not a prompt.
  static Result<std::unique_ptr<TlsContext>> ForServer(const std::filesystem::path& certificate,
                                                       const std::filesystem::path& key);
  // ca_file: PEM of the trusted issuers, empty for the system's. verify = false accepts any peer.
  static Result<std::unique_ptr<TlsContext>> ForClient(bool verify,
                                                       const std::filesystem::path& ca_file);
  ~TlsContext();

  // A stream over a connected socket. `host` is the name a client checks and sends (SNI); a server
  // passes "". The context must outlive the stream. Null when memory is out.
  std::unique_ptr<ByteStream> Wrap(int fd, const std::string& host) const;

 private:
  struct Impl;
  explicit TlsContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hadal
