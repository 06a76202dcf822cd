#include "chat/tools/markup_spelling.h"

#include "grammar/pattern.h"
#include "grammar/text_filter.h"
#include "grammar/token_trie.h"

namespace hadal {
namespace {

// As MarkupWriter::Fixed cuts a format's own words into text and tokens.
std::string Spelled(std::string_view words, std::span<const std::string> control) {
  std::string out;
  while (!words.empty()) {
    size_t at = words.npos, length = 0;
    for (const std::string& token : control) {
      const size_t found = words.find(token);
      if (found >= at) continue;
      at = found;
      length = token.size();
    }
    out += words.substr(0, at);
    if (at == words.npos) break;
    out += grammar::TokenTrie::kControl;
    out += words.substr(at, length);
    words.remove_prefix(at + length);
  }
  return out;
}

constexpr std::string_view kCallsBegin = "<｜tool▁calls▁begin｜>";
constexpr std::string_view kCallsEnd = "<｜tool▁calls▁end｜>";
constexpr std::string_view kCallEnd = "<｜tool▁call▁end｜>";

}  // namespace

MarkupSpelling SpellingOf(ToolMarkup markup, std::span<const std::string> control) {
  const auto spelled = [&](std::string_view words) { return Spelled(words, control); };
  switch (markup) {
    case ToolMarkup::kFenced:
      return {spelled(kCallsBegin),
              spelled(kCallsEnd),
              "\n",
              spelled("<｜tool▁call▁begin｜>function<｜tool▁sep｜>"),
              "\n```json\n",
              "\n```" + spelled(kCallEnd)};
    case ToolMarkup::kPlain:
      return {spelled(kCallsBegin),      spelled(kCallsEnd), "", spelled("<｜tool▁call▁begin｜>"),
              spelled("<｜tool▁sep｜>"), spelled(kCallEnd)};
    case ToolMarkup::kDsmlV32:
    case ToolMarkup::kDsmlV4:
      break;
  }
  const std::string block = markup == ToolMarkup::kDsmlV32 ? "function_calls>" : "tool_calls>";
  return {spelled("\n\n<｜DSML｜" + block + "\n"),
          spelled("</｜DSML｜" + block),
          "",
          spelled("<｜DSML｜invoke name=\""),
          "\">\n",
          spelled("</｜DSML｜invoke>\n")};
}

Result<grammar::ParameterSyntax> DsmlParameters(std::span<const std::string> control,
                                                grammar::Budget& budget) {
  const auto anywhere = [](std::string_view) { return true; };
  grammar::ParameterSyntax syntax;
  syntax.name_begin = Spelled("<｜DSML｜parameter name=\"", control);
  syntax.string_begin = "\" string=\"true\">";
  syntax.json_begin = "\" string=\"false\">";
  syntax.end = Spelled("</｜DSML｜parameter>\n", control);
  syntax.none = "\n";  // a call without parameters has an empty line in their place
  // A name is read up to "> and must hold no tag.
  const std::vector<std::string> ends_name{"<", "\">"};
  syntax.names = grammar::Avoiding(ends_name, anywhere);
  HADAL_TRY(syntax.free_names, grammar::CompilePattern("[^\\x00-\\x1f\"<>\\x7f]{1,64}",
                                                       grammar::PatternUse::kWhole, budget));
  // Where the tag before a value has the token, tags without it are part of the value.
  const bool by_token = syntax.end.find(grammar::TokenTrie::kControl) != std::string::npos;
  const std::vector<std::string> ends_value{"</｜DSML｜", "</|DSML|"};
  syntax.texts = grammar::Avoiding(
      by_token ? std::span<const std::string>() : std::span(ends_value), anywhere);
  return syntax;
}

std::vector<std::string> BeginningsOf(ToolMarkup markup) {
  if (IsDsml(markup)) return {"<｜DSML｜", "</｜DSML｜", "<|DSML|", "</|DSML|"};
  return {"<｜tool", "<|tool"};
}

grammar::Dfa TextWithoutMarkup(ToolMarkup markup, bool goes_on) {
  // As CallReader::IsPlainHeld has it.
  return grammar::Avoiding(BeginningsOf(markup), [goes_on](std::string_view held) {
    return goes_on || (held.size() <= 3 && held.find('\xEF') == held.npos);
  });
}

}  // namespace hadal
