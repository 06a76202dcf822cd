// Owns: the form in which embed.py lists the files of the chat page. Thread rule: constants.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

extern "C" const unsigned char hadal_ui_blob[];

namespace hadal::ui {

struct AssetRow {
  std::string_view path;
  std::string_view content_type;
  size_t begin;  // in the blob
  size_t bytes;
  size_t gzip_bytes;  // they follow; 0: no smaller form
  std::string_view etag;
  bool immutable;
};
std::span<const AssetRow> AssetRows();  // sorted by path

}  // namespace hadal::ui
