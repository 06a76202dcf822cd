// What token masks cost: mask_bench [MODEL_DIR]
// Texts of answers are read token by token under JSON mode, a schema, and tools that may be called;
// at each token the mask is filled and timed, in the first round (cold: nothing is remembered) and
// in those after it (warm). Over the vocabulary of MODEL_DIR (models/demo) and over one of 129,280
// tokens that is made up, the same on every run.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "chat/tools/answer_parser.h"
#include "chat/tools/markup_spelling.h"
#include "chat/tools/tool_grammar.h"
#include "grammar/matcher.h"
#include "tokenizer/tokenizer.h"

namespace hadal {
namespace {

using grammar::Constraint;
using grammar::TokenTrie;
using Kind = api::AnswerFormat::Kind;

constexpr size_t kMadeUpTokens = 129'280;
constexpr int kRounds = 40;

const std::vector<std::string>& Tags() {
  static const std::vector<std::string> tags{"<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>",
                                             "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
                                             "<｜tool▁sep｜>"};
  return tags;
}

// Words as byte pair encodings have them: letters with and without a space, in several scripts,
// digits, punctuation in runs, indentation.
class WordMaker {
 public:
  std::string Next() {
    switch (Below(12)) {
      case 0:
        return Run("{}[]()\"':;,.<>/\\=+-*&|!?#_$%@`~^", 1 + Below(4));
      case 1:
        return Run("0123456789", 1 + Below(3));
      case 2:
        return std::string(Below(2), '\n') + std::string(1 + Below(16), ' ');
      case 3:
      case 4: {
        std::string out;
        for (size_t i = 1 + Below(3); i > 0; --i) AppendCharacter(0x4E00 + Below(20'000), out);
        return out;
      }
      case 5: {
        std::string out = Below(2) == 0 ? " " : "";
        for (size_t i = 2 + Below(6); i > 0; --i) AppendCharacter(0x430 + Below(32), out);
        return out;
      }
      case 6:
        return std::string(1, "\"<_-/.("[Below(7)]) + Letters();
      case 7:
        return Letters() + Run("\",:;).}>", 1 + Below(2));
      default:
        return (Below(3) == 0 ? "" : " ") + Letters();
    }
  }

 private:
  size_t Below(size_t n) { return random_() % n; }
  std::string Run(std::string_view from, size_t n) {
    std::string out;
    while (n-- > 0) out += from[Below(from.size())];
    return out;
  }
  std::string Letters() {
    std::string out = Run("etaoinshrdlucmfwypvbgkjqxz", 1);
    for (size_t i = Below(4) + Below(5); i > 0; --i) out += Run("etaoinsrhldeaioun", 1);
    if (Below(4) == 0) out[0] = static_cast<char>(out[0] - 'a' + 'A');
    return out;
  }
  static void AppendCharacter(size_t c, std::string& out) {
    if (c < 0x800) {
      out += static_cast<char>(0xC0 | c >> 6);
    } else {
      out += static_cast<char>(0xE0 | c >> 12);
      out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    }
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
  std::mt19937 random_{7};
};

std::shared_ptr<const TokenTrie> MadeUp() {
  std::vector<std::string> words;
  for (int byte = 0; byte < 255; ++byte) words.emplace_back(1, static_cast<char>(byte));
  std::set<std::string> known(words.begin(), words.end());
  WordMaker maker;
  while (words.size() < kMadeUpTokens - Tags().size() - 1) {
    std::string word = maker.Next();
    if (known.insert(word).second) words.push_back(std::move(word));
  }
  for (const std::string& tag : Tags()) words.push_back(TokenTrie::kControl + tag);
  words.emplace_back();
  const std::vector<std::string_view> views(words.begin(), words.end());
  const std::vector<TokenId> stops{static_cast<TokenId>(words.size() - 1)};
  return *TokenTrie::Build(views, stops);
}

Result<std::shared_ptr<const TokenTrie>> OfModel(const std::string& path) {
  HADAL_TRY(const auto tokenizer, Tokenizer::Load(path));
  const ToolTokens tokens(*tokenizer, ToolMarkup::kFenced);
  std::vector<TokenId> control;
  for (TokenId id = 0; id < tokenizer->vocab_size(); ++id) {
    if (tokens.Has(id)) control.push_back(id);
  }
  const std::vector<TokenId> stops{tokenizer->eos().value_or(0)};
  return TokenTrie::Build(*tokenizer, stops, control);
}

// The text in the vocabulary's longest tokens.
std::vector<TokenId> TokensOf(const TokenTrie& trie, std::string_view text) {
  std::unordered_map<std::string_view, TokenId> ids;
  for (TokenId id = 0; id < static_cast<TokenId>(trie.vocab_size()); ++id) {
    if (!trie.BytesOf(id).empty()) ids.emplace(trie.BytesOf(id), id);
  }
  std::vector<TokenId> out;
  while (!text.empty()) {
    size_t length = std::min<size_t>(text.size(), trie.max_token_bytes());
    while (length > 1 && !ids.contains(text.substr(0, length))) --length;
    out.push_back(ids.at(text.substr(0, length)));
    text.remove_prefix(length);
  }
  return out;
}

struct Case {
  std::string name;
  AnswerRules rules;
  std::string text;
};

double Microseconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - since)
      .count();
}

// False: the text is not what the constraint allows.
bool Follow(const std::shared_ptr<const Constraint>& constraint, const std::vector<TokenId>& ids,
            std::vector<double>& masks, std::vector<double>& accepts) {
  grammar::Matcher matcher(constraint);
  std::vector<uint64_t> mask(matcher.n_words());
  for (const TokenId id : ids) {
    auto begin = std::chrono::steady_clock::now();
    if (!matcher.FillMask(mask)) return false;
    masks.push_back(Microseconds(begin));
    begin = std::chrono::steady_clock::now();
    const auto ok = matcher.Accept(id);
    accepts.push_back(Microseconds(begin));
    if (!ok || !*ok) return false;
  }
  return matcher.IsComplete();
}

std::string Show(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return fmt::format("{:9.1f} {:9.1f} {:9.1f}", v[v.size() / 2], v[v.size() * 99 / 100], v.back());
}

bool Measure(const char* vocabulary, const std::shared_ptr<const TokenTrie>& trie, const Case& of) {
  const auto begin = std::chrono::steady_clock::now();
  auto compiled = CompileAnswer(of.rules, {});
  const double compile_us = Microseconds(begin);
  if (!compiled) {
    fmt::print("{}: {}\n", of.name, compiled.error().message);
    return false;
  }
  const auto constraint =
      std::make_shared<const Constraint>(std::move(*compiled), trie, grammar::Limits{});
  const std::vector<TokenId> ids = TokensOf(*trie, of.text);
  std::vector<double> cold, warm, accepts;
  for (int round = 0; round < kRounds; ++round) {
    if (!Follow(constraint, ids, round == 0 ? cold : warm, accepts)) {
      fmt::print("{}: the text is not allowed\n", of.name);
      return false;
    }
  }
  fmt::print("{:<8} {:<12} {:>6} {:>9.1f} | {} | {} | {} | {:>6}\n", vocabulary, of.name,
             ids.size(), compile_us / 1000, Show(cold), Show(warm), Show(accepts),
             constraint->masks().bytes() / 1024);
  return true;
}

constexpr const char* kPerson = R"({"type":"object","properties":{
    "name":{"type":"string"},"age":{"type":"integer","minimum":0,"maximum":150},
    "email":{"type":"string","format":"email"},
    "tags":{"type":"array","items":{"type":"string","maxLength":40},"maxItems":5},
    "address":{"type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"},
      "kind":{"enum":["home","work"]}},"required":["street","city"],"additionalProperties":false},
    "score":{"type":"number"},"active":{"type":"boolean"}},
    "required":["name","age","address"],"additionalProperties":false})";

