#include "jinja/operations.h"

#include <algorithm>
#include <cmath>

#include "jinja/loop_state.h"

namespace hadal::jinja {
namespace {

tl::unexpected<Error> Refuse(std::string_view what, const Value& a, const Value& b) {
  return Fail(ErrorCode::kBadFile, "{} does not take {} and {}", what, TypeName(a), TypeName(b));
}

std::string_view SymbolOf(Operator op) {
  switch (op) {
    case Operator::kAdd:
      return "+";
    case Operator::kSubtract:
      return "-";
    case Operator::kMultiply:
      return "*";
    case Operator::kDivide:
      return "/";
    case Operator::kFloorDivide:
      return "//";
    case Operator::kModulo:
      return "%";
    case Operator::kPower:
      return "**";
    case Operator::kConcatenate:
      return "~";
    default:
      return "a comparison";
  }
}

tl::unexpected<Error> TooLarge() {
  return Fail(ErrorCode::kBadFile, "a whole number is outside the 64 bits that are supported");
}

Result<Value> Power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return TooLarge();
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return TooLarge();
  }
  return Value(result);
}

Result<Value> CalculateIntegers(Operator op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Operator::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Operator::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Operator::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Operator::kPower:
      return Power(a, b);
    default:  // division
      if (b == 0) return Fail(ErrorCode::kBadFile, "division by zero");
      if (op == Operator::kDivide) return Value(static_cast<double>(a) / static_cast<double>(b));
      if (b == -1) {  // the one quotient that overflows
        overflow = op == Operator::kFloorDivide && __builtin_sub_overflow(0, a, &result);
        break;
      }
      result = op == Operator::kModulo ? a % b : a / b;
      if (a % b != 0 && (a < 0) != (b < 0)) result += op == Operator::kModulo ? b : -1;
  }
  if (overflow) return TooLarge();
  return Value(result);
}

Result<Value> CalculateDoubles(Operator op, double a, double b) {
  switch (op) {
    case Operator::kAdd:
      return Value(a + b);
    case Operator::kSubtract:
      return Value(a - b);
    case Operator::kMultiply:
      return Value(a * b);
    case Operator::kPower:
      return Value(std::pow(a, b));
    default:
      break;
  }
  if (b == 0) return Fail(ErrorCode::kBadFile, "division by zero");
  if (op == Operator::kDivide) return Value(a / b);
  if (op == Operator::kFloorDivide) return Value(std::floor(a / b));
  const double rest = std::fmod(a, b);
  return Value(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
}

Result<Value> RepeatText(const Text& text, int64_t times, Budget& budget) {
  if (times <= 0 || text.size() == 0) return budget.NewString(Text());
  // Asked before anything is allocated; the product cannot overflow after the first check.
  HADAL_OK(budget.CheckRoom(text.size()));
  if (times > static_cast<int64_t>(budget.limits().max_value_bytes)) {
    return tl::make_unexpected(budget.CheckRoom(budget.limits().max_value_bytes).error());
  }
  HADAL_OK(budget.CheckRoom(text.size() * static_cast<size_t>(times)));
  HADAL_OK(budget.SpendBytes(text.size() * static_cast<size_t>(times)));
  Text out;
  for (int64_t i = 0; i < times; ++i) out.Append(text);
  return budget.NewString(std::move(out));
}

Result<Value> RepeatList(const ListObject& list, int64_t times, Budget& budget) {
  std::vector<Value> items;
  for (int64_t i = 0; i < times && !list.items.empty(); ++i) {
    HADAL_OK(budget.Spend(static_cast<int64_t>(list.items.size())));
    HADAL_OK(budget.CheckRoom((items.size() + list.items.size()) * sizeof(Value) / 2));
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return budget.NewList(std::move(items), list.form);
}

Result<Value> AddText(const Text& a, const Text& b, Budget& budget) {
  HADAL_OK(budget.CheckRoom(a.size() + b.size()));
  HADAL_OK(budget.SpendBytes(a.size() + b.size()));
  Text out;
  out.bytes.reserve(a.size() + b.size());
  out.marks.reserve(a.size() + b.size());
  out.Append(a);
  out.Append(b);
  return budget.NewString(std::move(out));
}

bool CanBeAdded(const ListObject& list) {
  return list.form == ListObject::Form::kList || list.form == ListObject::Form::kTuple;
}

Result<Value> AddLists(const ListObject& a, const ListObject& b, Budget& budget) {
  HADAL_OK(budget.Spend(static_cast<int64_t>(a.items.size() + b.items.size())));
  HADAL_OK(budget.CheckRoom((a.items.size() + b.items.size()) * sizeof(Value) / 2));
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return budget.NewList(std::move(items), a.form);
}

Result<bool> AreListsEqual(const ListObject& a, const ListObject& b, Budget& budget) {
  if (a.form != b.form || a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    HADAL_TRY(const bool equal, AreEqual(a.items[i], b.items[i], budget));
    if (!equal) return false;
  }
  return true;
}

Result<bool> AreDictsEqual(const DictObject& a, const DictObject& b, Budget& budget) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    HADAL_OK(budget.Spend(1 + static_cast<int64_t>(key->text.size() / 64)));
    const Value* other = b.Get(key->text.bytes);
    if (other == nullptr) return false;
    HADAL_TRY(const bool equal, AreEqual(value, *other, budget));
    if (!equal) return false;
  }
  return true;
}

