#include "config/config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <sstream>

#include "access/api_keys.h"
#include "base/file.h"

namespace hadal {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

const Option* Find(std::string_view key) {
  for (const Option& o : Options()) {
    if (o.key == key) return &o;
  }
  return nullptr;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row.back();
}

std::string Nearest(std::string_view key) {
  const Option* best = nullptr;
  size_t best_distance = 6;
  for (const Option& o : Options()) {
    const size_t d = EditDistance(key.substr(0, 64), o.key);
    if (d < best_distance) best_distance = d, best = &o;
  }
  return best ? fmt::format("; did you mean '{}'?", best->key) : "; 'hadal config print' lists all";
}

tl::unexpected<Error> Wrong(const Option& o, std::string_view value, std::string_view right) {
  return FailField(ErrorCode::kBadConfig, o.key, "{} = '{}' is wrong: {}", o.key,
                   o.secret ? "(hidden)" : value.substr(0, 80), right);
}

// The value as the file has it, when it is not of the option's type.
tl::unexpected<Error> WrongType(const Option& o, const toml::node& node, std::string_view right) {
  std::ostringstream text;
  node.visit([&](const auto& value) { text << value; });
  return Wrong(o, text.str(), right);
}

Status CheckNumber(const Option& o, double v) {
  if (std::isfinite(v) && v >= o.min && v <= o.max) return {};
  return Wrong(o, fmt::format("{}", v), fmt::format("it must be from {} to {}", o.min, o.max));
}

Status CheckChoice(const Option& o, const std::string& v) {
  if (v.size() > 4096) return Wrong(o, v, "it is longer than 4096 bytes");
  const char* right = o.wrong != nullptr ? o.wrong(v) : nullptr;
  if (right != nullptr) return Wrong(o, v, right);
  const std::string_view choices = o.choices;
  if (choices.empty()) return {};
  for (size_t at = 0; at <= choices.size();) {
    const size_t end = std::min(choices.find('|', at), choices.size());
    if (choices.substr(at, end - at) == v) return {};
    at = end + 1;
  }
  return Wrong(o, v, fmt::format("it must be one of {}", choices));
}

Status Assign(const Option& o, Config& config, const toml::node& node) {
  auto ref = o.ref(config);
  if (auto** s = std::get_if<std::string*>(&ref)) {
    const auto v = node.value_exact<std::string>();
    if (!v) return WrongType(o, node, "it must be a string");
    HADAL_OK(CheckChoice(o, *v));
    **s = *v;
  } else if (auto** i = std::get_if<int64_t*>(&ref)) {
    const auto v = node.value_exact<int64_t>();
    if (!v) return WrongType(o, node, "it must be a whole number");
    HADAL_OK(CheckNumber(o, static_cast<double>(*v)));
    **i = *v;
  } else if (auto** d = std::get_if<double*>(&ref)) {
    const auto v = node.is_number() ? node.value<double>() : std::nullopt;
    if (!v) return WrongType(o, node, "it must be a number");
    HADAL_OK(CheckNumber(o, *v));
    **d = *v;
  } else if (auto** b = std::get_if<bool*>(&ref)) {
    const auto v = node.value_exact<bool>();
    if (!v) return WrongType(o, node, "it must be true or false");
    **b = *v;
  } else if (auto** list = std::get_if<std::vector<std::string>*>(&ref)) {
    const toml::array* array = node.as_array();
    if (array == nullptr || array->size() > 1024)
      return WrongType(o, node, "it must be a list of strings");
    std::vector<std::string> values;
    for (const toml::node& e : *array) {
      const auto v = e.value_exact<std::string>();
      if (!v || v->empty())
        return WrongType(o, node, "it must be a list of strings that are not empty");
      values.push_back(*v);
    }
    **list = std::move(values);
  }
  return {};
}

using Mistakes = std::multimap<unsigned, Error>;  // by line

void AssignSection(std::string_view section, const toml::table& table, Config& config,
                   Mistakes& mistakes) {
  for (const auto& [name, value] : table) {
    const std::string key = fmt::format("{}.{}", section, name.str());
    const Option* o = Find(key);
    const Status status =
        o != nullptr
            ? Assign(*o, config, value)
            : FailField(ErrorCode::kBadConfig, key.substr(0, 128), "there is no option '{}'{}",
                        std::string_view(key).substr(0, 128), Nearest(key));
    if (!status) mistakes.emplace(value.source().begin.line, status.error());
  }
}

std::optional<double> ToNumber(std::string_view text) {
  double v = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return v;
}

}  // namespace

