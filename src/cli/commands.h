// Owns: the options of every subcommand and its entry point; one file per subcommand.
// Each entry point returns the process's exit code: 0 done, 1 failed (the reason is on stderr),
// 2 wrong usage, 128 + n stopped by signal n.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"

namespace hadal::cli {

// What every command shares: configuration after file and command line, language, --json.
struct Shared {
  Config config;
  Language language = Language::kEnglish;
  bool json = false;

  const char* T(const char* en, const char* zh) const {
    return language == Language::kChinese ? zh : en;
  }
};

// Prints "hadal: message" (and, in Chinese, the catalogue's explanation) and returns 1.
int PrintError(const Shared& shared, const Error& error);

struct GenerateOptions {
  std::string prompt;  // "-" = stdin
  std::string system;
  bool raw = false;  // no chat format: plain continuation
  std::optional<bool> thinking;
  std::optional<int64_t> max_tokens;
  std::optional<double> temperature;
  std::optional<uint64_t> seed;
};
struct ChatOptions {
  std::string system;
  std::optional<bool> thinking;
  std::optional<double> temperature;
};
struct LogitsOptions {
  std::string ids_path, out_path;
  int64_t chunk = 256;
};
struct TokenizeOptions {
  bool decode = false, jsonl = false, no_special = false;
};
struct BenchOptions {
  std::vector<int64_t> prompts = {128, 512};
  std::vector<int64_t> batches = {1, 8};
  std::vector<int64_t> generate = {32};
  int64_t repeat = 5;
  int64_t depth = 0;    // tokens in the cache before each measurement
  int64_t chunk = 512;  // prompt tokens per step, of all sequences
  std::string vs;       // bench program of another engine, run alternately
  std::vector<std::string> vs_args;
  bool profile = false;  // add up the time of every operation, on steps of their own
  bool cold = false;     // drop the model's files from the page cache before loading
};
struct QuantizeOptions {
  std::string in, out, type;
  std::string budget;  // "kl=0.02,p99=0.3"; "" accepts any loss
  std::string data;    // JSON Lines; "" measures on the built-in text
  int64_t positions = 2048;
  int64_t answer_tokens = 1024;
};
struct ConvertCommand {
  std::string in, out, type;
};
struct SynthCommand {
  std::string shape, type, out, format;
  int64_t layers = 0;  // 0: all
  uint64_t seed = 1;
};
struct InspectOptions {
  std::string path;
  bool deep = false;
};

int Serve(const Shared& shared);
int Chat(const Shared& shared, const ChatOptions& options);
int Generate(const Shared& shared, const GenerateOptions& options);
int Logits(const Shared& shared, const LogitsOptions& options);
int Tokenize(const Shared& shared, const TokenizeOptions& options);
int Bench(const Shared& shared, const BenchOptions& options);
int Quantize(const Shared& shared, const QuantizeOptions& options);
int Convert(const Shared& shared, const ConvertCommand& command);
int Synth(const Shared& shared, const SynthCommand& command);
int Inspect(const Shared& shared, const InspectOptions& options);
std::string TypeNames();   // of --type, "f32, bf16, ..."
std::string ShapeNames();  // of --shape
int ConfigCheck(const Shared& shared, const std::string& path);
int ConfigPrint(const Shared& shared);
int PrintVersion(const Shared& shared);
int PrintErrors(const Shared& shared);  // the error catalogue
int PrintCompletion(const std::string& shell, const std::vector<std::string>& subcommands);

}  // namespace hadal::cli
