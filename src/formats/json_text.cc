#include "formats/json_text.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace hadal {
namespace {

using Json = nlohmann::json;

// Watches a parse: remembers that it went too deep, and the first key seen twice in one object.
class Watch {
 public:
  explicit Watch(int max_depth) : max_depth_(max_depth) {}

  // false discards the value, which bounds what a deep text can make us hold.
  bool operator()(int depth, Json::parse_event_t event, Json& value) {
    switch (event) {
      case Json::parse_event_t::object_start:
        keys_.emplace_back();
        [[fallthrough]];
      case Json::parse_event_t::array_start:
        if (depth >= max_depth_) too_deep_ = true;
        return !too_deep_;
      case Json::parse_event_t::object_end:
        keys_.pop_back();
        return true;
      case Json::parse_event_t::key: {
        const auto& key = value.get_ref<const std::string&>();
        if (!keys_.back().insert(key).second && duplicate_.empty()) duplicate_ = Quoted(key);
        return true;
      }
      default:
        return true;
    }
  }
  bool too_deep() const { return too_deep_; }
  const std::string& duplicate() const { return duplicate_; }

 private:
  int max_depth_;
  bool too_deep_ = false;
  std::string duplicate_;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
};

}  // namespace

Result<Json> ParseJson(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return Fail(ErrorCode::kBadFile, "JSON of {} bytes is larger than the limit of {} bytes",
                text.size(), limits.max_bytes);
  }
  Watch watch(limits.max_depth);
  try {
    Json json = Json::parse(text.begin(), text.end(), std::ref(watch));
    if (watch.too_deep()) {
      return Fail(ErrorCode::kBadFile, "JSON is nested deeper than {} levels", limits.max_depth);
    }
    if (!watch.duplicate().empty()) {
      return Fail(ErrorCode::kBadFile, "JSON object has the key {} twice", watch.duplicate());
    }
    return json;
  } catch (const Json::parse_error& e) {
    return Fail(ErrorCode::kBadFile, "not valid JSON at byte {}", e.byte);
  } catch (const Json::exception& e) {
    return Fail(ErrorCode::kBadFile, "not valid JSON (a number that no double can hold)");
  }
}

std::string Quoted(std::string_view text) {
  constexpr size_t kMax = 120;
  std::string out = "'";
  for (char c : text.substr(0, kMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  while (text.size() > kMax && !out.empty() && (static_cast<unsigned char>(out.back()) & 0x80)) {
    out.pop_back();  // a UTF-8 sequence that the cut may have split
  }
  return out + (text.size() > kMax ? "...'" : "'");
}

}  // namespace hadal
