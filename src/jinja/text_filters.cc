// Filters that give text or a scalar.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "jinja/operations.h"
#include "jinja/template_library.h"

namespace hadal::jinja {
namespace {

// The subject as text, its size paid for.
Result<String> SubjectText(const Call& call) {
  HADAL_TRY(String text, ToString(call.subject, call.budget));
  HADAL_OK(call.budget.SpendBytes(text->text.size()));
  HADAL_OK(call.budget.CheckRoom(text->text.size()));
  return text;
}

Result<Value> Trim(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"chars"}));
  HADAL_TRY(const Text* chars, a.OptionalText(0));
  HADAL_TRY(const String text, SubjectText(call));
  if (chars != nullptr) HADAL_OK(call.budget.Spend(static_cast<int64_t>(chars->size())));
  return call.budget.NewString(
      Strip(text->text, chars != nullptr ? &chars->bytes : nullptr, Ends()));
}

template <Case wanted>
Result<Value> ChangeCase(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({}));
  HADAL_TRY(const String text, SubjectText(call));
  return call.budget.NewString(wanted == Case::kTitle ? TitleWords(text->text)
                                                      : WithCase(text->text, wanted));
}

Result<Value> Replace(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"old", "new", "count"}));
  HADAL_TRY(const Value old, a.Required(0));
  HADAL_TRY(const Value fresh, a.Required(1));
  HADAL_TRY(const String old_text, ToString(old, call.budget));
  HADAL_TRY(const String fresh_text, ToString(fresh, call.budget));
  const bool counted = a.Has(2) && !As<None>(a[2]);
  HADAL_TRY(const int64_t count, counted ? a.Integer(2, -1) : Result<int64_t>(-1));
  HADAL_TRY(const String text, SubjectText(call));
  return ReplaceText(text->text, old_text->text, fresh_text->text, count, call.budget);
}

Result<Value> Indent(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"width", "first", "blank"}));
  HADAL_TRY(const bool first, a.Flag(1, false));
  HADAL_TRY(const bool blank, a.Flag(2, false));
  Text indent;
  if (a.Has(0) && AsText(a[0])) {
    indent = *AsText(a[0]);
  } else {
    HADAL_TRY(const int64_t width, a.Integer(0, 4));
    const auto spaces = static_cast<size_t>(std::clamp<int64_t>(width, 0, 1 << 30));
    HADAL_OK(call.budget.CheckRoom(spaces));
    indent.Append(std::string(spaces, ' '), true);
  }
  HADAL_TRY(const String text, SubjectText(call));
  Text with_newline = text->text;
  with_newline.Append("\n", true);
  const std::vector<Text> lines = SplitLines(with_newline);
  TextBuilder out(call.budget);
  for (size_t i = 0; i < lines.size() && !out.full(); ++i) {
    if (i > 0) out.Append("\n", true);
    if (i == 0 ? first : (blank || lines[i].size() > 0)) out.Append(indent);
    out.Append(lines[i]);
  }
  return out.Finish();
}

Result<Value> AsString(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({}));
  HADAL_TRY(String text, ToString(call.subject, call.budget));
  return Value(std::move(text));
}

Result<Value> Length(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({}));
  HADAL_TRY(const int64_t length, LengthOf(call.subject, call.budget));
  return Value(length);
}

Result<Value> Default(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"default_value", "boolean"}));
  HADAL_TRY(const bool boolean, a.Flag(1, false));
  if (!IsUndefined(call.subject) && (!boolean || IsTrue(call.subject))) return call.subject;
  return a.Has(0) ? Result<Value>(a[0]) : call.budget.NewString(Text());
}

std::optional<double> ParseNumber(const Text& text) {
  const Text stripped = Strip(text, nullptr, Ends());
  std::string_view digits = stripped.bytes;
  if (digits.starts_with('+') && !digits.starts_with("+-")) digits.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> ParseInteger(const Text& text, int base) {
  const Text stripped = Strip(text, nullptr, Ends());
  std::string_view digits = stripped.bytes;
  if (digits.starts_with('+') && !digits.starts_with("+-")) digits.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

Result<Value> AsInt(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"default", "base"}));
  HADAL_TRY(const int64_t base, a.Integer(1, 10));
  if (base < 2 || base > 36) return Fail(ErrorCode::kBadFile, "int: base {} is not 2 to 36", base);
  if (const auto integer = AsInteger(call.subject)) return Value(*integer);
  std::optional<double> number = AsDouble(call.subject);
  if (const Text* text = AsText(call.subject)) {
    HADAL_OK(call.budget.SpendBytes(text->size()));
    if (const auto integer = ParseInteger(*text, static_cast<int>(base))) return Value(*integer);
    number = ParseNumber(*text);
  }
  if (number && std::fabs(*number) < 0x1p63) return Value(static_cast<int64_t>(*number));
  return a.Has(0) ? a[0] : Value(int64_t{0});
}

