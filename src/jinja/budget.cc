#include "jinja/budget.h"

#include <algorithm>
#include <chrono>

namespace hadal::jinja {
namespace {

constexpr int64_t kStepsBetweenLooks = 4096;
constexpr size_t kManyEntries = 16;

template <class... A>
tl::unexpected<Error> Reached(fmt::format_string<A...> format, A&&... args) {
  return Fail(ErrorCode::kInvalidArgument, format, std::forward<A>(args)...);
}

}  // namespace

Budget::Budget(const Limits& limits, const RenderClock& clock)
    : limits_(limits), clock_(clock), started_(Milliseconds()) {}

int64_t Budget::Milliseconds() const {
  if (clock_.milliseconds) return clock_.milliseconds();
  using std::chrono::duration_cast, std::chrono::milliseconds, std::chrono::steady_clock;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

Status Budget::Spend(int64_t steps) {
  steps_ += steps;
  if (steps_ > limits_.max_steps) {
    return Reached("the template takes more than {} steps with these messages", limits_.max_steps);
  }
  if (steps_ < next_look_) return {};
  next_look_ = steps_ + kStepsBetweenLooks;
  if (Milliseconds() - started_ > limits_.max_milliseconds) {
    return Reached("the template takes more than {} ms with these messages",
                   limits_.max_milliseconds);
  }
  return {};
}

size_t Budget::bytes_left() const {
  const auto alive = static_cast<size_t>(std::max<int64_t>(0, meter_.alive));
  return limits_.max_value_bytes - std::min(limits_.max_value_bytes, alive);
}

Status Budget::CheckRoom(size_t string_bytes) const {
  if (string_bytes <= bytes_left() / 2) return {};  // a mark for each byte
  return Reached("the values of the template need more than {} bytes of memory with these messages",
                 limits_.max_value_bytes);
}

Status Budget::CheckAlive() const {
  if (meter_.alive <= static_cast<int64_t>(limits_.max_value_bytes)) return {};
  return CheckRoom(limits_.max_value_bytes);
}

Result<Value> Budget::NewString(Text text) {
  HADAL_OK(CheckRoom(text.size()));
  const auto bytes = static_cast<int64_t>(2 * text.size() + sizeof(StringObject));
  return Value(
      std::make_shared<const StringObject>(StringObject{std::move(text), Lease(&meter_, bytes)}));
}

Result<Value> Budget::NewString(std::string_view bytes, bool trusted) {
  HADAL_OK(CheckRoom(bytes.size()));
  Text text;
  text.Append(bytes, trusted);
  return NewString(std::move(text));
}

Status Budget::CheckStorable(const Value& value) const {
  if (!As<Namespace>(value) && !As<Macro>(value) && !As<Loop>(value) && !As<Builtin>(value)) {
    return {};
  }
  return Fail(ErrorCode::kBadFile, "a {} cannot be stored in a list, mapping or namespace",
              TypeName(value));
}

Result<int> Budget::DepthOver(int deepest, const Value& value) const {
  HADAL_OK(CheckStorable(value));
  int depth = deepest;
  if (const List* list = As<List>(value)) depth = std::max(depth, (*list)->depth + 1);
  if (const Dict* dict = As<Dict>(value)) depth = std::max(depth, (*dict)->depth + 1);
  if (depth <= limits_.max_depth) return depth;
  return Reached("the template nests lists and mappings more than {} deep with these messages",
                 limits_.max_depth);
}

Result<Value> Budget::NewList(std::vector<Value> items, ListObject::Form form) {
  const size_t bytes = sizeof(ListObject) + items.size() * sizeof(Value);
  auto object = std::make_shared<ListObject>(
      ListObject{.form = form,
                 .items = std::move(items),
                 .lease = Lease(&meter_, static_cast<int64_t>(bytes))});
  HADAL_OK(Spend(1 + static_cast<int64_t>(object->items.size() / 8)));
  for (const Value& item : object->items) {
    HADAL_TRY(object->depth, DepthOver(object->depth, item));
  }
  HADAL_OK(CheckAlive());
  return Value(List(std::move(object)));
}

Result<Value> Budget::NewDict(std::vector<DictObject::Entry> entries) {
  HADAL_OK(Spend(1 + static_cast<int64_t>(entries.size() / 4)));
  std::map<std::string_view, size_t> places;
  std::vector<DictObject::Entry> unique;
  for (DictObject::Entry& entry : entries) {
    const auto [place, is_new] = places.emplace(entry.first->text.bytes, unique.size());
    if (is_new) {
      unique.push_back(std::move(entry));
    } else {
      unique[place->second].second = std::move(entry.second);
    }
  }
  const size_t bytes = sizeof(DictObject) + unique.size() * (sizeof(DictObject::Entry) + 64);
  if (unique.size() <= kManyEntries) places.clear();
  auto object = std::make_shared<DictObject>(
      DictObject{.entries = std::move(unique),
                 .places = std::move(places),
                 .lease = Lease(&meter_, static_cast<int64_t>(bytes))});
  for (const auto& [key, value] : object->entries) {
    HADAL_TRY(object->depth, DepthOver(object->depth, value));
  }
  HADAL_OK(CheckAlive());
  return Value(Dict(std::move(object)));
}

}  // namespace hadal::jinja
