// Calls between control tokens. V3 and R1 write
//   <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME⏎```json⏎ARGS⏎```<｜tool▁call▁end｜>
// and further calls, then <｜tool▁calls▁end｜>; V3.1 writes
//   <｜tool▁call▁begin｜>NAME<｜tool▁sep｜>ARGS<｜tool▁call▁end｜>.
// Either is read where the other is expected. Inside a JSON string a tag written as text belongs to
// the string; a control token ends the call anywhere.
#include "chat/tools/argument_text.h"
#include "chat/tools/call_reader.h"

namespace hadal {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kFence = "```json";
constexpr size_t kMaxHeaderBytes = 1024;

std::string_view Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

class TokenCallReader final : public CallReader {
 public:
  TokenCallReader(ToolMarkup markup, CallWriter& writer) : markup_(markup), writer_(writer) {}

  void OnText(std::string_view text) override;
  void OnTag(ToolTag tag, std::string_view raw, bool control) override;
  void OnBrokenTag(std::string_view raw, bool) override { writer_.Malformed(raw); }
  void End(std::string_view held, bool control) override;

 private:
  enum class State {
    kContent,
    kOutputs,    // results that the model made up
    kBlock,      // between calls
    kHeader,     // before the separator
    kSeparated,  // directly after it
    kName,       // V3: up to the end of the line
    kFence,      // before the arguments
    kArguments,
  };
  void TextInBlock(std::string_view text);
  void HeaderText(char c);
  void AfterSeparator(char c);
  void NameText(char c);
  void TextAfterName(char c);
  void FenceText(char c);
  void BeginCall(std::string_view name);
  void ArgumentText(char c);
  void Flush();
  void EndCall(bool cut);
  void TagInContent(ToolTag tag, std::string_view raw);
  void TagInCall(ToolTag tag, std::string_view raw);
  void LeaveBlock();