Result<Value> AsFloat(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"default"}));
  std::optional<double> number = AsDouble(call.subject);
  if (const Text* text = AsText(call.subject)) {
    HADAL_OK(call.budget.SpendBytes(text->size()));
    number = ParseNumber(*text);
  }
  if (number) return Value(*number);
  return a.Has(0) ? a[0] : Value(0.0);
}

Result<Value> Absolute(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({}));
  const auto number = AsDouble(call.subject);
  if (!number) {
    return Fail(ErrorCode::kBadFile, "abs needs a number, not {}", TypeName(call.subject));
  }
  const auto integer = AsInteger(call.subject);
  if (!integer) return Value(std::fabs(*number));
  return *integer < 0 ? Negate(*integer) : Result<Value>(*integer);
}

Result<Value> Format(const Call& call) {
  HADAL_TRY(const String text, SubjectText(call));
  if (!call.arguments.named.empty()) {
    return Fail(ErrorCode::kBadFile, "format takes values without names only");
  }
  return FormatPercent(text->text, call.arguments.positional, call.budget);
}

Result<JsonStyle> JsonStyleOf(const Call& call) {
  HADAL_TRY(const BoundArguments a,
            call.Bind({"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  HADAL_TRY(style.ascii, a.Flag(0, false));
  HADAL_TRY(style.sort_keys, a.Flag(3, false));
  if (a.Has(1) && AsText(a[1])) {
    style.indent = *AsText(a[1]);
  } else if (a.Has(1) && !As<None>(a[1])) {
    HADAL_TRY(const int64_t width, a.Integer(1, 0));
    const auto spaces = static_cast<size_t>(std::clamp<int64_t>(width, 0, 1 << 30));
    HADAL_OK(call.budget.CheckRoom(spaces));
    style.indent.emplace().Append(std::string(spaces, ' '), false);
  }
  if (!a.Has(2) || As<None>(a[2])) return style;
  const List* list = As<List>(a[2]);
  if (list == nullptr || (*list)->items.size() != 2 || !AsText((*list)->items[0]) ||
      !AsText((*list)->items[1])) {
    return Fail(ErrorCode::kBadFile, "tojson: separators must be a list of two strings");
  }
  style.separators.emplace(*AsText((*list)->items[0]), *AsText((*list)->items[1]));
  return style;
}

Result<Value> AsJson(const Call& call) {
  HADAL_TRY(const JsonStyle style, JsonStyleOf(call));
  return ToJson(call.subject, style, call.budget);
}

constexpr Filter kFilters[] = {
    {"abs", Absolute},
    {"capitalize", ChangeCase<Case::kCapitalize>},
    {"count", Length},
    {"d", Default},
    {"default", Default},
    {"float", AsFloat},
    {"format", Format},
    {"indent", Indent},
    {"int", AsInt},
    {"length", Length},
    {"lower", ChangeCase<Case::kLower>},
    {"replace", Replace},
    {"safe", AsString},  // nothing is escaped, so everything is safe
    {"string", AsString},
    {"title", ChangeCase<Case::kTitle>},
    {"tojson", AsJson},
    {"trim", Trim},
    {"upper", ChangeCase<Case::kUpper>},
};

}  // namespace

std::span<const Filter> TextFilters() { return kFilters; }

Result<Value> ReplaceText(const Text& text, const Text& old, const Text& fresh, int64_t count,
                          Budget& budget) {
  TextBuilder out(budget);
  size_t at = 0;
  for (int64_t n = 0; (count < 0 || n < count) && !out.full(); ++n) {
    const size_t found = Find(text.bytes, old.bytes, at);
    if (found == kNotFound) break;
    HADAL_OK(budget.SpendBytes(found - at + old.size() + fresh.size()));
    out.Append(text, at, found - at);
    out.Append(fresh);
    at = found + old.size();
    if (old.size() != 0) continue;
    if (at == text.size()) return out.Finish();  // the empty string stands between all characters
    const size_t character = CharacterAt(text.bytes, at).size;
    out.Append(text, at, character);
    at += character;
  }
  out.Append(text, at, text.size() - at);
  return out.Finish();
}

}  // namespace hadal::jinja
