#include <fmt/ranges.h>

#include "config/config.h"

namespace hadal {
namespace {

std::string Quoted(std::string_view s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string ValueText(const Option& o, Config& config) {
  auto ref = o.ref(config);
  if (auto** s = std::get_if<std::string*>(&ref)) return Quoted(**s);
  if (auto** i = std::get_if<int64_t*>(&ref)) return fmt::format("{}", **i);
  if (auto** d = std::get_if<double*>(&ref)) return fmt::format("{}", **d);
  if (auto** b = std::get_if<bool*>(&ref)) return **b ? "true" : "false";
  std::vector<std::string> quoted;
  if (!o.secret) {
    for (const auto& s : *std::get<std::vector<std::string>*>(ref)) quoted.push_back(Quoted(s));
  }
  return fmt::format("[{}]", fmt::join(quoted, ", "));
}

}  // namespace

std::string PrintConfig(const Config& config, Language language) {
  Config copy = config;
  std::string out, section;
  for (const Option& o : Options()) {
    const std::string_view key = o.key;
    const size_t dot = key.find('.');
    if (section != key.substr(0, dot)) {
      section = key.substr(0, dot);
      out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", section);
    }
    out += fmt::format("# {}\n", language == Language::kChinese ? o.zh : o.en);
    if (*o.choices != '\0') out += fmt::format("# {}\n", o.choices);
    out += fmt::format("{} = {}\n", key.substr(dot + 1), ValueText(o, copy));
  }
  return out;
}

}  // namespace hadal
