// Random answers as models write them, cut at random places: the same events as in one piece, the
// arguments that were written, and no markup in the content. More than 10^6 cuts, fixed seeds.
#include <gmock/gmock.h>

#include <random>

#include "chat/tools/json_text.h"
#include "chat/tools/tool_call_parser.h"

namespace hadal {
namespace {

struct Segment {
  std::string text;
  bool control = false;
};
struct Call {
  std::string name, arguments;
  bool operator==(const Call&) const = default;
};
struct Answer {
  std::vector<Segment> segments;
  std::string content;
  std::vector<Call> calls;
};

class Writer {
 public:
  Writer(ToolMarkup markup, bool control, uint32_t seed)
      : markup_(markup), control_(control), random_(seed) {}

  Answer Write() {
    if (Below(4) != 0) answer_.content = Words() + "end";
    Put(answer_.content);
    const size_t n = Below(4);
    if (n > 0) IsDsml(markup_) ? Dsml(n) : Tokens(n);
    return std::move(answer_);
  }

 private:
  size_t Below(size_t n) { return random_() % n; }
  void Put(std::string_view text) { answer_.segments.push_back({std::string(text), false}); }
  void Control(std::string_view token) {
    answer_.segments.push_back({std::string(token), control_});
  }
  std::string Words() {
    static constexpr const char* kPieces[] = {
        "a",    "word ", "\"",   "\\",  "\n",  "\n\n", "<",     "</",       "｜",     "|",   "<｜",
        "北京", "🙂",    "2>&1", "`",   "```", "{}",   "<｜DS", "</p>",     "\t",     "\\n", "]",
        "é",    "\x01",  ">",    "=\"", ",",   ":",    "<|",    "<｜tool▁", "invoke", "\r\n"};
    std::string out;
    for (size_t i = Below(12); i > 0; --i) out += kPieces[Below(std::size(kPieces))];
    return out;
  }
  std::string Value(int depth) {
    switch (Below(depth > 2 ? 4 : 6)) {
      case 0:
        return std::to_string(static_cast<int>(random_()) / 1000);
      case 1:
        return "-0.5e+10";
      case 2:
        return "null";
      case 3:
        return QuoteJson(Words() + InString());
      case 4:
        return "[" + Value(depth + 1) + ", " + Value(depth + 1) + "]";
      default:
        return "{" + QuoteJson(Words()) + ": " + Value(depth + 1) + "}";
    }
  }
  // Whole tags are data inside a JSON string.
  std::string InString() {
    if (IsDsml(markup_)) return Below(3) == 0 ? "</｜DSML｜parameter>" : "";
    return Below(3) == 0 ? "<｜tool▁call▁end｜>" : "";
  }

  void Tokens(size_t n) {
    Control("<｜tool▁calls▁begin｜>");
    for (size_t i = 0; i < n; ++i) {
      Call call{"tool_" + std::to_string(Below(100)), "{"};
      for (size_t k = Below(4); k > 0; --k) {
        call.arguments += QuoteJson(std::to_string(k) + Words()) + ": " + Value(0);
        if (k > 1) call.arguments += Below(2) == 0 ? ", " : ",";
      }
      call.arguments += "}";
      const bool fenced = markup_ == ToolMarkup::kFenced;
      if (fenced && i > 0) Put("\n");
      Control("<｜tool▁call▁begin｜>");
      Put(fenced ? "function" : call.name);
      Control("<｜tool▁sep｜>");
      if (fenced) Put(call.name + "\n```json\n");
      Put(call.arguments);
      if (fenced) Put("\n```");
      Control("<｜tool▁call▁end｜>");
      answer_.calls.push_back(std::move(call));
    }
    Control("<｜tool▁calls▁end｜>");
  }

