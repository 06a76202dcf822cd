// Owns: the API keys of one server and the verdict on the headers of a request.
// Keeps SHA-256 digests, never keys. Knows nothing of HTTP but the three header values.
// Thread rule: immutable after Create; Check from any thread.
//
// The verdict takes the same time whichever key is right or how much of it is: the presented key is
// hashed and compared with every digest by CRYPTO_memcmp.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "access/sha256.h"
#include "base/error.h"

namespace hadal {

struct ApiKeyEntry {
  std::string id = {};      // public name, goes to logs; made from the digest when empty
  std::string key = {};     // the secret, at least 16 characters of visible ASCII
  std::string tenant = {};  // whose prefix cache; "" = the default tenant
};

// What the client sent; nullopt: no such header.
struct PresentedKeys {
  std::optional<std::string_view> authorization = {};  // whole value, "Bearer KEY"
  std::optional<std::string_view> x_api_key = {};
  std::optional<std::string_view> api_key = {};
};

struct Caller {
  std::string key_id;  // "" when no keys are configured
  std::string tenant;
};

class ApiKeys {
 public:
  ApiKeys() = default;  // none configured: everybody is let in
  // kBadConfig for keys too short, with spaces or given twice; the message never quotes a key.
  static Result<ApiKeys> Create(const std::vector<ApiKeyEntry>& entries);

  bool configured() const { return !keys_.empty(); }
  // kUnauthenticated: none sent, wrong, or two headers with different keys.
  Result<Caller> Check(const PresentedKeys& presented) const;

 private:
  struct Key {
    std::string id;
    Sha256Digest digest;
    std::string tenant;
  };
  const Key* Find(std::string_view presented) const;

  std::vector<Key> keys_;
};

// The rule of binding: loopback always, any other address only with a key configured.
// `address` is a numeric IPv4 or IPv6 address or "localhost". Field: server.host.
Status CheckBindAddress(std::string_view address, bool keys_configured);

}  // namespace hadal
