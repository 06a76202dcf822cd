// Binding arguments to parameters, and finding what a template calls by its name.
#include <algorithm>

#include "jinja/operations.h"
#include "jinja/template_library.h"

namespace hadal::jinja {

Result<BoundArguments> Call::Bind(std::initializer_list<std::string_view> parameters) const {
  BoundArguments bound(name, parameters);
  if (arguments.positional.size() > parameters.size()) {
    return Fail(ErrorCode::kBadFile, "{} takes at most {} arguments, not {}", name,
                parameters.size(), arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    bound.values_[i] = arguments.positional[i];
  }
  for (const auto& [key, value] : arguments.named) {
    const auto found = std::find(bound.names_.begin(), bound.names_.end(), key);
    if (found == bound.names_.end()) {
      return Fail(ErrorCode::kBadFile, "{} has no argument {}", name, Quote(key));
    }
    auto& place = bound.values_[static_cast<size_t>(found - bound.names_.begin())];
    if (place) return Fail(ErrorCode::kBadFile, "{} is given {} twice", name, Quote(key));
    place = value;
  }
  return bound;
}

Result<Value> BoundArguments::Required(size_t i) const {
  if (Has(i)) return *values_[i];
  return Fail(ErrorCode::kBadFile, "{} needs the argument '{}'", callee_, names_[i]);
}

Result<int64_t> BoundArguments::Integer(size_t i, int64_t otherwise) const {
  if (!Has(i)) return otherwise;
  if (const auto integer = AsInteger(*values_[i])) return *integer;
  return Fail(ErrorCode::kBadFile, "{}: the argument '{}' must be a whole number, not {}", callee_,
              names_[i], TypeName(*values_[i]));
}

Result<bool> BoundArguments::Flag(size_t i, bool otherwise) const {
  return Has(i) ? IsTrue(*values_[i]) : otherwise;
}

Result<const Text*> BoundArguments::OptionalText(size_t i) const {
  if (!Has(i) || As<None>(*values_[i])) return nullptr;
  if (const Text* text = AsText(*values_[i])) return text;
  return Fail(ErrorCode::kBadFile, "{}: the argument '{}' must be a string, not {}", callee_,
              names_[i], TypeName(*values_[i]));
}

Result<const Text*> BoundArguments::RequiredText(size_t i) const {
  HADAL_TRY(const Text* text, OptionalText(i));
  if (text != nullptr) return text;
  return Fail(ErrorCode::kBadFile, "{} needs the argument '{}'", callee_, names_[i]);
}

const Filter* FindFilter(std::string_view name) {
  for (const auto& table : {TextFilters(), ListFilters()}) {
    for (const Filter& filter : table) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

}  // namespace hadal::jinja