  void Tag(std::string_view before, std::string_view after) {
    Put(before);
    Control("｜DSML｜");
    Put(after);
  }
  void Dsml(size_t n) {
    const std::string block = markup_ == ToolMarkup::kDsmlV32 ? "function_calls>" : "tool_calls>";
    Tag("\n\n<", block + "\n");
    for (size_t i = 0; i < n; ++i) {
      Call call{"tool_" + std::to_string(Below(100)), "{"};
      Tag("<", "invoke name=\"" + call.name + "\">\n");
      const size_t parameters = Below(4);
      for (size_t k = 0; k < parameters; ++k) {
        const std::string key = "k" + std::to_string(k);
        const bool is_string = Below(2) == 0;
        std::string text = is_string ? Words() : Value(0);
        if (is_string && control_) text += InString();  // tags without the token are data
        call.arguments += (k > 0 ? ", " : "") + QuoteJson(key) + ": ";
        call.arguments += is_string ? QuoteJson(text) : text;
        Tag("<", "parameter name=\"" + key + "\" string=\"" + (is_string ? "true" : "false") +
                     "\">" + text);
        Tag("</", "parameter>\n");
      }
      call.arguments += "}";
      Tag("</", "invoke>\n");
      answer_.calls.push_back(std::move(call));
    }
    Tag("</", block);
  }

  const ToolMarkup markup_;
  const bool control_;
  std::mt19937 random_;
  Answer answer_;
};

// cut: after how many bytes to cut next, asked again and again; 0 = never.
template <class Cut>
ToolEvents Feed(const TagTable& table, ToolMarkup markup, const std::vector<Segment>& segments,
                const Cut& cut, size_t& cuts) {
  ToolCallParser parser(table, markup, "x");
  ToolEvents events;
  std::string text;
  const auto flush = [&] {
    std::string_view rest = text;
    while (!rest.empty()) {
      const size_t length = cut();
      cuts += length > 0 && length < rest.size() ? 1 : 0;
      parser.Push(rest.substr(0, length > 0 ? length : rest.npos), events);
      rest.remove_prefix(length > 0 ? std::min(length, rest.size()) : rest.size());
    }
    text.clear();
  };
  for (const Segment& segment : segments) {
    if (!segment.control) {
      text += segment.text;
      continue;
    }
    flush();
    parser.PushControl(segment.text, events);
  }
  flush();
  parser.Finish(events);
  return events;
}

void ExpectAnswer(const ToolEvents& events, const Answer& answer) {
  std::string content;
  std::vector<Call> calls;
  for (const ToolEvent& event : events) {
    if (event.kind == ToolEvent::Kind::kContent) content += event.text;
    if (event.kind == ToolEvent::Kind::kCallBegin) calls.push_back({event.text, ""});
    if (event.kind == ToolEvent::Kind::kArguments) calls.back().arguments += event.text;
    if (event.kind == ToolEvent::Kind::kCallEnd) {
      EXPECT_TRUE(event.complete);
    }
    EXPECT_NE(event.kind, ToolEvent::Kind::kMalformed) << event.text;
  }
  EXPECT_EQ(content, answer.content);
  ASSERT_EQ(calls.size(), answer.calls.size());
  for (size_t i = 0; i < calls.size(); ++i) {
    EXPECT_EQ(calls[i].name, answer.calls[i].name);
    EXPECT_EQ(calls[i].arguments, answer.calls[i].arguments);
  }
}

class ToolSplits : public ::testing::TestWithParam<std::pair<ToolMarkup, bool>> {};

TEST_P(ToolSplits, WhereTheTextIsCutMakesNoDifference) {
  const auto [markup, control] = GetParam();
  const TagTable table(markup);
  std::mt19937 random(7);
  size_t cuts = 0;
  for (uint32_t seed = 0; cuts < 130'000; ++seed) {
    const Answer answer = Writer(markup, control, seed).Write();
    const ToolEvents whole = Feed(table, markup, answer.segments, [] { return size_t{0}; }, cuts);
    ExpectAnswer(whole, answer);
    for (const size_t longest : {1, 2, 3, 8, 40}) {
      const auto cut = [&] { return 1 + random() % longest; };
      ASSERT_EQ(Feed(table, markup, answer.segments, cut, cuts), whole) << "seed " << seed;
    }
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
  RecordProperty("cuts", static_cast<int>(cuts));
}

INSTANTIATE_TEST_SUITE_P(
    All, ToolSplits,
    ::testing::Values(std::pair(ToolMarkup::kFenced, false), std::pair(ToolMarkup::kFenced, true),
                      std::pair(ToolMarkup::kPlain, false), std::pair(ToolMarkup::kPlain, true),
                      std::pair(ToolMarkup::kDsmlV32, false), std::pair(ToolMarkup::kDsmlV32, true),
                      std::pair(ToolMarkup::kDsmlV4, false), std::pair(ToolMarkup::kDsmlV4, true)));

}  // namespace
}  // namespace hadal
