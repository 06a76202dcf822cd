// Constraints from hostile sources, and walks under those that compile. Input: a byte of kind and
// options, a byte that steers the walk, then the source. Beside memory errors it looks for refusals
// without a reason, masks that differ from what Accept does, dead ends, and roll-backs that do not
// restore the mask.
// With bit 6 of the first byte: whole answers. The source is the schema of a tool's parameters and,
// after a zero byte, the answer's format. What was walked is read by the parser of tool calls: no
// markup may be left over.
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "chat/tools/markup_spelling.h"
#include "chat/tools/tool_call_parser.h"
#include "chat/tools/tool_grammar.h"
#include "grammar/constraint_cache.h"
#include "grammar/matcher.h"

namespace {

using namespace hadal::grammar;

void Require(bool condition) {
  if (!condition) std::abort();
}

const std::vector<std::string>& Control() {
  static const std::vector<std::string> texts{"<｜tool▁call▁begin｜>",  "<｜tool▁call▁end｜>",
                                              "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
                                              "<｜tool▁sep｜>",         "｜DSML｜"};
  return texts;
}

// All bytes but that of control tokens, some words, control tokens, a token that is never allowed
// and one that stops.
const std::shared_ptr<const TokenTrie>& Vocabulary() {
  static const std::shared_ptr<const TokenTrie> trie = [] {
    std::vector<std::string> all;
    for (int byte = 0; byte < 255; ++byte) all.emplace_back(1, static_cast<char>(byte));
    for (const char* word : {"\":", "\", \"", "{\"", "\"}", "}}", "]}",   "null",  "true",
                             "12",  "0.5",    "\\u", "ab",  "aa", "\xC3", "你",    "\n  ",
                             "  ",  "[]",     "abc", "<｜", "</", "tool", "\n\n<", "｜DSML｜"}) {
      all.emplace_back(word);
    }
    for (const std::string& tag : Control()) all.push_back(TokenTrie::kControl + tag);
    all.emplace_back();
    all.emplace_back();
    const std::vector<std::string_view> views(all.begin(), all.end());
    const std::vector<hadal::TokenId> stops{static_cast<hadal::TokenId>(all.size() - 1)};
    return *TokenTrie::Build(views, stops);
  }();
  return trie;
}

bool IsSet(const std::vector<uint64_t>& mask, hadal::TokenId id) {
  return (mask[static_cast<size_t>(id) / 64] >> (static_cast<uint32_t>(id) % 64) & 1) != 0;
}

// What Accept does with each token; empty when a limit was hit.
std::vector<hadal::TokenId> Allowed(Matcher& matcher) {
  std::vector<uint64_t> mask(matcher.n_words()), again(matcher.n_words());
  std::vector<hadal::TokenId> allowed;
  // A dead end is impossible: every byte is a token. Limits may be hit.
  if (!matcher.FillMask(mask)) return allowed;
  for (hadal::TokenId id = 0; id < static_cast<hadal::TokenId>(Vocabulary()->vocab_size()); ++id) {
    const auto ok = matcher.Accept(id);
    if (!ok) return {};
    Require(*ok == IsSet(mask, id));
    if (!*ok) continue;
    allowed.push_back(id);
    matcher.Rollback(1);
  }
  Require(!allowed.empty());
  Require(matcher.FillMask(again).has_value() && mask == again);
  return allowed;
}

uint32_t Next(uint32_t& random) {
  random = random * 1664525 + 1013904223;
  return random >> 8;
}

void Walk(const std::shared_ptr<const Constraint>& constraint, uint32_t random) {
  Matcher matcher(constraint);
  for (int step = 0; step < 12; ++step) {
    const std::vector<hadal::TokenId> allowed = Allowed(matcher);
    if (allowed.empty()) return;
    Require(*matcher.Accept(allowed[Next(random) % allowed.size()]));
    if (matcher.IsFinished()) return;
  }
}

// A parameter's name twice in the text: the parser drops the second.
bool HasTwice(std::string_view text) {
  constexpr std::string_view kBegin = "parameter name=\"";
  std::set<std::string_view> names;
  for (size_t at = 0; (at = text.find(kBegin, at)) != text.npos; ++at) {
    const size_t begin = at + kBegin.size();
    if (!names.insert(text.substr(begin, text.find("\" string=", begin) - begin)).second)
      return true;
  }
  return false;
}

void ReadBack(const hadal::AnswerRules& rules, const std::vector<std::string>& pieces) {
  const hadal::TagTable table(*rules.markup);
  hadal::ToolCallParser parser(table, *rules.markup, "x");
  hadal::ToolEvents events;
  std::string text;
  for (const std::string& piece : pieces) {
    const bool control = piece.front() == TokenTrie::kControl;
    text += piece.substr(control ? 1 : 0);
    control ? parser.PushControl(piece.substr(1), events) : parser.Push(piece, events);
  }
  const hadal::ToolOutcome outcome = parser.Finish(events);
  if (hadal::IsDsml(*rules.markup) && HasTwice(text)) return;
  Require(!outcome.malformed && !outcome.in_block_at_end && outcome.incomplete_calls == 0);
  const bool none = rules.choice.mode == hadal::api::ToolChoice::Mode::kNone;
  Require(!none || outcome.calls == 0);
}

// Bytes and control tokens.
std::vector<std::string> Pieces(std::string_view word) {
  std::vector<std::string> pieces;
  while (!word.empty()) {
    size_t length = 1;
    for (const std::string& text : Control()) {
      if (word.front() == TokenTrie::kControl && word.substr(1).starts_with(text)) {
        length = 1 + text.size();
      }
    }
    pieces.emplace_back(word.substr(0, length));
    word.remove_prefix(length);
  }
  return pieces;
}

// Tokens and, to get on, words of the markup.
void WalkAnswer(const hadal::AnswerRules& rules,
                const std::shared_ptr<const Constraint>& constraint, uint32_t random) {
  const hadal::MarkupSpelling tags = hadal::SpellingOf(*rules.markup, rules.control);
  const std::vector<std::string> words{tags.block_begin,
                                       tags.call_begin + "f" + tags.name_end,
                                       tags.call_end,
                                       tags.block_end,
                                       "{\"a\": ",
                                       "\"",
                                       "}",
                                       "</"};
  Matcher matcher(constraint);
  std::vector<std::string> pieces;
  for (int step = 0; step < 40; ++step) {
    if (matcher.IsComplete()) ReadBack(rules, pieces);
    const std::string& word = words[Next(random) % words.size()];
    if (Next(random) % 2 == 0) {
      const auto ok = matcher.Accept(word);
      if (!ok) return;
      if (!*ok) continue;
      for (std::string& piece : Pieces(word)) pieces.push_back(std::move(piece));
      continue;
    }
    const std::vector<hadal::TokenId> allowed = Allowed(matcher);
    if (allowed.empty()) return;
    const hadal::TokenId id = allowed[Next(random) % allowed.size()];
    Require(*matcher.Accept(id));
    if (matcher.IsFinished()) return;
    pieces.emplace_back(constraint->trie().BytesOf(id));
  }
}

void Answer(uint8_t options, uint8_t steering, std::string_view text, const Limits& limits) {
  const size_t zero = std::min(text.find('\0'), text.size());
  const std::vector<hadal::api::Tool> tools{{.name = "f",
                                             .description = {},
                                             .parameters = std::string(text.substr(0, zero)),
                                             .strict = (options & 32) != 0}};
  hadal::AnswerRules rules;
  rules.markup = static_cast<hadal::ToolMarkup>(options & 3);
  rules.tools = tools;
  rules.choice = {static_cast<hadal::api::ToolChoice::Mode>(options >> 2 & 3), "f"};
  rules.parallel = (options & 16) != 0;
  if ((options & 128) != 0) rules.control = Control();
  if (zero < text.size()) {
    rules.format = {static_cast<hadal::api::AnswerFormat::Kind>(steering % 5),
                    std::string(text.substr(zero + 1))};
  }
  Require(!hadal::KeyOf(rules).empty());
  auto compiled = hadal::CompileAnswer(rules, limits);
  if (!compiled) {
    Require(compiled.error().code == hadal::ErrorCode::kInvalidArgument);
    Require(!compiled.error().message.empty() && !compiled.error().field.empty());
    return;
  }
  WalkAnswer(rules, std::make_shared<const Constraint>(std::move(*compiled), Vocabulary(), limits),
             steering);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  if (size > 1024) return 0;  // longer sources find nothing new, only slowly
  Limits limits;
  limits.max_states = 4096;
  limits.max_steps = 300'000;
  limits.max_configurations = 128;
  limits.max_stack_frames = 1u << 14;
  limits.max_mask_steps = 200'000;
  limits.max_mask_bytes = 1u << 16;
  if ((data[0] & 64) != 0) {
    Answer(data[0], data[1], text, limits);
    return 0;
  }
  const ConstraintSource source{static_cast<ConstraintKind>(data[0] & 3),
                                text,
                                {.space = data[0] & 4 ? JsonSpace::kNone : JsonSpace::kFlexible,
                                 .open_objects = (data[0] & 8) != 0,
                                 .ignore_unknown_keywords = (data[0] & 16) != 0,
                                 .ignore_unknown_formats = (data[0] & 32) != 0}};
  const auto automaton = Compile(source, limits);
  if (!automaton) {
    Require(automaton.error().code == hadal::ErrorCode::kInvalidArgument);
    Require(!automaton.error().message.empty());
    return 0;
  }
  Walk(std::make_shared<const Constraint>(*automaton, Vocabulary(), limits), data[1]);
  return 0;
}
