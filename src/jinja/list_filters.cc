// Filters over lists and mappings.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "jinja/operations.h"
#include "jinja/template_library.h"

namespace hadal::jinja {
namespace {

using Form = ListObject::Form;

// "function.name" or 0, as map, selectattr, sort and others take it.
Result<Value> AttributePath(const Value& value, const Value& path, Budget& budget) {
  if (const auto index = AsInteger(path)) return Subscript(value, *index, budget);
  const Text* text = AsText(path);
  if (text == nullptr) {
    return Fail(ErrorCode::kBadFile, "an attribute is named by a string, not {}", TypeName(path));
  }
  const std::string dot = ".";
  Value at = value;
  for (const Text& part : Split(*text, &dot, -1)) {
    HADAL_OK(budget.Spend(1));
    int64_t index = 0;
    const char* end = part.bytes.data() + part.bytes.size();
    const auto parsed = std::from_chars(part.bytes.data(), end, index);
    const bool is_index = parsed.ec == std::errc() && parsed.ptr == end && index >= 0;
    HADAL_TRY(at, is_index ? Subscript(at, index, budget) : Attribute(at, part.bytes, budget));
  }
  return at;
}

Result<Value> Join(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"d", "attribute"}));
  Value items = call.subject;
  if (a.Has(1) && !As<None>(a[1])) {
    HADAL_TRY(const List list, Iterate(items, call.budget));
    std::vector<Value> values;
    for (const Value& item : list->items) {
      HADAL_TRY(Value value, AttributePath(item, a[1], call.budget));
      values.push_back(std::move(value));
    }
    HADAL_TRY(items, call.budget.NewList(std::move(values), Form::kList));
  }
  if (!a.Has(0)) return JoinTexts(items, Text(), call.budget);
  HADAL_TRY(const String separator, ToString(a[0], call.budget));
  return JoinTexts(items, separator->text, call.budget);
}

template <bool last>
Result<Value> End(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({}));
  HADAL_TRY(const List list, Iterate(call.subject, call.budget));
  if (list->items.empty()) return MakeUndefined("the list is empty");
  return last ? list->items.back() : list->items.front();
}

Result<Value> AsList(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({}));
  HADAL_TRY(const List list, Iterate(call.subject, call.budget));
  if (list->form == Form::kList) return Value(list);
  HADAL_OK(call.budget.CheckRoom(list->items.size() * sizeof(Value) / 2));
  return call.budget.NewList(list->items, Form::kList);
}

Result<Value> Items(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({}));
  if (IsUndefined(call.subject)) return call.budget.NewList({}, Form::kGenerator);
  if (const Dict* dict = As<Dict>(call.subject)) {
    return ItemsOf(**dict, Form::kGenerator, call.budget);
  }
  return Fail(ErrorCode::kBadFile, "items needs a mapping, not {}", TypeName(call.subject));
}

Result<Value> Reverse(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({}));
  if (AsText(call.subject)) {
    return Slice(call.subject, {.start = {}, .stop = {}, .step = -1}, call.budget);
  }
  HADAL_TRY(const List list, Iterate(call.subject, call.budget));
  HADAL_OK(call.budget.CheckRoom(list->items.size() * sizeof(Value) / 2));
  return call.budget.NewList({list->items.rbegin(), list->items.rend()}, Form::kGenerator);
}

Result<Value> Map(const Call& call) {
  HADAL_TRY(const List list, Iterate(call.subject, call.budget));
  std::vector<Value> out;
  if (call.arguments.positional.empty()) {
    HADAL_TRY(const BoundArguments a, call.Bind({"attribute", "default"}));
    HADAL_TRY(const Value path, a.Required(0));
    for (const Value& item : list->items) {
      HADAL_TRY(Value value, AttributePath(item, path, call.budget));
      out.push_back(IsUndefined(value) && a.Has(1) ? a[1] : std::move(value));
    }
    return call.budget.NewList(std::move(out), Form::kGenerator);
  }
  const Text* name = AsText(call.arguments.positional[0]);
  const Filter* filter = name == nullptr ? nullptr : FindFilter(name->bytes);
  if (filter == nullptr) {
    return Fail(ErrorCode::kBadFile, "map: there is no filter {}",
                name == nullptr ? "of that name" : Quote(name->bytes));
  }
  if (filter->run == Map) return Fail(ErrorCode::kBadFile, "map of map is not supported");
  CallArguments rest = call.arguments;
  rest.positional.erase(rest.positional.begin());
  for (const Value& item : list->items) {
    HADAL_OK(call.budget.Spend(1));
    HADAL_TRY(Value value, filter->run({filter->name, item, rest, call.budget}));
    out.push_back(std::move(value));
  }
  return call.budget.NewList(std::move(out), Form::kGenerator);
}