// < 0, 0, > 0. NaN compares as unordered: nullopt.
Result<std::optional<int>> Order(const Value& a, const Value& b, Budget& budget) {
  HADAL_OK(budget.Spend(1));
  const auto sign = [](auto x, auto y) { return std::optional<int>(x < y ? -1 : x > y ? 1 : 0); };
  if (const auto x = AsInteger(a), y = AsInteger(b); x && y) return sign(*x, *y);
  if (const auto x = AsDouble(a), y = AsDouble(b); x && y) {
    if (std::isnan(*x) || std::isnan(*y)) return std::optional<int>();
    return sign(*x, *y);
  }
  if (const Text *x = AsText(a), *y = AsText(b); x != nullptr && y != nullptr) {
    HADAL_OK(budget.SpendBytes(std::min(x->size(), y->size())));
    return sign(x->bytes.compare(y->bytes), 0);  // UTF-8 sorts as its code points do
  }
  const List *x = As<List>(a), *y = As<List>(b);
  if (x == nullptr || y == nullptr || (*x)->form != (*y)->form || !CanBeAdded(**x)) {
    return Refuse("a comparison", a, b);
  }
  const auto& left = (*x)->items;
  const auto& right = (*y)->items;
  for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    HADAL_TRY(const bool equal, AreEqual(left[i], right[i], budget));
    if (!equal) return Order(left[i], right[i], budget);
  }
  return sign(left.size(), right.size());
}

Result<Value> ModuloText(const Text& format, const Value& value, Budget& budget) {
  const List* list = As<List>(value);
  const bool is_tuple = list != nullptr && (*list)->form == ListObject::Form::kTuple;
  return FormatPercent(format, is_tuple ? (*list)->items : std::vector<Value>{value}, budget);
}

}  // namespace

bool IsTrue(const Value& value) {
  struct Visitor {
    bool operator()(const Undefined&) const { return false; }
    bool operator()(const None&) const { return false; }
    bool operator()(bool b) const { return b; }
    bool operator()(int64_t i) const { return i != 0; }
    bool operator()(double d) const { return d != 0; }
    bool operator()(const String& s) const { return s->text.size() != 0; }
    bool operator()(const List& list) const {
      return list->form == ListObject::Form::kGenerator || !list->items.empty();
    }
    bool operator()(const Dict& dict) const { return !dict->entries.empty(); }
    bool operator()(const Namespace&) const { return true; }
    bool operator()(const Macro&) const { return true; }
    bool operator()(const Loop& loop) const { return !loop->items->items.empty(); }
    bool operator()(const Builtin&) const { return true; }
  };
  return std::visit(Visitor{}, value);
}

std::optional<int64_t> AsInteger(const Value& value) {
  if (const bool* b = As<bool>(value)) return *b ? 1 : 0;
  if (const int64_t* i = As<int64_t>(value)) return *i;
  return std::nullopt;
}

std::optional<double> AsDouble(const Value& value) {
  if (const double* d = As<double>(value)) return *d;
  if (const auto i = AsInteger(value)) return static_cast<double>(*i);
  return std::nullopt;
}

Result<bool> AreEqual(const Value& a, const Value& b, Budget& budget) {
  HADAL_OK(budget.Spend(1));
  if (const auto x = AsInteger(a), y = AsInteger(b); x && y) return *x == *y;
  if (const auto x = AsDouble(a), y = AsDouble(b); x && y) return *x == *y;
  if (a.index() != b.index()) return false;
  if (const Text* x = AsText(a)) {
    const Text* y = AsText(b);
    if (x->size() != y->size()) return false;
    HADAL_OK(budget.SpendBytes(x->size()));
    return x->bytes == y->bytes;
  }
  if (const List* x = As<List>(a)) return AreListsEqual(**x, **As<List>(b), budget);
  if (const Dict* x = As<Dict>(a)) return AreDictsEqual(**x, **As<Dict>(b), budget);
  if (const Namespace* x = As<Namespace>(a)) return *x == *As<Namespace>(b);
  if (const Macro* x = As<Macro>(a)) return x->definition == As<Macro>(b)->definition;
  if (const Loop* x = As<Loop>(a)) return *x == *As<Loop>(b);
  if (const Builtin* x = As<Builtin>(a)) return *x == *As<Builtin>(b);
  return true;  // both undefined, or both none
}

