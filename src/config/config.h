// Owns: every option of Hadal, its default, range and help in both languages; hadal.toml; the
// environment (the only getenv calls of the project). Knows nothing of what the options do.
// One table (options.cc) feeds the file parser, the command line, the help and `hadal config
// print`.
//
//   Config config;                                   // defaults
//   HADAL_OK(LoadConfigFile("hadal.toml", config));  // file over defaults
//   HADAL_OK(SetOption(config, "server.port", "9000"));  // command line over file
//   HADAL_OK(Validate(config));
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"

namespace hadal {

enum class Language { kEnglish, kChinese };

struct Config {
  struct ModelSection {
    std::string path;                    // "" = the built-in model
    std::string name;                    // served as; "" = directory name, or hadal-demo
    std::string chat_template = "auto";  // auto, checkpoint, a format's name, or a file
  } model;
  struct ServerSection {
    std::string host = "127.0.0.1";
    int64_t port = 8080;
    std::vector<std::string> api_keys;
    std::string api_key_file;
    std::vector<std::string> hosts;  // extra allowed Host values
    std::string tls_cert, tls_key;
    int64_t max_body_bytes = 16 << 20;
    int64_t max_header_bytes = 32 << 10;
    int64_t max_connections = 4096;
    double header_timeout_s = 10;
    double body_timeout_s = 30;
    double idle_timeout_s = 75;
    double write_stall_timeout_s = 30;
    double drain_timeout_s = 25;
    double request_timeout_s = 0;  // 0 = none
    std::string unknown_fields = "ignore";
    std::string access_log = "stderr";
  } server;
  struct EngineSection {
    std::string device = "auto";
    int64_t max_sequences = 64;
    int64_t max_queued = 256;
    int64_t max_step_tokens = 512;
    int64_t prefill_chunk = 256;
    int64_t context = 0;  // 0 = the model's
    bool prefix_cache = true;
    std::string kv_memory = "auto";
    int64_t block_tokens = 16;
  } engine;
  struct SpeculationSection {
    std::string kind = "off";
    int64_t max_draft = 8;
  } speculation;
  struct CpuSection {
    std::string isa = "auto";
    int64_t threads = 0;  // 0 = what the affinity mask and the cgroup quota allow
    std::string weights = "bf16";
    std::string kv_dtype = "f32";
    bool exact_prompts = false;
    std::string weight_memory = "auto";
  } cpu;
  struct CudaSection {
    int64_t card = 0;
    std::string weights = "bf16";
    std::string kv_dtype = "bf16";
    std::string prompts = "rounded";
    std::string answers = "exact";
    bool graphs = true;
    std::string reserve = "1GiB";
    std::string cpu_experts = "auto";
  } cuda;
};

struct Option {
  using Ref = std::variant<std::string*, int64_t*, double*, bool*, std::vector<std::string>*>;
  const char* key;  // "server.port"
  Ref (*ref)(Config&);
  double min = 0, max = 0;   // numbers: inclusive range
  const char* choices = "";  // strings: "a|b|c", or "" for any
  bool secret = false;       // never printed
  const char* en = "";
  const char* zh = "";
  // Strings: what they must be, or nullptr when `value` is; see also choices.
  const char* (*wrong)(std::string_view value) = nullptr;
};
std::span<const Option> Options();

// One value given as text (command line). kBadConfig names the key, the value and what is right.
Status SetOption(Config& config, std::string_view key, std::string_view value);
// Unknown keys are refused with line and the nearest known key; all mistakes of a file come at
// once, in the order of their lines. kNotFound, kBadConfig.
Status LoadConfigFile(const std::filesystem::path& path, Config& config);
Status ParseConfig(std::string_view toml, std::string_view source_name, Config& config);
// Checks between options: another address than loopback needs a key; TLS needs both files; ...
// Reads server.api_key_file into api_keys.
Status Validate(Config& config);
// Whether model.chat_template is the name of a chat format, or the path of a file.
bool NamesChatFormat(const Config& config);
bool NamesTemplateFile(const Config& config);
// That the files and directories the configuration names are there. kBadConfig names the key.
Status CheckFiles(const Config& config);
// A commented hadal.toml with every option at its value in config.
std::string PrintConfig(const Config& config, Language language);

// "512MiB", "2GiB", "1000000" -> bytes.
Result<int64_t> ParseBytes(std::string_view text);

// cuda.cpu_experts: a number of layers; nullopt: auto.
Result<std::optional<int64_t>> ParseCpuExperts(std::string_view text);

// ---- environment
Language LanguageOfLocale();            // LC_ALL, LC_MESSAGES, LANG
std::string ConfigFileOfEnvironment();  // HADAL_CONFIG, or ""
bool ColoursWanted(int fd);             // a terminal, and NO_COLOR is not set
std::string HistoryFile();              // ~/.local/state/hadal/history, or "" without HOME

}  // namespace hadal