// select, reject, selectattr, rejectattr.
template <bool by_attribute, bool wanted>
Result<Value> Choose(const Call& call) {
  if (!call.arguments.named.empty()) {
    return Fail(ErrorCode::kBadFile, "{} takes arguments without names only", call.name);
  }
  std::span<const Value> arguments = call.arguments.positional;
  const Value* attribute = nullptr;
  if (by_attribute) {
    if (arguments.empty()) {
      return Fail(ErrorCode::kBadFile, "{} needs the name of an attribute", call.name);
    }
    attribute = &arguments.front();
    arguments = arguments.subspan(1);
  }
  const ValueTest* test = nullptr;
  if (!arguments.empty()) {
    const Text* name = AsText(arguments.front());
    test = name == nullptr ? nullptr : FindTest(name->bytes);
    if (test == nullptr) {
      return Fail(ErrorCode::kBadFile, "{}: there is no test {}", call.name,
                  name == nullptr ? "of that name" : Quote(name->bytes));
    }
    arguments = arguments.subspan(1);
  }
  HADAL_TRY(const List list, Iterate(call.subject, call.budget));
  std::vector<Value> out;
  for (const Value& item : list->items) {
    HADAL_OK(call.budget.Spend(1));
    Value value = item;
    if (attribute != nullptr) {
      HADAL_TRY(value, AttributePath(item, *attribute, call.budget));
    }
    bool passes = IsTrue(value);
    if (test != nullptr) {
      HADAL_TRY(passes, RunTest(*test, value, arguments, call.budget));
    }
    if (passes == wanted) out.push_back(item);
  }
  return call.budget.NewList(std::move(out), Form::kGenerator);
}

// Strings in lower case unless case counts, other values as they are.
Result<Value> SortKey(const Value& value, bool case_sensitive, Budget& budget) {
  const Text* text = AsText(value);
  if (text == nullptr || case_sensitive) return value;
  HADAL_OK(budget.SpendBytes(text->size()));
  HADAL_OK(budget.CheckRoom(text->size()));
  return budget.NewString(WithCase(*text, Case::kLower));
}

struct Keyed {
  Value key, item;
};

// Merge sort by hand: a comparison can fail, and std::sort cannot.
Status SortByKey(std::vector<Keyed>& items, bool reverse, Budget& budget) {
  std::vector<Keyed> merged(items.size());
  for (size_t width = 1; width < items.size(); width *= 2) {
    for (size_t begin = 0; begin < items.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, items.size());
      const size_t end = std::min(begin + 2 * width, items.size());
      size_t left = begin, right = middle;
      for (size_t out = begin; out < end; ++out) {
        bool take_right = left == middle;
        if (left < middle && right < end) {
          const Operator before = reverse ? Operator::kGreater : Operator::kLess;
          HADAL_TRY(take_right, Compare(before, items[right].key, items[left].key, budget));
        }
        merged[out] = std::move(items[take_right ? right++ : left++]);
      }
    }
    std::swap(items, merged);
  }
  return {};
}

Result<Value> SortKeyed(std::vector<Keyed> keyed, bool reverse, Form form, Budget& budget) {
  HADAL_OK(SortByKey(keyed, reverse, budget));
  std::vector<Value> out;
  for (Keyed& k : keyed) out.push_back(std::move(k.item));
  return budget.NewList(std::move(out), form);
}

Result<Value> Sort(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"reverse", "case_sensitive", "attribute"}));
  HADAL_TRY(const bool reverse, a.Flag(0, false));
  HADAL_TRY(const bool case_sensitive, a.Flag(1, false));
  HADAL_TRY(const List list, Iterate(call.subject, call.budget));
  std::vector<Keyed> keyed;
  for (const Value& item : list->items) {
    Value value = item;
    if (a.Has(2) && !As<None>(a[2])) {
      HADAL_TRY(value, AttributePath(item, a[2], call.budget));
    }
    HADAL_TRY(Value key, SortKey(value, case_sensitive, call.budget));
    keyed.push_back({std::move(key), item});
  }
  return SortKeyed(std::move(keyed), reverse, Form::kList, call.budget);
}

Result<Value> DictSort(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"case_sensitive", "by", "reverse"}));
  HADAL_TRY(const bool case_sensitive, a.Flag(0, false));
  HADAL_TRY(const Text* by, a.OptionalText(1));
  HADAL_TRY(const bool reverse, a.Flag(2, false));
  const bool by_value = by != nullptr && by->bytes == "value";
  if (by != nullptr && !by_value && by->bytes != "key") {
    return Fail(ErrorCode::kBadFile, "dictsort: by must be 'key' or 'value'");
  }
  const Dict* dict = As<Dict>(call.subject);
  if (dict == nullptr) {
    return Fail(ErrorCode::kBadFile, "dictsort needs a mapping, not {}", TypeName(call.subject));
  }
  HADAL_TRY(const Value items, ItemsOf(**dict, Form::kList, call.budget));
  std::vector<Keyed> keyed;
  for (const Value& pair : (*As<List>(items))->items) {
    HADAL_TRY(Value key,
              SortKey((*As<List>(pair))->items[by_value ? 1 : 0], case_sensitive, call.budget));
    keyed.push_back({std::move(key), pair});
  }
  return SortKeyed(std::move(keyed), reverse, Form::kList, call.budget);
}

