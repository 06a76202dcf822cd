// version, errors, config check, config print, completion.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/cpu_info.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/gpu_facts.h"
#include "cli/terminal.h"
#include "tokenizer/utf8.h"

namespace hadal::cli {
namespace {

std::vector<std::string> IsaNames() {
  std::vector<std::string> names;
  for (Isa isa : SupportedIsas()) names.emplace_back(NameOf(isa));
  return names;
}

constexpr ErrorCode kLastCode = ErrorCode::kBadConfig;

}  // namespace

int PrintError(const Shared& shared, const Error& error) {
  if (shared.json) {
    const nlohmann::json j = {
        {"error",
         {{"message", error.message}, {"code", InfoOf(error.code).wire}, {"param", error.field}}}};
    fmt::print(stderr, "{}\n", j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return 1;
  }
  fmt::print(stderr, "hadal: {}\n", Printable(error.message));
  if (shared.language == Language::kChinese) fmt::print(stderr, "  {}\n", InfoOf(error.code).zh);
  return 1;
}

int PrintVersion(const Shared& shared) {
  const GpuMonitor monitor;
  const std::vector<GpuFacts> gpus = monitor.Read();
  const std::string chosen =
      shared.config.cpu.isa == "auto" ? std::string(NameOf(BestIsa())) : shared.config.cpu.isa;
  if (shared.json) {
    const nlohmann::json j = {{"version", Version()},   {"commit", Commit()},
                              {"compiler", Compiler()}, {"isa_found", IsaNames()},
                              {"isa_chosen", chosen},   {"threads", UsableCpus()},
                              {"gpus", ToJson(gpus)}};
    fmt::print("{}\n", j.dump(2));
    return 0;
  }
  fmt::print("hadal {} ({})\n{}\nisa found: {}; chosen: {}\nthreads: {}\n", Version(), Commit(),
             Compiler(), fmt::join(IsaNames(), " "), chosen, UsableCpus());
  for (const GpuFacts& gpu : gpus) fmt::print("{}\n", Describe(shared, gpu));
  if (gpus.empty()) {
    fmt::print("{}: {}\n", shared.T("no NVIDIA GPU found", "未发现 NVIDIA GPU"),
               monitor.available() ? "NVML" : monitor.reason());
  }
  return 0;
}

int PrintErrors(const Shared& shared) {
  nlohmann::json all = nlohmann::json::array();
  for (int i = 0; i <= static_cast<int>(kLastCode); ++i) {
    const ErrorInfo& info = InfoOf(static_cast<ErrorCode>(i));
    if (shared.json) {
      all.push_back({{"code", info.wire}, {"http", info.http}, {"en", info.en}, {"zh", info.zh}});
    } else {
      fmt::print("{} (HTTP {})\n  {}\n", info.wire, info.http,
                 shared.language == Language::kChinese ? info.zh : info.en);
    }
  }
  if (shared.json) fmt::print("{}\n", all.dump(2));
  return 0;
}

int ConfigCheck(const Shared& shared, const std::string& path) {
  Config config;
  Status status = LoadConfigFile(path, config);
  if (status) status = Validate(config);
  if (status) status = CheckFiles(config);
  if (!status) return PrintError(shared, status.error());
  if (shared.json) {
    fmt::print("{}\n", nlohmann::json{{"ok", true}, {"path", RepairUtf8(path)}}.dump());
  } else {
    fmt::print("{}: {}\n", path, shared.T("ok", "配置正确"));
  }
  return 0;
}

int ConfigPrint(const Shared& shared) {
  fmt::print("{}", PrintConfig(shared.config, shared.language));
  return 0;
}

int PrintCompletion(const std::string& shell, const std::vector<std::string>& subcommands) {
  std::vector<std::string> keys;
  for (const Option& o : Options()) keys.emplace_back(o.key);
  if (shell == "bash") {
    fmt::print(
        "_hadal() {{\n  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}\n"
        "  if [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W \"{0}\" -- \"$cur\"))\n"
        "  elif [ \"$prev\" = --set ]; then COMPREPLY=($(compgen -S= -W \"{1}\" -- \"$cur\"))\n"
        "  elif [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$(hadal \"${{COMP_WORDS[1]}}\" "
        "--help --lang en | grep -oE -- '--[a-z-]+' | sort -u)\" -- \"$cur\"))\n"
        "  else COMPREPLY=($(compgen -f -- \"$cur\")); fi\n}}\ncomplete -F _hadal hadal\n",
        fmt::join(subcommands, " "), fmt::join(keys, " "));
    return 0;
  }
  if (shell == "zsh") {
    fmt::print(
        "#compdef hadal\n_hadal() {{ _arguments '1:command:({})' '*:file:_files' }}\n_hadal\n",
        fmt::join(subcommands, " "));
    return 0;
  }
  if (shell == "fish") {
    fmt::print("complete -c hadal -n __fish_use_subcommand -a '{}'\n", fmt::join(subcommands, " "));
    return 0;
  }
  fmt::print(stderr, "hadal: completion for '{}' is not there; use bash, zsh or fish\n", shell);
  return 2;
}

}  // namespace hadal::cli