  const ToolMarkup markup_;
  CallWriter& writer_;
  State state_ = State::kContent;
  bool has_wrapper_ = false;
  bool flawed_ = false;  // the call
  std::string header_;
  std::string line_;  // the name, then the fence
  JsonText json_;
  std::string json_out_, json_rest_;  // of the text at hand
};

void TokenCallReader::OnText(std::string_view text) {
  if (state_ == State::kContent) return writer_.Content(text);
  if (state_ == State::kOutputs) return writer_.Malformed(text);
  if (state_ == State::kBlock) return TextInBlock(text);
  for (size_t i = 0; i < text.size(); ++i) {
    switch (state_) {
      case State::kHeader:
        HeaderText(text[i]);
        break;
      case State::kSeparated:
        AfterSeparator(text[i]);
        break;
      case State::kName:
        NameText(text[i]);
        break;
      case State::kFence:
        FenceText(text[i]);
        break;
      case State::kArguments:
        ArgumentText(text[i]);
        break;
      default:
        return TextInBlock(text.substr(i));
    }
  }
  Flush();
}

void TokenCallReader::TextInBlock(std::string_view text) {
  for (const char c : text) {
    if (kSpace.find(c) == kSpace.npos) writer_.Malformed(std::string_view(&c, 1));
  }
}

void TokenCallReader::HeaderText(char c) {
  header_ += c;
  if (header_.size() <= kMaxHeaderBytes) return;
  writer_.Malformed(header_);
  state_ = State::kBlock;
}

void TokenCallReader::AfterSeparator(char c) {
  if (kSpace.find(c) != kSpace.npos) return;
  const bool is_type = Trimmed(header_) == "function";
  const bool named_before = c == '{' || (markup_ == ToolMarkup::kPlain && !is_type);
  if (named_before) {
    BeginCall(Trimmed(header_));
    TextAfterName(c);
    return;
  }
  state_ = State::kName;
  NameText(c);
}

void TokenCallReader::NameText(char c) {
  if (c != '\n' && c != '{' && c != '`') {
    line_ += c;
    if (line_.size() <= kMaxHeaderBytes) return;
    writer_.Malformed(line_);
    state_ = State::kBlock;
    return;
  }
  const std::string name(Trimmed(line_));
  BeginCall(name);
  TextAfterName(c);
}

// The name began a call, or was none.
void TokenCallReader::TextAfterName(char c) {
  if (state_ == State::kFence) return FenceText(c);
  TextInBlock(std::string_view(&c, 1));
}

void TokenCallReader::BeginCall(std::string_view name) {
  line_.clear();
  json_ = {};
  flawed_ = false;
  state_ = State::kFence;
  if (!name.empty() && writer_.BeginCall(name)) return;
  writer_.Malformed(header_);
  state_ = State::kBlock;
}

void TokenCallReader::FenceText(char c) {
  if (line_.empty() && kSpace.find(c) != kSpace.npos) return;
  const size_t n = line_.size();
  if (n < kFence.size() && kFence[n] == c) {
    line_ += c;
    if (line_ == kFence) state_ = State::kArguments;
    return;
  }
  state_ = State::kArguments;
  if (n < 3) {  // no fence: the text is the arguments'
    for (const char earlier : line_) ArgumentText(earlier);
  }
  ArgumentText(c);
}

void TokenCallReader::ArgumentText(char c) { json_.Push(c, json_out_, json_rest_); }

// What stands behind the arguments: the closing fence, or nothing that has a meaning.
void TokenCallReader::Flush() {
  writer_.Arguments(json_out_);
  json_out_.clear();
  std::string beyond;
  for (const char c : json_rest_) {
    if (c != '`') beyond += c;
  }
  json_rest_.clear();
  flawed_ = flawed_ || !beyond.empty();
  writer_.Malformed(beyond);
}

void TokenCallReader::EndCall(bool cut) {
  if (!cut && !json_.started()) {  // a function without parameters
    writer_.Arguments("{}");
    return writer_.EndCall(!flawed_);
  }
  writer_.EndCall(!cut && !flawed_ && json_.CompleteAtEnd() && json_.is_object());
}

void TokenCallReader::OnTag(ToolTag tag, std::string_view raw, bool control) {
  if (state_ == State::kArguments && !control && json_.in_string()) return OnText(raw);
  if (state_ == State::kContent || state_ == State::kOutputs) return TagInContent(tag, raw);
  if (state_ != State::kBlock) return TagInCall(tag, raw);
  switch (tag) {
    case ToolTag::kCallBegin:
      header_.clear();
      line_.clear();
      state_ = State::kHeader;
      return;
    case ToolTag::kBlockEnd:
      state_ = State::kContent;
      has_wrapper_ = false;
      return writer_.EndBlock();
    default:
      return writer_.Malformed(raw);
  }
}

void TokenCallReader::TagInContent(ToolTag tag, std::string_view raw) {
  switch (tag) {
    case ToolTag::kBlockBegin:
    case ToolTag::kCallBegin:
      writer_.BeginBlock();
      has_wrapper_ = tag == ToolTag::kBlockBegin;
      state_ = State::kBlock;
      if (!has_wrapper_) OnTag(tag, raw, true);
      return;
    case ToolTag::kOutputsBegin:
    case ToolTag::kOutputBegin:
      state_ = State::kOutputs;
      break;
    case ToolTag::kOutputEnd:
      if (markup_ == ToolMarkup::kPlain) state_ = State::kContent;  // has no outer tags
      break;
    case ToolTag::kOutputsEnd:
      state_ = State::kContent;
      break;
    default:
      break;
  }
  writer_.Malformed(raw);
}

void TokenCallReader::TagInCall(ToolTag tag, std::string_view raw) {
  if (state_ == State::kHeader && tag == ToolTag::kSeparator) {
    state_ = State::kSeparated;
    return;
  }
  const bool ends =
      tag == ToolTag::kCallEnd || tag == ToolTag::kCallBegin || tag == ToolTag::kBlockEnd;
  if (!ends) {
    flawed_ = true;
    return writer_.Malformed(raw);
  }
  if (state_ == State::kSeparated) BeginCall(Trimmed(header_));
  if (state_ == State::kName) BeginCall(std::string(Trimmed(line_)));
  if (state_ == State::kHeader) writer_.Malformed(header_);
  if (writer_.in_call()) EndCall(/*cut=*/false);
  LeaveBlock();
  if (tag != ToolTag::kCallEnd) OnTag(tag, raw, true);
}

// After a call: a block without its first tag lasts only as long as calls follow.
void TokenCallReader::LeaveBlock() {
  state_ = has_wrapper_ ? State::kBlock : State::kContent;
  if (!has_wrapper_) writer_.EndBlock();
}

void TokenCallReader::End(std::string_view held, bool control) {
  const bool in_string = state_ == State::kArguments && json_.in_string();
  if ((state_ == State::kContent || in_string) && IsPlainHeld(held, control)) {
    OnText(held);
  } else {
    writer_.Malformed(held);
  }
  writer_.outcome().in_block_at_end = state_ != State::kContent;
  if (writer_.in_call()) {
    EndCall(/*cut=*/true);
  } else if (state_ == State::kHeader || state_ == State::kSeparated || state_ == State::kName) {
    writer_.Malformed(header_);
    writer_.Malformed(line_);
  }
  writer_.ReleaseNewlines();
}

}  // namespace

std::unique_ptr<CallReader> MakeTokenCallReader(ToolMarkup markup, CallWriter& writer) {
  return std::make_unique<TokenCallReader>(markup, writer);
}

}  // namespace hadal
