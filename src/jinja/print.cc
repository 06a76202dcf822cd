// How values are written: str(), repr(), "%" formats, JSON.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "jinja/operations.h"

namespace hadal::jinja {
namespace {

using Form = ListObject::Form;

// Writes as repr() does. Strings keep their marks; what is written around them is not trusted, so
// that quotes and brackets next to a caller's text never complete something a template began.
class Printer {
 public:
  explicit Printer(Budget& budget) : budget_(budget), out_(budget) {}

  Result<Value> Finish() { return out_.Finish(); }

  Status Repr(const Value& value) {
    HADAL_OK(budget_.Spend(1));
    HADAL_OK(out_.Check());
    if (const Text* text = AsText(value)) return Quoted(*text);
    if (const List* list = As<List>(value)) return Items(**list);
    if (const Dict* dict = As<Dict>(value)) return Entries(**dict);
    return Scalar(value);
  }

 private:
  void Put(std::string_view bytes) { out_.Append(bytes, false); }

  Status Scalar(const Value& value) {
    if (IsUndefined(value)) {
      Put("Undefined");
    } else if (As<None>(value)) {
      Put("None");
    } else if (const bool* b = As<bool>(value)) {
      Put(*b ? "True" : "False");
    } else if (const int64_t* i = As<int64_t>(value)) {
      Put(fmt::format("{}", *i));
    } else if (const double* d = As<double>(value)) {
      Put(FloatText(*d));
    } else {
      return Fail(ErrorCode::kBadFile, "a {} cannot be written as text", TypeName(value));
    }
    return {};
  }

  Status Items(const ListObject& list) {
    if (list.form != Form::kList && list.form != Form::kTuple) {
      return Fail(ErrorCode::kBadFile,
                  "a {} cannot be written as text; the filter 'list' makes a list of it",
                  TypeName(List(List(), &list)));
    }
    const bool is_tuple = list.form == Form::kTuple;
    Put(is_tuple ? "(" : "[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) Put(", ");
      HADAL_OK(Repr(list.items[i]));
    }
    if (is_tuple && list.items.size() == 1) Put(",");
    Put(is_tuple ? ")" : "]");
    return {};
  }

  Status Entries(const DictObject& dict) {
    Put("{");
    bool first = true;
    for (const auto& [key, value] : dict.entries) {
      if (!first) Put(", ");
      first = false;
      HADAL_OK(Quoted(key->text));
      Put(": ");
      HADAL_OK(Repr(value));
    }
    Put("}");
    return {};
  }

  Status Quoted(const Text& text) {
    HADAL_OK(budget_.SpendBytes(text.size()));
    const bool has_single = text.bytes.find('\'') != std::string::npos;
    const bool has_double = text.bytes.find('"') != std::string::npos;
    const char quote = has_single && !has_double ? '"' : '\'';
    Put(std::string_view(&quote, 1));
    for (size_t at = 0; at < text.size() && !out_.full();) {
      const Character c = CharacterAt(text.bytes, at);
      if (c.code == static_cast<unsigned char>(quote) || c.code == '\\') {
        Put("\\");
        out_.Append(text, at, c.size);
      } else if (c.code == '\n' || c.code == '\r' || c.code == '\t') {
        Put(c.code == '\n' ? "\\n" : c.code == '\r' ? "\\r" : "\\t");
      } else if (!c.valid || IsPrintable(c.code)) {
        out_.Append(text, at, c.size);
      } else if (c.code <= 0xFF) {
        Put(fmt::format("\\x{:02x}", static_cast<uint32_t>(c.code)));
      } else {
        Put(c.code <= 0xFFFF ? fmt::format("\\u{:04x}", static_cast<uint32_t>(c.code))
                             : fmt::format("\\U{:08x}", static_cast<uint32_t>(c.code)));
      }
      at += c.size;
    }
    Put(std::string_view(&quote, 1));
    return {};
  }

  Budget& budget_;
  TextBuilder out_;
};

// As Python's json.dumps writes. Marks as in Printer.
class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget)
      : style_(style), budget_(budget), out_(budget) {
    between_.Append(style.indent ? "," : ", ", false);
    after_key_.Append(": ", false);
    if (style.separators) std::tie(between_, after_key_) = *style.separators;
  }

  Result<Value> Finish() { return out_.Finish(); }