Status SetOption(Config& config, std::string_view key, std::string_view value) {
  const Option* o = Find(key);
  if (o == nullptr) {
    return FailField(ErrorCode::kBadConfig, std::string(key), "there is no option '{}'{}", key,
                     Nearest(key));
  }
  auto ref = o->ref(config);
  if (auto** s = std::get_if<std::string*>(&ref)) {
    std::string text(value);
    HADAL_OK(CheckChoice(*o, text));
    **s = std::move(text);
  } else if (auto** list = std::get_if<std::vector<std::string>*>(&ref)) {
    if (value.empty()) return Wrong(*o, value, "it must not be empty");
    (*list)->emplace_back(value);
  } else if (auto** b = std::get_if<bool*>(&ref)) {
    if (value != "true" && value != "false") return Wrong(*o, value, "it must be true or false");
    **b = value == "true";
  } else {
    const auto v = ToNumber(value);
    if (!v) return Wrong(*o, value, "it must be a number");
    HADAL_OK(CheckNumber(*o, *v));
    if (auto** d = std::get_if<double*>(&ref)) **d = *v;
    if (auto** i = std::get_if<int64_t*>(&ref)) {
      if (*v != std::floor(*v)) return Wrong(*o, value, "it must be a whole number");
      **i = static_cast<int64_t>(*v);
    }
  }
  return {};
}

Status ParseConfig(std::string_view text, std::string_view source_name, Config& config) {
  toml::table root;
  try {
    root = toml::parse(text, source_name);
  } catch (const toml::parse_error& e) {
    return Fail(ErrorCode::kBadConfig, "{} line {}, column {}: {}", source_name,
                e.source().begin.line, e.source().begin.column, e.description());
  }
  Mistakes mistakes;
  for (const auto& [section, node] : root) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      mistakes.emplace(
          node.source().begin.line,
          Error{ErrorCode::kBadConfig,
                fmt::format(
                    "'{}' stands outside a section; sections are [model], [server], [engine], "
                    "[speculation], [cpu]",
                    section.str().substr(0, 64)),
                std::string(section.str().substr(0, 64))});
      continue;
    }
    AssignSection(section.str(), *table, config, mistakes);
  }
  if (mistakes.empty()) return {};
  Error all{ErrorCode::kBadConfig, "", mistakes.begin()->second.field};
  for (const auto& [line, mistake] : mistakes) {
    all.message += fmt::format("{}{} line {}: {}", all.message.empty() ? "" : "\n", source_name,
                               line, mistake.message);
  }
  return tl::make_unexpected(std::move(all));
}

Status LoadConfigFile(const std::filesystem::path& path, Config& config) {
  HADAL_TRY(const std::string text, ReadFile(path, kMaxFileBytes));
  return ParseConfig(text, path.string(), config);
}

Result<std::optional<int64_t>> ParseCpuExperts(std::string_view text) {
  constexpr int64_t kMostLayers = 1000;
  if (text == "auto") return std::nullopt;
  int64_t layers = -1;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), layers);
  if (ec == std::errc() && end == text.data() + text.size() && layers >= 0 &&
      layers <= kMostLayers) {
    return layers;
  }
  return Fail(ErrorCode::kBadConfig, "'{}' is neither auto nor a number of layers from 0 to {}",
              text.substr(0, 64), kMostLayers);
}

