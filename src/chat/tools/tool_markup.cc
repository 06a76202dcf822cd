#include "chat/tools/tool_markup.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace hadal {
namespace {

struct Word {
  std::string_view text;  // words apart by '_'
  ToolTag tag;
};
constexpr std::array<Word, 9> kTokenWords = {{
    {"tool_calls_begin", ToolTag::kBlockBegin},
    {"tool_calls_end", ToolTag::kBlockEnd},
    {"tool_call_begin", ToolTag::kCallBegin},
    {"tool_call_end", ToolTag::kCallEnd},
    {"tool_sep", ToolTag::kSeparator},
    {"tool_outputs_begin", ToolTag::kOutputsBegin},
    {"tool_outputs_end", ToolTag::kOutputsEnd},
    {"tool_output_begin", ToolTag::kOutputBegin},
    {"tool_output_end", ToolTag::kOutputEnd},
}};

std::string WithGaps(std::string_view words, std::string_view gap) {
  std::string out;
  for (const char c : words) {
    if (c == '_') {
      out += gap;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

TagTable::TagTable(ToolMarkup markup) : nodes_(1) {
  for (const std::string_view bar : {"｜", "|"}) {  // models write the ASCII bar at times
    if (!IsDsml(markup)) {
      for (const std::string_view gap : {"▁", "_", " "}) {
        for (const Word& word : kTokenWords) {
          Add(fmt::format("<{0}{1}{0}>", bar, WithGaps(word.text, gap)), word.tag, "");
        }
      }
      continue;
    }
    const std::string open = fmt::format("<{0}DSML{0}", bar),
                      close = fmt::format("</{0}DSML{0}", bar);
    for (const std::string_view gap : {"", " "}) {
      for (const std::string_view name : {"tool_calls", "function_calls", "calls"}) {
        Add(fmt::format("{}{}{}>", open, gap, name), ToolTag::kBlockBegin, open);
        Add(fmt::format("{}{}{}>", close, gap, name), ToolTag::kBlockEnd, close);
      }
      Add(fmt::format("{}{}invoke name=\"", open, gap), ToolTag::kCallBegin, open);
      Add(fmt::format("{}{}invoke>", close, gap), ToolTag::kCallEnd, close);
      Add(fmt::format("{}{}parameter name=\"", open, gap), ToolTag::kParameterBegin, open);
      Add(fmt::format("{}{}parameter>", close, gap), ToolTag::kParameterEnd, close);
    }
  }
}

void TagTable::Add(std::string_view text, ToolTag tag, std::string_view distinctive) {
  uint16_t node = kRoot;
  for (size_t i = 0; i < text.size(); ++i) {
    uint16_t next = Next(node, text[i]);
    if (next == kNoNode) {
      next = static_cast<uint16_t>(nodes_.size());
      nodes_.emplace_back();
      nodes_[node].next.emplace_back(text[i], next);
    }
    node = next;
    nodes_[node].distinctive = !distinctive.empty() && i + 1 >= distinctive.size();
  }
  nodes_[node].tag = tag;
}

uint16_t TagTable::Next(uint16_t node, char c) const {
  for (const auto& [byte, next] : nodes_[node].next) {
    if (byte == c) return next;
  }
  return kNoNode;
}

void TagScanner::PushControl(std::string_view token) {
  if (token.empty()) return;
  const bool goes_on =
      node_ != TagTable::kRoot && table_.Next(node_, token.front()) != TagTable::kNoNode;
  if (!goes_on) {
    GiveUp();
    // ｜DSML｜ is a token, the < before it is not, and may be lost.
    if (token.front() != '<') {
      Advance('<', true);
      invented_ = true;
    }
  }
  Scan(token, true);
}

void TagScanner::Scan(std::string_view text, bool control) {
  while (!text.empty()) {
    if (node_ == TagTable::kRoot) {
      const size_t plain = std::min(text.find('<'), text.size());
      if (plain > 0) receiver_.OnText(text.substr(0, plain));
      text.remove_prefix(plain);
      if (text.empty()) return;
    }
    if (node_ != TagTable::kRoot && table_.Next(node_, text.front()) == TagTable::kNoNode) {
      GiveUp();
      continue;
    }
    Advance(text.front(), control);
    text.remove_prefix(1);
  }
}

// The tree goes on with c.
void TagScanner::Advance(char c, bool control) {
  node_ = table_.Next(node_, c);
  held_ += c;
  control_ = control_ || control;
  const TagTable::Node& node = table_.at(node_);
  if (node.tag == ToolTag::kNone) return;
  const std::string raw = std::move(held_);
  const bool was_control = control_;
  held_.clear();
  node_ = TagTable::kRoot;
  control_ = invented_ = false;
  receiver_.OnTag(node.tag, raw, was_control);
}

void TagScanner::GiveUp() {
  if (held_.empty()) return;
  const std::string raw = held_.substr(invented_ ? 1 : 0);
  const bool broken = table_.at(node_).distinctive || control_;
  const bool was_control = control_;
  held_.clear();
  node_ = TagTable::kRoot;
  control_ = invented_ = false;
  if (broken) {
    receiver_.OnBrokenTag(raw, was_control);
  } else {
    receiver_.OnText(raw);
  }
}

}  // namespace hadal
