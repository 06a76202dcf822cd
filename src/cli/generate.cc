// hadal generate: one question, one answer.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/terminal.h"

namespace hadal::cli {
namespace {

constexpr std::string_view kFinish[] = {"stop", "length", "cancelled", "error"};

api::Request MakeRequest(const GenerateOptions& options, std::string prompt) {
  api::Request request;
  request.request_id = "cli";
  if (options.raw) {
    request.prompt = api::TextPrompt{std::move(prompt)};
  } else {
    api::ChatPrompt chat;
    if (!options.system.empty()) {
      chat.messages.push_back({api::Role::kSystem, options.system, std::nullopt, false});
    }
    chat.messages.push_back({api::Role::kUser, std::move(prompt), std::nullopt, false});
    chat.thinking = options.thinking;
    request.prompt = std::move(chat);
  }
  request.max_tokens = options.max_tokens;
  request.sampling.temperature = options.temperature.value_or(0.0);
  request.sampling.seed = options.seed;
  return request;
}

void PrintJson(const Answer& a) {
  const nlohmann::json j = {{"content", a.content},
                            {"reasoning_content", a.reasoning},
                            {"finish_reason", kFinish[static_cast<size_t>(a.reason)]},
                            {"usage",
                             {{"prompt_tokens", a.usage.prompt_tokens},
                              {"completion_tokens", a.usage.completion_tokens},
                              {"reasoning_tokens", a.usage.reasoning_tokens},
                              {"cached_tokens", a.usage.cached_tokens}}},
                            {"first_token_seconds", a.first_token_seconds},
                            {"seconds", a.seconds}};
  fmt::print("{}\n", j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

int Generate(const Shared& shared, const GenerateOptions& options) {
  std::string prompt = options.prompt;
  if (prompt == "-") prompt.assign(std::istreambuf_iterator<char>(std::cin), {});
  auto assembly = Assemble(shared.config, true);
  if (!assembly) return PrintError(shared, assembly.error());
  const ExpertSplit& split = (*assembly)->loaded.model->info().split;
  if (split.host_layers > 0) fmt::print(stderr, "{}\n", DescribeExperts(shared, split));
  api::Request request = MakeRequest(options, std::move(prompt));
  request.model = ModelName(shared.config);
  const Status chats = options.raw ? Status() : CheckChats(*(*assembly)->service);
  if (!chats) return PrintError(shared, chats.error());
  const bool dim = ColoursWanted(STDOUT_FILENO);
  // A pipe or a file gets the answer alone.
  std::FILE* const thinking_to = isatty(STDOUT_FILENO) ? stdout : stderr;
  bool reasoning = false;
  auto on_delta = [&](const api::Delta& d) {
    if (shared.json) return;
    if (!d.reasoning.empty()) {
      fmt::print(thinking_to, "{}{}{}", dim ? "\033[2m" : "", d.reasoning, dim ? "\033[0m" : "");
      reasoning = true;
    }
    if (!d.content.empty()) {
      if (reasoning) fmt::print(thinking_to, "\n\n");
      fmt::print("{}", d.content);
      reasoning = false;
    }
    std::fflush(stdout);
  };
  auto answer = Ask(*(*assembly)->service, request, on_delta);
  if (!answer) return PrintError(shared, answer.error());
  if (shared.json) {
    PrintJson(*answer);
  } else {
    fmt::print("\n");
  }
  return 0;
}

}  // namespace hadal::cli
