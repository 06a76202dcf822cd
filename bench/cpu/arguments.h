// Owns: what the programs of this folder share in reading their arguments. Thread rule: pure.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

// "a,b" as a and b.
inline std::vector<std::string> Pieces(std::string_view list) {
  std::vector<std::string> out;
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    out.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return out;
}

}  // namespace hadal
