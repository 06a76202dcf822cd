// Owns: vocabularies with and without the markup's tokens, random answers that a constraint allows,
// and reading them back, for tests. Included by tests only.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "chat/tools/answer_parser.h"
#include "chat/tools/tool_call_parser.h"
#include "chat/tools/tool_grammar.h"
#include "grammar/matcher.h"
#include "tokenizer/testing/tiny_tokenizer.h"

namespace hadal::testing {

// A tokenizer, which of its tokens are markup's, and the tree with them.
struct AnswerVocabulary {
  AnswerVocabulary(std::unique_ptr<Tokenizer> made, ToolMarkup of, TokenId stop_id)
      : tokenizer(std::move(made)), markup(of), tokens(*tokenizer, of), stop(stop_id) {
    std::vector<TokenId> control;
    for (TokenId id = 0; id < tokenizer->vocab_size(); ++id) {
      if (tokens.Has(id)) control.push_back(id);
    }
    const std::vector<TokenId> stops{stop};
    auto built = grammar::TokenTrie::Build(*tokenizer, stops, control);
    EXPECT_TRUE(built) << built.error().message;
    trie = *built;
  }
  std::unique_ptr<Tokenizer> tokenizer;
  ToolMarkup markup;
  ToolTokens tokens;
  TokenId stop;
  std::shared_ptr<const grammar::TokenTrie> trie;
};

// All bytes, words that cut markup and JSON in awkward places, the markup's tokens or none.
inline AnswerVocabulary SmallAnswerVocabulary(ToolMarkup markup, bool with_tokens) {
  TinyTokenizer tiny;
  tiny.words = {"\":",    "\": ",    "\", \"",     "{\"",     "\"}",        "}\n",
                "```",    "```json", "function",   "\n\n<",   "</",         "><",
                ">\n<",   ">\n</",   "name=\"",    " string", "=\"true\">", "true",
                "null",   "12",      "0.5",        "｜",      "<｜",        "｜DSML",
                "DSML",   "tool",    "tool▁",      "<|",      "invoke>",    "parameter",
                " name",  "abc",     "é",          "你好",    "\xE4\xBD",   "\n\n",
                "\n  ",   "calls",   "<｜to",      "｜tool",  "_calls>",    "▁calls▁begin｜>",
                "</｜DS", "<|DSML|", "</｜DSML｜p"};
  if (with_tokens) {
    for (const char* token :
         {"｜DSML｜", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>",
          "<｜tool▁call▁end｜>", "<｜tool▁sep｜>", "<｜tool▁outputs▁begin｜>"}) {
      tiny.added.push_back({.content = token});
    }
  }
  tiny.added.push_back({.content = "<｜end▁of▁sentence｜>", .special = true});
  auto parsed = Tokenizer::Parse(tiny.Json(), "{}");
  EXPECT_TRUE(parsed) << parsed.error().message;
  const TokenId stop = (*parsed)->vocab_size() - 1;
  return {std::move(*parsed), markup, stop};
}
inline AnswerVocabulary DemoVocabulary(ToolMarkup markup) {
  auto loaded = Tokenizer::Load(std::string(HADAL_SOURCE_DIR) + "/models/demo");
  EXPECT_TRUE(loaded) << loaded.error().message;
  const TokenId stop = (*loaded)->eos().value_or(0);
  return {std::move(*loaded), markup, stop};
}

// Random tokens that the masks allow, of several answers under one constraint.
class AnswerWalker {
 public:
  AnswerWalker(const AnswerVocabulary& vocabulary,
               std::shared_ptr<const grammar::Constraint> constraint, std::mt19937& random)
      : vocabulary_(vocabulary), constraint_(std::move(constraint)), random_(random) {
    const grammar::TokenTrie& trie = *vocabulary.trie;
    for (TokenId id = 0; id < static_cast<TokenId>(trie.vocab_size()); ++id) {
      const std::string_view bytes = trie.BytesOf(id);
      if (bytes.empty()) continue;
      all_.push_back(id);
      by_bytes_.emplace(bytes, id);
    }
  }