Result<int64_t> ParseBytes(std::string_view text) {
  static const std::map<std::string_view, double> kUnits = {
      {"", 1},      {"B", 1},        {"KB", 1e3},        {"MB", 1e6},          {"GB", 1e9},
      {"TB", 1e12}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}};
  const size_t digits = text.find_first_not_of("0123456789.");
  const auto number = ToNumber(text.substr(0, digits));
  std::string_view unit = digits == std::string_view::npos ? "" : text.substr(digits);
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  const auto it = kUnits.find(unit);
  if (!number || it == kUnits.end() || *number * it->second > 9e15) {
    return Fail(ErrorCode::kBadConfig, "'{}' is not an amount of memory; write for example 2GiB",
                text.substr(0, 64));
  }
  return static_cast<int64_t>(*number * it->second);
}

namespace {

Status ReadKeyFile(Config& config) {
  HADAL_TRY(const std::string text, ReadFile(config.server.api_key_file, kMaxFileBytes));
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string key = text.substr(at, end - at);
    while (!key.empty() && (key.back() == '\r' || key.back() == ' ')) key.pop_back();
    if (!key.empty()) config.server.api_keys.push_back(std::move(key));
    at = end + 1;
  }
  if (config.server.api_keys.empty()) {
    return FailField(ErrorCode::kBadConfig, "server.api_key_file",
                     "{} holds no key; without one everybody would be let in",
                     config.server.api_key_file);
  }
  return {};
}

}  // namespace

Status Validate(Config& config) {
  auto& s = config.server;
  if (!s.api_key_file.empty()) HADAL_OK(ReadKeyFile(config));
  for (const std::string& key : s.api_keys) {
    if (key.size() < 16 || key.size() > 512) {
      return FailField(ErrorCode::kBadConfig, "server.api_keys",
                       "an API key has {} characters; use 16 to 512 random ones, for example from "
                       "'openssl rand -hex 32'",
                       key.size());
    }
  }
  HADAL_OK(CheckBindAddress(s.host, !s.api_keys.empty()));
  if (s.tls_cert.empty() != s.tls_key.empty()) {
    return FailField(ErrorCode::kBadConfig,
                     s.tls_cert.empty() ? "server.tls_cert" : "server.tls_key",
                     "TLS needs both server.tls_cert and server.tls_key");
  }
  if (config.engine.max_step_tokens < config.engine.max_sequences) {
    return FailField(ErrorCode::kBadConfig, "engine.max_step_tokens",
                     "engine.max_step_tokens = {} is smaller than engine.max_sequences = {}: every "
                     "running answer needs one token per step",
                     config.engine.max_step_tokens, config.engine.max_sequences);
  }
  return {};
}

bool NamesChatFormat(const Config& config) {
  static constexpr std::array<std::string_view, 5> kNames = {
      "deepseek-v3", "deepseek-r1", "deepseek-v3.1", "deepseek-v3.2", "deepseek-v4"};
  return std::find(kNames.begin(), kNames.end(), config.model.chat_template) != kNames.end();
}

bool NamesTemplateFile(const Config& config) {
  const std::string& value = config.model.chat_template;
  return value != "auto" && value != "checkpoint" && !NamesChatFormat(config);
}

Status CheckFiles(const Config& config) {
  const std::string none;
  const std::pair<const char*, const std::string&> files[] = {
      {"server.tls_cert", config.server.tls_cert},
      {"server.tls_key", config.server.tls_key},
      {"model.path", config.model.path},
      {"model.chat_template", NamesTemplateFile(config) ? config.model.chat_template : none},
  };
  for (const auto& [key, path] : files) {
    std::error_code ignored;
    if (path.empty() || std::filesystem::exists(path, ignored)) continue;
    return FailField(ErrorCode::kNotFound, key, "{} = '{}': there is no such file or directory",
                     key, path);
  }
  return {};
}

}  // namespace hadal
