// Methods of strings, mappings and loops. None changes a value; append, update and the like are
// refused as every other name is.
#include <algorithm>

#include "jinja/loop_state.h"
#include "jinja/operations.h"
#include "jinja/template_library.h"

namespace hadal::jinja {
namespace {

using Form = ListObject::Form;

const Text& Self(const Call& call) { return *AsText(call.subject); }

template <bool left, bool right>
Result<Value> StripEnds(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"chars"}));
  HADAL_TRY(const Text* chars, a.OptionalText(0));
  if (chars != nullptr) HADAL_OK(call.budget.Spend(static_cast<int64_t>(chars->size())));
  return call.budget.NewString(Strip(Self(call), chars != nullptr ? &chars->bytes : nullptr,
                                     {.left = left, .right = right}));
}

template <Case wanted>
Result<Value> ChangeCase(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({}));
  return call.budget.NewString(WithCase(Self(call), wanted));
}

Result<Value> ListOf(std::vector<Text> parts, Budget& budget) {
  std::vector<Value> items;
  for (Text& part : parts) {
    HADAL_OK(budget.Spend(1));
    HADAL_TRY(Value item, budget.NewString(std::move(part)));
    items.push_back(std::move(item));
  }
  return budget.NewList(std::move(items), Form::kList);
}

// The parts together need what the text needs, and some more for each.
Status CheckParts(const Text& text, const Text* separator, Budget& budget) {
  size_t parts = 1;
  if (separator == nullptr) {
    parts += text.size() / 2;
  } else {
    for (size_t at = 0; (at = Find(text.bytes, separator->bytes, at)) != kNotFound; ++parts) {
      at += separator->size();
    }
  }
  HADAL_OK(budget.Spend(static_cast<int64_t>(separator == nullptr ? 0 : parts)));
  if (separator == nullptr) return budget.CheckRoom(text.size());
  return budget.CheckRoom(text.size() + parts * sizeof(StringObject) / 2);
}

template <bool from_right>
Result<Value> SplitText(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"sep", "maxsplit"}));
  HADAL_TRY(const Text* separator, a.OptionalText(0));
  HADAL_TRY(const int64_t max_splits, a.Integer(1, -1));
  if (separator != nullptr && separator->size() == 0) {
    return Fail(ErrorCode::kBadFile, "{}: the separator is empty", call.name);
  }
  if (from_right && separator == nullptr) {
    return Fail(ErrorCode::kBadFile, "rsplit needs a separator");
  }
  HADAL_OK(CheckParts(Self(call), separator, call.budget));
  if (from_right) {
    return ListOf(SplitFromRight(Self(call), separator->bytes, max_splits), call.budget);
  }
  return ListOf(Split(Self(call), separator == nullptr ? nullptr : &separator->bytes, max_splits),
                call.budget);
}

Result<Value> Lines(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({}));
  Text newline;
  newline.Append("\n", true);
  HADAL_OK(CheckParts(Self(call), &newline, call.budget));
  return ListOf(SplitLines(Self(call)), call.budget);
}

template <bool at_end>
Result<Value> HasAffix(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"affix"}));
  HADAL_TRY(const Value affix, a.Required(0));
  const List* list = As<List>(affix);
  const std::vector<Value> one{affix};
  const bool is_tuple = list != nullptr && (*list)->form == Form::kTuple;
  for (const Value& candidate : is_tuple ? (*list)->items : one) {
    const Text* text = AsText(candidate);
    if (text == nullptr) {
      return Fail(ErrorCode::kBadFile, "{} needs a string or a tuple of strings, not {}", call.name,
                  TypeName(candidate));
    }
    HADAL_OK(call.budget.SpendBytes(text->size()));
    const std::string& bytes = Self(call).bytes;
    if (at_end ? bytes.ends_with(text->bytes) : bytes.starts_with(text->bytes)) return Value(true);
  }
  return Value(false);
}

