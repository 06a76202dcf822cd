// Owns: the files of the chat page, which are part of the binary. Knows nothing of HTTP beyond the
// names of things. Thread rule: constants; views live as long as the process.
#pragma once

#include <string_view>
#include <vector>

namespace hadal::ui {

struct Asset {
  std::string_view content_type;
  std::string_view bytes;
  std::string_view gzip;  // the same, compressed; empty where that is not smaller
  std::string_view etag;  // strong, with its quotes
  bool immutable;         // its path changes with its content
};

// The file at `path`: "/" is the page. Null: there is none.
const Asset* FindAsset(std::string_view path);
std::vector<std::string_view> AssetPaths();

}  // namespace hadal::ui