constexpr const char* kAnn = R"({"name": "张伟 Müller", "age": 42, "email": "a.b@example.com",
"tags": ["red", "a longer tag, with ", "绿"], "address": {"street": "12 High Street",
"city": "Zürich", "kind": "home"}, "score": -3.25, "active": true})";

std::vector<Case> Cases(const std::vector<api::Tool>& tools) {
  const MarkupSpelling tags = SpellingOf(ToolMarkup::kFenced, Tags());
  const std::string prose =
      "I will look the person up first, and then write the result into the table; x < 3 && y > 4 "
      "holds. 先查询天气，然后再回答。\n\n";
  const std::string call = tags.block_begin + tags.call_begin + "save_person" + tags.name_end +
                           kAnn + tags.call_end + tags.block_end;
  const ToolMarkup markup = ToolMarkup::kFenced;
  return {
      {"json", {.markup = markup, .format = {Kind::kJsonObject, ""}}, kAnn},
      {"schema", {.markup = markup, .format = {Kind::kJsonSchema, kPerson}}, kAnn},
      {"text", {.markup = markup, .tools = tools, .control = Tags()}, prose + prose + prose},
      {"tools", {.markup = markup, .tools = tools, .control = Tags()}, prose + call},
  };
}

int Run(const std::string& model) {
  std::vector<api::Tool> tools;
  for (const char* name : {"save_person", "find_person", "get_weather", "run_query"}) {
    tools.push_back({.name = name, .description = {}, .parameters = kPerson, .strict = true});
  }
  const auto own = OfModel(model);
  if (!own) {
    fmt::print("{}\n", own.error().message);
    return 1;
  }
  fmt::print(
      "one mask, in us; cold: first time, warm: {} further rounds; then Accept of one token\n"
      "{:<8} {:<12} {:>6} {:>9} | {:^29} | {:^29} | {:^29} | {:>6}\n"
      "{:<8} {:<12} {:>6} {:>9} | {:>9} {:>9} {:>9} | {:>9} {:>9} {:>9} | {:>9} {:>9} {:>9} | "
      "{:>6}\n",
      kRounds - 1, "", "", "", "compile", "cold", "warm", "accept", "masks", "tokens", "", "n",
      "ms", "median", "p99", "worst", "median", "p99", "worst", "median", "p99", "worst", "KiB");
  bool all = true;
  for (const Case& one : Cases(tools)) {
    all = Measure(fmt::format("{}", (*own)->vocab_size()).c_str(), *own, one) && all;
  }
  const auto made_up = MadeUp();
  for (const Case& one : Cases(tools)) {
    all = Measure(fmt::format("{}", made_up->vocab_size()).c_str(), made_up, one) && all;
  }
  return all ? 0 : 1;
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) { return hadal::Run(argc > 1 ? argv[1] : "models/demo"); }
