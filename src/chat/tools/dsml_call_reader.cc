// Calls in DSML, the markup of V3.2 and V4:
//   <｜DSML｜tool_calls>
//   <｜DSML｜invoke name="NAME">
//   <｜DSML｜parameter name="KEY" string="true|false">VALUE</｜DSML｜parameter>
//   </｜DSML｜invoke>
//   </｜DSML｜tool_calls>
// A string's value is the text as it is, another one's is JSON. Only ｜DSML｜ is a control token:
// when the tag before a value had it, tags without it are part of the value; when that tag was
// text, the text </｜DSML｜parameter> ends the value, except inside a string of a JSON value.
#include <set>
#include <string>

#include "chat/tools/argument_text.h"
#include "chat/tools/call_reader.h"
#include "chat/tools/json_text.h"

namespace hadal {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr size_t kMaxNameBytes = 1024;
constexpr size_t kMaxParameters = 1024;

class DsmlCallReader final : public CallReader {
 public:
  explicit DsmlCallReader(CallWriter& writer) : writer_(writer) {}

  void OnText(std::string_view text) override;
  void OnTag(ToolTag tag, std::string_view raw, bool control) override;
  void OnBrokenTag(std::string_view raw, bool control) override;
  void End(std::string_view held, bool control) override;

 private:
  enum class State {
    kContent,
    kBrokenTag,  // in content, up to > or the end of the line
    kBlock,      // between calls
    kCallName,
    kCall,  // between parameters
    kParameterName,
    kValue,
    kDroppedValue,
  };
  void TextBetween(std::string_view text);
  // Takes name_'s text; true when it has ended. Gives up into `back`.
  bool NameText(char c, State back);
  void BeginCall();
  void BeginParameter();
  void ValueText(std::string_view text);
  void EndValue(bool closed);
  void EndCall();
  void FlushArguments();
  bool IsPartOfValue(ToolTag tag, bool control) const;
  void TagInContent(ToolTag tag, std::string_view raw);
  void TagInBlock(ToolTag tag, std::string_view raw);
  void TagInCall(ToolTag tag, std::string_view raw, bool control);