template <bool at_end>
Result<Value> RemoveAffix(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"affix"}));
  HADAL_TRY(const Text* affix, a.RequiredText(0));
  const Text& self = Self(call);
  const bool has =
      at_end ? self.bytes.ends_with(affix->bytes) : self.bytes.starts_with(affix->bytes);
  if (!has) return call.subject;
  return call.budget.NewString(self.Slice(at_end ? 0 : affix->size(), self.size() - affix->size()));
}

Result<Value> Replace(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"old", "new", "count"}));
  HADAL_TRY(const Text* old, a.RequiredText(0));
  HADAL_TRY(const Text* fresh, a.RequiredText(1));
  HADAL_TRY(const int64_t count, a.Integer(2, -1));
  return ReplaceText(Self(call), *old, *fresh, count, call.budget);
}

template <bool last>
Result<Value> FindText(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"sub"}));
  HADAL_TRY(const Text* needle, a.RequiredText(0));
  const std::string& bytes = Self(call).bytes;
  const size_t at = last ? FindLast(bytes, needle->bytes) : Find(bytes, needle->bytes);
  if (at == kNotFound) return Value(int64_t{-1});
  return Value(static_cast<int64_t>(CountCharacters(std::string_view(bytes).substr(0, at))));
}

Result<Value> CountText(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"sub"}));
  HADAL_TRY(const Text* needle, a.RequiredText(0));
  const std::string& bytes = Self(call).bytes;
  if (needle->size() == 0) return Value(static_cast<int64_t>(CountCharacters(bytes)) + 1);
  int64_t n = 0;
  for (size_t at = 0; (at = Find(bytes, needle->bytes, at)) != kNotFound; at += needle->size()) ++n;
  return Value(n);
}

template <bool (*holds)(char32_t)>
Result<Value> AllCharacters(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({}));
  const std::string& bytes = Self(call).bytes;
  for (size_t at = 0; at < bytes.size();) {
    const Character c = CharacterAt(bytes, at);
    if (!c.valid || !holds(c.code)) return Value(false);
    at += c.size;
  }
  return Value(!bytes.empty());
}
bool IsLetterOrDigit(char32_t c) { return IsLetter(c) || IsDigit(c); }

Result<Value> Join(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"items"}));
  HADAL_TRY(const Value items, a.Required(0));
  HADAL_TRY(const List list, Iterate(items, call.budget));
  for (const Value& item : list->items) {
    if (!AsText(item)) {
      return Fail(ErrorCode::kBadFile, "join needs strings, not {}", TypeName(item));
    }
  }
  return JoinTexts(list, Self(call), call.budget);
}

