#include "jinja/value.h"

#include <fmt/format.h>

namespace hadal::jinja {

const Value* DictObject::Get(std::string_view key) const {
  if (!places.empty()) {
    const auto found = places.find(key);
    return found == places.end() ? nullptr : &entries[found->second].second;
  }
  for (const auto& [name, value] : entries) {
    if (name->text.bytes == key) return &value;
  }
  return nullptr;
}

bool IsNumber(const Value& value) {
  return As<bool>(value) != nullptr || As<int64_t>(value) != nullptr ||
         As<double>(value) != nullptr;
}

std::string_view TypeName(const Value& value) {
  struct Visitor {
    std::string_view operator()(const Undefined&) const { return "Undefined"; }
    std::string_view operator()(const None&) const { return "NoneType"; }
    std::string_view operator()(bool) const { return "bool"; }
    std::string_view operator()(int64_t) const { return "int"; }
    std::string_view operator()(double) const { return "float"; }
    std::string_view operator()(const String&) const { return "str"; }
    std::string_view operator()(const List& list) const {
      switch (list->form) {
        case ListObject::Form::kList:
          return "list";
        case ListObject::Form::kTuple:
          return "tuple";
        case ListObject::Form::kRange:
          return "range";
        case ListObject::Form::kView:
          return "dict view";
        case ListObject::Form::kGenerator:
          return "generator";
      }
      return "list";
    }
    std::string_view operator()(const Dict&) const { return "dict"; }
    std::string_view operator()(const Namespace&) const { return "namespace"; }
    std::string_view operator()(const Macro&) const { return "macro"; }
    std::string_view operator()(const Loop&) const { return "loop"; }
    std::string_view operator()(const Builtin&) const { return "function"; }
  };
  return std::visit(Visitor{}, value);
}

std::string Quote(std::string_view text) {
  constexpr size_t kLongest = 80;
  std::string out = "'";
  for (size_t at = 0; at < text.size();) {
    if (at >= kLongest) return out + "...'";
    const Character c = CharacterAt(text, at);
    if (c.valid && IsPrintable(c.code)) {
      out += text.substr(at, c.size);
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[at]));
    }
    at += c.size;
  }
  return out + "'";
}

Value MakeUndefined(std::string what) {
  return Undefined{std::make_shared<const std::string>(std::move(what))};
}

Value Literal(std::string text) {
  auto object = std::make_shared<StringObject>();
  object->text.Append(text, /*trusted=*/true);
  return String(std::move(object));
}

}  // namespace hadal::jinja
