#include "ui/assets.h"

#include <map>

#include "ui/asset_table.h"

namespace hadal::ui {
namespace {

const std::map<std::string_view, Asset>& Assets() {
  static const auto* const assets = [] {
    auto* all = new std::map<std::string_view, Asset>;
    for (const AssetRow& row : AssetRows()) {
      const char* begin = reinterpret_cast<const char*>(hadal_ui_blob) + row.begin;
      all->emplace(row.path, Asset{row.content_type,
                                   {begin, row.bytes},
                                   {begin + row.bytes, row.gzip_bytes},
                                   row.etag,
                                   row.immutable});
    }
    return all;
  }();
  return *assets;
}

}  // namespace

const Asset* FindAsset(std::string_view path) {
  const auto found = Assets().find(path);
  return found == Assets().end() ? nullptr : &found->second;
}

std::vector<std::string_view> AssetPaths() {
  std::vector<std::string_view> paths;
  for (const auto& [path, asset] : Assets()) paths.push_back(path);
  return paths;
}

}  // namespace hadal::ui