Result<bool> Compare(Operator op, const Value& a, const Value& b, Budget& budget) {
  if (op == Operator::kEqual || op == Operator::kNotEqual) {
    HADAL_TRY(const bool equal, AreEqual(a, b, budget));
    return equal == (op == Operator::kEqual);
  }
  if (op == Operator::kIn || op == Operator::kNotIn) {
    HADAL_TRY(const bool in, IsIn(a, b, budget));
    return in == (op == Operator::kIn);
  }
  for (const Value* value : {&a, &b}) {
    if (const Undefined* u = As<Undefined>(*value)) {
      return Fail(ErrorCode::kBadFile, "{}, so it cannot be compared",
                  u->what ? *u->what : "a value is undefined");
    }
  }
  HADAL_TRY(const std::optional<int> order, Order(a, b, budget));
  if (!order) return false;
  switch (op) {
    case Operator::kLess:
      return *order < 0;
    case Operator::kLessEqual:
      return *order <= 0;
    case Operator::kGreater:
      return *order > 0;
    default:
      return *order >= 0;
  }
}

Result<bool> IsIn(const Value& item, const Value& container, Budget& budget) {
  if (const Text* text = AsText(container)) {
    const Text* needle = AsText(item);
    if (needle == nullptr) {
      return Fail(ErrorCode::kBadFile, "'in' a string needs a string, not {}", TypeName(item));
    }
    HADAL_OK(budget.SpendBytes(text->size() + needle->size()));
    return Find(text->bytes, needle->bytes) != kNotFound;
  }
  if (const Dict* dict = As<Dict>(container)) {
    HADAL_OK(budget.Spend(1));
    const Text* key = AsText(item);
    return key != nullptr && (*dict)->Get(key->bytes) != nullptr;
  }
  HADAL_TRY(const List list, Iterate(container, budget));
  for (const Value& other : list->items) {
    HADAL_TRY(const bool equal, AreEqual(item, other, budget));
    if (equal) return true;
  }
  return false;
}

Result<Value> Calculate(Operator op, const Value& a, const Value& b, Budget& budget) {
  if (op == Operator::kConcatenate) {
    HADAL_TRY(const String left, ToString(a, budget));
    HADAL_TRY(const String right, ToString(b, budget));
    return AddText(left->text, right->text, budget);
  }
  for (const Value* value : {&a, &b}) {
    const Undefined* u = As<Undefined>(*value);
    if (u != nullptr && u->what) return Fail(ErrorCode::kBadFile, "{}", *u->what);
  }
  if (const auto x = AsInteger(a), y = AsInteger(b); x && y) return CalculateIntegers(op, *x, *y);
  if (const auto x = AsDouble(a), y = AsDouble(b); x && y) return CalculateDoubles(op, *x, *y);
  const Text *x = AsText(a), *y = AsText(b);
  if (x != nullptr && op == Operator::kModulo) return ModuloText(*x, b, budget);
  if (x != nullptr && y != nullptr && op == Operator::kAdd) return AddText(*x, *y, budget);
  const List *left = As<List>(a), *right = As<List>(b);
  if (op == Operator::kAdd && left != nullptr && right != nullptr && CanBeAdded(**left) &&
      (*left)->form == (*right)->form) {
    return AddLists(**left, **right, budget);
  }
  if (op == Operator::kMultiply) {
    const bool swapped = AsInteger(a).has_value();
    const auto times = AsInteger(swapped ? a : b);
    const Value& repeated = swapped ? b : a;
    if (times && AsText(repeated)) return RepeatText(*AsText(repeated), *times, budget);
    const List* list = As<List>(repeated);
    if (times && list != nullptr && CanBeAdded(**list)) return RepeatList(**list, *times, budget);
  }
  return Refuse(SymbolOf(op), a, b);
}

Result<Value> Negate(const Value& value) {
  if (const auto i = AsInteger(value)) return CalculateIntegers(Operator::kSubtract, 0, *i);
  if (const double* d = As<double>(value)) return Value(-*d);
  return Fail(ErrorCode::kBadFile, "'-' does not take {}", TypeName(value));
}

}  // namespace hadal::jinja