// "{} {0} {name}"; no formats, attributes or subscripts inside the braces.
Result<Value> FormatField(const Call& call, const std::string& field, size_t& next) {
  const bool is_number =
      !field.empty() && field.size() < 6 &&
      std::all_of(field.begin(), field.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (field.empty() || is_number) {
    const size_t i = is_number ? static_cast<size_t>(std::stoul(field)) : next++;
    if (i < call.arguments.positional.size()) return call.arguments.positional[i];
  }
  for (const auto& [name, value] : call.arguments.named) {
    if (name == field) return value;
  }
  return Fail(ErrorCode::kBadFile, "format: there is no value for the field {}", Quote(field));
}

Result<Value> Format(const Call& call) {
  const Text& self = Self(call);
  TextBuilder out(call.budget);
  size_t next = 0;
  for (size_t at = 0; at < self.size() && !out.full();) {
    const char c = self.bytes[at];
    const bool doubled = at + 1 < self.size() && self.bytes[at + 1] == c;
    if ((c != '{' && c != '}') || doubled) {
      out.Append(self, at, 1);
      at += c == '{' || c == '}' ? 2 : 1;
      continue;
    }
    const size_t end = self.bytes.find('}', at);
    if (c == '}' || end == std::string::npos) {
      return Fail(ErrorCode::kBadFile, "format: a brace stands alone");
    }
    HADAL_OK(call.budget.SpendBytes(end - at));
    HADAL_TRY(const Value value, FormatField(call, self.bytes.substr(at + 1, end - at - 1), next));
    HADAL_TRY(const String text, ToString(value, call.budget));
    out.Append(text->text);
    at = end + 1;
  }
  return out.Finish();
}

constexpr Method kStringMethods[] = {
    {"capitalize", ChangeCase<Case::kCapitalize>},
    {"count", CountText},
    {"endswith", HasAffix<true>},
    {"find", FindText<false>},
    {"format", Format},
    {"isalnum", AllCharacters<IsLetterOrDigit>},
    {"isalpha", AllCharacters<IsLetter>},
    {"isdigit", AllCharacters<IsDigit>},
    {"isspace", AllCharacters<IsSpace>},
    {"join", Join},
    {"lower", ChangeCase<Case::kLower>},
    {"lstrip", StripEnds<true, false>},
    {"removeprefix", RemoveAffix<false>},
    {"removesuffix", RemoveAffix<true>},
    {"replace", Replace},
    {"rfind", FindText<true>},
    {"rsplit", SplitText<true>},
    {"rstrip", StripEnds<false, true>},
    {"split", SplitText<false>},
    {"splitlines", Lines},
    {"startswith", HasAffix<false>},
    {"strip", StripEnds<true, true>},
    {"title", ChangeCase<Case::kTitle>},
    {"upper", ChangeCase<Case::kUpper>},
};

Result<Value> CallDictMethod(const Call& call, const DictObject& dict, bool& found) {
  if (call.name == "get") {
    HADAL_TRY(const BoundArguments a, call.Bind({"key", "default"}));
    HADAL_TRY(const Value key, a.Required(0));
    const Text* name = AsText(key);
    const Value* value = name == nullptr ? nullptr : dict.Get(name->bytes);
    if (value != nullptr) return *value;
    return a.Has(1) ? a[1] : Value(None());
  }
  if (call.name == "items") {
    HADAL_TRY(const BoundArguments a, call.Bind({}));
    return ItemsOf(dict, Form::kView, call.budget);
  }
  if (call.name == "keys" || call.name == "values") {
    HADAL_TRY(const BoundArguments a, call.Bind({}));
    std::vector<Value> out;
    for (const auto& [key, value] : dict.entries) {
      out.push_back(call.name == "keys" ? Value(key) : value);
    }
    return call.budget.NewList(std::move(out), Form::kView);
  }
  found = false;
  return Value();
}

Result<Value> Cycle(const Call& call, const LoopState& loop) {
  const auto& values = call.arguments.positional;
  if (values.empty() || !call.arguments.named.empty()) {
    return Fail(ErrorCode::kBadFile, "loop.cycle needs values without names");
  }
  return values[loop.index % values.size()];
}

}  // namespace

std::span<const Method> StringMethods() { return kStringMethods; }

Result<Value> CallMethod(const Call& call) {
  if (const Text* text = AsText(call.subject)) {
    for (const Method& method : StringMethods()) {
      if (method.name != call.name) continue;
      HADAL_OK(call.budget.SpendBytes(text->size()));
      HADAL_OK(call.budget.CheckRoom(text->size()));
      return method.run(call);
    }
  }
  if (const Dict* dict = As<Dict>(call.subject)) {
    bool found = true;
    HADAL_OK(call.budget.Spend(1 + static_cast<int64_t>((*dict)->entries.size()) / 8));
    HADAL_TRY(Value value, CallDictMethod(call, **dict, found));
    if (found) return value;
  }
  const Loop* loop = As<Loop>(call.subject);
  if (loop != nullptr && call.name == "cycle") return Cycle(call, **loop);
  if (const Undefined* undefined = As<Undefined>(call.subject)) {
    return Fail(ErrorCode::kBadFile, "{}, so it has no method {}",
                undefined->what ? *undefined->what : "the value is undefined", Quote(call.name));
  }
  return Fail(ErrorCode::kBadFile, "a {} has no method {} that templates may call",
              TypeName(call.subject), Quote(call.name));
}

}  // namespace hadal::jinja
