#include <unistd.h>

#include <cstdlib>

#include "config/config.h"

namespace hadal {
namespace {

std::string_view Get(const char* name) {
  const char* v = std::getenv(name);
  return v == nullptr ? "" : v;
}

}  // namespace

Language LanguageOfLocale() {
  for (const char* name : {"LC_ALL", "LC_MESSAGES", "LANG"}) {
    const std::string_view v = Get(name);
    if (!v.empty()) return v.substr(0, 2) == "zh" ? Language::kChinese : Language::kEnglish;
  }
  return Language::kEnglish;
}

std::string ConfigFileOfEnvironment() { return std::string(Get("HADAL_CONFIG")); }

bool ColoursWanted(int fd) {
  return isatty(fd) && Get("NO_COLOR").empty() && Get("TERM") != "dumb";
}

std::string HistoryFile() {
  const std::string_view state = Get("XDG_STATE_HOME"), home = Get("HOME");
  if (!state.empty()) return std::string(state) + "/hadal/history";
  return home.empty() ? "" : std::string(home) + "/.local/state/hadal/history";
}

}  // namespace hadal
