// Owns: the values of a running template. Strings, lists and mappings are shared and never change
// once made; a namespace does change, but holds only plain values, so nothing can contain itself.
// How deep containers nest is bounded when they are made (Budget), so recursion over a value is
// bounded too. Knows nothing of syntax. Thread rule: values of one render stay on its thread; the
// literals of a parsed template are shared between threads and have no meter.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "jinja/text.h"

namespace hadal::jinja {

// Bytes of values alive in one render.
struct Meter {
  int64_t alive = 0;
};
class Lease {
 public:
  Lease() = default;
  Lease(Meter* meter, int64_t bytes) : meter_(meter), bytes_(bytes) {
    if (meter_ != nullptr) meter_->alive += bytes_;
  }
  Lease(Lease&& other) noexcept
      : meter_(std::exchange(other.meter_, nullptr)), bytes_(other.bytes_) {}
  Lease& operator=(Lease&&) = delete;
  ~Lease() {
    if (meter_ != nullptr) meter_->alive -= bytes_;
  }

 private:
  Meter* meter_ = nullptr;
  int64_t bytes_ = 0;
};

struct StringObject {
  Text text;
  Lease lease;
};
using String = std::shared_ptr<const StringObject>;

struct ListObject;
struct DictObject;
struct NamespaceObject;
using List = std::shared_ptr<const ListObject>;
using Dict = std::shared_ptr<const DictObject>;
using Namespace = std::shared_ptr<NamespaceObject>;

struct None {};
struct Undefined {
  std::shared_ptr<const std::string> what;  // "'x' is undefined"; may be null
};
// Things of the running template: they cannot be put into lists, mappings or namespaces, so none
// outlives what it points to.
struct Statement;
struct Scope;
struct Macro {
  const Statement* definition = nullptr;
  Scope* scope = nullptr;
};
struct LoopState;
using Loop = const LoopState*;
enum class Builtin { kRange, kNamespace, kDict, kRaiseException, kStrftimeNow };

using Value = std::variant<Undefined, None, bool, int64_t, double, String, List, Dict, Namespace,
                           Macro, Loop, Builtin>;

struct ListObject {
  // kView: keys(), values(), items(). kGenerator: what map, select and the like give. Neither can
  // be indexed or written as JSON.
  enum class Form { kList, kTuple, kRange, kView, kGenerator };
  Form form = Form::kList;
  std::vector<Value> items;
  int depth = 1;
  Lease lease;
};

struct DictObject {
  using Entry = std::pair<String, Value>;
  std::vector<Entry> entries;                 // in the order they were written
  std::map<std::string_view, size_t> places;  // by key, once there are many
  int depth = 1;
  Lease lease;

  const Value* Get(std::string_view key) const;
};

struct NamespaceObject {
  std::map<std::string, Value, std::less<>> values;
};

template <class T>
const T* As(const Value& value) {
  return std::get_if<T>(&value);
}
inline const Text* AsText(const Value& value) {
  const String* s = As<String>(value);
  return s == nullptr ? nullptr : &(*s)->text;
}
inline bool IsUndefined(const Value& value) { return As<Undefined>(value) != nullptr; }
// int, float and bool, as Python counts.
bool IsNumber(const Value& value);
// The name that Python gives the type, for messages.
std::string_view TypeName(const Value& value);
// For messages: outside text in quotes, cut short.
std::string Quote(std::string_view text);
Value MakeUndefined(std::string what);
// A value of the parsed template, without a meter.
Value Literal(std::string text);

}  // namespace hadal::jinja
