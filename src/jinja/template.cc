#include "jinja/template.h"

#include <nlohmann/json.hpp>

#include "jinja/interpreter.h"
#include "jinja/parser.h"

namespace hadal::jinja {
namespace {

using Json = nlohmann::ordered_json;

// "line 3, column 5: reason" for what is wrong with the template; a limit or raise_exception speaks
// for itself.
Error Finished(Error error) {
  if (error.code == ErrorCode::kBadFile && !error.field.empty()) {
    error.message = error.field + ": " + error.message;
  }
  error.field.clear();
  return error;
}

class VariableReader {
 public:
  explicit VariableReader(Budget& budget) : budget_(budget) {}

  // data with trusted laid over it; either may be null, not both.
  Result<Value> Read(const Json* data, const Json* trusted, int depth) {
    HADAL_OK(budget_.Spend(1));
    if (trusted != nullptr && trusted->is_null() && data != nullptr) trusted = nullptr;
    const Json& leading = trusted != nullptr ? *trusted : *data;
    if (!leading.is_structured()) return Scalar(leading, trusted != nullptr);
    if (data != nullptr && data->type() != leading.type()) data = nullptr;
    if (depth > budget_.limits().max_depth) {
      return Fail(ErrorCode::kInvalidArgument, "messages and tools are nested more than {} deep",
                  budget_.limits().max_depth);
    }
    return leading.is_object() ? Object(data, trusted, depth) : Array(data, trusted, depth);
  }

 private:
  Result<Value> Scalar(const Json& value, bool trusted) {
    switch (value.type()) {
      case Json::value_t::boolean:
        return Value(value.get<bool>());
      case Json::value_t::number_integer:
        return Value(value.get<int64_t>());
      case Json::value_t::number_unsigned:
        if (value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)) {
          return Value(value.get<int64_t>());
        }
        return Value(value.get<double>());
      case Json::value_t::number_float:
        return Value(value.get<double>());
      case Json::value_t::string: {
        const auto& text = value.get_ref<const std::string&>();
        HADAL_OK(budget_.SpendBytes(text.size()));
        return budget_.NewString(text, trusted);
      }
      default:
        return Value(None());
    }
  }

  Result<Value> Object(const Json* data, const Json* trusted, int depth) {
    std::vector<DictObject::Entry> entries;
    const auto add = [&](const std::string& key, const Json* a, const Json* b) -> Status {
      HADAL_TRY(const Value name, budget_.NewString(key, a == nullptr));
      HADAL_TRY(Value value, Read(a, b, depth + 1));
      entries.emplace_back(*As<String>(name), std::move(value));
      return {};
    };
    const auto find = [](const Json* object, const std::string& key) -> const Json* {
      if (object == nullptr) return nullptr;
      const auto found = object->find(key);
      return found == object->end() ? nullptr : &*found;
    };
    if (data != nullptr) {
      for (const auto& [key, value] : data->items()) HADAL_OK(add(key, &value, find(trusted, key)));
    }
    if (trusted != nullptr) {
      for (const auto& [key, value] : trusted->items()) {
        if (find(data, key) == nullptr) HADAL_OK(add(key, nullptr, &value));
      }
    }
    return budget_.NewDict(std::move(entries));
  }

  Result<Value> Array(const Json* data, const Json* trusted, int depth) {
    std::vector<Value> items;
    const size_t n = data != nullptr ? data->size() : trusted->size();
    for (size_t i = 0; i < n; ++i) {
      const Json* over = trusted != nullptr && i < trusted->size() ? &(*trusted)[i] : nullptr;
      HADAL_TRY(Value item, Read(data != nullptr ? &(*data)[i] : nullptr, over, depth + 1));
      items.push_back(std::move(item));
    }
    return budget_.NewList(std::move(items), ListObject::Form::kList);
  }

  Budget& budget_;
};

}  // namespace

struct Template::Program {
  Limits limits;
  Body body;
};

Template::Template(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Result<Template> Template::Parse(std::string_view source, const Limits& limits) {
  if (source.size() > limits.max_source_bytes) {
    return Fail(ErrorCode::kBadFile, "the template has {} bytes; at most {} are allowed",
                source.size(), limits.max_source_bytes);
  }
  auto tokens = Tokenise(source);
  if (!tokens) return tl::make_unexpected(Finished(std::move(tokens).error()));
  auto body = ParseTokens(*tokens, limits);
  if (!body) return tl::make_unexpected(Finished(std::move(body).error()));
  return Template(std::make_unique<const Program>(Program{limits, std::move(*body)}));
}

Result<Rendered> Template::Render(const Json& data, const Json& trusted,
                                  const RenderClock& clock) const {
  if (!data.is_object() || !trusted.is_object()) {
    return Fail(ErrorCode::kInternal, "the variables of a template must be JSON objects");
  }
  Budget budget(program_->limits, clock);
  auto globals = VariableReader(budget).Read(&data, &trusted, 0);
  if (!globals) return tl::make_unexpected(Finished(std::move(globals).error()));
  auto text = Interpreter(budget, **As<Dict>(*globals)).Run(program_->body);
  if (!text) return tl::make_unexpected(Finished(std::move(text).error()));
  return Rendered{std::move(text->bytes), std::move(text->marks)};
}

}  // namespace hadal::jinja