  // Tokens without the stop. begin: what a block begins with, written now and then. closers: tried
  // in this order once `nudge` tokens have come. {} when the walk did not end.
  std::vector<TokenId> Walk(std::string_view begin, const std::vector<std::string>& closers,
                            int nudge) {
    grammar::Matcher matcher(constraint_);
    std::vector<TokenId> out;
    for (int step = 0; step < 600; ++step) {
      if (matcher.IsComplete() && (step > nudge || random_() % 8 == 0)) return out;
      if (!begin.empty() && random_() % 6 == 0 && Force(matcher, begin, out)) continue;
      if (step > nudge && random_() % 8 != 0) {
        bool closed = false;
        for (const std::string& closer : closers) closed = closed || Force(matcher, closer, out);
        if (closed) continue;
      }
      if (!Step(matcher, out)) return out;
      if (::testing::Test::HasFailure()) return {};
    }
    return {};
  }

 private:
  // False: the answer is over.
  bool Step(grammar::Matcher& matcher, std::vector<TokenId>& out) {
    std::vector<uint64_t> mask(matcher.n_words());
    const Status filled = matcher.FillMask(mask);
    if (!filled) ADD_FAILURE() << filled.error().message;
    std::vector<TokenId> allowed;
    for (const TokenId id : all_) {
      if (mask[static_cast<size_t>(id) / 64] >> (static_cast<uint32_t>(id) % 64) & 1) {
        allowed.push_back(id);
      }
    }
    if (allowed.empty()) {
      EXPECT_TRUE(matcher.IsComplete());
      return false;
    }
    const TokenId id = allowed[random_() % allowed.size()];
    const auto accepted = matcher.Accept(id);
    EXPECT_TRUE(accepted && *accepted) << "the mask allows what Accept refuses: " << id;
    out.push_back(id);
    return true;
  }

  // The bytes as the longest tokens, if they are allowed.
  bool Force(grammar::Matcher& matcher, std::string_view bytes, std::vector<TokenId>& out) {
    const auto probe = matcher.Accept(bytes);
    if (!probe || !*probe) return false;
    matcher.Rollback(1);
    while (!bytes.empty()) {
      size_t length = std::min<size_t>(bytes.size(), vocabulary_.trie->max_token_bytes());
      while (length > 1 && !by_bytes_.contains(bytes.substr(0, length))) --length;
      const auto id = by_bytes_.find(bytes.substr(0, length));
      const bool known = id != by_bytes_.end();
      const auto accepted = known ? matcher.Accept(id->second) : Result<bool>(false);
      EXPECT_TRUE(accepted && *accepted) << bytes;
      if (!accepted || !*accepted) return false;
      out.push_back(id->second);
      bytes.remove_prefix(length);
    }
    return true;
  }

  const AnswerVocabulary& vocabulary_;
  std::unordered_map<std::string_view, TokenId> by_bytes_;
  std::shared_ptr<const grammar::Constraint> constraint_;
  std::mt19937& random_;
  std::vector<TokenId> all_;
};

// What the parser of tool calls makes of an answer's tokens.
struct ReadAnswer {
  struct Call {
    std::string name, arguments;
    bool complete = false;
  };
  std::string text;     // all of it, tokens as their text
  std::string content;  // the events
  std::string malformed;
  std::vector<Call> calls;
  bool in_block_at_end = false;
};
inline ReadAnswer Read(const AnswerVocabulary& vocabulary, const std::vector<TokenId>& ids) {
  const TagTable table(vocabulary.markup);
  ToolCallParser parser(table, vocabulary.markup, "x");
  ToolEvents events;
  ReadAnswer read;
  for (const TokenId id : ids) {
    const std::string_view bytes = vocabulary.tokenizer->BytesOf(id);
    read.text += bytes;
    if (vocabulary.tokens.Has(id)) {
      parser.PushControl(bytes, events);
    } else {
      parser.Push(bytes, events);
    }
  }
  read.in_block_at_end = parser.Finish(events).in_block_at_end;
  for (const ToolEvent& event : events) {
    switch (event.kind) {
      case ToolEvent::Kind::kContent:
        read.content += event.text;
        break;
      case ToolEvent::Kind::kMalformed:
        read.malformed += event.text;
        break;
      case ToolEvent::Kind::kCallBegin:
        read.calls.push_back({event.text, "", false});
        break;
      case ToolEvent::Kind::kArguments:
        read.calls.back().arguments += event.text;
        break;
      case ToolEvent::Kind::kCallEnd:
        read.calls.back().complete = event.complete;
        break;
    }
  }
  return read;
}

}  // namespace hadal::testing
