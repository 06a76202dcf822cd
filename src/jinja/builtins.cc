// The functions a template can call.
#include <time.h>

#include <algorithm>
#include <utility>

#include "jinja/operations.h"
#include "jinja/template_library.h"

namespace hadal::jinja {
namespace {

Result<Value> Range(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"start", "stop", "step"}));
  HADAL_TRY(const Value first, a.Required(0));
  HADAL_TRY(int64_t start, a.Integer(0, 0));
  HADAL_TRY(int64_t stop, a.Integer(1, 0));
  HADAL_TRY(const int64_t step, a.Integer(2, 1));
  if (!a.Has(1)) stop = std::exchange(start, 0);
  if (step == 0) return Fail(ErrorCode::kBadFile, "range: the step is 0");
  std::vector<Value> numbers;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(numbers.size()) >= call.budget.limits().max_range) {
      return Fail(ErrorCode::kInvalidArgument, "range: more than {} numbers",
                  call.budget.limits().max_range);
    }
    numbers.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return call.budget.NewList(std::move(numbers), ListObject::Form::kRange);
}

Result<Value> MakeNamespace(const Call& call) {
  auto space = std::make_shared<NamespaceObject>();
  // A namespace pays for no memory of its own, so its names must be those of the source.
  if (!call.arguments.positional.empty()) {
    return Fail(ErrorCode::kBadFile, "namespace takes named values only");
  }
  for (const auto& [name, value] : call.arguments.named) {
    HADAL_OK(call.budget.CheckStorable(value));
    space->values.insert_or_assign(name, value);
  }
  return Value(Namespace(std::move(space)));
}

Result<Value> MakeDict(const Call& call) {
  std::vector<DictObject::Entry> entries;
  if (call.arguments.positional.size() > 1) {
    return Fail(ErrorCode::kBadFile, "dict takes at most one mapping");
  }
  for (const Value& value : call.arguments.positional) {
    const Dict* dict = As<Dict>(value);
    if (dict == nullptr) {
      return Fail(ErrorCode::kBadFile, "dict takes a mapping, not {}", TypeName(value));
    }
    HADAL_OK(call.budget.Spend(static_cast<int64_t>((*dict)->entries.size())));
    entries = (*dict)->entries;
  }
  for (const auto& [name, value] : call.arguments.named) {
    HADAL_TRY(const Value key, call.budget.NewString(name, true));
    entries.emplace_back(*As<String>(key), value);
  }
  return call.budget.NewDict(std::move(entries));
}

Result<Value> RaiseException(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"message"}));
  HADAL_TRY(const Value message, a.Required(0));
  HADAL_TRY(const String text, ToString(message, call.budget));
  constexpr size_t kLongest = 1000;
  const std::string_view bytes = text->text.bytes;
  size_t end = std::min(bytes.size(), kLongest);
  while (end > 0 && end < bytes.size() && (static_cast<unsigned char>(bytes[end]) & 0xC0) == 0x80) {
    --end;
  }
  return Fail(ErrorCode::kInvalidArgument, "{}", bytes.substr(0, end));
}

Result<Value> FormatTime(const Call& call) {
  HADAL_TRY(const BoundArguments a, call.Bind({"format"}));
  HADAL_TRY(const Text* format, a.RequiredText(0));
  const time_t seconds = call.budget.unix_seconds();
  struct tm utc = {};
  char buffer[512];
  // A dot, so that an empty result differs from one that does not fit.
  const std::string with_dot = format->bytes + ".";
  if (format->size() > 128 || with_dot.find('\0') != std::string::npos ||
      gmtime_r(&seconds, &utc) == nullptr) {
    return Fail(ErrorCode::kBadFile, "strftime_now: the format is longer than 128 bytes");
  }
  const size_t n = strftime(buffer, sizeof buffer, with_dot.c_str(), &utc);
  if (n == 0) return Fail(ErrorCode::kBadFile, "strftime_now: the result is longer than 512 bytes");
  const bool trusted = format->marks.find('\0') == std::string::npos;
  return call.budget.NewString(std::string_view(buffer, n - 1), trusted);
}

struct Function {
  std::string_view name;
  Builtin builtin;
  Callable run;
};
constexpr Function kFunctions[] = {
    {"range", Builtin::kRange, Range},
    {"namespace", Builtin::kNamespace, MakeNamespace},
    {"dict", Builtin::kDict, MakeDict},
    {"raise_exception", Builtin::kRaiseException, RaiseException},
    {"strftime_now", Builtin::kStrftimeNow, FormatTime},
};

}  // namespace

std::optional<Builtin> FindBuiltin(std::string_view name) {
  for (const Function& function : kFunctions) {
    if (function.name == name) return function.builtin;
  }
  return std::nullopt;
}

Result<Value> CallBuiltin(Builtin builtin, const CallArguments& arguments, Budget& budget) {
  for (const Function& function : kFunctions) {
    if (function.builtin != builtin) continue;
    const Value nothing;
    return function.run({function.name, nothing, arguments, budget});
  }
  return Fail(ErrorCode::kInternal, "a function is not in its table");
}

}  // namespace hadal::jinja