  CallWriter& writer_;
  State state_ = State::kContent;
  bool has_wrapper_ = false;
  bool may_close_ = false;  // in content: the end of a block whose beginning was missing
  bool flawed_ = false;     // the call
  bool value_by_token_ = false;
  std::string name_;
  std::set<std::string, std::less<>> keys_;  // of the call
  ParameterValue value_;
  std::string json_, rest_;  // of the text at hand
};

void DsmlCallReader::OnText(std::string_view text) {
  while (!text.empty()) {
    switch (state_) {
      case State::kContent:
        return writer_.Content(text);
      case State::kBlock:
      case State::kCall:
        return TextBetween(text);
      case State::kValue:
        return ValueText(text);
      case State::kDroppedValue:
        return writer_.Malformed(text);
      case State::kBrokenTag: {
        const size_t end = text.find_first_of(">\n");
        const size_t taken = end == text.npos ? text.size() : end + (text[end] == '>' ? 1 : 0);
        writer_.Malformed(text.substr(0, taken));
        text.remove_prefix(taken);
        if (end != std::string_view::npos) state_ = State::kContent;
        break;
      }
      case State::kCallName:
      case State::kParameterName: {
        const bool of_call = state_ == State::kCallName;
        const bool ended = NameText(text.front(), of_call ? State::kBlock : State::kCall);
        text.remove_prefix(1);
        if (ended) of_call ? BeginCall() : BeginParameter();
        break;
      }
    }
  }
}

void DsmlCallReader::TextBetween(std::string_view text) {
  for (const char c : text) {
    if (kSpace.find(c) != kSpace.npos) continue;
    writer_.Malformed(std::string_view(&c, 1));
    flawed_ = true;
  }
}

bool DsmlCallReader::NameText(char c, State back) {
  name_ += c;
  if (name_.ends_with("\">")) {
    name_.resize(name_.size() - 2);
    return true;
  }
  if (name_.size() > kMaxNameBytes) {
    writer_.Malformed(name_);
    flawed_ = true;
    state_ = back;
  }
  return false;
}

void DsmlCallReader::BeginCall() {
  flawed_ = false;
  keys_.clear();
  const bool named = !name_.empty() && name_.find('\n') == name_.npos;
  if (named && writer_.BeginCall(name_)) {
    state_ = State::kCall;
  } else {
    writer_.Malformed(name_);
    state_ = State::kBlock;
  }
}

// name_ is KEY" string="true, or only KEY: then the value is taken for a string.
void DsmlCallReader::BeginParameter() {
  bool is_string = true;
  const size_t attribute = name_.rfind("\" string=\"");
  if (attribute != name_.npos) {
    is_string = !name_.ends_with("=\"false");
    name_.resize(attribute);
  }
  const bool first = keys_.empty();
  if (keys_.size() >= kMaxParameters || !keys_.insert(name_).second) {
    flawed_ = true;
    writer_.Malformed(name_);
    state_ = State::kDroppedValue;
    return;
  }
  json_ += first ? "{" : ", ";
  json_ += QuoteJson(name_);
  json_ += ": ";
  value_.Begin(is_string, json_);
  FlushArguments();
  state_ = State::kValue;
}

void DsmlCallReader::ValueText(std::string_view text) {
  value_.Push(text, json_, rest_);
  FlushArguments();
}

void DsmlCallReader::FlushArguments() {
  writer_.Arguments(json_);
  json_.clear();
  flawed_ = flawed_ || !rest_.empty();
  writer_.Malformed(rest_);
  rest_.clear();
}

void DsmlCallReader::EndValue(bool closed) {
  if (state_ == State::kValue && !value_.End(/*cut=*/false, json_)) flawed_ = true;
  FlushArguments();
  flawed_ = flawed_ || !closed;
  state_ = State::kCall;
}

void DsmlCallReader::EndCall() {
  writer_.Arguments(keys_.empty() ? "{}" : "}");
  writer_.EndCall(!flawed_);
  state_ = has_wrapper_ ? State::kBlock : State::kContent;
  if (has_wrapper_) return;
  may_close_ = true;
  writer_.EndBlock();
}

bool DsmlCallReader::IsPartOfValue(ToolTag tag, bool control) const {
  if (control) return tag == ToolTag::kBlockBegin;
  const bool in_json_string = state_ == State::kValue && value_.in_json_string();
  return value_by_token_ || tag != ToolTag::kParameterEnd || in_json_string;
}

void DsmlCallReader::OnTag(ToolTag tag, std::string_view raw, bool control) {
  if (state_ == State::kValue || state_ == State::kDroppedValue) {
    if (IsPartOfValue(tag, control)) return OnText(raw);
    EndValue(tag == ToolTag::kParameterEnd);
    if (tag == ToolTag::kParameterEnd) return;
  }
  if (state_ == State::kCallName || state_ == State::kParameterName) {
    writer_.Malformed(name_);
    flawed_ = true;
    state_ = state_ == State::kCallName ? State::kBlock : State::kCall;
  }
  if (state_ == State::kBrokenTag) state_ = State::kContent;
  if (state_ == State::kContent) return TagInContent(tag, raw);
  if (state_ == State::kBlock) {
    TagInBlock(tag, raw);
  } else {
    TagInCall(tag, raw, control);
  }
}

void DsmlCallReader::TagInContent(ToolTag tag, std::string_view raw) {
  switch (tag) {
    case ToolTag::kBlockBegin:
      writer_.BeginBlock();
      has_wrapper_ = true;
      state_ = State::kBlock;
      return;
    case ToolTag::kCallBegin:
    case ToolTag::kParameterBegin:  // of a call that is lost: nothing up to the next is content
      writer_.BeginBlock();
      has_wrapper_ = tag == ToolTag::kParameterBegin;
      state_ = State::kBlock;
      return TagInBlock(tag, raw);
    case ToolTag::kBlockEnd:
      if (may_close_) {
        may_close_ = false;
        return;
      }
      break;
    default:
      break;
  }
  writer_.Malformed(raw);
}

void DsmlCallReader::TagInBlock(ToolTag tag, std::string_view raw) {
  if (tag == ToolTag::kCallBegin) {
    name_.clear();
    state_ = State::kCallName;
  } else if (tag == ToolTag::kBlockEnd) {
    state_ = State::kContent;
    has_wrapper_ = false;
    writer_.EndBlock();
  } else {
    writer_.Malformed(raw);
  }
}

void DsmlCallReader::TagInCall(ToolTag tag, std::string_view raw, bool control) {
  switch (tag) {
    case ToolTag::kParameterBegin:
      name_.clear();
      value_by_token_ = control;
      state_ = State::kParameterName;
      return;
    case ToolTag::kCallEnd:
      return EndCall();
    case ToolTag::kBlockEnd:
    case ToolTag::kCallBegin:
      EndCall();
      return OnTag(tag, raw, control);
    default:
      flawed_ = true;
      return writer_.Malformed(raw);
  }
}

void DsmlCallReader::OnBrokenTag(std::string_view raw, bool) {
  switch (state_) {
    case State::kValue:
    case State::kCallName:
    case State::kParameterName:
      return OnText(raw);
    case State::kContent:
      state_ = State::kBrokenTag;
      break;
    default:
      break;
  }
  flawed_ = true;
  writer_.Malformed(raw);
}

void DsmlCallReader::End(std::string_view held, bool control) {
  if ((state_ == State::kContent || state_ == State::kValue) && IsPlainHeld(held, control)) {
    OnText(held);
  } else {
    writer_.Malformed(held);
    // The newlines before it were the block's.
    if (state_ == State::kContent && !held.empty()) writer_.BeginBlock();
  }
  writer_.outcome().in_block_at_end = state_ != State::kContent && state_ != State::kBrokenTag;
  if (state_ == State::kCallName || state_ == State::kParameterName) writer_.Malformed(name_);
  if (state_ == State::kValue) value_.End(/*cut=*/true, json_);
  FlushArguments();
  if (writer_.in_call()) writer_.EndCall(/*complete=*/false);
  writer_.ReleaseNewlines();
}

}  // namespace

std::unique_ptr<CallReader> MakeDsmlCallReader(CallWriter& writer) {
  return std::make_unique<DsmlCallReader>(writer);
}

}  // namespace hadal