  Status Write(const Value& value, int level) {
    HADAL_OK(budget_.Spend(1));
    HADAL_OK(out_.Check());
    if (const Text* text = AsText(value)) {
      Quoted(*text);
      return budget_.SpendBytes(text->size());
    }
    if (const List* list = As<List>(value)) return Items(**list, level);
    if (const Dict* dict = As<Dict>(value)) return Entries(**dict, level);
    if (As<None>(value)) {
      Put("null");
    } else if (const bool* b = As<bool>(value)) {
      Put(*b ? "true" : "false");
    } else if (const int64_t* i = As<int64_t>(value)) {
      Put(fmt::format("{}", *i));
    } else if (const double* d = As<double>(value)) {
      Put(std::isnan(*d)    ? "NaN"
          : !std::isinf(*d) ? FloatText(*d)
          : *d > 0          ? "Infinity"
                            : "-Infinity");
    } else {
      return Fail(ErrorCode::kBadFile, "tojson: a value of type {} cannot be written as JSON",
                  TypeName(value));
    }
    return {};
  }

 private:
  void Put(std::string_view bytes) { out_.Append(bytes, false); }
  void NewLine(int level) {
    if (!style_.indent) return;
    Put("\n");
    for (int i = 0; i < level && !out_.full(); ++i) out_.Append(*style_.indent);
  }

  Status Items(const ListObject& list, int level) {
    if (list.form != Form::kList && list.form != Form::kTuple) {
      return Fail(ErrorCode::kBadFile,
                  "tojson: a {} cannot be written as JSON; the filter 'list' makes a list of it",
                  TypeName(List(List(), &list)));
    }
    if (list.items.empty()) {
      Put("[]");
      return {};
    }
    Put("[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_.Append(between_);
      NewLine(level + 1);
      HADAL_OK(Write(list.items[i], level + 1));
    }
    NewLine(level);
    Put("]");
    return {};
  }

  Status Entries(const DictObject& dict, int level) {
    if (dict.entries.empty()) {
      Put("{}");
      return {};
    }
    std::vector<const DictObject::Entry*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
        return a->first->text.bytes < b->first->text.bytes;
      });
    }
    Put("{");
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_.Append(between_);
      NewLine(level + 1);
      HADAL_OK(budget_.SpendBytes(entries[i]->first->text.size()));
      Quoted(entries[i]->first->text);
      out_.Append(after_key_);
      HADAL_OK(Write(entries[i]->second, level + 1));
    }
    NewLine(level);
    Put("}");
    return {};
  }

  void Quoted(const Text& text) {
    Put("\"");
    for (size_t at = 0; at < text.size() && !out_.full();) {
      const Character c = CharacterAt(text.bytes, at);
      constexpr std::string_view kEscaped = "\"\\\n\r\t\b\f", kAs = "\"\\nrtbf";
      const size_t i =
          c.code < 0x80 ? kEscaped.find(static_cast<char>(c.code)) : std::string_view::npos;
      if (i != std::string_view::npos) {
        Put("\\");
        Put(kAs.substr(i, 1));
      } else if (c.code < 0x20 || (style_.ascii && c.code >= 0x7F && c.code != 0x7F)) {
        Escaped(c.code);
      } else {
        out_.Append(text, at, c.size);
      }
      at += c.size;
    }
    Put("\"");
  }
  void Escaped(char32_t code) {
    const auto put = [this](uint32_t unit) { Put(fmt::format("\\u{:04x}", unit)); };
    if (code <= 0xFFFF) return put(code);
    put(0xD800 + ((code - 0x10000) >> 10));
    put(0xDC00 + ((code - 0x10000) & 0x3FF));
  }

  const JsonStyle& style_;
  Budget& budget_;
  TextBuilder out_;
  Text between_, after_key_;
};

struct Conversion {
  char type = 0;
  int precision = -1;
  size_t size = 0;  // bytes after the %
};

