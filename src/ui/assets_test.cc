#include "ui/assets.h"

#include <gmock/gmock.h>

#include <set>
#include <string>

namespace hadal::ui {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

TEST(AssetsTest, ThePageNamesOnlyFilesThatAreThere) {
  const Asset* page = FindAsset("/");
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(page->content_type, "text/html; charset=utf-8");
  EXPECT_THAT(std::string(page->bytes), StartsWith("<!doctype html>"));
  EXPECT_FALSE(page->immutable);
  int named = 0;
  for (size_t at = page->bytes.find("\"/"); at != std::string_view::npos;
       at = page->bytes.find("\"/", at + 1), ++named) {
    const std::string path(page->bytes.substr(at + 1, page->bytes.find('"', at + 1) - at - 1));
    EXPECT_NE(FindAsset(path), nullptr) << path;
  }
  EXPECT_GE(named, 4);  // two scripts, a style sheet, an icon
}

TEST(AssetsTest, WhatTheScriptsAndStylesLoadIsThere) {
  std::set<std::string> wanted;
  for (const std::string_view path : AssetPaths()) {
    const std::string_view text = FindAsset(path)->bytes;
    for (size_t at = text.find("/assets/"); at != std::string_view::npos;
         at = text.find("/assets/", at + 1)) {
      const size_t end = text.find_first_of("\"')`", at);
      wanted.emplace(text.substr(at, end - at));
    }
  }
  EXPECT_GE(wanted.size(), 20u);  // the fonts of formulas, to begin with
  for (const std::string& path : wanted) EXPECT_NE(FindAsset(path), nullptr) << path;
}

TEST(AssetsTest, EveryFileHasItsTypeItsOwnTagAndASmallerGzipFormOrNone) {
  std::set<std::string_view> tags;
  for (const std::string_view path : AssetPaths()) {
    const Asset& asset = *FindAsset(path);
    EXPECT_FALSE(asset.bytes.empty()) << path;
    EXPECT_THAT(std::string(asset.etag), MatchesRegex("\"[0-9a-f]{32}\""));
    EXPECT_TRUE(tags.insert(asset.etag).second) << path;
    EXPECT_EQ(asset.immutable, path.starts_with("/assets/")) << path;
    if (asset.gzip.empty()) continue;
    EXPECT_LT(asset.gzip.size(), asset.bytes.size());
    EXPECT_THAT(std::string(asset.gzip), StartsWith("\x1f\x8b\x08"));
    if (path.ends_with(".js"))
      EXPECT_THAT(std::string(asset.content_type), HasSubstr("javascript"));
  }
  EXPECT_NE(FindAsset("/favicon.ico"), nullptr);
}

TEST(AssetsTest, NothingElseIsFound) {
  for (const char* path : {"", "/index.html", "/assets/", "/assets", "/assets/../", "//", "/x"}) {
    EXPECT_EQ(FindAsset(path), nullptr) << path;
  }
}

TEST(AssetsTest, NoFileNamesAnotherHostToLoadFrom) {
  for (const std::string_view path : AssetPaths()) {
    const std::string_view text = FindAsset(path)->bytes;
    for (const char* load : {"url(http", "url(//", "src=\"http", "import(\"http", "from\"http",
                             "@import \"http", "sourceMappingURL=http"}) {
      EXPECT_EQ(text.find(load), std::string_view::npos) << path << ": " << load;
    }
  }
}

}  // namespace
}  // namespace hadal::ui
