#include "server/json_body.h"

#include <exception>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace hadal::server {
namespace {

// Builds the document from parser events and stops at the first broken limit. The parser itself
// keeps its nesting in a bit vector, so depth costs no stack before we refuse it.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return Add(Json(nullptr)) != nullptr; }
  bool boolean(bool value) override { return Add(Json(value)) != nullptr; }
  bool number_integer(int64_t value) override { return Add(Json(value)) != nullptr; }
  bool number_unsigned(uint64_t value) override { return Add(Json(value)) != nullptr; }
  bool number_float(double value, const std::string&) override {
    return Add(Json(value)) != nullptr;
  }
  bool string(std::string& value) override { return Add(Json(std::move(value))) != nullptr; }
  bool binary(Json::binary_t&) override { return Refuse("binary data is not JSON"); }

  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(std::string& name) override {
    if (++members_ > limits_.max_members) {
      return Refuse(fmt::format("the body has more than {} object members", limits_.max_members));
    }
    if (open_.size() == 1) top_level_key_ = name.substr(0, 64);
    if (!IsNew(name)) {
      return Refuse(fmt::format("the key \"{}\" appears twice in one object; send it once",
                                name.substr(0, 64)));
    }
    // The object is a vector of pairs; its own insertion would search it.
    auto& members = static_cast<std::vector<Json::object_t::value_type>&>(
        open_.back()->get_ref<Json::object_t&>());
    member_ = &members.emplace_back(std::move(name), Json()).second;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception& e) override {
    // The library's text ends with the last token, which is the client's data and may be huge.
    std::string_view what = e.what();
    what = what.substr(0, what.find("; last read"));
    if (const size_t reason = what.find(" - "); reason != what.npos) {
      what.remove_prefix(reason + 3);
    } else if (what.find("number overflow") != what.npos) {
      what = "a number is beyond what a double can hold";
    }
    return Refuse(fmt::format("{} (byte {})", what.substr(0, 200), position));
  }

  Result<Json> Take(bool accepted) {
    if (accepted && root_.is_object()) return std::move(root_);
    if (accepted) {
      return Fail(ErrorCode::kMalformed, "the body is a JSON {}; it must be an object",
                  root_.type_name());
    }
    const std::string place = top_level_key_.empty() ? "" : " in the field " + top_level_key_;
    return FailField(ErrorCode::kMalformed, top_level_key_, "the body is not valid JSON{}: {}",
                     place, refusal_);
  }

 private:
  // Small objects are searched; of larger ones the keys are kept in a set.
  bool IsNew(const std::string& name) {
    constexpr size_t kSearched = 16;
    const auto& members = open_.back()->get_ref<const Json::object_t&>();
    auto& keys = keys_.back();
    if (members.size() < kSearched) return !open_.back()->contains(name);
    if (keys.empty()) {
      for (const auto& [key, value] : members) keys.insert(key);
    }
    return keys.insert(name).second;
  }
  bool Refuse(std::string reason) {
    if (refusal_.empty()) refusal_ = std::move(reason);
    return false;
  }

  Json* Add(Json value) {
    if (++values_ > limits_.max_values) {
      Refuse(fmt::format("the body has more than {} values", limits_.max_values));
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (member_ != nullptr) {
      Json* slot = std::exchange(member_, nullptr);
      *slot = std::move(value);
      return slot;
    }
    auto& array = open_.back()->get_ref<Json::array_t&>();
    return &array.emplace_back(std::move(value));
  }

  bool Open(Json container) {
    if (open_.size() >= limits_.max_depth) {
      return Refuse(fmt::format("the body is nested deeper than {} levels", limits_.max_depth));
    }
    Json* added = Add(std::move(container));
    if (added == nullptr) return false;
    // Stays valid while it is open: its parent gets no further element before it is closed.
    open_.push_back(added);
    keys_.emplace_back();
    return true;
  }

  bool Close() {
    open_.pop_back();
    keys_.pop_back();
    if (open_.size() <= 1) top_level_key_.clear();
    return true;
  }

  const JsonLimits& limits_;
  Json root_;
  std::vector<Json*> open_;
  std::vector<std::unordered_set<std::string>> keys_;  // of the open ones, where they are many
  Json* member_ = nullptr;                             // where the value of the last key goes
  size_t values_ = 0, members_ = 0;
  std::string top_level_key_;
  std::string refusal_;
};

}  // namespace

Result<Json> ParseJsonObject(std::string_view body, const JsonLimits& limits) {
  if (body.empty()) return Fail(ErrorCode::kMalformed, "the body is empty; send a JSON object");
  // The parser takes a zero byte for the end of its input, and would not look at what follows.
  if (const size_t at = body.find('\0'); at != body.npos) {
    return Fail(ErrorCode::kMalformed, "the body has a zero byte at {}; write it as \\u0000", at);
  }
  try {
    Builder builder(limits);
    const bool accepted = Json::sax_parse(body.begin(), body.end(), &builder);
    return builder.Take(accepted);
  } catch (const std::exception& e) {  // std::bad_alloc
    return Fail(ErrorCode::kOutOfMemory, "the body could not be parsed: {}", e.what());
  }
}

}  // namespace hadal::server
