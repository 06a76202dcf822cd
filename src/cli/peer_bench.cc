#include "cli/peer_bench.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

extern char** environ;

namespace hadal::cli {
namespace {

constexpr size_t kMostOutput = size_t{1} << 20;  // bytes

template <class... Args>
auto Wrong(fmt::format_string<Args...> format, Args&&... args) {
  return FailField(ErrorCode::kInvalidArgument, "vs", "--vs: {}",
                   fmt::format(format, std::forward<Args>(args)...));
}

// Everything written to fd, up to the limit.
std::string ReadAll(int fd) {
  std::string out;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) {
    if (out.size() < kMostOutput) out.append(buffer, static_cast<size_t>(n));
  }
  return out;
}

}  // namespace

Result<PeerRates> ParsePeerRows(const std::string& json) {
  const size_t begin = json.find('[');
  const auto rows =
      nlohmann::json::parse(begin == std::string::npos ? json : json.substr(begin), nullptr, false);
  if (!rows.is_array()) return Wrong("its output is no JSON array of rows");
  PeerRates rates;
  for (const auto& row : rows) {
    const auto number = [&](const char* name) {
      const auto it = row.find(name);
      return it != row.end() && it->is_number() ? it->get<double>() : -1.0;
    };
    if (!row.is_object() || number("avg_ts") <= 0) continue;
    if (number("n_gen") == 0) rates.prompt = number("avg_ts");
    if (number("n_prompt") == 0) rates.decode = number("avg_ts");
  }
  if (rates.prompt <= 0 || rates.decode <= 0) {
    return Wrong("its output lacks a row with n_gen 0 or one with n_prompt 0, each with avg_ts");
  }
  return rates;
}

Result<PeerRates> RunPeer(const PeerOptions& o) {
  std::vector<std::string> words = {o.program,
                                    "-m",
                                    o.model,
                                    "-p",
                                    std::to_string(o.prompt),
                                    "-n",
                                    std::to_string(o.generate),
                                    "-t",
                                    std::to_string(o.threads),
                                    "-r",
                                    "1",
                                    "-o",
                                    "json"};
  words.insert(words.end(), o.extra.begin(), o.extra.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  int ends[2];
  if (pipe(ends) != 0) return Wrong("no pipe: {}", std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  pid_t child = 0;
  const int failed =
      posix_spawn(&child, o.program.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  const std::string output = failed == 0 ? ReadAll(ends[0]) : "";
  close(ends[0]);
  if (failed != 0) return Wrong("cannot start {}: {}", o.program, std::strerror(failed));
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return Wrong("{} failed ({} {}); run it by hand to see why", o.program,
                 WIFEXITED(status) ? "exit status" : "signal",
                 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
  }
  return ParsePeerRows(output);
}

}  // namespace hadal::cli
