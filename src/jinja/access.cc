// Reaching into values: iteration, lengths, subscripts, attributes, slices.
#include <algorithm>

#include "jinja/loop_state.h"
#include "jinja/operations.h"

namespace hadal::jinja {
namespace {

using Form = ListObject::Form;

tl::unexpected<Error> OfUndefined(const Undefined& undefined, std::string_view what) {
  return Fail(ErrorCode::kBadFile, "{}, so it has no {}",
              undefined.what ? *undefined.what : "the value is undefined", what);
}

Result<List> Characters(const Text& text, Budget& budget) {
  std::vector<Value> items;
  for (size_t at = 0; at < text.size();) {
    const size_t n = CharacterAt(text.bytes, at).size;
    HADAL_OK(budget.Spend(1));
    HADAL_TRY(Value character, budget.NewString(text.Slice(at, n)));
    items.push_back(std::move(character));
    at += n;
  }
  HADAL_TRY(const Value list, budget.NewList(std::move(items), Form::kList));
  return std::get<List>(list);
}

// Byte offset of every character and of the end.
std::vector<size_t> OffsetsOf(std::string_view bytes) {
  std::vector<size_t> offsets;
  for (size_t at = 0; at < bytes.size(); at += CharacterAt(bytes, at).size) offsets.push_back(at);
  offsets.push_back(bytes.size());
  return offsets;
}

Result<Value> CharacterOf(const Text& text, int64_t index, Budget& budget) {
  HADAL_OK(budget.SpendBytes(text.size()));
  const auto count = static_cast<int64_t>(CountCharacters(text.bytes));
  if (index < 0) index += count;
  if (index < 0 || index >= count) return MakeUndefined("a string has no such character");
  size_t at = 0;
  for (; index > 0; --index) at += CharacterAt(text.bytes, at).size;
  return budget.NewString(text.Slice(at, CharacterAt(text.bytes, at).size));
}

Value LoopAttribute(const LoopState& loop, std::string_view name) {
  const auto count = static_cast<int64_t>(loop.items->items.size());
  const auto index = static_cast<int64_t>(loop.index);
  if (name == "index") return index + 1;
  if (name == "index0") return index;
  if (name == "revindex") return count - index;
  if (name == "revindex0") return count - index - 1;
  if (name == "first") return index == 0;
  if (name == "last") return index + 1 == count;
  if (name == "length") return count;
  // Counts recursive calls, of which there are none.
  if (name == "depth") return int64_t{1};
  if (name == "depth0") return int64_t{0};
  if (name == "previtem" && loop.index > 0) return loop.items->items[loop.index - 1];
  if (name == "nextitem" && index + 1 < count) return loop.items->items[loop.index + 1];
  return MakeUndefined("the loop has no " + Quote(name));
}

// Indexes that a slice of `count` items takes, as Python counts them.
std::vector<size_t> SliceIndexes(const SliceRange& range, int64_t count) {
  const int64_t step = range.step.value_or(1);
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? count : count - 1;
  const auto clamp = [&](std::optional<int64_t> at, int64_t otherwise) {
    if (!at) return otherwise;
    return std::clamp(*at < 0 ? std::max(*at, -count - 1) + count : *at, low, high);
  };
  const int64_t start = clamp(range.start, step > 0 ? low : high);
  const int64_t stop = clamp(range.stop, step > 0 ? high : low);
  std::vector<size_t> indexes;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    indexes.push_back(static_cast<size_t>(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return indexes;
}

}  // namespace

Result<List> Iterate(const Value& value, Budget& budget) {
  if (const List* list = As<List>(value)) return *list;
  if (const Text* text = AsText(value)) return Characters(*text, budget);
  std::vector<Value> items;
  if (const Dict* dict = As<Dict>(value)) {
    HADAL_OK(budget.Spend(static_cast<int64_t>((*dict)->entries.size())));
    for (const auto& [key, ignored] : (*dict)->entries) items.push_back(key);
  } else if (!IsUndefined(value)) {
    return Fail(ErrorCode::kBadFile, "a value of type {} has no items to go over", TypeName(value));
  }
  HADAL_TRY(const Value list, budget.NewList(std::move(items), Form::kList));
  return std::get<List>(list);
}

Result<int64_t> LengthOf(const Value& value, Budget& budget) {
  if (const Text* text = AsText(value)) {
    HADAL_OK(budget.SpendBytes(text->size()));
    return static_cast<int64_t>(CountCharacters(text->bytes));
  }
  if (const Dict* dict = As<Dict>(value)) return static_cast<int64_t>((*dict)->entries.size());
  if (const Loop* loop = As<Loop>(value)) return static_cast<int64_t>((*loop)->items->items.size());
  if (IsUndefined(value)) return 0;
  const List* list = As<List>(value);
  if (list == nullptr || (*list)->form == Form::kGenerator) {
    return Fail(ErrorCode::kBadFile, "a value of type {} has no length", TypeName(value));
  }
  return static_cast<int64_t>((*list)->items.size());
}

Result<Value> Attribute(const Value& value, std::string_view name, Budget& budget) {
  HADAL_OK(budget.Spend(1));
  if (const Undefined* undefined = As<Undefined>(value)) {
    return OfUndefined(*undefined, fmt::format("attribute {}", Quote(name)));
  }
  if (const Dict* dict = As<Dict>(value)) {
    if (const Value* found = (*dict)->Get(name)) return *found;
  } else if (const Namespace* space = As<Namespace>(value)) {
    const auto found = (*space)->values.find(name);
    if (found != (*space)->values.end()) return found->second;
  } else if (const Loop* loop = As<Loop>(value)) {
    return LoopAttribute(**loop, name);
  }
  return MakeUndefined(fmt::format("the {} has no {}", TypeName(value), Quote(name)));
}

Result<Value> Subscript(const Value& value, const Value& index, Budget& budget) {
  if (const Text* name = AsText(index)) return Attribute(value, name->bytes, budget);
  if (const Undefined* undefined = As<Undefined>(value)) {
    return OfUndefined(*undefined, "items");
  }
  const auto number = AsInteger(index);
  if (number && AsText(value)) return CharacterOf(*AsText(value), *number, budget);
  const List* list = As<List>(value);
  const bool indexable =
      list != nullptr && (*list)->form != Form::kView && (*list)->form != Form::kGenerator;
  if (!number || !indexable) {
    return MakeUndefined(
        fmt::format("a {} has no item for an index of type {}", TypeName(value), TypeName(index)));
  }
  const auto count = static_cast<int64_t>((*list)->items.size());
  const int64_t at = *number < 0 ? *number + count : *number;
  if (at >= 0 && at < count) return (*list)->items[static_cast<size_t>(at)];
  return MakeUndefined(
      fmt::format("the {} of {} items has no item {}", TypeName(value), count, *number));
}

Result<Value> Slice(const Value& value, const SliceRange& range, Budget& budget) {
  if (range.step == 0) return Fail(ErrorCode::kBadFile, "the step of a slice is 0");
  if (const Text* text = AsText(value)) {
    HADAL_OK(budget.SpendBytes(text->size()));
    // Offsets take eight bytes a character, for a moment.
    HADAL_OK(budget.CheckRoom(4 * text->size()));
    const std::vector<size_t> offsets = OffsetsOf(text->bytes);
    TextBuilder out(budget);
    for (const size_t i : SliceIndexes(range, static_cast<int64_t>(offsets.size()) - 1)) {
      out.Append(*text, offsets[i], offsets[i + 1] - offsets[i]);
    }
    return out.Finish();
  }
  const List* list = As<List>(value);
  if (list == nullptr || (*list)->form == Form::kView || (*list)->form == Form::kGenerator) {
    if (const Undefined* undefined = As<Undefined>(value)) return OfUndefined(*undefined, "items");
    return MakeUndefined(fmt::format("a {} cannot be sliced", TypeName(value)));
  }
  std::vector<Value> items;
  for (const size_t i : SliceIndexes(range, static_cast<int64_t>((*list)->items.size()))) {
    HADAL_OK(budget.Spend(1));
    items.push_back((*list)->items[i]);
  }
  return budget.NewList(std::move(items), (*list)->form);
}

}  // namespace hadal::jinja