Result<Value> Unique(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"case_sensitive", "attribute"}));
  HADAL_TRY(const bool case_sensitive, a.Flag(0, false));
  HADAL_TRY(const List list, Iterate(call.subject, call.budget));
  std::vector<Value> keys, out;
  for (const Value& item : list->items) {
    Value value = item;
    if (a.Has(1) && !As<None>(a[1])) {
      HADAL_TRY(value, AttributePath(item, a[1], call.budget));
    }
    HADAL_TRY(Value key, SortKey(value, case_sensitive, call.budget));
    bool seen = false;
    for (size_t i = 0; i < keys.size() && !seen; ++i) {  // each comparison is paid for
      HADAL_TRY(seen, AreEqual(keys[i], key, call.budget));
    }
    if (seen) continue;
    keys.push_back(std::move(key));
    out.push_back(item);
  }
  return call.budget.NewList(std::move(out), Form::kGenerator);
}

template <Operator better>
Result<Value> Extreme(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"case_sensitive", "attribute"}));
  HADAL_TRY(const bool case_sensitive, a.Flag(0, false));
  HADAL_TRY(const List list, Iterate(call.subject, call.budget));
  Value best = MakeUndefined("the list is empty"), best_key;
  for (size_t i = 0; i < list->items.size(); ++i) {
    Value value = list->items[i];
    if (a.Has(1) && !As<None>(a[1])) {
      HADAL_TRY(value, AttributePath(value, a[1], call.budget));
    }
    HADAL_TRY(Value key, SortKey(value, case_sensitive, call.budget));
    bool takes = i == 0;
    if (i > 0) {
      HADAL_TRY(takes, Compare(better, key, best_key, call.budget));
    }
    if (!takes) continue;
    best = list->items[i];
    best_key = std::move(key);
  }
  return best;
}

Result<Value> Sum(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"attribute", "start"}));
  HADAL_TRY(const List list, Iterate(call.subject, call.budget));
  Value sum = a.Has(1) ? a[1] : Value(int64_t{0});
  for (const Value& item : list->items) {
    Value value = item;
    if (a.Has(0) && !As<None>(a[0])) {
      HADAL_TRY(value, AttributePath(item, a[0], call.budget));
    }
    if (!IsNumber(value)) {
      return Fail(ErrorCode::kBadFile, "sum needs numbers, not {}", TypeName(value));
    }
    HADAL_TRY(sum, Calculate(Operator::kAdd, sum, value, call.budget));
  }
  return sum;
}

constexpr Filter kFilters[] = {
    {"dictsort", DictSort},
    {"first", End<false>},
    {"items", Items},
    {"join", Join},
    {"last", End<true>},
    {"list", AsList},
    {"map", Map},
    {"max", Extreme<Operator::kGreater>},
    {"min", Extreme<Operator::kLess>},
    {"reject", Choose<false, false>},
    {"rejectattr", Choose<true, false>},
    {"reverse", Reverse},
    {"select", Choose<false, true>},
    {"selectattr", Choose<true, true>},
    {"sort", Sort},
    {"sum", Sum},
    {"unique", Unique},
};

}  // namespace

std::span<const Filter> ListFilters() { return kFilters; }

Result<Value> JoinTexts(const Value& items, const Text& separator, Budget& budget) {
  HADAL_TRY(const List list, Iterate(items, budget));
  TextBuilder out(budget);
  for (size_t i = 0; i < list->items.size() && !out.full(); ++i) {
    HADAL_OK(budget.SpendBytes(separator.size()));
    if (i > 0) out.Append(separator);
    HADAL_TRY(const String text, ToString(list->items[i], budget));
    HADAL_OK(budget.SpendBytes(text->text.size()));
    out.Append(text->text);
  }
  return out.Finish();
}

Result<Value> ItemsOf(const DictObject& dict, Form form, Budget& budget) {
  std::vector<Value> pairs;
  for (const auto& [key, value] : dict.entries) {
    HADAL_TRY(Value pair, budget.NewList({key, value}, Form::kTuple));
    pairs.push_back(std::move(pair));
  }
  return budget.NewList(std::move(pairs), form);
}

}  // namespace hadal::jinja
