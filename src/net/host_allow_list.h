// Owns: which Host headers the server answers. A web page whose DNS name was rebound to 127.0.0.1
// sends its own name in Host; refusing unknown names is what keeps it out.
// Thread rule: immutable after construction.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hadal {

class HostAllowList {
 public:
  // localhost, 127.0.0.1 and [::1] are always in. Entries may have brackets and a port (ignored);
  // "*" allows every host.
  explicit HostAllowList(const std::vector<std::string>& hosts);

  // `host` as in a Host header: name, IPv4 or [IPv6], with or without :port. `local_address` is the
  // numeric address the connection came in on: a literal address can not be rebound.
  bool Allows(std::string_view host, std::string_view local_address) const;

 private:
  std::vector<std::string> hosts_;  // lower case, no brackets, no port, no trailing dot
  bool any_ = false;
};

}  // namespace hadal
