#include "formats/gguf.h"

namespace hadal {
namespace {

template <class T>
const T* Held(const GgufValue* value) {
  return value == nullptr ? nullptr : std::get_if<T>(&value->data);
}

template <class T>
std::optional<T> Copy(const GgufValue* value) {
  const T* held = Held<T>(value);
  if (held == nullptr) return std::nullopt;
  return *held;
}

}  // namespace

bool GgufMetadata::Add(std::string key, GgufValue value) {
  if (!index_.emplace(key, pairs_.size()).second) return false;
  pairs_.emplace_back(std::move(key), std::move(value));
  return true;
}

const GgufValue* GgufMetadata::Find(std::string_view key) const {
  const auto it = index_.find(key);
  return it == index_.end() ? nullptr : &pairs_[it->second].second;
}

std::optional<int64_t> GgufMetadata::Int(std::string_view key) const {
  return Copy<int64_t>(Find(key));
}

std::optional<double> GgufMetadata::Real(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (const auto* integer = Held<int64_t>(value)) return static_cast<double>(*integer);
  return Copy<double>(value);
}

std::optional<bool> GgufMetadata::Bool(std::string_view key) const { return Copy<bool>(Find(key)); }

const std::string* GgufMetadata::Text(std::string_view key) const {
  return Held<std::string>(Find(key));
}

const std::vector<std::string>* GgufMetadata::Texts(std::string_view key) const {
  return Held<std::vector<std::string>>(Find(key));
}

const std::vector<int64_t>* GgufMetadata::Ints(std::string_view key) const {
  return Held<std::vector<int64_t>>(Find(key));
}

const std::vector<double>* GgufMetadata::Reals(std::string_view key) const {
  return Held<std::vector<double>>(Find(key));
}

}  // namespace hadal
