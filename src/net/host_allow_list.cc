#include "net/host_allow_list.h"

#include <algorithm>
#include <optional>

namespace hadal {
namespace {

bool IsPort(std::string_view s) {
  return s.size() <= 5 &&
         std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Lower case without brackets, port and trailing dot; nullopt when it is no host[:port].
std::optional<std::string> Normalise(std::string_view host) {
  if (!host.empty() && host.front() == '[') {
    size_t close = host.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    std::string_view port = host.substr(close + 1);
    if (!port.empty() && (port.front() != ':' || !IsPort(port.substr(1)))) return std::nullopt;
    host = host.substr(1, close - 1);
  } else if (std::count(host.begin(), host.end(), ':') == 1) {
    size_t colon = host.find(':');
    if (!IsPort(host.substr(colon + 1))) return std::nullopt;
    host = host.substr(0, colon);
  }
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  if (host.empty()) return std::nullopt;
  std::string out(host);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (static_cast<unsigned char>(c) <= 0x20) return std::nullopt;
  }
  return out;
}

}  // namespace

HostAllowList::HostAllowList(const std::vector<std::string>& hosts)
    : hosts_{"localhost", "127.0.0.1", "::1"} {
  for (const std::string& host : hosts) {
    if (host == "*") any_ = true;
    if (auto name = Normalise(host)) hosts_.push_back(*name);
  }
}

bool HostAllowList::Allows(std::string_view host, std::string_view local_address) const {
  auto name = Normalise(host);
  if (!name) return false;
  return any_ || *name == local_address ||
         std::find(hosts_.begin(), hosts_.end(), *name) != hosts_.end();
}

}  // namespace hadal
