#include "server/http/page.h"

#include <algorithm>

#include "server/http/error_response.h"
#include "ui/assets.h"

namespace hadal::server {
namespace {

// Nothing runs, is shown or is asked for that is not this server's. Pictures inside an answer's own
// text (data:) cannot tell anyone anything.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src "
    "'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string_view Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Calls `use` with every element of a comma-separated field until it returns true.
template <class Use>
bool AnyElement(std::string_view field, const Use& use) {
  for (;;) {
    const size_t comma = field.find(',');
    if (use(Trimmed(field.substr(0, comma)))) return true;
    if (comma == std::string_view::npos) return false;
    field.remove_prefix(comma + 1);
  }
}

// "q=0", "q=0.000": not wanted.
bool IsZeroWeight(std::string_view parameter) {
  parameter = Trimmed(parameter);
  if (!parameter.starts_with("q=") && !parameter.starts_with("Q=")) return false;
  const std::string_view value = parameter.substr(2);
  return value.starts_with('0') && value.find_first_not_of("0.") == std::string_view::npos;
}

bool AcceptsGzip(const HttpRequest& request) {
  return AnyElement(request.headers.Get("Accept-Encoding"), [](std::string_view element) {
    const size_t semicolon = element.find(';');
    if (!EqualsIgnoreCase(Trimmed(element.substr(0, semicolon)), "gzip")) return false;
    return semicolon == std::string_view::npos || !IsZeroWeight(element.substr(semicolon + 1));
  });
}

bool HasTag(const HttpRequest& request, std::string_view tag) {
  return AnyElement(request.headers.Get("If-None-Match"), [tag](std::string_view element) {
    if (element.starts_with("W/")) element.remove_prefix(2);
    return element == tag || element == "*";
  });
}

}  // namespace

PageAnswer AnswerPage(const HttpRequest& request, std::string_view request_id) {
  const ui::Asset* asset = ui::FindAsset(request.path);
  if (asset == nullptr) return {404, {}, {}};
  const bool gzip = !asset->gzip.empty() && AcceptsGzip(request);
  std::string tag(asset->etag);
  if (gzip) tag.insert(tag.size() - 1, "-gz");  // other bytes, so another strong tag
  Headers headers = BaseHeaders(request_id, asset->content_type);
  headers.Add("Content-Security-Policy", kPolicy);
  headers.Add("Referrer-Policy", "no-referrer");
  headers.Add("Cache-Control",
              asset->immutable ? "public, max-age=31536000, immutable" : "no-cache");
  headers.Add("ETag", tag);
  headers.Add("Vary", "Accept-Encoding");
  if (HasTag(request, tag)) return {304, std::move(headers), {}};
  if (gzip) headers.Add("Content-Encoding", "gzip");
  return {200, std::move(headers), std::string(gzip ? asset->gzip : asset->bytes)};
}

}  // namespace hadal::server
