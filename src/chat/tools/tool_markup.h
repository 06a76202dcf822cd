// Owns: the tags in which DeepSeek's models write tool calls, in every spelling that is accepted,
// and finding them in text. Must not know what a tag does.
// Thread rule: TagTable is immutable; a TagScanner belongs to one parser.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

enum class ToolMarkup {
  kFenced,   // V3, R1: function<｜tool▁sep｜>NAME, arguments in a ```json fence
  kPlain,    // V3.1: NAME<｜tool▁sep｜>ARGUMENTS
  kDsmlV32,  // V3.2: <｜DSML｜function_calls>
  kDsmlV4,   // V4: <｜DSML｜tool_calls>
};
inline bool IsDsml(ToolMarkup markup) {
  return markup == ToolMarkup::kDsmlV32 || markup == ToolMarkup::kDsmlV4;
}

enum class ToolTag : uint8_t {
  kNone,
  kBlockBegin,
  kBlockEnd,
  kCallBegin,  // DSML: up to the name's opening quote
  kCallEnd,
  kSeparator,
  kOutputsBegin,
  kOutputsEnd,
  kOutputBegin,
  kOutputEnd,
  kParameterBegin,  // DSML: up to the name's opening quote
  kParameterEnd,
};

// The tags of one kind of markup as a tree of bytes. No tag begins with another, and '<' stands
// only at a tag's beginning: that makes the scan linear.
class TagTable {
 public:
  struct Node {
    ToolTag tag = ToolTag::kNone;
    bool distinctive = false;  // no ordinary text begins so: what cannot go on is a broken tag
    std::vector<std::pair<char, uint16_t>> next;
  };
  explicit TagTable(ToolMarkup markup);

  static constexpr uint16_t kRoot = 0, kNoNode = 0;
  uint16_t Next(uint16_t node, char c) const;
  const Node& at(uint16_t node) const { return nodes_[node]; }

 private:
  void Add(std::string_view text, ToolTag tag, std::string_view distinctive);
  std::vector<Node> nodes_;
};

// What a scanner finds, in order.
class TagReceiver {
 public:
  virtual ~TagReceiver() = default;
  virtual void OnText(std::string_view text) = 0;
  // raw: as written. control: at least a part of it came as a control token, not as text.
  virtual void OnTag(ToolTag tag, std::string_view raw, bool control) = 0;
  // The beginning of a tag that went on as no tag does; what follows comes as text.
  virtual void OnBrokenTag(std::string_view raw, bool control) = 0;
};

class TagScanner {
 public:
  TagScanner(const TagTable& table, TagReceiver& receiver) : table_(table), receiver_(receiver) {}
  void Push(std::string_view text) { Scan(text, false); }
  // The text of a control token, which is never ordinary text.
  void PushControl(std::string_view token);
  // What may still become a tag, "" when nothing: not passed on.
  std::string_view held() const { return held_; }
  bool held_control() const { return control_; }

 private:
  void Scan(std::string_view text, bool control);
  void Advance(char c, bool control);
  void GiveUp();

  const TagTable& table_;
  TagReceiver& receiver_;
  uint16_t node_ = TagTable::kRoot;
  bool control_ = false;
  bool invented_ = false;  // held_'s first byte did not come
  std::string held_;       // the text of node_; at most the longest tag
};

}  // namespace hadal
