#include "server/http/page.h"

#include <gmock/gmock.h>

#include "ui/assets.h"

namespace hadal::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

HttpRequest Asking(std::string path, Headers headers = {}) {
  HttpRequest request;
  request.method = "GET";
  request.path = std::move(path);
  request.headers = std::move(headers);
  return request;
}

std::string AScript() {
  for (const std::string_view path : ui::AssetPaths()) {
    if (path.ends_with(".js") && !ui::FindAsset(path)->gzip.empty()) return std::string(path);
  }
  return {};
}

TEST(PageTest, ThePageComesWithAPolicyThatAllowsNoOtherHostAndNoInlineScript) {
  const PageAnswer page = AnswerPage(Asking("/"), "req-1");
  EXPECT_EQ(page.status, 200);
  const std::string policy(page.headers.Get("Content-Security-Policy"));
  EXPECT_THAT(policy, HasSubstr("default-src 'none'"));
  EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'"));
  EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
  EXPECT_THAT(policy, Not(HasSubstr("http")));
  EXPECT_EQ(page.headers.Get("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(page.headers.Get("Referrer-Policy"), "no-referrer");
  EXPECT_EQ(page.headers.Get("X-Request-Id"), "req-1");
  EXPECT_EQ(page.headers.Get("Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(page.headers.Get("Cache-Control"), "no-cache");
  EXPECT_EQ(page.body, ui::FindAsset("/")->bytes);
}

TEST(PageTest, FilesWithAHashInTheirNameAreKeptForEver) {
  const PageAnswer script = AnswerPage(Asking(AScript()), "r");
  EXPECT_EQ(script.status, 200);
  EXPECT_THAT(std::string(script.headers.Get("Cache-Control")), HasSubstr("immutable"));
  EXPECT_THAT(std::string(script.headers.Get("Content-Type")), HasSubstr("text/javascript"));
}

TEST(PageTest, GzipIsSentToWhoeverTakesItWithATagOfItsOwn) {
  const std::string path = AScript();
  const ui::Asset& asset = *ui::FindAsset(path);
  const PageAnswer plain = AnswerPage(Asking(path), "r");
  EXPECT_EQ(plain.headers.Find("Content-Encoding"), nullptr);
  EXPECT_EQ(plain.headers.Get("Vary"), "Accept-Encoding");
  for (const char* accepts : {"gzip", "br, gzip;q=0.5", "deflate,GZIP ; q=1.0"}) {
    const PageAnswer packed = AnswerPage(Asking(path, {{"Accept-Encoding", accepts}}), "r");
    EXPECT_EQ(packed.headers.Get("Content-Encoding"), "gzip") << accepts;
    EXPECT_EQ(packed.body, asset.gzip);
    EXPECT_NE(packed.headers.Get("ETag"), plain.headers.Get("ETag"));
  }
  for (const char* refuses : {"", "br", "gzip;q=0", "gzip; q=0.000, br", "xgzip", ",;,"}) {
    const PageAnswer answer = AnswerPage(Asking(path, {{"Accept-Encoding", refuses}}), "r");
    EXPECT_EQ(answer.headers.Find("Content-Encoding"), nullptr) << refuses;
    EXPECT_EQ(answer.body, asset.bytes);
  }
}

TEST(PageTest, AnUnchangedFileIsA304WithoutABody) {
  const std::string tag(AnswerPage(Asking("/"), "r").headers.Get("ETag"));
  for (const std::string& known : {tag, "W/" + tag, "\"x\", " + tag, std::string("*")}) {
    const PageAnswer answer = AnswerPage(Asking("/", {{"If-None-Match", known}}), "r");
    EXPECT_EQ(answer.status, 304) << known;
    EXPECT_TRUE(answer.body.empty());
    EXPECT_EQ(answer.headers.Get("ETag"), tag);
  }
  for (const std::string& other : {std::string("\"x\""), tag.substr(1), std::string()}) {
    EXPECT_EQ(AnswerPage(Asking("/", {{"If-None-Match", other}}), "r").status, 200) << other;
  }
  // The tag of the compressed form is not that of the plain one.
  const HttpRequest packed = Asking("/", {{"If-None-Match", tag}, {"Accept-Encoding", "gzip"}});
  EXPECT_EQ(AnswerPage(packed, "r").status, ui::FindAsset("/")->gzip.empty() ? 304 : 200);
}

TEST(PageTest, OtherPathsAreNotFound) {
  for (const char* path : {"/assets/nothing.js", "/index.html", "/assets/"}) {
    EXPECT_EQ(AnswerPage(Asking(path), "r").status, 404) << path;
  }
}

}  // namespace
}  // namespace hadal::server
