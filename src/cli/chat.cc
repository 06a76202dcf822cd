// hadal chat: a conversation in the terminal.
#include <fmt/format.h>
#include <histedit.h>
#include <langinfo.h>
#include <unistd.h>

#include <atomic>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>

#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/terminal.h"

namespace hadal::cli {
namespace {

// Set by Ctrl-C; a signal handler can be given no argument.
std::atomic<bool> g_interrupted{false};
void OnInterrupt(int) { g_interrupted = true; }

char* EmptyPrompt(EditLine*);

// Reads lines with editing and history on a terminal, plainly otherwise.
class LineReader {
 public:
  explicit LineReader(const std::string& history_file) : file_(history_file) {
    if (!isatty(STDIN_FILENO)) return;
    // Without a UTF-8 locale the line editor would swallow every character beyond ASCII.
    std::setlocale(LC_CTYPE, "");
    if (std::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
    edit_ = el_init("hadal", stdin, stdout, stderr);
    history_ = history_init();
    HistEvent event;
    ::history(history_, &event, H_SETSIZE, 1000);
    ::history(history_, &event, H_SETUNIQUE, 1);
    el_set(edit_, EL_PROMPT, EmptyPrompt);
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_SIGNAL, 0);
    el_set(edit_, EL_HIST, ::history, history_);
    el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    if (!file_.empty()) ::history(history_, &event, H_LOAD, file_.c_str());
  }
  ~LineReader() {
    if (edit_ == nullptr) return;
    HistEvent event;
    if (!file_.empty()) {
      std::error_code ignored;
      std::filesystem::create_directories(std::filesystem::path(file_).parent_path(), ignored);
      ::history(history_, &event, H_SAVE, file_.c_str());
    }
    history_end(history_);
    el_end(edit_);
  }

  // False at the end of the input. An interrupted line is empty.
  bool Next(std::string& line) {
    g_interrupted = false;
    if (edit_ == nullptr) return static_cast<bool>(std::getline(std::cin, line));
    int count = 0;
    const char* text = el_gets(edit_, &count);
    if (text == nullptr || count <= 0) {
      if (!g_interrupted) return false;
      std::fputc('\n', stdout);
      el_reset(edit_);
      line.clear();
      return true;
    }
    line.assign(text, static_cast<size_t>(count));
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    HistEvent event;
    if (!line.empty()) ::history(history_, &event, H_ENTER, line.c_str());
    return true;
  }

 private:
  std::string file_;
  EditLine* edit_ = nullptr;
  History* history_ = nullptr;
};

char* EmptyPrompt(EditLine*) {
  static char prompt[] = "> ";
  return prompt;
}

class Conversation {
 public:
  Conversation(const Shared& shared, const ChatOptions& options, ChatService& service)
      : shared_(shared), options_(options), service_(service), dim_(ColoursWanted(STDOUT_FILENO)) {
    Clear();
  }

  void Clear() {
    prompt_.messages.clear();
    prompt_.thinking = options_.thinking;
    if (!options_.system.empty()) {
      prompt_.messages.push_back({api::Role::kSystem, options_.system, std::nullopt, false});
    }
  }

  void Say(std::string text) {
    prompt_.messages.push_back({api::Role::kUser, std::move(text), std::nullopt, false});
    api::Request request;
    request.request_id = "cli";
    request.model = ModelName(shared_.config);
    request.prompt = prompt_;
    request.sampling.temperature = options_.temperature.value_or(0.0);
    g_interrupted = false;
    reasoning_ = false;
    auto answer = Ask(service_, request, [this](const api::Delta& d) { Show(d); }, &g_interrupted);
    fmt::print("{}\n", dim_ ? "\033[0m" : "");
    if (!answer) {
      PrintError(shared_, answer.error());
      prompt_.messages.pop_back();
      return;
    }
    if (answer->interrupted) fmt::print("{}\n", shared_.T("[stopped]", "[已停止]"));
    if (answer->reason == api::FinishReason::kLength) {
      fmt::print("{}\n", shared_.T("[the context is full: /clear starts anew]",
                                   "[上下文已满：输入 /clear 重新开始]"));
    }
    prompt_.messages.push_back({api::Role::kAssistant, answer->content, std::nullopt, false});
  }

 private:
  void Show(const api::Delta& d) {
    if (!d.reasoning.empty()) {
      fmt::print("{}{}{}", dim_ ? "\033[2m" : "", d.reasoning, dim_ ? "\033[0m" : "");
      reasoning_ = true;
    }
    if (!d.content.empty()) {
      fmt::print("{}{}", reasoning_ ? "\n\n" : "", d.content);
      reasoning_ = false;
    }
    std::fflush(stdout);
  }

  const Shared& shared_;
  const ChatOptions& options_;
  ChatService& service_;
  const bool dim_;
  bool reasoning_ = false;
  api::ChatPrompt prompt_;
};

}  // namespace

int Chat(const Shared& shared, const ChatOptions& options) {
  auto assembly = Assemble(shared.config, true);
  if (!assembly) return PrintError(shared, assembly.error());
  const Status chats = CheckChats(*(*assembly)->service);
  if (!chats) return PrintError(shared, chats.error());
  fmt::print("{}  {}\n", ModelName(shared.config),
             shared.T("Ctrl-C stops an answer, Ctrl-D ends, /clear forgets, /help",
                      "Ctrl-C 停止回答，Ctrl-D 结束，/clear 清空对话，/help 帮助"));
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;  // without SA_RESTART: reading a line ends too
  sigaction(SIGINT, &action, nullptr);
  LineReader reader(HistoryFile());
  Conversation conversation(shared, options, *(*assembly)->service);
  std::string line;
  while (reader.Next(line)) {
    if (line.empty()) continue;
    if (line == "/clear") {
      conversation.Clear();
    } else if (line == "/quit" || line == "/exit") {
      break;
    } else if (line == "/help") {
      fmt::print("{}\n", shared.T("/clear  forget the conversation\n/quit   end",
                                  "/clear  清空对话\n/quit   结束"));
    } else if (line.front() == '/' && line.find(' ') == std::string::npos) {
      fmt::print("{} {}\n", line,
                 shared.T("is no command; /help lists them", "不是命令；输入 /help 查看"));
    } else {
      conversation.Say(line);
    }
  }
  if (isatty(STDIN_FILENO)) fmt::print("\n");
  return 0;
}

}  // namespace hadal::cli
