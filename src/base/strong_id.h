// StrongId<Tag, T>: an integer of one index space, so that a block is never used as a sequence.
#pragma once

#include <compare>
#include <functional>

namespace hadal {

template <class Tag, class T>
struct StrongId {
  T value{};
  constexpr StrongId() = default;
  constexpr explicit StrongId(T v) : value(v) {}
  constexpr auto operator<=>(const StrongId&) const = default;
};

}  // namespace hadal

template <class Tag, class T>
struct std::hash<hadal::StrongId<Tag, T>> {
  size_t operator()(const hadal::StrongId<Tag, T>& id) const { return std::hash<T>()(id.value); }
};