Result<Conversion> ReadConversion(std::string_view rest) {
  Conversion c;
  size_t at = 0;
  if (at < rest.size() && rest[at] == '.') {
    c.precision = 0;
    for (++at; at < rest.size() && rest[at] >= '0' && rest[at] <= '9' && c.precision < 100; ++at) {
      c.precision = c.precision * 10 + (rest[at] - '0');
    }
  }
  const std::string_view known = c.precision >= 0 ? "f" : "sdif%";
  if (at >= rest.size() || known.find(rest[at]) == std::string_view::npos || c.precision > 100) {
    return Fail(ErrorCode::kBadFile, "the format %{} is not supported; %s, %d, %i, %f and %.Nf are",
                Quote(rest.substr(0, std::min<size_t>(rest.size(), 4))));
  }
  c.type = rest[at];
  c.size = at + 1;
  return c;
}

Status AppendConverted(const Conversion& c, const Value& value, TextBuilder& out, Budget& budget) {
  if (c.type == 's') {
    HADAL_TRY(const String text, ToString(value, budget));
    out.Append(text->text);
    return {};
  }
  const auto number = AsDouble(value);
  if (!number) {
    return Fail(ErrorCode::kBadFile, "%{} needs a number, not {}", c.type, TypeName(value));
  }
  if (c.type == 'f') {
    out.Append(fmt::format("{:.{}f}", *number, c.precision < 0 ? 6 : c.precision), true);
    return {};
  }
  const auto integer = AsInteger(value);
  if (!integer && !(std::fabs(*number) < 0x1p62)) {
    return Fail(ErrorCode::kBadFile, "%{} needs a number of at most 62 bits", c.type);
  }
  out.Append(fmt::format("{}", integer ? *integer : static_cast<int64_t>(*number)), true);
  return {};
}

}  // namespace

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[32];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  const size_t digits_at = e + 1 + (text[e + 1] == '+' ? 1 : 0);
  std::from_chars(text.data() + digits_at, end, exponent);
  if (exponent >= -4 && exponent < 16) {
    std::string fixed = fmt::format("{}", value);
    if (fixed.find_first_of(".e") == std::string::npos) fixed += ".0";
    if (fixed.find('e') == std::string::npos) return fixed;
    fixed.assign(400, '\0');
    const auto fixed_end =
        std::to_chars(fixed.data(), fixed.data() + fixed.size(), value, std::chars_format::fixed)
            .ptr;
    fixed.resize(static_cast<size_t>(fixed_end - fixed.data()));
    return fixed.find('.') == std::string::npos ? fixed + ".0" : fixed;
  }
  return fmt::format("{}e{}{:02}", text.substr(0, e), exponent < 0 ? '-' : '+', std::abs(exponent));
}

Result<String> ToString(const Value& value, Budget& budget) {
  if (const String* string = As<String>(value)) return *string;
  if (IsUndefined(value)) {
    HADAL_TRY(const Value empty, budget.NewString(Text()));
    return std::get<String>(empty);
  }
  const bool is_scalar = As<None>(value) != nullptr || IsNumber(value);
  Printer printer(budget);
  HADAL_OK(printer.Repr(value));
  HADAL_TRY(const Value printed, printer.Finish());
  if (!is_scalar) return std::get<String>(printed);
  // A number of its own is the template's: {{ '<|image_' ~ loop.index ~ '|>' }}.
  HADAL_TRY(const Value trusted, budget.NewString(AsText(printed)->bytes, true));
  return std::get<String>(trusted);
}

Result<Value> ToJson(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter writer(style, budget);
  HADAL_OK(writer.Write(value, 0));
  return writer.Finish();
}

Result<Value> FormatPercent(const Text& format, const std::vector<Value>& values, Budget& budget) {
  HADAL_OK(budget.SpendBytes(format.size()));
  TextBuilder out(budget);
  size_t next = 0;
  for (size_t at = 0; at < format.size();) {
    const size_t percent = std::min(Find(format.bytes, "%", at), format.size());
    out.Append(format, at, percent - at);
    if (percent == format.size()) break;
    HADAL_TRY(const Conversion conversion,
              ReadConversion(std::string_view(format.bytes).substr(percent + 1)));
    at = percent + 1 + conversion.size;
    if (conversion.type == '%') {
      out.Append(format, percent, 1);
      continue;
    }
    if (next >= values.size()) return Fail(ErrorCode::kBadFile, "a format has too few values");
    HADAL_OK(AppendConverted(conversion, values[next++], out, budget));
    HADAL_OK(out.Check());
  }
  if (next < values.size()) return Fail(ErrorCode::kBadFile, "a format has too many values");
  return out.Finish();
}

}  // namespace hadal::jinja
