#include "access/api_keys.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace hadal {
namespace {

constexpr size_t kMinKeyBytes = 16;
constexpr size_t kMaxKeyBytes = 4096;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// "Bearer KEY", the scheme in any case (RFC 9110, 11.1); nullopt for another scheme.
std::optional<std::string_view> BearerKey(std::string_view value) {
  static constexpr std::string_view kScheme = "bearer";
  if (value.size() <= kScheme.size() || value[kScheme.size()] != ' ') return std::nullopt;
  for (size_t i = 0; i < kScheme.size(); ++i) {
    if (Lower(value[i]) != kScheme[i]) return std::nullopt;
  }
  value.remove_prefix(kScheme.size());
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

bool IsLoopback(std::string_view address) {
  if (address == "localhost") return true;
  const bool bracketed =
      address.size() > 2 && address.front() == '[' && address.back() == ']';  // IPv6, as in URLs
  if (bracketed) address = address.substr(1, address.size() - 2);
  const std::string text(address);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return false;
  const bool mapped_loopback = IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&v6) || mapped_loopback;
}

}  // namespace

Result<ApiKeys> ApiKeys::Create(const std::vector<ApiKeyEntry>& entries) {
  ApiKeys keys;
  std::set<Sha256Digest> seen;
  for (size_t i = 0; i < entries.size(); ++i) {
    const ApiKeyEntry& entry = entries[i];
    const std::string field = fmt::format("access.keys[{}]", i);
    if (entry.key.size() < kMinKeyBytes || entry.key.size() > kMaxKeyBytes) {
      return FailField(ErrorCode::kBadConfig, field,
                       "the API key has {} characters; it must have {} to {}", entry.key.size(),
                       kMinKeyBytes, kMaxKeyBytes);
    }
    const auto visible = [](char c) { return c > 0x20 && c < 0x7f; };
    if (!std::all_of(entry.key.begin(), entry.key.end(), visible)) {
      return FailField(
          ErrorCode::kBadConfig, field,
          "the API key has a space, control or non-ASCII character; use visible ASCII");
    }
    const Sha256Digest digest = Sha256(entry.key);
    if (!seen.insert(digest).second) {
      return FailField(ErrorCode::kBadConfig, field, "the same API key is configured twice");
    }
    // 32 bits of a hash of the hash: enough to tell keys apart in a log, useless for guessing one.
    const std::string digest_text(digest.begin(), digest.end());
    std::string id = entry.id.empty() ? "key-" + Sha256Hex(digest_text).substr(0, 8) : entry.id;
    keys.keys_.push_back({std::move(id), digest, entry.tenant});
  }
  return keys;
}

const ApiKeys::Key* ApiKeys::Find(std::string_view presented) const {
  const Sha256Digest digest = Sha256(presented);
  const Key* found = nullptr;
  for (const Key& key : keys_) {  // no early exit
    if (CRYPTO_memcmp(key.digest.data(), digest.data(), digest.size()) == 0) found = &key;
  }
  return found;
}

Result<Caller> ApiKeys::Check(const PresentedKeys& presented) const {
  if (!configured()) return Caller{};
  std::vector<std::string_view> sent;
  if (presented.authorization) {
    const auto bearer = BearerKey(*presented.authorization);
    if (!bearer) {
      return FailField(ErrorCode::kUnauthenticated, "authorization",
                       "the Authorization header is not 'Bearer KEY'");
    }
    sent.push_back(*bearer);
  }
  if (presented.x_api_key) sent.push_back(*presented.x_api_key);
  if (presented.api_key) sent.push_back(*presented.api_key);
  if (sent.empty()) {
    return FailField(ErrorCode::kUnauthenticated, "authorization",
                     "no API key was sent; send the header 'Authorization: Bearer KEY'");
  }
  const Key* caller = nullptr;
  for (const std::string_view key : sent) {
    const Key* found = Find(key);
    if (found == nullptr || (caller != nullptr && caller != found)) {
      return FailField(ErrorCode::kUnauthenticated, "authorization",
                       "the API key is not known here");
    }
    caller = found;
  }
  return Caller{caller->id, caller->tenant};
}

Status CheckBindAddress(std::string_view address, bool keys_configured) {
  if (keys_configured || IsLoopback(address)) return {};
  return FailField(
      ErrorCode::kBadConfig, "server.host",
      "refusing to listen on {} without an API key: everybody who reaches this address "
      "could use the model. Configure a key, or listen on 127.0.0.1",
      address);
}

}  // namespace hadal
