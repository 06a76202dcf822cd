#include "cli/peer_bench.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace hadal::cli {
namespace {

constexpr char kRows[] = R"([
  {"n_prompt": 512, "n_gen": 0, "avg_ts": 150.5, "samples_ts": [150.5]},
  {"n_prompt": 0, "n_gen": 32, "avg_ts": 21.25}
])";

// A program that prints its arguments to a file and `text` to its output.
std::string Script(const std::string& name, const std::string& text, int status) {
  const auto path = std::filesystem::path(testing::TempDir()) / name;
  std::ofstream(path) << "#!/bin/sh\necho \"$@\" > " << path.string() << ".args\ncat <<'END'\n"
                      << text << "\nEND\nexit " << status << "\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

TEST(PeerBench, TakesThePromptAndTheDecodeRow) {
  const auto rates = ParsePeerRows(std::string("a line before\n") + kRows);
  ASSERT_TRUE(rates.has_value()) << rates.error().message;
  EXPECT_EQ(rates->prompt, 150.5);
  EXPECT_EQ(rates->decode, 21.25);
}

TEST(PeerBench, OutputWithoutTheTwoRowsIsRefusedByName) {
  for (
      const char* text :
      {"", "[]", "{}", "no json", "[1, 2]", R"([{"n_prompt": 1, "n_gen": 0, "avg_ts": 3}])",
       R"([{"n_prompt": 1, "n_gen": 0, "avg_ts": "x"}, {"n_prompt": 0, "n_gen": 1, "avg_ts": 2}])",
       R"([{"n_prompt": 1, "n_gen": 0, "avg_ts": -3}, {"n_prompt": 0, "n_gen": 1, "avg_ts": 2}])"}) {
    const auto rates = ParsePeerRows(text);
    ASSERT_FALSE(rates.has_value()) << text;
    EXPECT_EQ(rates.error().field, "vs");
  }
}

TEST(PeerBench, RunsTheProgramWithItsOwnArgumentsLast) {
  const std::string program = Script("peer_ok", kRows, 0);
  const auto rates = RunPeer({program, {"-rtr", "1"}, "m.gguf", 512, 32, 2});
  ASSERT_TRUE(rates.has_value()) << rates.error().message;
  EXPECT_EQ(rates->decode, 21.25);
  std::ifstream file(program + ".args");
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "-m m.gguf -p 512 -n 32 -t 2 -r 1 -o json -rtr 1");
}

TEST(PeerBench, AProgramThatFailsOrIsMissingIsAnErrorThatNamesIt) {
  const std::string program = Script("peer_bad", kRows, 3);
  for (const std::string& path : {program, std::string("/no/such/program")}) {
    const auto rates = RunPeer({path, {}, "m.gguf", 1, 1, 1});
    ASSERT_FALSE(rates.has_value());
    EXPECT_NE(rates.error().message.find(path), std::string::npos) << rates.error().message;
  }
}

}  // namespace
}  // namespace hadal::cli
