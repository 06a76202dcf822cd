// Owns: running the bench program of another engine on the same file, for comparisons in one run.
// Such a program takes the options of llama.cpp's llama-bench (-m -p -n -t -r -o json) and prints
// rows with n_prompt, n_gen and avg_ts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace hadal::cli {

struct PeerOptions {
  std::string program;               // path
  std::vector<std::string> extra;    // arguments of its own, passed on
  std::string model;                 // .gguf file
  int64_t prompt = 0, generate = 0;  // tokens
  int threads = 1;
};
struct PeerRates {
  double prompt = 0, decode = 0;  // tokens per second
};

// Runs it once. kInvalidArgument, naming --vs, when it does not start, fails or prints something
// else.
Result<PeerRates> RunPeer(const PeerOptions& options);
// Its output, for tests.
Result<PeerRates> ParsePeerRows(const std::string& json);

}  // namespace hadal::cli
